"""What ``honed init`` makes of splits: of a column, or of files that are named after them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honed.core.sections import toml_value
from honed.core.text import fold
from honed.data.split_names import are_splits, split_named, split_of_file

COLUMN = "split"
_EXACT = frozenset({"train", "dev", "test", "validation", "valid", "val", "eval"})  # read without being told


@dataclass(frozen=True, kw_only=True)
class FoundSplits:
    """The splits of some files: ``column`` to read them from ("": none), ``names`` that need a line of honed.toml.

    ``present`` are the splits by their own names; ``comment`` stands beside the column, ``notes`` are for people.
    """

    column: str = ""
    present: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    notes: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Return the line of [data] on the names of splits."""
        return [f"splits = {toml_value(dict(self.names))}  # what the files call them"] if self.names else []


def splits_of_files(files: Iterable[Path]) -> FoundSplits:
    """Return the splits that the names of files tell, or those of their folders; none where they are not enough."""
    named = {file: split_of_file(file.name, file.parent.name) for file in files}
    if not all(named.values()) or not any(named.values()):
        return FoundSplits()
    listed = ", ".join(file.name if split_of_file(file.name) else f"{file.parent.name}/{file.name}" for file in named)
    if not are_splits(named.values()):
        only = f"{listed}: no other split beside {' and '.join(sorted(set(named.values())))}: train, dev and test are"
        return FoundSplits(notes=[f"{only} drawn; see [split]"])
    names, told = _measured(set(named.values()))
    note = f"{listed} -> splits, by the names of the files; without the line  split  they are drawn"
    present = _present(named.values(), names)
    comment = f"{listed}: by their names"
    return FoundSplits(column=COLUMN, present=present, names=names, comment=comment, notes=[note, *told])


def splits_of_column(column: str, values: Counter[str]) -> FoundSplits:
    """Return the splits that the values of a column name; none where a value names no split."""
    named = {value: split_named(value) for value in values}
    if not values or not all(named.values()):
        return FoundSplits()
    counted = ", ".join(f"{value} {count}" for value, count in values.items())
    if not are_splits(named.values()):
        return FoundSplits(notes=[f"column {column!r} names one side alone ({counted}): splits are drawn; see [split]"])
    names = {value: split for value, split in named.items() if fold(value) not in _EXACT}
    renamed, told = _measured(set(named.values()))
    names = {value: renamed.get(split, split) for value, split in names.items()} | renamed
    odd = ", ".join(f"{value} -> {split}" for value, split in names.items() if value not in renamed)
    notes = [f"column {column!r} is the split ({counted})", *([f"splits: {odd}, see [data] splits"] if odd else [])]
    present = _present(named.values(), renamed)
    return FoundSplits(column=column, present=present, names=names, notes=[*notes, *told])


def _present(splits: Iterable[str], renamed: Mapping[str, str]) -> frozenset[str]:
    return frozenset(renamed.get(split, split) for split in splits)


def _measured(present: set[str]) -> tuple[dict[str, str], list[str]]:
    """Return the new name of dev where there is no test to measure with, and the sentence on it."""
    if "test" in present:
        return {}, []
    return {"dev": "test"}, ["no split is called test: dev is measured on, and another dev is drawn from train"]
