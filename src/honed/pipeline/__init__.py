"""All stages in order, their runner, and honed.toml."""
