"""honed.toml: one section a stage."""
