"""The file format of what is shipped: write, verify, load."""
