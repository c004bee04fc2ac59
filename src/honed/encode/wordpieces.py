"""What a model's tokenizer knows nothing of: texts, and letters by script; needs only the tokenizer, not the model."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from honed.core.optional import is_installed
from honed.core.text import script_of_char

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_CHARS, _CHARS_OF_SCRIPTS = 2000, 500
_UNKNOWN = ("[UNK]", "<unk>")
_LATIN = "latin"


def unknown_text(folder: Path) -> Callable[[str], bool] | None:
    """Return the test whether a text gives no token, or unknown ones alone; None without a fast tokenizer there.

    Only the first 2,000 characters of a text are looked at.
    """
    tokenizer = _tokenizer(folder)
    if tokenizer is None:
        return None
    unknown, encode = _unknown_ids(tokenizer), tokenizer.encode
    return lambda text: all(token in unknown for token in encode(text[:_CHARS], add_special_tokens=False).ids)


def token_counter(folder: Path) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text, those around it included; None without a fast tokenizer there."""
    tokenizer = _tokenizer(folder)
    return (lambda text: len(tokenizer.encode(text).ids)) if tokenizer else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptCount:
    """How a tokenizer reads the letters of one script, in some texts.

    ``unknown`` letters stand in unknown pieces. ``spelled`` ones are a piece each, or several: the model knows no word
    of theirs; among Latin letters that is usual in abbreviations and not counted. ``pieces`` hold at least a letter.
    """

    letters: int
    unknown: int
    spelled: int
    pieces: int

    @property
    def lost(self) -> float:
        """The share of the letters that are unknown or spelled."""
        return (self.unknown + self.spelled) / self.letters


def script_counts(folder: Path, texts: Sequence[str]) -> dict[str, ScriptCount] | None:
    """Return how the tokenizer of a model reads texts, by script, the commonest first; None without a fast one there.

    Only the first 500 characters of a text are looked at. The pieces of tokenizers that fall back to bytes are counted
    one by one, so that a letter can be several.
    """
    tokenizer = _tokenizer(folder)
    if tokenizer is None:
        return None
    counter = _LetterCounter(_unknown_ids(tokenizer))
    cut = [text[:_CHARS_OF_SCRIPTS] for text in texts]
    for text, encoding in zip(cut, tokenizer.encode_batch(cut, add_special_tokens=False), strict=True):
        counter.add(text, encoding)
    return counter.counts()


class _LetterCounter:
    def __init__(self, unknown_ids: frozenset[int]) -> None:
        self.unknown_ids = unknown_ids
        self.letters: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.spelled: Counter[str] = Counter()
        self.pieces: Counter[str] = Counter()

    def add(self, text: str, encoding: "Encoding") -> None:
        """Count the letters of a text, each once, and its pieces."""
        unknown: set[int] = set()
        spelled: set[int] = set()
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            places = [place for place in range(start, end) if text[place].isalpha()]
            if places:
                self.pieces[_script(text[places[0]])] += 1
                (unknown if token in self.unknown_ids else spelled if len(places) == 1 else set()).update(places)
        self.letters.update(_script(char) for char in text if char.isalpha())
        self.unknown.update(_script(text[place]) for place in unknown)
        self.spelled.update(name for place in spelled - unknown if (name := _script(text[place])) != _LATIN)

    def counts(self) -> dict[str, ScriptCount]:
        return {
            name: ScriptCount(
                letters=letters, unknown=self.unknown[name], spelled=self.spelled[name], pieces=self.pieces[name]
            )
            for name, letters in self.letters.most_common()
        }


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    """Return the script of a letter; those that have no name elsewhere by the first word of Unicode's name."""
    name = script_of_char(letter)
    return name if name != "other" else unicodedata.name(letter, name).split(" ", 1)[0].lower()


def _tokenizer(folder: Path) -> "Tokenizer | None":
    """Return the fast tokenizer of a model, which cuts nothing; None without one there."""
    file = folder / "tokenizer.json"
    if not is_installed("tokenizer") or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _unknown_ids(tokenizer: "Tokenizer") -> frozenset[int]:
    ids = (tokenizer.token_to_id(token) for token in _UNKNOWN)
    return frozenset(number for number in ids if number is not None)
