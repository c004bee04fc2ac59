"""What the stages leave on disk, read by type instead of by file name."""
