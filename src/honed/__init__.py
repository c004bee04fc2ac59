"""honed: a team's own data to a search model it can ship."""

import os
from typing import TYPE_CHECKING, Any

from honed.core.version import __version__

# threads of OpenBLAS sleep 2^10 cycles after a product, not 2^26: they would take a core for 30 ms after every search
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "10")

if TYPE_CHECKING:
    from honed.api.matching import match_table
    from honed.api.project import Project
    from honed.core.records import Hit
    from honed.encode.torch_encoder import TorchEncoder as Encoder
    from honed.index.store import Store
    from honed.label.rules import rule
    from honed.search.searcher import Searcher

__all__ = ["Encoder", "Hit", "Project", "Searcher", "Store", "__version__", "match_table", "rule"]

# loaded on first use: `import honed` stays free of torch, and costs nothing
_LAZY = {
    "Hit": ("honed.core.records", "Hit"),
    "Encoder": ("honed.encode.torch_encoder", "TorchEncoder"),
    "rule": ("honed.label.rules", "rule"),
    "match_table": ("honed.api.matching", "match_table"),
    "Project": ("honed.api.project", "Project"),
    "Searcher": ("honed.search.searcher", "Searcher"),
    "Store": ("honed.index.store", "Store"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'honed' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
