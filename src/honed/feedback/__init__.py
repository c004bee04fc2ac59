"""What users did, as judgements."""
