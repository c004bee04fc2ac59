"""Sentences with two entities and their relation."""
