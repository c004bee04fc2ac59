"""Names as people get them wrong: what a pair of one entity may look like, learned from the table's own names.

Typing errors, left-out words, abbreviations, another order, initials. The shares are a guess that stands before any
pair of the table is looked at; the pairs themselves move it.
"""

from collections.abc import Callable, Sequence
from string import ascii_lowercase

import numpy as np

from honed.index.analysis import initialisms

Random = np.random.Generator


def _typed(text: str, draw: Random) -> str:
    """Return a text with one letter swapped, left out, put in or replaced."""
    if len(text) < 4:
        return text
    at = int(draw.integers(1, len(text) - 1))
    letter = ascii_lowercase[int(draw.integers(26))]
    kind = int(draw.integers(4))
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + ("" if kind == 1 else letter) + text[at + (kind != 2) :]


def _shortened(text: str, draw: Random) -> str:
    """Return a text with one long word abbreviated."""
    words = text.split()
    long = [at for at, word in enumerate(words) if len(word) >= 6]
    if long:
        at = long[int(draw.integers(len(long)))]
        words[at] = words[at][: int(draw.integers(3, 5))] + "."
    return " ".join(words)


def _left_out(text: str, draw: Random) -> str:
    """Return a text without one of its words, where it has three or more."""
    words = text.split()
    if len(words) >= 3:
        words.pop(int(draw.integers(len(words))))
    return " ".join(words)


def _turned(text: str, draw: Random) -> str:
    """Return a text that begins with another of its words."""
    words = text.split()
    at = int(draw.integers(max(1, len(words))))
    return " ".join(words[at:] + words[:at])


def _initials(text: str, draw: Random) -> str:
    """Return the initials of a text of three words or more."""
    found = sorted(initialisms(text), key=len)
    return found[-1].upper() if found and len(found[-1]) >= 3 else text


_KINDS: Sequence[tuple[float, Callable[[str, Random], str]]] = (
    (0.35, lambda text, draw: text),  # case, accents, punctuation: nothing that is compared
    (0.25, _typed),
    (0.15, _shortened),
    (0.15, _left_out),
    (0.07, _turned),
    (0.03, _initials),
)


def with_slips(names: Sequence[str], draw: Random) -> list[str]:
    """Return each name as someone might write it: as it is, or with a slip, of every fourth two."""
    shares = np.array([share for share, _ in _KINDS])
    written = []
    for name in names:
        text = name
        for _ in range(1 + int(draw.random() < 0.25)):
            text = _KINDS[int(draw.choice(len(_KINDS), p=shares))][1](text, draw)
        written.append(text or name)
    return written
