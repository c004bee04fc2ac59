"""Fine-tune, mine, distil."""
