"""Weak supervision: rules, an active learner, their votes combined, and thresholds of confidence for each class."""
