"""Vectors or text to neighbours: one file a backend."""
