"""Lists of terms and patterns: rules without code, matched in linear time whatever they and the texts are (RE2).

In TOML, one table a list::

    [[list]]
    name = "sports words"
    label = "Sports"
    words = ["coach", "quarterback", "grand prix"]
    patterns = ['\\b\\d+-\\d+ (win|victory)\\b']
    fields = ["title", "text"]   # default: both
    at_least = 1                 # different terms that must occur

or as text files named after the class, ``lists/Sports.txt``: one term a line, ``/pattern/`` between slashes, ``#``
starts a comment.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.optional import require
from honed.core.sections import read_section, toml_string
from honed.core.text import has_unspaced
from honed.core.writing import write_text

_MOST_TERMS = 20_000
_FIELDS = ("title", "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class TermList:
    """Terms that vote for a class where ``at_least`` different ones occur in the columns ``fields``."""

    label: str
    name: str = ""
    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    fields: tuple[str, ...] = _FIELDS
    at_least: int = 1


_OUTSIDE = r"[^\p{L}\p{N}\p{M}_]"


class _Pattern(Protocol):
    """A compiled pattern of RE2."""

    def search(self, text: str, position: int = 0) -> re.Match[str] | None: ...


class Matcher:
    """A compiled list: its words ignore case and match whole words only, of any script.

    ``where`` names in errors where the list comes from. Raises `ConfigError` for a list that is too long and for a
    pattern that RE2 does not know.
    """

    def __init__(self, terms: TermList, where: str) -> None:
        require("patterns")
        if len(terms.words) + len(terms.patterns) > _MOST_TERMS:
            raise ConfigError("E_LIST_LONG", f"{where}: {terms.name}: over {_MOST_TERMS} terms")
        self.terms, self.where = terms, where
        words = sorted((nfc(word).strip() for word in terms.words if word.strip()), key=len, reverse=True)
        by_edges: dict[tuple[str, str], list[str]] = {}
        for word in words:
            by_edges.setdefault(_edges(word), []).append(_word_source(word))
        joined = [self._compile(_between_edges("|".join(sources), *edges)) for edges, sources in by_edges.items()]
        patterns = [self._compile(f"({pattern})", pattern) for pattern in terms.patterns]
        self.parts = joined + patterns
        self.single: list[_Pattern] = []  # one for each term, where several must occur
        if terms.at_least > 1:
            single = [self._compile(_between_edges(_word_source(word), *_edges(word))) for word in words]
            self.single = single + patterns

    def _compile(self, source: str, shown: str = "") -> _Pattern:
        import re2

        options = re2.Options()
        options.log_errors, options.max_mem = False, 64 << 20
        try:
            pattern: _Pattern = re2.compile(f"(?i){source}", options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            reason = reason.decode() if isinstance(reason, bytes) else reason
            code, what = ("E_LIST_PATTERN", f"/{shown}/: ") if shown else ("E_LIST_LONG", "")
            raise ConfigError(code, f"{self.where}: {self.terms.name}: {what}{reason}") from None
        return pattern

    def __call__(self, row: Mapping[str, str]) -> bool:
        """Tell whether as many different terms as the list asks for occur in the columns of a record."""
        text = nfc("\n".join(row.get(name, "") for name in self.terms.fields))
        if self.terms.at_least <= 1:
            return any(part.search(text) is not None for part in self.parts)
        return sum(part.search(text) is not None for part in self.single) >= self.terms.at_least

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the places of terms in a text, sorted, as (start, end) in characters."""
        spans = []
        for part in self.parts:
            position = 0
            while (match := part.search(text, position)) is not None:
                start, end = match.span(1)
                spans += [(start, end)] if end > start else []
                position = max(end, position + 1)  # the character behind one term may be the one before the next
                if position >= len(text):
                    break
        return sorted(spans)


