"""From the row of a table to a record: each column is read as what its role says, or the row has a reason."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from honed.core.errors import DataError, did_you_mean
from honed.core.json import Json
from honed.core.sections import toml_string
from honed.core.text import bidi_controls, fold, invisible_names, is_blank, visible
from honed.data.encodings import c1_controls
from honed.data.json_tables import json_kind
from honed.data.split_names import SPLIT_NAMES
from honed.data.table import Row, TableFormat
from honed.data.values import WHOLE_FLOATS, decimal_text, holds_nul, label_texts, only_value, plain_text

SPLITS = ("train", "dev", "test")
Record = dict[str, str]  # role -> text; "where" is the place in the file, "fields" the other columns as JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a column is for.

    Kinds: "id", "text", "label" (a class name), "given" (a class that something else gave, or nothing), "share" (a
    number in [0, 1], or nothing), "word" (or nothing), "offsets" (of an entity in the text, read with the text),
    "split", "grade" (a whole number). With ``several`` a list in the column is several rows that have one value each;
    with ``numbered`` rows get numbers where there is no such column.
    """

    name: str
    kind: str
    required: bool
    may_be_empty: bool = False
    unique: bool = False
    several: bool = False
    numbered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """How the user's files become records: ``columns`` maps a role of the shape to a column name.

    ``separator`` stands between the values of a cell that holds several; ``decimal`` maps a column to its decimal mark,
    ``splits`` what the files call a split to its name.
    """

    shape: str
    columns: Mapping[str, str]
    on_bad_row: str = "stop"
    declared_labels: Sequence[str] = ()
    empty_label: str = "reject"
    offsets: str = "auto"
    sha256: Mapping[str, str] = field(default_factory=dict)
    format: TableFormat = field(default_factory=TableFormat)
    separator: str = ""
    decimal: Mapping[str, str] = field(default_factory=dict)
    ends: str = "auto"
    splits: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> dict[str, Json]:
        """Return what of it decides the result, as JSON; settings that came later stand in it where they are set."""
        key: dict[str, Json] = {**asdict(self), "format": self.format.key()}
        if self.ends == "auto":
            del key["ends"]
        return {name: value for name, value in key.items() if value or name not in ("separator", "decimal", "splits")}


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
    blank_rows: int = 0
    empty_files: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Json]:
        """Return the books as plain data for JSON."""
        books = {**vars(self), "reasons": dict(self.reasons), "warnings": dict(self.warnings)}
        return {name: value for name, value in books.items() if value or name not in ("blank_rows", "empty_files")}

    def warn(self, code: str, text: str) -> None:
        """Count a warning and keep the first few texts of each code."""
        self.warnings[code] += 1
        if self.warnings[code] <= 5:
            self.warning_samples.append(f"{code}: {text}")


class BadRowError(Exception):
    """Why a row cannot be used: code, column and reason."""

    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


