"""What is demanded of an index: recall, time of a query, memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from honed.index.benchmark import OperatingPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Bounds on an index: least recalls in [0, 1], most ms of a query, most MB of memory; None for no bound.

    With a recall the fastest that reaches it is chosen; without one the best recall within ``ms`` and ``mb``.
    """

    index_recall: float | None = None
    task_recall: float | None = None
    ms: float | None = None
    mb: float | None = None

    @property
    def wants_recall(self) -> bool:
        """Whether a recall is demanded."""
        return self.index_recall is not None or self.task_recall is not None

    def holds(self, point: OperatingPoint, *, slack: float = 0.0, close: float = 1.0) -> bool:
        """Tell whether a point keeps within the budget, ``slack`` less recall and ``close`` times its ms allowed."""
        return (
            (self.index_recall is None or point.index_recall >= self.index_recall - slack)
            and (self.task_recall is None or (point.task_recall or 0.0) >= self.task_recall - slack)
            and (self.ms is None or point.ms <= self.ms * close)
            and (self.mb is None or point.mb <= self.mb)
        )

    def cost(self, point: OperatingPoint, *, close: float = 1.0) -> tuple[float, float]:
        """Return the key to minimise: (ms, MB) where a recall is demanded, else (missing recall, ms)."""
        if self.wants_recall:
            return (close * point.ms, point.mb)
        recall = point.index_recall if point.task_recall is None else point.task_recall
        return (close * round(1 - recall, 4), point.ms)

    def lack(self, point: OperatingPoint) -> float:
        """Return how far a point is from the budget, 0 within it: ten times the missing recall, and relative excess."""
        lacking = 10 * max(0.0, (self.index_recall or 0.0) - point.index_recall)
        lacking += 10 * max(0.0, (self.task_recall or 0.0) - (point.task_recall or 0.0))
        for most, value in ((self.ms, point.ms), (self.mb, point.mb)):
            lacking += max(0.0, value / most - 1) if most is not None else 0.0
        return lacking

    def best(self, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """Return the best point that keeps within the budget, or None."""
        return min((point for point in points if self.holds(point)), key=self.cost, default=None)
