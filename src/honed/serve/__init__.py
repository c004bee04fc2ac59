"""HTTP: the server of a bundle, and the pages of a project."""