class RowReader:
    """Reads rows by roles, one after the other: ids must not stand twice, warnings go to ``books``.

    ``keep_empty`` keeps columns without a role that are empty in a row, for rules and templates that ask for them.
    """

    def __init__(self, roles: Sequence[Role], config: ImportConfig, books: Accounting, *, keep_empty: bool) -> None:
        self.roles, self.config, self.books, self.keep_empty = roles, config, books, keep_empty
        self._ids: dict[str, tuple[str, str, str]] = {}
        self._labels = {fold(label): label for label in config.declared_labels}

    def read(self, row: Row) -> Record:
        """Return the record of a row; `BadRowError` when a value is not what its role asks for."""
        record: Record = {"where": f"{row.file}, {row.where}"}
        for role in self.roles:
            column = self.config.columns.get(role.name)
            if column:
                record[role.name] = self._value(role, column, row)
            else:
                record[role.name] = str(self.books.rows_in) if role.numbered else ""
        extra = self._fields(row)
        record["fields"] = json.dumps(extra, ensure_ascii=False, sort_keys=True) if extra else "{}"
        _check_encodable("fields", record["fields"])
        if controls := c1_controls("".join(record.values())):
            advice = 'cp1252 that is read as latin-1 looks so: encoding = "cp1252"'
            self.books.warn("W_C1", f"{row.file}, {row.where}: holds {controls}; {advice}")
        return record

    def _fields(self, row: Row) -> dict[str, str]:
        """Return the columns without a role, as texts."""
        used = set(self.config.columns.values())
        fields = {}
        for name, value in row.values.items():
            if name in used or (value is None and not self.keep_empty):
                continue
            if holds_nul(value):
                raise BadRowError("E_NUL", name, "holds a NUL character")
            fields[name] = "" if value is None else plain_text(value)
            if (mark := self.config.decimal.get(name)) and not is_blank(fields[name]):
                fields[name] = _number(name, fields[name], mark)
        return fields

    def _value(self, role: Role, column: str, row: Row) -> str:
        check: Callable[[Role, str, object, Row], str] = getattr(self, f"_{role.kind}_value")
        value = row.values.get(column)
        if role.kind != "text" and holds_nul(value):
            raise BadRowError("E_NUL", column, "holds a NUL character")
        return check(role, column, value, row)

    def _offsets_value(self, role: Role, column: str, value: object, row: Row) -> str:
        return ""  # read together with the text, by the shape

    def _id_value(self, role: Role, column: str, value: object, row: Row) -> str:
        if not isinstance(value, float) or row.where.startswith("row"):  # a column of Parquet with missing ones
            value = only_value(value)
        if isinstance(value, float) and abs(value) >= WHOLE_FLOATS:
            reason = f"whole numbers from {WHOLE_FLOATS} on are not exact as floats; write ids as text or int64"
            raise BadRowError("E_ID_TYPE", column, reason)
        if isinstance(value, bool | float) or (value is not None and not isinstance(value, str | int)):
            raise BadRowError("E_ID_TYPE", column, f"an id is a string or a whole number, not {json_kind(value)}")
        text = "" if value is None else str(value)
        _check_encodable(column, text)
        if is_blank(text):
            raise BadRowError("E_ID_EMPTY", column, "the id is empty")
        if role.unique:
            self._check_unique(column, text, row)
        return text

    def _check_unique(self, column: str, text: str, row: Row) -> None:
        key = unicodedata.normalize("NFC", visible(text).strip())
        if key in self._ids:
            file, where, first = self._ids[key]
            same = "" if first == text else " (equal after NFC and trimming)"
            there = f"{where.replace('line', 'lines')} and {row.where.replace('line ', '')}"
            if file != row.file:
                there = f"{file}, {where}, and {row.file}, {row.where}"
            raise BadRowError("E_ID_DUP", column, f"id {text} stands twice: {there}{same}")
        self._ids[key] = (row.file, row.where, text)

    def _text_value(self, role: Role, column: str, value: object, row: Row) -> str:
        if isinstance(value, list):
            value = only_value(value)
        if value is None and role.may_be_empty:
            return ""
        if value is not None and not isinstance(value, str):
            kind = json_kind(value)
            if row.where.startswith("row"):  # typed columns
                kind = {"number": "int64" if isinstance(value, int) else "double", "array": "list"}.get(kind, kind)
                raise BadRowError("E_COLUMN_TYPE", column, f"expected string got {kind}")
            raise BadRowError("E_JSON_TYPE", column, f"expected string got {kind}")
        text = value or ""
        _check_encodable(column, text)
        if "\0" in text:
            raise BadRowError("E_NUL", column, "holds a NUL character")
        if len(text) > self.config.format.max_text_chars:
            limit = self.config.format.max_text_chars
            raise BadRowError("E_FIELD_TOO_LONG", column, f"{len(text)} characters, allowed are {limit}")
        if is_blank(text):
            if role.may_be_empty:
                return ""
            seen = invisible_names(text)
            raise BadRowError("E_TEXT_EMPTY", column, f"nothing visible ({seen})" if seen else "empty")
        if controls := bidi_controls(text):
            self.books.warn("W_BIDI", f"{row.file}, {row.where}, {column}: holds {controls}; kept as it is")
        return text

    def _label_value(self, role: Role, column: str, value: object, row: Row) -> str:
        classes = label_texts(value)
        if len(classes) > 1:
            reason = f"several classes ({', '.join(classes)}): a text has one; drop the others, or the row"
            raise BadRowError("E_LABEL_SEVERAL", column, reason)
        text = classes[0] if classes else ""
        _check_encodable(column, text)
        if is_blank(text):
            if self.config.empty_label == "abstain":
                return ""
            raise BadRowError(
                "E_LABEL_EMPTY", column, 'the label is empty; if that means "not labelled", set empty_label = "abstain"'
            )
        if self._labels:
            if fold(text) not in self._labels:
                near = did_you_mean(text, self._labels.values())
                raise BadRowError("E_LABEL_UNKNOWN", column, f"{text} is not a declared label{near}")
            return self._labels[fold(text)]
        return text

    def _given_value(self, role: Role, column: str, value: object, row: Row) -> str:
        if not any(not is_blank(name) for name in label_texts(value)):
            return ""
        return self._label_value(role, column, value, row)

    def _word_value(self, role: Role, column: str, value: object, row: Row) -> str:
        value = only_value(value)
        text = "" if value is None else plain_text(value).strip()
        _check_encodable(column, text)
        return text

    def _share_value(self, role: Role, column: str, value: object, row: Row) -> str:
        value = only_value(value)
        if value is None or (isinstance(value, str) and is_blank(value)):
            return ""
        try:
            share = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise BadRowError("E_CONFIDENCE", column, f"{value!r} is not a number from 0 to 1")
        return repr(share)

    def _grade_value(self, role: Role, column: str, value: object, row: Row) -> str:
        value = only_value(value)
        text = "" if value is None else str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,6}(\.0+)?", text):
            advice = "for grades in parts set  grade_factor = 10  under [judgments]: they are multiplied by it"
            raise BadRowError("E_GRADE", column, f"{value!r} is no whole number; {advice}")
        return str(int(float(text)))

    def _split_value(self, role: Role, column: str, value: object, row: Row) -> str:
        value = only_value(value)
        if role.may_be_empty and (value is None or (isinstance(value, str) and is_blank(value))):
            return ""
        names, text = self.config.splits, value.strip() if isinstance(value, str) else ""
        if text in names:
            return names[text]
        try:
            return names.get(name := split_name(value, ""), name)
        except DataError as error:
            raise BadRowError(
                error.code,
                column,
                f"{value!r} is not one of {', '.join(SPLITS)}; say which it is in honed.toml: "
                f'[data] splits = {{ {toml_string(str(value))} = "test" }}',
            ) from None


def split_name(value: object, where: str) -> str:
    """Return the split that a value names, by its usual names too; `DataError` for anything else."""
    text = fold(value) if isinstance(value, str) else ""
    if text not in SPLIT_NAMES:
        raise DataError("E_SPLIT_NAME", f"{where}: {value!r} is not one of {', '.join(SPLITS)}")
    return SPLIT_NAMES[text]


def _number(column: str, text: str, mark: str) -> str:
    number = decimal_text(text, mark)
    if number is None:
        raise BadRowError("E_NUMBER", column, f"{text!r} is no number with the decimal mark {mark!r}")
    return number


def _check_encodable(column: str, text: str) -> None:
    try:
        check_encodable(column, text)
    except DataError:
        raise BadRowError("E_ENCODING", column, "holds a lone surrogate, which no file can store") from None


def check_encodable(where: str, text: str) -> None:
    """Raise `DataError` for a text that no file can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError("E_ENCODING", f"{where}: holds a lone surrogate, which no file can store") from None
