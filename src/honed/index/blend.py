"""The scores of a ranking and those of a cross-encoder for its first hits, as one order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors


@dataclass(frozen=True, kw_only=True)
class Blend:
    """How much a cross-encoder's score counts beside the fused one (``ours``, ``theirs``), for the first ``depth``."""

    ours: float = 1.0
    theirs: float = 1.0
    depth: int = 20

    def order(self, ranked: Vectors, scored: Vectors) -> Any:
        """Return places of a ranking ``(n,)``: those that were scored in their new order, then the others as before."""
        n = len(scored)
        mixed = self.ours * ranked[:n] + self.theirs * scored
        return np.concatenate([np.argsort(-mixed, kind="stable"), np.arange(n, len(ranked))])

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"ours": self.ours, "theirs": self.theirs, "depth": self.depth}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Self:
        """Read it back; None is the default. `ArtifactError` for what is no number or too deep."""
        if data is None:
            return cls()
        try:
            found = cls(ours=float(data["ours"]), theirs=float(data["theirs"]), depth=int(data["depth"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError("E_BLEND", f"the weights of the cross-encoder cannot be read: {error}") from error
        if not np.isfinite([found.ours, found.theirs]).all() or not 1 <= found.depth <= 1000:
            raise ArtifactError("E_BLEND", "the weights of the cross-encoder are out of range")
        return found
