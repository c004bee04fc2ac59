"""Which of several base models to start from: a rule, and what is told of those that were tried."""

from collections.abc import Sequence

import msgspec
import numpy as np

from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import Scores
from honed.evaluate.results import Interval

_DRAWS = 5000  # the tails of intervals that hold together are thin


def shown(base: str) -> str:
    """Return how a base model is called to people: a folder by its last part."""
    return base.rsplit("/", 1)[-1] if base.startswith(("/", ".")) else base


class BaseTrial(msgspec.Struct, kw_only=True):
    """A base model that was tried, or left out for a reason.

    ``score`` is its mean on the sample of dev, ``difference`` the paired one to ``over``, the model that it had to
    beat. ``mb`` are its weights, ``vectors_mb`` those of all names in fp32, ``query_ms`` is what one query takes to
    encode on this machine, ``train_seconds`` about what [train] takes (None without it).
    """

    base: str
    mb: float
    dim: int = 0
    query_ms: float = 0.0
    vectors_mb: float = 0.0
    train_seconds: float | None = None
    score: float | None = None
    difference: Interval | None = None
    over: str = ""
    left_out: str = ""

    def line(self, measure: str) -> str:
        """Return what was found, as one sentence."""
        if self.score is None:
            return f"{shown(self.base)}: {self.left_out}"
        train = "" if self.train_seconds is None else f", about {self.train_seconds:,.0f} s to train"
        gain = ""
        if self.difference:
            low, high = 100 * self.difference.low, 100 * self.difference.high
            gain = f", {100 * self.difference.mean:+.1f} over {shown(self.over)} ({low:+.1f} to {high:+.1f})"
        return (
            f"{shown(self.base)}: {measure} {100 * self.score:.1f}{gain}; {self.mb:,.0f} MB, "
            f"{self.query_ms:.1f} ms a query, {self.vectors_mb:,.1f} MB of vectors{train}"
        )


class BaseChoice(msgspec.Struct, kw_only=True):
    """The base model that was chosen, with all that were looked at, the smallest first, and lexical systems beside."""

    chosen: str
    measure: str
    n_queries: int
    n_documents: int
    tried: list[BaseTrial]
    lexical: dict[str, float]

    def sentence(self) -> str:
        """Return what was chosen, and from how many."""
        scored = [trial for trial in self.tried if trial.score is not None]
        left_out = len(self.tried) - len(scored)
        return (
            f"base model: {shown(self.chosen)}, of {len(scored)} tried on {self.n_queries} queries of dev"
            f"{f' ({left_out} left out)' if left_out else ''}"
        )

    def lines(self) -> list[str]:
        """Return the choice and what was found of each model, one sentence each."""
        name = max(self.lexical, key=lambda system: self.lexical[system], default="")
        words = [f"{name}: {self.measure} {100 * self.lexical[name]:.1f} without a model"] if name else []
        return [*(trial.line(self.measure) for trial in self.tried), *words, self.sentence()]


def choose_base(trials: Sequence[BaseTrial], scores: Sequence[Scores], groups: Sequence[str]) -> str:
    """Return the base of the trial that is chosen; ``scores`` ``(n_queries,)`` are those of trials with a score.

    The smallest is the first choice. Each larger one, in the order of size, takes its place if it is surely better:
    if the low bound of the paired difference to the present choice is above 0. The intervals hold together for all
    comparisons (95 %, Bonferroni), so that a dearer model is taken without need in at most one choice of twenty.
    The differences are noted in the trials.
    """
    tried = [trial for trial in trials if trial.score is not None]
    bootstrap = Bootstrap(groups, draws=_DRAWS, level=1 - 0.05 / max(1, len(tried) - 1))
    best = 0
    for place in range(1, len(tried)):
        difference = np.asarray(scores[place] - scores[best])
        interval = bootstrap.intervals(difference[:, None])[0].rounded()
        tried[place].difference, tried[place].over = interval, tried[best].base
        if interval.low > 0:
            best = place
    return tried[best].base
