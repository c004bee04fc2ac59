"""What kinds of data there are: one package a shape."""
