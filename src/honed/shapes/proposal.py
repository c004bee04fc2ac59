"""What ``honed init`` looks at and writes: columns by their names, and the lines of a honed.toml."""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.json import Json
from honed.core.sections import toml_string
from honed.core.text import fold
from honed.data.rows import Role
from honed.data.tables import Reject, Row, Table, TableFormat, open_tables, table_files
from honed.data.values import decimal_text

# role -> column names that mean it, best first
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "alias": ("alias", "aliases", "synonym", "variant", "mention", "surface", "short_name", "abbreviation", "alt_name"),
    "id": ("id", "qid", "entity_id", "uid", "key", "code", "doc_id", "identifier", "running_id"),
    "label": ("label", "name", "canonical", "canonical_name", "title", "preferred_label", "class", "category", "topic"),
    "text": ("text", "sentence", "body", "description", "content", "utterance", "message"),
    "split": ("split", "set", "fold"),
}
_LOOK = 2000
_SEPARATORS = (";", "|")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The text of a honed.toml, and notes on what was inferred."""

    text: str
    notes: Sequence[str]

    def tables(self) -> dict[str, Json]:
        """Return what the text says, as plain data."""
        return tomllib.loads(self.text)


@dataclass(frozen=True, kw_only=True)
class InitFiles:
    """The files that a user named, looked at as far as a shape needs it.

    ``given`` are the columns that the user named, by role; ``project`` is where honed.toml will lie. ``remote`` maps
    what was fetched to the URL or query that it came from.
    """

    paths: Sequence[Path]
    project: Path
    given: Mapping[str, str]
    encoding: str
    remote: Mapping[Path, str] = field(default_factory=dict)
    delimiter: str = ""
    quoting: str = "csv"

    @property
    def format(self) -> TableFormat:
        """How the files are read."""
        return TableFormat(encoding=self.encoding, delimiter=self.delimiter, quoting=self.quoting)

    def format_lines(self) -> list[str]:
        """Return the lines of [data] on delimiter and quoting, where the user named them."""
        delimiter = [f"delimiter = {toml_string(self.delimiter)}"] if self.delimiter else []
        return [*delimiter, *([f"quoting = {toml_string(self.quoting)}"] if self.quoting != "csv" else [])]

    @cached_property
    def tables(self) -> Sequence[Table]:
        """All tables among the files."""
        return [table for path in self.paths for file in table_files(path) for table in open_tables(file, self.format)]

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the first table."""
        if not self.tables[0].columns:
            assert not self.rows  # no row tells columns: the first bad one says why
        return self.tables[0].columns

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The first rows of the first table; `DataError` with the first bad row's reason where all are bad."""
        rows: list[Row] = []
        bad: list[Reject] = []
        for row in self.tables[0].rows:
            if isinstance(row, Row):
                rows.append(row)
            else:
                bad.append(row)
            if len(rows) >= _LOOK or len(bad) >= _LOOK:
                break
        if bad and not rows:
            raise DataError(bad[0].code, f"{bad[0]}; no row of {self.tables[0].file} can be read")
        return rows

    def relative(self, paths: Sequence[Path]) -> list[str]:
        """Return paths as honed.toml names them."""
        return [self.remote.get(path) or Path(os.path.relpath(path, self.project)).as_posix() for path in paths]

    def find(self, role: str, taken: Sequence[str] = (), names: Sequence[str] = ()) -> str | None:
        """Return the column whose name means a role, of those that are not taken."""
        free = {fold(column).replace(" ", "_"): column for column in self.columns if column not in taken}
        return next((free[name] for name in names or COLUMN_NAMES[role] if name in free), None)

    def has(self, role: str, names: Sequence[str] = ()) -> bool:
        """Tell whether the user named a column for a role, or one is called like it."""
        return role in self.given or self.find(role, (), names) is not None

    def mapping(
        self, roles: Sequence[Role], names: Mapping[str, Sequence[str]], order: Sequence[str]
    ) -> dict[str, str]:
        """Return the column of each role, in the order of the roles: as given, else by its name.

        Roles are looked for in ``order``; ``names`` are the names that mean a role, where not the usual ones.
        Raises `ConfigError` for a given role or column that is not there, `DataError` for a role without a column.
        """
        self._check_given(roles)
        mapping: dict[str, str] = dict(self.given)
        for role in order:
            column = None if role in mapping else self.find(role, list(mapping.values()), names.get(role, ()))
            if column and (role != "split" or self._is_split(column)):
                mapping[role] = column
        missing = [role.name for role in roles if role.required and not role.numbered and role.name not in mapping]
        if missing:
            raise DataError(
                "E_HEADER_MISSING",
                f"{self.tables[0].file}: no column looks like the {' or the '.join(missing)}; found: "
                f"{', '.join(self.columns)}; name it with --map {missing[0]}=COLUMN",
            )
        places = [role.name for role in roles]
        return dict(sorted(mapping.items(), key=lambda item: places.index(item[0])))

    def _check_given(self, roles: Sequence[Role]) -> None:
        known = [role.name for role in roles]
        for role, column in self.given.items():
            if role not in known:
                near = did_you_mean(role, known)
                raise ConfigError("E_OPTION", f"--map {role}: no such role{near} ({', '.join(known)})")
            if column not in self.columns:
                near = did_you_mean(column, self.columns)
                raise ConfigError("E_OPTION", f"--map {role}={column}: no such column{near}")

    def _is_split(self, column: str) -> bool:
        values = {fold(str(row.values.get(column))) for row in self.rows}
        return bool(values) and values <= {"train", "dev", "test", "validation", "valid", "val", "eval"}

    def extra(self, mapping: Mapping[str, str]) -> list[str]:
        """Return the columns that have no role."""
        return [name for name in self.columns if name not in mapping.values()]

    def slices(self, mapping: Mapping[str, str]) -> list[str]:
        """Return the columns that name a few kinds of rows, such as acronym, translation, former."""
        return [name for name in self.extra(mapping) if self._is_category(name)]

    def _is_category(self, column: str) -> bool:
        values = [row.values.get(column) for row in self.rows]
        kinds = {value for value in values if isinstance(value, str) and value}
        named = fold(column) in {"kind", "type", "alias_kind", "alias_type"}
        return 2 <= len(kinds) <= 12 and len(self.rows) >= 50 and named

    def _cell_lines(self, mapping: Mapping[str, str]) -> list[str]:
        """Return the lines of [data] for cells that hold several aliases, and for numbers with decimal commas."""
        lines = []
        cells = [str(row.values.get(mapping.get("alias", "")) or "") for row in self.rows]
        for mark in _SEPARATORS if any(cells) else ():
            joined = [cell for cell in cells if len([part for part in cell.split(mark) if part.strip()]) > 1]
            if len(joined) >= max(1, 0.1 * sum(map(bool, cells))):
                lines.append(f"separator = {toml_string(mark)}  # a cell holds several, such as {_shown(joined[0])}")
                break
        commas = [name for name in self.extra(mapping) if self._has_decimal_commas(name)]
        marks = [f'{toml_string(name)} = ","' for name in commas]
        if marks:
            lines.append(f"decimal = {{ {', '.join(marks)} }}  # numbers with decimal commas")
        return lines

    def _has_decimal_commas(self, column: str) -> bool:
        texts = [value for row in self.rows if isinstance(value := row.values.get(column), str) and value.strip()]
        return any("," in text for text in texts) and all(decimal_text(text, ",") is not None for text in texts)

    def propose(
        self, shape: str, mapping: Mapping[str, str], sections: Sequence[str], *, data: Sequence[str] = ()
    ) -> Proposal:
        """Return a proposal for one table; ``data`` are further lines of [data]."""
        extra, slices = self.extra(mapping), self.slices(mapping)
        notes = [f"shape: {shape}", *(f"column {column!r} is the {role}" for role, column in mapping.items())]
        if extra:
            notes.append(f"kept as fields: {', '.join(extra)}")
        sliced = [f"slice_by = [{', '.join(map(toml_string, slices))}]  # measured apart in the report"]
        more = [*self.format_lines(), *data, *self._cell_lines(mapping), *(sliced if slices else [])]
        if any(role.endswith("id") for role in mapping) is False:
            notes.append("no column is the id: rows are told apart by their names, or numbered")
        lines = first_sections(shape, self.relative(self.paths), mapping, self.encoding, more=more)
        return Proposal(text="\n".join([*lines, "", *sections]), notes=notes)


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else text[:57] + "...", ensure_ascii=False)


def first_sections(
    shape: str,
    paths: Sequence[str],
    columns: Mapping[str, str],
    encoding: str,
    *,
    comment: str = "",
    more: Sequence[str] = (),
) -> list[str]:
    """Return the lines from [paths] to [model]; ``comment`` follows the input, ``more`` are further lines of [data]."""
    return [
        "# honed.toml: one section a stage, in the order of the stages; a section that is absent leaves its stage out.",
        "",
        "[paths]",
        f"input = [{', '.join(map(toml_string, paths))}]{comment}",
        'output = "work"',
        "",
        "[data]",
        f"shape = {toml_string(shape)}",
        *([f"encoding = {toml_string(encoding)}"] if encoding != "utf-8" else []),
        *more,
        'on_bad_row = "stop"  # or "quarantine": keep the good rows',
        "",
        "[data.columns]  # role = column of your files",
        *(f"{role} = {toml_string(column)}" for role, column in columns.items()),
        "",
        "[model]",
        'base = "minilm"  # or a local folder, or a Hub id such as "intfloat/e5-base-v2"',
    ]
