"""Lists of terms and patterns: rules without code, matched in linear time whatever they and the texts are.

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
from typing import Any

from honed.core.artifacts import write_text
from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.optional import require
from honed.core.sections import read_section, toml_string

_MOST_TERMS = 20_000
_FIELDS = ("title", "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class TermList:
    """Terms that speak for a class; ``fields`` are columns, ``at_least`` different terms must occur."""

    label: str
    name: str = ""
    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    fields: tuple[str, ...] = _FIELDS
    at_least: int = 1


_OUTSIDE = r"[^\p{L}\p{N}_]"


class Matcher:
    """One list, ready to match; words ignore case and stand between what is no letter or digit, in any script."""

    def __init__(self, terms: TermList, where: str) -> None:
        require("patterns")
        if len(terms.words) + len(terms.patterns) > _MOST_TERMS:
            raise ConfigError("E_LIST_LONG", f"{where}: {terms.name}: over {_MOST_TERMS} terms")
        self.terms, self.where = terms, where
        words = sorted((nfc(word).strip() for word in terms.words if word.strip()), key=len, reverse=True)
        kinds: dict[tuple[bool, bool], list[str]] = {}
        for word in words:
            kinds.setdefault((_inside(word[0]), _inside(word[-1])), []).append(_spaced(word))
        self.parts = [self._compiled(_edged("|".join(found), *kind)) for kind, found in kinds.items()]
        self.parts += [self._compiled(f"({pattern})", pattern) for pattern in terms.patterns]
        self.single = []
        if terms.at_least > 1:
            self.single = [self._compiled(_edged(_spaced(word), _inside(word[0]), _inside(word[-1]))) for word in words]
            self.single += [self._compiled(f"({pattern})", pattern) for pattern in terms.patterns]

    def _compiled(self, source: str, shown: str = "") -> Any:
        import re2

        options = re2.Options()
        options.log_errors, options.max_mem = False, 64 << 20
        try:
            return re2.compile(f"(?i){source}", options)
        except re2.error as error:
            said = error.args[0] if error.args else error
            said = said.decode() if isinstance(said, bytes) else said
            code, what = ("E_LIST_PATTERN", f"/{shown}/: ") if shown else ("E_LIST_LONG", "")
            raise ConfigError(code, f"{self.where}: {self.terms.name}: {what}{said}") from None

    def __call__(self, row: Mapping[str, str]) -> bool:
        """Tell whether the list speaks for a record."""
        text = nfc("\n".join(row.get(name, "") for name in self.terms.fields))
        if self.terms.at_least <= 1:
            return any(part.search(text) is not None for part in self.parts)
        return sum(part.search(text) is not None for part in self.single) >= self.terms.at_least

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where terms stand in a text, as (start, end) in characters."""
        found = []
        for part in self.parts:
            place = 0
            while (match := part.search(text, place)) is not None:
                start, end = match.span(1)
                found += [(start, end)] if end > start else []
                place = max(end, place + 1)  # what stands behind one term may stand before the next
                if place >= len(text):
                    break
        return sorted(found)


def nfc(text: str) -> str:
    """Return a text with its accents composed."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _inside(character: str) -> bool:
    """Tell whether a character belongs to words."""
    return character.isalnum() or character == "_"


def _edged(source: str, left: bool, right: bool) -> str:  # noqa: FBT001 - which edges need one
    before, after = f"(?:^|{_OUTSIDE})" if left else "", f"(?:$|{_OUTSIDE})" if right else ""
    return f"{before}({source}){after}"


def _spaced(word: str) -> str:
    return r"\s+".join(re.escape(part) for part in word.split())


def read_lists(path: Path) -> list[TermList]:
    """Read a TOML file of lists, a text file, or a folder of text files; `ConfigError` says what is wrong where."""
    if path.is_dir():
        return [found for file in sorted(path.glob("*.txt")) for found in read_lists(file)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("E_LIST_FILE", f"label.lists: {path}: no such file or folder") from None
    except UnicodeDecodeError as error:
        raise ConfigError("E_ENCODING", f"{path.name}: not utf-8: {error}") from None
    if path.suffix == ".txt":
        return [_of_text(text, path.stem)]
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("E_CONFIG_TOML", f"{path.name}: not TOML: {error}") from None
    odd = sorted(set(tables) - {"list"})
    if odd or not isinstance(tables.get("list", []), list):
        raise ConfigError("E_CONFIG_KEY", f"{path.name}: {', '.join(odd) or 'list'}: only [[list]] tables are known")
    found = [read_section(TermList, each, f"list {at}", path.name) for at, each in enumerate(tables.get("list", []), 1)]
    return [_named(each, at) for at, each in enumerate(found, 1)]


def _of_text(text: str, label: str) -> TermList:
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    patterns = tuple(line[1:-1] for line in lines if len(line) > 2 and line[0] == line[-1] == "/")
    words = tuple(line for line in lines if line and not (line[0] == line[-1] == "/" and len(line) > 2))
    return TermList(label=label, name=f"{label} terms", words=words, patterns=patterns)


def _named(terms: TermList, at: int) -> TermList:
    return terms if terms.name else replace(terms, name=f"{terms.label} terms {at}")


def write_lists(lists: Sequence[TermList], path: Path) -> None:
    """Write lists as TOML, whole or not at all; JSON's strings are TOML's."""
    parts = ["# Lists of terms, written by the label page.\n"]
    for each in lists:
        fields = "" if each.fields == _FIELDS else f"fields = [{', '.join(map(toml_string, each.fields))}]\n"
        least = "" if each.at_least == 1 else f"at_least = {each.at_least}\n"
        parts.append(
            f"[[list]]\nname = {toml_string(each.name)}\nlabel = {toml_string(each.label)}\n"
            f"words = [{', '.join(map(toml_string, each.words))}]\n"
            f"patterns = [{', '.join(map(toml_string, each.patterns))}]\n{fields}{least}"
        )
    write_text(path, "\n".join(parts))


def check_lists(lists: Sequence[TermList], classes: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a list of an unknown class or column, or a name that stands twice."""
    names: set[str] = set()
    for each in lists:
        if each.label not in classes:
            near = did_you_mean(each.label, classes)
            raise DataError("E_LF_LABEL", f"list {each.name}: {each.label} is not a class{near}")
        wrong = [name for name in each.fields if name not in columns]
        if wrong:
            raise DataError("E_LIST_FIELD", f"list {each.name}: no column {wrong[0]}{did_you_mean(wrong[0], columns)}")
        if each.name in names:
            raise DataError("E_LF_NAME", f"two lists are named {each.name}")
        names.add(each.name)
