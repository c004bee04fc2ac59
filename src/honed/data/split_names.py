"""Which split a name tells: that of a file, of a folder, or a value of a column."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

# what splits are called as values, and in the names of files beside them
SPLIT_NAMES = {
    **{name: name for name in ("train", "dev", "test")},
    **dict.fromkeys(("validation", "valid", "val", "eval"), "dev"),
}
_WORDS = {
    **SPLIT_NAMES,
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("devel", "development"), "dev"),
    **dict.fromkeys(("testing", "tst"), "test"),
}
_NO_LETTER = re.compile(r"[^a-z]+")


def split_named(name: str) -> str:
    """Return the split that a name tells ("banking_train", "validation", "official test"); "" for none or several."""
    splits = {_WORDS[word] for word in _NO_LETTER.split(name.lower()) if word in _WORDS}
    return splits.pop() if len(splits) == 1 else ""


def split_of_file(file: str, folder: str = "") -> str:
    """Return the split that the name of a file tells, or else that of its folder."""
    path = PurePosixPath(file)
    name = path.name
    for suffix in reversed(path.suffixes):  # those of the format and of the packing; "queries.dev.tsv" has one more
        if split_named(suffix):
            break
        name = name.removesuffix(suffix)
    return split_named(name) or split_named(path.parent.name or folder)


def are_splits(splits: Iterable[str]) -> bool:
    """Tell whether there is something to train on, and something else to measure with."""
    present = set(splits)
    return "train" in present and bool(present & {"dev", "test"})
