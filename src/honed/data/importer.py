"""Rows in = accepted + rejected: every table row becomes a record or a reject with its reason, never neither."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.progress import progress
from honed.core.text import bidi_controls, fold, invisible_names, is_blank
from honed.data.tables import Reject, Row, Table, TableFormat, json_kind, open_table, skipped_files, table_files
from honed.shapes.relations.sentences import SIDES, SpanError, placed

RECORDS, REJECTS, ACCOUNTING = "records.parquet", "rejects.jsonl", "accounting.json"
SPLITS = ("train", "dev", "test")
_BATCH = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a column is for.

    Kinds: "id", "text", "label" (a class name), "given" (a class that something else gave, or nothing), "share" (a
    number in [0, 1], or nothing), "word" (or nothing), "offsets" (of an entity in the text), "split".
    """

    name: str
    kind: str
    required: bool
    may_be_empty: bool = False
    unique: bool = False


# what [retrieval] reads beside the project's own data
UTTERANCES: tuple[Role, ...] = (
    Role(name="text", kind="text", required=True),
    Role(name="label", kind="label", required=True),
    Role(name="split", kind="split", required=True),
)
# shape -> its roles; every other column is kept as a field
SHAPES: Mapping[str, tuple[Role, ...]] = {
    "aliases": (
        Role(name="id", kind="id", required=False),
        Role(name="label", kind="text", required=True),
        Role(name="alias", kind="text", required=True, may_be_empty=True),
        Role(name="split", kind="split", required=False),
    ),
    "labels": (
        Role(name="id", kind="id", required=True, unique=True),
        Role(name="title", kind="text", required=False, may_be_empty=True),
        Role(name="text", kind="text", required=False),
        Role(name="label", kind="label", required=False),
        Role(name="weak", kind="given", required=False),
        Role(name="confidence", kind="share", required=False),
        Role(name="split", kind="split", required=False),
    ),
    "judgments": (
        Role(name="id", kind="id", required=True, unique=True),
        Role(name="title", kind="text", required=False, may_be_empty=True),
        Role(name="text", kind="text", required=False, may_be_empty=True),
    ),
    "relations": (
        Role(name="id", kind="id", required=False, unique=True),
        Role(name="text", kind="text", required=True),
        Role(name="head", kind="offsets", required=False),
        Role(name="head_start", kind="offsets", required=False),
        Role(name="head_end", kind="offsets", required=False),
        Role(name="tail", kind="offsets", required=False),
        Role(name="tail_start", kind="offsets", required=False),
        Role(name="tail_end", kind="offsets", required=False),
        Role(name="relation", kind="label", required=True),
        Role(name="head_type", kind="word", required=False),
        Role(name="tail_type", kind="word", required=False),
        Role(name="split", kind="split", required=False),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """How the user's files become records: ``columns`` maps a role of the shape to a column name."""

    shape: str
    columns: Mapping[str, str]
    on_bad_row: str = "stop"
    declared_labels: Sequence[str] = ()
    empty_label: str = "reject"
    offsets: str = "auto"
    sha256: Mapping[str, str] = field(default_factory=dict)
    format: TableFormat = field(default_factory=TableFormat)

    def key(self) -> dict[str, Any]:
        """Return what of it decides the result, as JSON."""
        return asdict(self)


@dataclass(kw_only=True)
class Accounting:
    """The books of an import; ``rows_in == accepted + rejected`` always holds."""

    rows_in: int = 0
    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    warning_samples: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the books as plain data for JSON."""
        return {**vars(self), "reasons": dict(self.reasons), "warnings": dict(self.warnings)}

    def warn(self, code: str, text: str) -> None:
        """Count a warning and keep the first few texts of each code."""
        self.warnings[code] += 1
        if self.warnings[code] <= 5:
            self.warning_samples.append(f"{code}: {text}")


class _BadRowError(Exception):
    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


class Importer:
    """Streams files into ``records.parquet``, ``rejects.jsonl`` and ``accounting.json`` in a folder."""

    def __init__(self, config: ImportConfig, roles: Sequence[Role] = ()) -> None:
        if config.shape not in SHAPES:
            raise ConfigError("E_SHAPE", f"data.shape: {config.shape!r} is not one of {', '.join(SHAPES)}")
        self.config = config
        self.roles = roles or SHAPES[config.shape]
        self.books = Accounting()
        self._ids: dict[str, tuple[str, str, str]] = {}
        self._labels = {fold(label): label for label in config.declared_labels}

    def run(self, paths: Sequence[Path], folder: Path) -> Accounting:
        """Import all files; `DataError` after the whole pass when a row is bad and ``on_bad_row`` is "stop"."""
        files = [file for path in paths for file in table_files(path)]
        self.books.skipped = [f"{path.name}/{name}" for path in paths for name in skipped_files(path)]
        first: list[Reject] = []
        with (
            (folder / REJECTS).open("w", encoding="utf-8") as rejects,
            _RecordWriter(folder / RECORDS, self.roles) as writer,
            progress("import rows") as bar,
        ):
            for row in self._rows(files):
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
                f"{self.books.accepted} good rows with  --on-bad-row quarantine",
            )
        if not self.books.accepted:
            raise DataError("E_EMPTY", f"no usable row in {', '.join(self.books.files)}")

    def _rows(self, files: Sequence[Path]) -> Iterator[Row | Reject]:
        for path in files:
            table = open_table(path, self.config.format)
            self._check_columns(table)
            before = self.books.rows_in
            yield from table.rows
            self.books.files[table.file] = self.books.rows_in - before
            if self.books.files[table.file] == 0:
                raise DataError("E_EMPTY", f"{table.file}: a header and no rows")

    def _check_columns(self, table: Table) -> None:
        known = {role.name for role in self.roles}
        for name in self.config.columns:
            if name not in known:
                raise ConfigError("E_CONFIG_KEY", f"data.columns.{name}: unknown role{did_you_mean(name, known)}")
        if not table.columns:  # no record of the file could be read: its rejects say more than a missing column
            return
        for role in self.roles:
            column = self.config.columns.get(role.name)
            if role.may_be_empty and table.open_columns and column is not None:
                continue
            if (column is None and role.required) or (column is not None and column not in table.columns):
                wanted = column or role.name
                if role.name == "alias" and self.books.files and column is not None:
                    self.books.warn("W_NO_ALIAS", f"{table.file}: no column {wanted}: names to be found")
                    continue
                raise DataError(
                    "E_HEADER_MISSING",
                    f"{table.file}: no column {wanted} for the {role.name}; found: {', '.join(table.columns)}"
                    f"{did_you_mean(wanted, table.columns)}; set it in honed.toml under [data.columns]",
                )
        if self.config.shape == "relations":
            for side in SIDES:
                ends = {f"{side}_start", f"{side}_end"}
                if (side in self.config.columns) == ends.issubset(self.config.columns):
                    raise ConfigError(
                        "E_CONFIG_MISSING",
                        f"data.columns: where does the {side} stand? Give {side} (a column of all its mentions), or "
                        f"{side}_start and {side}_end",
                    )

    def _record(self, row: Row) -> dict[str, str] | Reject:
        try:
            return self._checked(row)
        except _BadRowError as bad:
            text = json.dumps(row.values, ensure_ascii=True, default=str)
            return Reject(file=row.file, where=row.where, field=bad.field, code=bad.code, reason=bad.reason, text=text)

    def _checked(self, row: Row) -> dict[str, str]:
        record: dict[str, str] = {"where": f"{row.file}, {row.where}"}
        spans: dict[str, str] = {}
        if self.config.shape == "relations":
            row, spans = self._placed(row)
        for role in self.roles:
            column = self.config.columns.get(role.name)
            record[role.name] = self._value(role, column, row) if column else ""
        record |= spans
        used = set(self.config.columns.values())
        whole = self.config.shape in ("labels", "judgments")  # rules and templates ask for columns, filled or not
        extra = {
            name: "" if value is None else _plain(value)
            for name, value in row.values.items()
            if name not in used and (whole or value is not None)
        }
        record["fields"] = json.dumps(extra, ensure_ascii=False, sort_keys=True) if extra else "{}"
        _check_encodable("fields", record["fields"])
        return record

    def _placed(self, row: Row) -> tuple[Row, dict[str, str]]:
        """Return the row with its text as one string, and the character offsets of its entities as JSON."""
        columns = self.config.columns
        try:
            text, spans = placed(row.values, columns, self.config.offsets)
        except SpanError as error:
            column = next(name for role, name in columns.items() if role in (error.side, f"{error.side}_start"))
            raise _BadRowError("E_SPAN", column, error.reason) from None
        whole = replace(row, values={**row.values, columns["text"]: text})
        return whole, {side: json.dumps(found) for side, found in spans.items()}

    def _offsets_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        return ""  # read together, by `_placed`

    def _value(self, role: Role, column: str, row: Row) -> str:
        check: Callable[[Role, str, Any, Row], str] = getattr(self, f"_{role.kind}_value")
        return check(role, column, row.values.get(column), row)

    def _id_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        if isinstance(value, bool | float) or (value is not None and not isinstance(value, str | int)):
            raise _BadRowError("E_ID_TYPE", column, f"an id is a string or a whole number, not {json_kind(value)}")
        text = "" if value is None else str(value)
        _check_encodable(column, text)
        if is_blank(text):
            raise _BadRowError("E_ID_EMPTY", column, "the id is empty")
        if role.unique:
            self._check_unique(column, text, row)
        return text

    def _check_unique(self, column: str, text: str, row: Row) -> None:
        key = unicodedata.normalize("NFC", text.strip())
        if key in self._ids:
            file, where, first = self._ids[key]
            same = "" if first == text else " (equal after NFC and trimming)"
            there = f"{where.replace('line', 'lines')} and {row.where.replace('line ', '')}"
            if file != row.file:
                there = f"{file}, {where}, and {row.file}, {row.where}"
            raise _BadRowError("E_ID_DUP", column, f"id {text} stands twice: {there}{same}")
        self._ids[key] = (row.file, row.where, text)

    def _text_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        if value is None and role.may_be_empty:
            return ""
        if value is not None and not isinstance(value, str):
            kind = json_kind(value)
            if row.where.startswith("row"):  # typed columns
                kind = {"number": "int64" if isinstance(value, int) else "double", "array": "list"}.get(kind, kind)
                raise _BadRowError("E_COLUMN_TYPE", column, f"expected string got {kind}")
            raise _BadRowError("E_JSON_TYPE", column, f"expected string got {kind}")
        text = value or ""
        _check_encodable(column, text)
        if "\0" in text:
            raise _BadRowError("E_NUL", column, "holds a NUL character")
        if len(text) > self.config.format.max_text_chars:
            limit = self.config.format.max_text_chars
            raise _BadRowError("E_FIELD_TOO_LONG", column, f"{len(text)} characters, allowed are {limit}")
        if is_blank(text):
            if role.may_be_empty:
                return ""
            seen = invisible_names(text)
            raise _BadRowError("E_TEXT_EMPTY", column, f"nothing visible ({seen})" if seen else "empty")
        if controls := bidi_controls(text):
            self.books.warn("W_BIDI", f"{row.file}, {row.where}, {column}: holds {controls}; kept as it is")
        return text

    def _label_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        text = value if isinstance(value, str) else _plain(value) if value is not None else ""
        _check_encodable(column, text)
        if is_blank(text):
            if self.config.empty_label == "abstain":
                return ""
            raise _BadRowError(
                "E_LABEL_EMPTY", column, 'the label is empty; if that means "not labelled", set empty_label = "abstain"'
            )
        if self._labels:
            if fold(text) not in self._labels:
                near = did_you_mean(text, self._labels.values())
                raise _BadRowError("E_LABEL_UNKNOWN", column, f"{text} is not a declared label{near}")
            return self._labels[fold(text)]
        return text

    def _given_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        if value is None or (isinstance(value, str) and is_blank(value)):
            return ""
        return self._label_value(role, column, value, row)

    def _word_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        text = "" if value is None else _plain(value).strip()
        _check_encodable(column, text)
        return text

    def _share_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        if value is None or (isinstance(value, str) and is_blank(value)):
            return ""
        try:
            share = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise _BadRowError("E_CONFIDENCE", column, f"{value!r} is not a number from 0 to 1")
        return repr(share)

    def _split_value(self, role: Role, column: str, value: Any, row: Row) -> str:
        try:
            return split_name(value, "")
        except DataError as error:
            raise _BadRowError(error.code, column, f"{value!r} is not one of {', '.join(SPLITS)}") from None


def split_name(value: Any, where: str) -> str:
    """Return the split that a value names, by its usual names too; `DataError` for anything else."""
    text = fold(value) if isinstance(value, str) else ""
    text = {"validation": "dev", "valid": "dev", "val": "dev", "eval": "dev"}.get(text, text)
    if text not in SPLITS:
        raise DataError("E_SPLIT_NAME", f"{where}: {value!r} is not one of {', '.join(SPLITS)}")
    return text


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _check_encodable(column: str, text: str) -> None:
    try:
        check_encodable(column, text)
    except DataError:
        raise _BadRowError("E_ENCODING", column, "holds a lone surrogate, which no file can store") from None


def check_encodable(where: str, text: str) -> None:
    """Raise `DataError` for a text that no file can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError("E_ENCODING", f"{where}: holds a lone surrogate, which no file can store") from None


class _RecordWriter:
    """Writes records in blocks; Parquet with page checksums."""

    def __init__(self, path: Path, roles: Sequence[Role]) -> None:
        names = ["where", *(role.name for role in roles), "fields"]
        self.schema = pa.schema([(name, pa.string()) for name in names])
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd", write_page_checksum=True)
        self.block: list[dict[str, str]] = []

    def __enter__(self) -> "_RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self.writer.close()

    def write(self, record: dict[str, str]) -> None:
        self.block.append(record)
        if len(self.block) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self.block:
            self.writer.write_table(pa.Table.from_pylist(self.block, schema=self.schema))
            self.block = []


def each_record(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the accepted records of an import, in their order; every value is a string."""
    with pq.ParquetFile(folder / RECORDS, page_checksum_verification=True) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def read_records(folder: Path) -> list[dict[str, str]]:
    """Return all accepted records of an import."""
    return list(each_record(folder))
