"""Tables of queries and of judgements: by the usual names of their columns, or in the places of TREC's files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.data.importer import PlainRows
from honed.data.lines import numbered_lines
from honed.data.rows import Role
from honed.data.source import file_source, unpacked
from honed.data.split_names import split_of_file
from honed.data.table import is_headerless, named_columns
from honed.data.tables import Reject, Row, Table, TableFormat, is_table_file, open_tables, table_files

QUERY_ROLES = (
    Role(name="query_id", kind="id", required=True),
    Role(name="text", kind="text", required=True),
    Role(name="split", kind="split", required=False, may_be_empty=True),
)
QREL_ROLES = (
    Role(name="query_id", kind="id", required=True),
    Role(name="doc_id", kind="id", required=True),
    Role(name="grade", kind="grade", required=True),
    Role(name="split", kind="split", required=False, may_be_empty=True),
)
_ZERO = re.compile(r"0\.0+")


class JudgedTables(PlainRows):
    """Tables of queries or of judgements: columns are found by their usual names, TREC's files have places for them."""

    def __init__(
        self,
        roles: Sequence[Role],
        columns: Mapping[str, str],
        known: Mapping[str, tuple[str, ...]],
        grade_factor: int = 1,
    ) -> None:
        super().__init__(roles)
        self.columns, self.known, self.grade_factor = columns, known, grade_factor
        for role in columns:
            if role not in known:
                raise ConfigError("E_CONFIG_KEY", f"judgments: unknown role {role}{did_you_mean(role, known)}")

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables of a path with roles for columns; those that a file lacks are empty."""
        if path.is_file() and not is_table_file(path):
            yield self._trec(path, form)
            return
        for file in table_files(path):
            for table in open_tables(file, form):
                known = {name for names in self.known.values() for name in names}
                if is_headerless(table.columns) and not known & set(table.columns):
                    yield self._trec(file, form)
                else:
                    yield self._renamed(file, table)

    def _renamed(self, file: Path, table: Table) -> Table:
        columns = named_columns(table.columns, self.known, self.columns)
        for role in self.roles:
            if role.required and columns.get(role.name) not in table.columns:
                listed = ", ".join(table.columns)
                message = f"{file.name}: no column for the {role.name}; found: {listed}"
                if file.suffix.lower() == ".tsv":
                    message += "; a file without a line of names, in TREC's form, is to be named .txt"
                raise DataError("E_HEADER_MISSING", message)
        there = {role: column for role, column in columns.items() if column in table.columns}
        named = self._named_split(file) if "split" not in there else {}

        def rows() -> Iterator[Row | Reject]:
            for row in table.rows:
                if isinstance(row, Row):
                    values = {role: row.values.get(column) for role, column in there.items()}
                    if self.grade_factor > 1 and "grade" in values:
                        values["grade"] = _multiplied(values["grade"], self.grade_factor)
                    row = Row(file=row.file, where=row.where, values=values | named)
                yield row

        return Table(
            file=table.file,
            columns=[role.name for role in self.roles],
            rows=rows(),
            format=table.format,
            notes=table.notes,
        )

    def _trec(self, path: Path, form: TableFormat) -> Table:
        """Read TREC files: judgements of "query 0 document grade", topics of "query<TAB>text"."""
        columns = [role.name for role in self.roles if role.required]
        split = self._named_split(path)

        def rows() -> Iterator[Row | Reject]:
            width = 0  # of judgements: that of the first line
            for line in (line for source in unpacked(file_source(path)) for line in numbered_lines(source, form)):
                text, where = line.text.rstrip("\r\n"), f"line {line.number}"
                width = width or len(text.split())
                values, problem = trec_values(text, len(columns), width)
                if line.problem or (problem and text.strip()):
                    code, reason = line.problem or ("E_TREC", problem)
                    yield Reject(file=path.name, where=where, field="", code=code, reason=reason, text=text)
                elif text.strip():
                    named: dict[str, object] = dict(zip(columns, values, strict=True))
                    yield Row(file=path.name, where=where, values=named | split)

        return Table(file=path.name, columns=[role.name for role in self.roles], rows=rows(), format=form)

    def _named_split(self, file: Path) -> dict[str, object]:
        """Return the split of all judgements of a file: its name in a folder ``qrels``, else what the name tells."""
        if "grade" not in self.known:
            return {}
        split = split_of_file(file.name)
        return {"split": file.stem if file.parent.name == "qrels" and not split else split}


def _multiplied(grade: object, factor: int) -> object:
    """Return a grade times a factor as a whole number; what is no number stays."""
    try:
        return round(float(str(grade)) * factor)
    except (ValueError, OverflowError):
        return grade


def trec_values(line: str, n_columns: int, width: int = 4) -> tuple[list[str], str]:
    """Return the values of a line and an empty string, or no values and the reason why it cannot be read.

    Judgements have four columns, or three where the first line of the file has a ``width`` of three, as in SMART's
    collections: query, document, grade.
    """
    if n_columns == 3:
        parts = line.split()
        if len(parts) == width == 3:
            return parts, ""
        if len(parts) != 4:
            return [], f"expected 4 columns (query, 0, document, grade), got {len(parts)}"
        if parts[2] == "0" and _ZERO.fullmatch(parts[3]):  # of CISI: query, document, 0, 0.000000
            return [parts[0], parts[1], "1"], ""
        return [parts[0], parts[2], parts[3]], ""
    query, tab, text = line.partition("\t")
    return ([query, text], "") if tab else ([], "expected a query id, a tab and the text")
