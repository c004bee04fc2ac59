"""The weights that a hybrid begins with: what many data sets taught, see ``benchmarks/prior.py``."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from honed.index.fusion import KINDS

Floats: TypeAlias = npt.NDArray[np.float64]
_FIELD = re.compile(r"^.+, (words|letters|rest): ")


def shared_name(feature: str) -> str:
    """Return what a feature is called in every data set: that of a field is one of any field.

    >>> shared_name("city, words: weight")
    'field, words: weight'
    """
    return _FIELD.sub(lambda found: f"field, {found[1]}: ", feature)


def prior_weights(names: Sequence[str], *, of_names: bool) -> Floats | None:
    """Return the weights ``(n_kinds, n_features)`` that features begin with: of all queries, and what kinds add.

    ``of_names`` says that names are searched, not documents. A feature that no data set had begins at 0. None where
    there is no prior.
    """
    known = _prior().get("names" if of_names else "documents")
    if known is None:
        return None
    table = np.zeros((len(KINDS), len(names)))
    for at, name in enumerate(names):
        weights = known.get(shared_name(name), ())
        table[: len(weights), at] = weights
    return table


@lru_cache(maxsize=1)
def _prior() -> dict[str, dict[str, list[float]]]:
    file = resources.files("honed.index") / "prior.json"
    if not file.is_file():
        return {}
    weights: dict[str, dict[str, list[float]]] = json.loads(file.read_text(encoding="utf-8"))["weights"]
    return weights
