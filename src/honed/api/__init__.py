"""honed in Python: a project from data frames, lists or files, and a method for every command."""
