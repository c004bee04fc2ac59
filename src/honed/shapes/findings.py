"""What an audit reports of one thing that it found."""

from collections.abc import Sequence

from honed.evaluate.results import Finding

SAMPLES = 5


def finding(count: int, samples: Sequence[str]) -> Finding:
    """Return a finding with the first of its samples."""
    return Finding(count=count, samples=list(samples[:SAMPLES]))
