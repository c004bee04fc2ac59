"""Train, dev and test by entity: deterministic, stable when data is added, and free of leaks."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from honed.core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How queries are divided.

    ``held-out``: entities of test and dev are unseen in training. ``catalogue``: every pair is trained on, and
    ``sample`` of the same pairs are asked again, the protocol of a system that only answers what it was taught.
    """

    protocol: str = "held-out"
    test: float = 0.2
    dev: float = 0.1
    sample: int = 2000
    seed: int = 0


def unit_interval(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the name alone."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def assign(groups: Iterable[str], config: SplitConfig) -> dict[str, str]:
    """Return the split of each group; a group keeps its split when others come or go.

    With fewer than three groups a split stays empty, which the audit reports.
    """
    draws = {group: unit_interval(config.seed, group) for group in groups}
    splits = {
        group: "test" if draw < config.test else "dev" if draw < config.test + config.dev else "train"
        for group, draw in draws.items()
    }
    for name in ("dev", "test"):  # so few groups that the draw left one out: the next in line fills it
        spare = [group for group, split in splits.items() if split == "train"]
        if name not in splits.values() and len(spare) > 1:
            splits[min(spare, key=draws.__getitem__)] = name
    return splits


def components(links: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return for each member the smallest member of its connected component (union-find): the order does not matter.

    Each link joins all its members: entities that share a label string cannot be told apart by their text, so they
    must not be split.
    """
    parent: dict[str, str] = {}

    def root(member: str) -> str:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for link in links:
        for member in link:
            parent.setdefault(member, member)
        for member in link[1:]:
            left, right = root(member), root(link[0])
            parent[max(left, right)] = min(left, right)
    return {member: root(member) for member in parent}


def check_given_splits(split_of: Mapping[str, str], key_of: Mapping[str, str]) -> None:
    """Check splits that the user gave: none empty, and no text (by its key) on both sides.

    ``split_of`` and ``key_of`` map an id to its split and to the key of its text. Raises `DataError`.
    """
    for name in ("train", "test"):
        if name not in split_of.values():
            raise DataError("E_SPLIT_EMPTY", f"the split column names no {name} row")
    first: dict[str, str] = {}
    for item, key in key_of.items():
        other = first.setdefault(key, item)
        if split_of[other] != split_of[item]:
            raise DataError(
                "E_SPLIT_LEAK",
                f"ids {other} and {item} hold the same text in {split_of[other]} and {split_of[item]}: {key!r}",
            )
