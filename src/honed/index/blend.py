"""The fused scores of a ranking and those of a cross-encoder for its first hits, as one order."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer, as_number
from honed.core.protocols import Vectors
from honed.core.ranking import Rows


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Weights of the fused score (``ours``) and of a cross-encoder's (``theirs``), for the first ``depth`` hits."""

    ours: float = 1.0
    theirs: float = 1.0
    depth: int = 20

    def order(self, fused: Vectors, scores: Vectors) -> Rows:
        """Return the places of a ranking ``(n,)`` in a new order: those that a cross-encoder scored, then the rest.

        ``fused`` ``(n,)`` are the scores of the ranking, ``scores`` those of the cross-encoder for its first hits.
        """
        mixed = self._mixed(fused, scores)
        return np.concatenate([np.argsort(-mixed, kind="stable"), np.arange(len(scores), len(fused))])

    def odds(self, fused: Vectors, scores: Vectors) -> Vectors:
        """Return the log-odds ``(n,)`` of a ranking in its new order, never rising; for its arguments see `order`.

        What the cross-encoder did not score lies as far below the last that it did as it lay before.
        """
        n = len(scores)
        if not n:
            return fused
        first: Vectors = -np.sort(-self._mixed(fused, scores))
        return np.concatenate([first, first[-1] + fused[n:] - fused[n - 1]])

    def _mixed(self, fused: Vectors, scores: Vectors) -> Vectors:
        mixed: Vectors = self.ours * fused[: len(scores)] + self.theirs * scores
        return mixed

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"ours": self.ours, "theirs": self.theirs, "depth": self.depth}

    @classmethod
    def from_dict(cls, data: JsonObject | None) -> Self:
        """Read it back; None is the default. `ArtifactError` for weights that are no numbers or a depth over 1,000."""
        if data is None:
            return cls()
        try:
            ours, theirs, depth = as_number(data["ours"]), as_number(data["theirs"]), as_integer(data["depth"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError("E_BLEND", f"the weights of the cross-encoder cannot be read: {error}") from error
        if not np.isfinite([ours, theirs]).all() or not 1 <= depth <= 1000:
            raise ArtifactError("E_BLEND", "the weights of the cross-encoder are out of range")
        return cls(ours=ours, theirs=theirs, depth=depth)
