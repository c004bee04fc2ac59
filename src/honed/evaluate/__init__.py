"""Run + qrels to scores, intervals, comparisons, gates and the report."""
