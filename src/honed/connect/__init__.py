"""The world's databases and protocols."""
