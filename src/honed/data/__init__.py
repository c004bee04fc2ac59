"""Files in, judged tasks and training examples out: import, audit, splits, public data sets."""
