"""The artifacts of the stages on disk, read by type instead of by file name."""
