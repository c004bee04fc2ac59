"""Rows in = accepted + rejected: every table row becomes a record or a reject with its reason, never neither."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.progress import progress
from honed.core.text import is_blank
from honed.data.csv_tables import check_header
from honed.data.rows import Accounting, BadRowError, ImportConfig, Record, Role, RowReader
from honed.data.split_names import split_of_file
from honed.data.table import with_column
from honed.data.tables import Reject, Row, Table, TableFormat, open_tables, skipped_files, table_files

RECORDS, REJECTS, ACCOUNTING = "records.parquet", "rejects.jsonl", "accounting.json"
_BATCH = 10_000


class RowShape(Protocol):
    """What the importer must know of the shape of a table: its roles, and how a row is read."""

    @property
    def roles(self) -> Sequence[Role]:
        """The roles that columns may have."""
        ...

    @property
    def keeps_empty_fields(self) -> bool:
        """Whether columns without a role are kept where they are empty too."""
        ...

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables that a path names."""
        ...

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Raise `ConfigError` when the columns that were named for the roles do not go together."""
        ...

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row; `BadRowError` when it cannot be used."""
        ...


class PlainRows:
    """Rows that are read by their roles alone."""

    keeps_empty_fields = False

    def __init__(self, roles: Sequence[Role]) -> None:
        self.roles = roles

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables that a path names: itself, or those directly in a folder."""
        return (table for file in table_files(path) for table in open_tables(file, form))

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Accept any columns."""

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row."""
        return reader.read(row)


class Importer:
    """Streams files into ``records.parquet``, ``rejects.jsonl`` and ``accounting.json`` in a folder."""

    def __init__(self, config: ImportConfig, shape: RowShape) -> None:
        self.config, self.shape = config, shape
        self.roles = shape.roles
        self.books = Accounting()
        self._reader = RowReader(self.roles, config, self.books, keep_empty=shape.keeps_empty_fields)

    def run(self, paths: Sequence[Path], folder: Path) -> Accounting:
        """Import all files; `DataError` after the whole pass when a row is bad and ``on_bad_row`` is "stop"."""
        self.books.skipped = [f"{path.name}/{name}" for path in paths for name in skipped_files(path)]
        first: list[Reject] = []
        with (
            (folder / REJECTS).open("w", encoding="utf-8") as rejects,
            _RecordWriter(folder / RECORDS, self.roles) as writer,
            progress("import rows") as bar,
        ):
            for row in self._rows(paths):
                bar.advance()
                self.books.rows_in += 1
                outcome = row if isinstance(row, Reject) else self._record(row)
                if isinstance(outcome, Reject):
                    self.books.rejected += 1
                    self.books.reasons[outcome.code] += 1
                    rejects.write(json.dumps(asdict(outcome), ensure_ascii=True) + "\n")
                    first.extend([outcome] if len(first) < 5 else [])
                else:
                    self.books.accepted += 1
                    writer.write(outcome)
        (folder / ACCOUNTING).write_text(json.dumps(self.books.as_dict(), indent=1, ensure_ascii=False))
        self._judge(first, folder)
        return self.books

    def _judge(self, first: list[Reject], folder: Path) -> None:
        if first and self.config.on_bad_row == "stop":
            more = f" (and {self.books.rejected - 1} more)" if self.books.rejected > 1 else ""
            raise DataError(
                first[0].code,
                f"{first[0]}{more}; nothing was imported. All bad rows: {folder / REJECTS}. Mend them, or keep the "
                f'{self.books.accepted} good rows with  on_bad_row = "quarantine"  (run: --on-bad-row quarantine)',
            )
        if not self.books.accepted:
            raise DataError("E_EMPTY", f"no usable row in {', '.join(self.books.files)}")

    def _rows(self, paths: Sequence[Path]) -> Iterator[Row | Reject]:
        for path in paths:
            for opened in self._tables(path):
                table = self._with_named_split(opened, path if path.is_dir() else path.parent)
                self._check_columns(table)
                before = self.books.rows_in
                for row in table.rows:
                    yield from self._single(row) if isinstance(row, Row) else (row,)
                self.books.files[table.file] = self.books.rows_in - before
                self._note(table, path)

    def _with_named_split(self, table: Table, folder: Path) -> Table:
        """Return a table with the column of the split, where the name of the file or its folder tells what it lacks."""
        column = self.config.columns.get("split", "")
        named = split_of_file(table.file, folder.name) if column and column not in table.columns else ""
        return with_column(table, column, named) if named else table

    def _tables(self, path: Path) -> Iterator[Table]:
        """Yield the tables of a path; parts of a folder that are empty are counted where others hold rows."""
        if not path.is_dir():
            yield from self.shape.tables(path, self.config.format)
            return
        empty: DataError | None = None
        for file in table_files(path):
            try:
                yield from self.shape.tables(file, self.config.format)
            except DataError as error:
                if error.code != "E_EMPTY":
                    raise
                empty = error
                self.books.empty_files.append(file.name)
        if empty and not self.books.rows_in:
            raise empty

    def _note(self, table: Table, path: Path) -> None:
        """Take over what a reader noted of a table that was read to its end."""
        self.books.blank_rows += table.notes.blank_rows
        for code, text in table.notes.warnings:
            self.books.warn(code, text)
        if self.books.files[table.file] == 0:
            blank = f" but {table.notes.blank_rows} blank ones" if table.notes.blank_rows else ""
            if not path.is_dir():
                raise DataError("E_EMPTY", f"{table.file}: a header and no rows{blank}")
            self.books.empty_files.append(table.file)

    def _single(self, row: Row) -> Iterator[Row]:
        """Yield a row once for each value of a column that may hold several: a list, or texts with the separator."""
        for role in self.roles:
            column = self.config.columns.get(role.name, "")
            value = row.values.get(column) if role.several else None
            if isinstance(value, str) and self.config.separator and self.config.separator in value:
                value = [part.strip() for part in value.split(self.config.separator) if not is_blank(part)]
            if isinstance(value, list) and len(value) > 1:
                for number, single in enumerate(value, 1):
                    where = f"{row.where}, {column} {number}"
                    yield replace(row, where=where, values={**row.values, column: single})
                return
        yield row

    def _check_columns(self, table: Table) -> None:
        known = {role.name for role in self.roles}
        for name in self.config.columns:
            if name not in known:
                raise ConfigError("E_CONFIG_KEY", f"data.columns.{name}: unknown role{did_you_mean(name, known)}")
        check_header(table.file, table.columns)
        if not table.columns:  # no record of the file could be read: its rejects say more than a missing column
            return
        for role in self.roles:
            column = self.config.columns.get(role.name)
            if role.may_be_empty and table.open_columns and column is not None:
                continue
            if column is None and role.numbered:
                self.books.warn("W_ID_NUMBERED", f"{table.file}: no column for the {role.name}: rows are numbered")
            elif (column is None and role.required) or (column is not None and column not in table.columns):
                self._missing(role, column, table)
        self.shape.check_columns(self.config.columns)

    def _missing(self, role: Role, column: str | None, table: Table) -> None:
        """Refuse a table without the column of a role, unless a later file may leave out what may be empty."""
        wanted = column or role.name
        if role.required and role.may_be_empty and self.books.files and column is not None:
            self.books.warn(f"W_NO_{role.name.upper()}", f"{table.file}: no column {wanted}: names to be found")
            return
        raise DataError(
            "E_HEADER_MISSING",
            f"{table.file}: no column {wanted} for the {role.name}; found: {', '.join(table.columns)}"
            f"{did_you_mean(wanted, table.columns)}; set it in honed.toml under [data.columns]",
        )

    def _record(self, row: Row) -> Record | Reject:
        try:
            return self.shape.parse_row(row, self._reader)
        except BadRowError as bad:
            text = json.dumps(row.values, ensure_ascii=True, default=str)
            return Reject(file=row.file, where=row.where, field=bad.field, code=bad.code, reason=bad.reason, text=text)


class _RecordWriter:
    """Writes records in blocks; Parquet with page checksums."""

    def __init__(self, path: Path, roles: Sequence[Role]) -> None:
        names = ["where", *(role.name for role in roles), "fields"]
        self.schema = pa.schema([(name, pa.string()) for name in names])
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd", write_page_checksum=True)
        self.block: list[Record] = []

    def __enter__(self) -> "_RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self.writer.close()

    def write(self, record: Record) -> None:
        self.block.append(record)
        if len(self.block) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self.block:
            self.writer.write_table(pa.Table.from_pylist(self.block, schema=self.schema))
            self.block = []


def iterate_records(folder: Path) -> Iterator[Record]:
    """Yield the accepted records of an import, in their order; every value is a string."""
    with pq.ParquetFile(folder / RECORDS, page_checksum_verification=True) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()
