"""What a user does with a project."""
