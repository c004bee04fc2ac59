"""Whole tables against a catalogue: each row accepted, to be reviewed or without a counterpart, at a promised rate."""
