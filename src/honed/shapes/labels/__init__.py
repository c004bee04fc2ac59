"""Texts of which a few have a label."""
