"""Slices of queries: by the script that they are written in, and which are large enough to be shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from honed.core.text import script
from honed.evaluate.results import SystemResult

FEW = 20  # a slice of fewer queries is not shown
SCRIPT = "script:"  # begins the names of these slices
_PLAIN = frozenset({f"{SCRIPT}latin", f"{SCRIPT}none"})


def script_slices(texts: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Return the ids of texts by script, named ``script:NAME``; that of most letters counts, see `core.text.script`.

    Where all that have letters are Latin there is no slice of those: it would be everything.
    """
    ids: dict[str, set[str]] = defaultdict(set)
    for text_id, text in texts.items():
        ids[f"{SCRIPT}{script(text)}"].add(text_id)
    if ids.keys() <= _PLAIN:
        ids.pop(f"{SCRIPT}latin", None)
    return {name: frozenset(members) for name, members in sorted(ids.items())}


def scripts_shown(systems: Sequence[SystemResult]) -> list[tuple[str, int]]:
    """Return the scripts of queries with their sizes, the commonest first, Latin among them; rare ones are left out."""
    return [pair for pair in large_slices(systems) if pair[0].startswith(SCRIPT)]


def large_slices(systems: Sequence[SystemResult]) -> list[tuple[str, int]]:
    """Return the slices of `FEW` queries or more with their sizes, the largest first."""
    sizes = [(name, system.slice_size(name)) for system in systems[:1] for name in system.slices]
    return sorted((pair for pair in sizes if pair[1] >= FEW), key=lambda pair: -pair[1])