def nfc(text: str) -> str:
    """Return a text in Unicode's normal form C, with its accents composed."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _edges(word: str) -> tuple[str, str]:
    """Return patterns of what stands before and behind a whole word: no letter, digit or mark where the word has one.

    Scripts that set no blanks have words anywhere; behind them no mark stands that would make another sign.
    """
    before = "" if has_unspaced(word[0]) or not _is_of_words(word[0]) else f"(?:^|{_OUTSIDE})"
    if not _is_of_words(word[-1]):
        return before, ""
    return before, r"(?:$|\P{M})" if _ends_unspaced(word) else f"(?:$|{_OUTSIDE})"


def _ends_unspaced(word: str) -> bool:
    """Tell whether the last sign of a word, its marks aside, is of a script that sets no blanks."""
    letters = [character for character in word if unicodedata.category(character)[0] != "M"]
    return bool(letters) and has_unspaced(letters[-1])


def _is_of_words(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LNM"


def _between_edges(source: str, before: str, behind: str) -> str:
    """Return a pattern of a group between the edges of `_edges`."""
    return f"{before}({source}){behind}"


def _word_source(word: str) -> str:
    """Return a pattern of a word, or of several with any blanks between them."""
    return r"\s+".join(re.escape(part) for part in word.split())


def read_lists(path: Path) -> list[TermList]:
    """Read a TOML file of lists, a text file, or a folder of text files; `ConfigError` says what is wrong where."""
    if path.is_dir():
        return [terms for file in sorted(path.glob("*.txt")) for terms in read_lists(file)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("E_LIST_FILE", f"label.lists: {path}: no such file or folder") from None
    except UnicodeDecodeError as error:
        raise ConfigError("E_ENCODING", f"{path.name}: not utf-8: {error}") from None
    if path.suffix == ".txt":
        return [_parse_text(text, path.stem)]
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("E_CONFIG_TOML", f"{path.name}: not TOML: {error}") from None
    odd = sorted(set(tables) - {"list"})
    if odd or not isinstance(tables.get("list", []), list):
        raise ConfigError("E_CONFIG_KEY", f"{path.name}: {', '.join(odd) or 'list'}: only [[list]] tables are known")
    lists = []
    for number, table in enumerate(tables.get("list", []), 1):
        terms = read_section(TermList, table, f"list {number}", path.name)
        lists.append(terms if terms.name else replace(terms, name=f"{terms.label} terms {number}"))
    return lists


def _parse_text(text: str, label: str) -> TermList:
    """Return the list of a class from lines of terms, ``/patterns/`` and ``#`` comments."""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    patterns = tuple(line[1:-1] for line in lines if len(line) > 2 and line[0] == line[-1] == "/")
    words = tuple(line for line in lines if line and not (line[0] == line[-1] == "/" and len(line) > 2))
    return TermList(label=label, name=f"{label} terms", words=words, patterns=patterns)


def write_lists(lists: Sequence[TermList], path: Path) -> None:
    """Write lists as TOML, whole or not at all; JSON's strings are TOML's."""
    parts = ["# Lists of terms, written by the label page.\n"]
    for terms in lists:
        fields = "" if terms.fields == _FIELDS else f"fields = {_toml_array(terms.fields)}\n"
        least = "" if terms.at_least == 1 else f"at_least = {terms.at_least}\n"
        parts.append(
            f"[[list]]\nname = {toml_string(terms.name)}\nlabel = {toml_string(terms.label)}\n"
            f"words = {_toml_array(terms.words)}\npatterns = {_toml_array(terms.patterns)}\n{fields}{least}"
        )
    write_text(path, "\n".join(parts))


def _toml_array(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(toml_string, texts))}]"


def check_lists(lists: Sequence[TermList], classes: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a list of an unknown class or column, and for two lists of one name."""
    names: set[str] = set()
    for terms in lists:
        if terms.label not in classes:
            near = did_you_mean(terms.label, classes)
            raise DataError("E_LF_LABEL", f"list {terms.name}: {terms.label} is not a class{near}")
        wrong = [name for name in terms.fields if name not in columns]
        if wrong:
            raise DataError("E_LIST_FIELD", f"list {terms.name}: no column {wrong[0]}{did_you_mean(wrong[0], columns)}")
        if terms.name in names:
            raise DataError("E_LF_NAME", f"two lists are named {terms.name}")
        names.add(terms.name)
