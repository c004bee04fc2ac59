"""Weak supervision: rules, an active learner, what they say together, and where to draw the line."""
