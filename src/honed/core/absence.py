"""Queries that have an answer and queries that have none, weighed so that the second are a stated share of all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
ABSENT = 0.1  # the share of queries without an answer, where neither said nor measured


@dataclass(frozen=True, kw_only=True)
class AbsentShare:
    """A share of queries without an answer, made of n queries of which some may truly have none.

    ``absent`` is the share, ``measured`` whether it is that of the queries themselves. A query that has an answer is
    asked without it with the probability ``hidden``; one that has none is kept with the probability ``kept``.
    """

    absent: float
    measured: bool
    hidden: float
    kept: float

    @classmethod
    def of(cls, answerable: Flags, absent: float | None, *, otherwise: float = ABSENT) -> "AbsentShare":
        """Return the share for queries ``(n,)`` of which some are ``answerable``.

        ``absent`` is the share that is wanted; None takes that of the queries where some have no answer, else
        ``otherwise``.
        """
        real = float((~answerable).mean()) if len(answerable) else 0.0
        if absent is None and real > 0:
            return cls(absent=real, measured=True, hidden=0.0, kept=1.0)
        wanted = otherwise if absent is None else absent
        if real <= wanted:
            return cls(absent=wanted, measured=False, hidden=(wanted - real) / (1 - real), kept=1.0)
        if real == 1:  # nothing but queries without an answer: the share cannot be lowered
            return cls(absent=1.0, measured=True, hidden=0.0, kept=1.0)
        return cls(absent=wanted, measured=False, hidden=0.0, kept=wanted * (1 - real) / (real * (1 - wanted)))

    def weights(self, answerable: Flags) -> tuple[Floats, Floats]:
        """Return what each query counts as it is, and with its answer hidden: two of ``(n,)``."""
        asked = np.where(answerable, 1 - self.hidden, self.kept)
        return asked, np.where(answerable, self.hidden, 0.0)
