"""The pages: a kit of parts that all share, and the files of each."""
