"""Train, dev and test by entity: deterministic, stable when data is added, and free of leaks."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from honed.core.errors import DataError

ON_LEAK = ("withhold", "stop")
WITHHELD = "withheld"
_RANK = {"train": 0, "dev": 1, "test": 2}
_MOST_LISTED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How queries are divided.

    ``held-out``: entities of test and dev are unseen in training. ``catalogue``: every pair is trained on, and
    ``sample`` of the same pairs are asked again, the protocol of a system that only answers what it was taught.
    ``on_leak`` says what becomes of a text on both sides of splits that the user gave: "withhold" leaves it out of
    train, "stop" refuses the data.
    """

    protocol: str = "held-out"
    test: float = 0.2
    dev: float = 0.1
    sample: int = 2000
    seed: int = 0
    on_leak: str = "withhold"


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


def draw_dev(groups: Iterable[str], config: SplitConfig, fewest: int = 1) -> set[str]:
    """Return the groups that dev is drawn of where given splits have none: at least ``fewest``, and as many stay."""
    draws = {group: unit_interval(config.seed, group) for group in groups}
    order = sorted(draws, key=draws.__getitem__)
    drawn = sum(draw < config.dev for draw in draws.values())
    return set(order[: min(max(fewest, drawn), max(0, len(order) - fewest))])


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


def later_side(splits: Iterable[str]) -> str:
    """Return the split that a text of several belongs to: test before dev, dev before train."""
    return max(splits, key=lambda split: _RANK.get(split, 0))


def find_leaks(split_of: Mapping[str, str], key_of: Mapping[str, str]) -> dict[str, str]:
    """Return the items that give away one of a later side, each with that one: a train item of a test item's text.

    ``split_of`` and ``key_of`` map an id to its split and to the key of its text.
    """
    latest: dict[str, str] = {}
    for item, key in key_of.items():
        other = latest.setdefault(key, item)
        if _RANK.get(split_of[item], 0) > _RANK.get(split_of[other], 0):
            latest[key] = item
    return {item: latest[key] for item, key in key_of.items() if split_of[item] != split_of[latest[key]]}


def withhold_leaks(split_of: dict[str, str], key_of: Mapping[str, str], on_leak: str) -> list[str]:
    """Set the split of all that leaks to "withheld", and return a sentence for each; under "stop" a `DataError`."""
    leaks = find_leaks(split_of, key_of)
    sentences = [
        f"ids {item} and {other} hold the same text in {split_of[item]} and {split_of[other]}: {key_of[item]!r}"
        for item, other in leaks.items()
    ]
    refuse_leaks(sentences, on_leak)
    split_of.update(dict.fromkeys(leaks, WITHHELD))
    return sentences


def refuse_leaks(leaks: Sequence[str], on_leak: str) -> None:
    """Raise `DataError` with all leaks, up to a bound, where honed.toml says "stop"."""
    if leaks and on_leak == "stop":
        more = [f"and {len(leaks) - _MOST_LISTED} more"] if len(leaks) > _MOST_LISTED else []
        raise DataError(
            "E_SPLIT_LEAK",
            f"{len(leaks)} texts on two sides of the given splits (remove them, or set [split] on_leak = "
            f'"withhold"): {"; ".join([*leaks[:_MOST_LISTED], *more])}',
        )


def check_given_splits(splits: Iterable[str], names: Sequence[str] = ("train", "test")) -> None:
    """Raise `DataError` where none of the splits that the user gave, leaks withheld, is one of ``names``."""
    present = set(splits)
    for name in names:
        if name not in present:
            withheld = " that is not withheld as a leak" if WITHHELD in present else ""
            raise DataError("E_SPLIT_EMPTY", f"the split column names no {name} row{withheld}")
