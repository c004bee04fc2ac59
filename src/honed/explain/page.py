"""The page of explanations as one file that needs nothing else."""

import msgspec

from honed.explain.explanation import ExplanationSet
from honed.pages.files import EXPLAIN


def static_page(explanations: ExplanationSet) -> str:
    """Return one HTML file that shows explanations: no network, no server, opens from disk."""
    return EXPLAIN.standalone(msgspec.to_builtins(explanations))
