"""What an audit reports of the things that it found."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from honed.evaluate.results import Finding

SAMPLES = 5


@dataclass(kw_only=True)
class LeftOut:
    """What was left out of data: ``dropped`` counts it by reason, with the first ``samples`` of each."""

    dropped: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def drop(self, reason: str, sample: str = "") -> None:
        """Count something that was left out under its reason, and keep the first few samples."""
        self.dropped[reason] += 1
        if sample and len(self.samples[reason]) < SAMPLES:
            self.samples[reason].append(sample)

    def left_out(self) -> dict[str, Finding]:
        """Return what was left out as findings, by reason."""
        return {reason: finding(count, self.samples[reason]) for reason, count in self.dropped.items()}


def finding(count: int, samples: Sequence[str]) -> Finding:
    """Return a finding with the first of its samples."""
    return Finding(count=count, samples=list(samples[:SAMPLES]))
