"""The runner of the stages."""
