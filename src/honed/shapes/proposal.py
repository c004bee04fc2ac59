"""What ``honed init`` looks at and writes: columns by their names, and the lines of a honed.toml."""

import json
import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.json import Json
from honed.core.sections import toml_string
from honed.core.text import fold, is_blank
from honed.data.rows import Role
from honed.data.tables import Reject, Row, Table, TableFormat, open_tables, table_files
from honed.data.values import decimal_text, only_value, plain_text
from honed.shapes.init_splits import COLUMN as SPLIT
from honed.shapes.init_splits import FoundSplits, splits_of_column, splits_of_files

# role -> column names that mean it, best first
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "alias": ("alias", "aliases", "synonym", "variant", "mention", "surface", "short_name", "abbreviation", "alt_name"),
    "id": ("id", "qid", "entity_id", "uid", "key", "code", "doc_id", "identifier", "running_id"),
    "label": ("label", "name", "canonical", "canonical_name", "title", "preferred_label", "class", "category", "topic"),
    "text": ("text", "sentence", "body", "description", "content", "utterance", "message"),
    "split": ("split", "set", "fold"),
}
ON_BAD_ROW = 'on_bad_row = "stop"  # or "quarantine": keep the good rows'
_LOOK = 2000
_NOT_IN_ALL = ("alias", SPLIT)
_SEPARATORS = (";", "|")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The text of a honed.toml, and notes on what was inferred; ``inputs`` are the local files of its rows."""

    text: str
    notes: Sequence[str]
    inputs: Sequence[Path] = ()

    def tables(self) -> dict[str, Json]:
        """Return what the text says, as plain data."""
        return tomllib.loads(self.text)


@dataclass(frozen=True, kw_only=True)
class InitFiles:
    """The files that a user named, looked at as far as a shape needs it.

    ``given`` are the columns that the user named, by role; ``project`` is where honed.toml will lie. ``remote`` maps
    what was fetched to the URL or query that it came from. ``named`` is what honed.toml names, where that is not the
    ``paths``: the folder that they lie in; ``roots`` is what the user named. ``header`` are names for the columns of
    files that have none, ``left_out`` sentences on files that are not read.
    """

    paths: Sequence[Path]
    project: Path
    given: Mapping[str, str]
    encoding: str
    remote: Mapping[Path, str] = field(default_factory=dict)
    delimiter: str = ""
    quoting: str = "csv"
    named: Sequence[Path] = ()
    roots: Sequence[Path] = ()
    header: Sequence[str] = ()
    left_out: Sequence[str] = ()

    @property
    def format(self) -> TableFormat:
        """How the files are read."""
        return TableFormat(
            encoding=self.encoding, delimiter=self.delimiter, quoting=self.quoting, header=tuple(self.header)
        )

    def format_lines(self) -> list[str]:
        """Return the lines of [data] on delimiter, quoting and names of columns, where they are not the usual ones."""
        delimiter = [f"delimiter = {toml_string(self.delimiter)}"] if self.delimiter else []
        quoting = [f"quoting = {toml_string(self.quoting)}"] if self.quoting != "csv" else []
        names = ", ".join(map(toml_string, self.header))
        header = [f"header = [{names}]  # the files have no line of names"] if self.header else []
        return [*delimiter, *quoting, *header]

    @property
    def files(self) -> list[Path]:
        """The files of tables that the paths name."""
        return [file for path in self.paths for file in table_files(path)]

    @cached_property
    def tables(self) -> Sequence[Table]:
        """All tables among the files."""
        return [table for file in self.files for table in open_tables(file, self.format)]

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
            if column and role != SPLIT:
                mapping[role] = column
        missing = [role.name for role in roles if role.required and not role.numbered and role.name not in mapping]
        if missing:
            raise DataError(
                "E_HEADER_MISSING",
                f"{self.tables[0].file}: no column looks like the {' or the '.join(missing)}; found: "
                f"{', '.join(self.columns)}; name it with --map {missing[0]}=COLUMN",
            )
        places = [role.name for role in roles]
        files = self.narrowed(mapping)
        for part in roles:
            numbered = part.unique and (part.numbered or not part.required) and part.name not in self.given
            if numbered and part.name in mapping and files.stands_twice(mapping[part.name]):
                del mapping[part.name]
        splits = files.splits(mapping) if SPLIT in places else FoundSplits()
        mapping |= {SPLIT: splits.column} if splits.column else {}
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

    def stands_twice(self, column: str) -> bool:
        """Tell whether a column is no id: a value of it stands twice, or is blank."""
        counts = self.counts(column)
        return max(counts.values(), default=1) > 1 or any(is_blank(value) for value in counts)

    def counts(self, column: str) -> Counter[str]:
        """Return how often each value of a column stands in all tables that have it; "" where a cell is empty."""
        counts = self._counted.get(column)
        if counts is None:
            counts = self._counted[column] = Counter(
                "" if (value := only_value(row.values.get(column))) is None else plain_text(value)
                for file in self.files
                for table in open_tables(file, self.format)
                if column in table.columns
                for row in table.rows
                if isinstance(row, Row)
            )
        return counts

    @cached_property
    def _counted(self) -> dict[str, Counter[str]]:
        return {}

    def narrowed(self, mapping: Mapping[str, str]) -> "InitFiles":
        """Return the files that have the columns of a mapping; an alias is not needed in all of them."""
        wanted = {column for role, column in mapping.items() if role not in _NOT_IN_ALL}
        lacking: dict[Path, str] = {}
        for file in self.files:
            for table in open_tables(file, self.format):
                missing = [column for column in wanted if column not in table.columns]
                if missing and table.columns and not table.open_columns:
                    lacking[file] = f"{table.file} left out: no column {', '.join(sorted(missing))}"
        kept = [file for file in self.files if file not in lacking]
        if not lacking or not kept:
            return self
        return replace(self, paths=kept, named=kept, left_out=[*self.left_out, *lacking.values()])

    def splits(self, mapping: Mapping[str, str]) -> FoundSplits:
        """Return the splits of the files: those of a column, else those that the names of the files tell."""
        column = mapping.get(SPLIT) or self.find(SPLIT, list(mapping.values()))
        if column and column in self.columns:
            found = splits_of_column(column, self.counts(column))
            return found if found.column or SPLIT not in self.given else replace(found, column=column)
        return splits_of_files(self.files)

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
        """Return a proposal for one table; ``data`` are further lines of [data].

        Files without the columns are left out, those without the alias aside: their names are to be found.
        """
        files = self.narrowed(mapping)
        extra, slices, splits = files.extra(mapping), files.slices(mapping), files.splits(mapping)
        splits = splits if SPLIT in mapping or not splits.column else FoundSplits()
        notes = [f"shape: {shape}", *files.left_out]
        notes += [f"column {column!r} is the {role}" for role, column in mapping.items() if role != SPLIT]
        notes += splits.notes
        if files.header:
            notes.append(f"no line of names: the columns are {', '.join(files.header)}, see [data] header")
        if extra:
            notes.append(f"kept as fields: {', '.join(extra)}")
        sliced = [f"slice_by = [{', '.join(map(toml_string, slices))}]  # measured apart in the report"]
        more = [*files.format_lines(), *data, *files._cell_lines(mapping), *(sliced if slices else []), *splits.lines()]
        if any(role.endswith("id") for role in mapping) is False:
            column = files.find("id", list(mapping.values()))
            known = (
                f"column {column!r} is no id, a value stands twice or is missing" if column else "no column is the id"
            )
            notes.append(f"{known}: rows are told apart by their names, or numbered")
        comments = {SPLIT: splits.comment} if splits.comment else {}
        named = files.relative(files.named or files.paths)
        lines = first_sections(shape, named, mapping, files.encoding, more=more, comments=comments)
        return Proposal(text="\n".join([*lines, "", *sections]), notes=notes, inputs=files.files)


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
    comments: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return the lines from [paths] to [model].

    ``comment`` follows the input, ``more`` are further lines of [data], ``comments`` follow columns, by role.
    """
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
        ON_BAD_ROW,
        "",
        "[data.columns]  # role = column of your files",
        *(
            f"{role} = {toml_string(column)}" + (f"  # {comments[role]}" if role in comments else "")
            for role, column in columns.items()
        ),
        "",
        "[model]",
        'base = "minilm"  # or a local folder, or a Hub id such as "intfloat/e5-base-v2"',
    ]
