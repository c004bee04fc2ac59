"""The page of explanations as one file that needs nothing else."""

from honed.core.json import JsonObject
from honed.pages.files import EXPLAIN


def static_page(explanations: JsonObject) -> str:
    """Return one HTML file that shows explanations (``models``): no network, no server, opens from disk."""
    return EXPLAIN.standalone(explanations)
