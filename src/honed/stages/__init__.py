"""The stages, one file each; `honed.stages.all` puts those of a shape between those that all shapes have."""
