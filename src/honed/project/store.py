"""``honed store``: tables of texts in a vector index on disk that changes; see `honed.index.store`."""

import logging
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from honed.bundle.encoder import BundleEncoder
from honed.config.sections import IndexSection
from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.filters import Filter
from honed.core.fingerprint import fingerprint
from honed.core.plain import as_object, as_text
from honed.core.progress import progress
from honed.core.protocols import Encoder
from honed.core.sections import read_section
from honed.core.text import is_blank
from honed.data.tables import Reject, Row, TableFormat, open_tables, table_files
from honed.data.values import decimal_text, holds_nul, is_missing, only_value
from honed.encode.config import EncoderConfig
from honed.encode.models import encoder_source
from honed.index.segments import BuildLimits
from honed.index.settings import IndexSettings
from honed.index.store import Store, StoreHit
from honed.index.store_records import Batch, Record
from honed.index.store_writer import writing

log = logging.getLogger("honed.project")
_BATCH = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreColumns:
    """Which columns of a table hold ids and texts, and how its files are read.

    ``keep`` are the fields to store, all others where it is empty; ``decimal_comma`` those whose numbers have one.
    """

    doc_id: str = "id"
    text: str = "text"
    keep: tuple[str, ...] = ()
    decimal_comma: tuple[str, ...] = ()
    format: TableFormat = TableFormat()  # noqa: RUF009 - frozen


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreModel:
    """Where the encoder comes from: a bundle, or a base model by its name or folder; one of them."""

    bundle: Path | None = None
    model: str = ""

    def load(self) -> Encoder:
        """Return the encoder; `ConfigError` unless one source is named."""
        if (self.bundle is None) == (not self.model):
            raise ConfigError("E_OPTION", "name the model: --bundle BUNDLE, or --model NAME (such as minilm)")
        if self.bundle is not None:
            from honed.search.searcher import Searcher

            return Searcher.load(self.bundle).encoder
        return encoder_source(EncoderConfig(base=self.model)).load()

    def facts(self, encoder: Encoder) -> dict[str, Any]:
        """Return how a store names its model: its fingerprint, and the source it was loaded from."""
        source = {"bundle": str(self.bundle.resolve())} if self.bundle else {"model": self.model}
        return {"fingerprint": fingerprint(encoder.spec.as_dict()), "source": source}


def create_store(
    path: Path, files: Sequence[Path], source: StoreModel, columns: StoreColumns, settings: IndexSettings, mb: int
) -> Store:
    """Make a store of the rows of tables; nothing is there when a row is unfit."""
    if path.exists():
        raise ConfigError("E_STORE_EXISTS", f"{path}: exists; add to it with  honed store add  or name another")
    encoder = source.load()
    store = Store.create(
        path,
        _batches(files, encoder, columns),
        dim=encoder.spec.dim,
        settings=settings,
        model=source.facts(encoder),
        limits=BuildLimits(memory_mb=mb),
    )
    _tell_student(encoder)
    return store


def _tell_student(encoder: Encoder) -> None:
    """Warn of documents that a student encoded because its teacher, who encoded those of its bundle, is not there."""
    if isinstance(encoder, BundleEncoder) and encoder.replaces_teacher and encoder.n_documents:
        log.warning(
            "W_STUDENT_DOCUMENTS: %d documents were encoded by the student of the bundle; its own were by the teacher, "
            "which stays in the project",
            encoder.n_documents,
        )


def add_to_store(
    path: Path, files: Sequence[Path], source: StoreModel, columns: StoreColumns, *, replace: bool
) -> Store:
    """Add the rows of tables; with ``replace`` those whose ids are there take their place."""
    encoder = encoder_of(Store.open(path, verify=False), source)
    with writing(path) as writer:
        writer.store.check_model(fingerprint(encoder.spec.as_dict()))
        store = writer.add(_batches(files, encoder, columns), replace=replace)
    _tell_student(encoder)
    return store


def delete_from_store(path: Path, doc_ids: Sequence[str]) -> Store:
    """Delete records by id: all, or none when one is not there."""
    if not doc_ids:
        raise ConfigError("E_OPTION", "name ids to delete, or a file with --file")
    with writing(path) as writer:
        return writer.delete(list(dict.fromkeys(doc_ids)))


def compact_store(path: Path, index: Path | None) -> Store:
    """Write all records into one part with an index anew, as a TOML file says or as it was."""
    with writing(path) as writer:
        return writer.compact(settings_of(index) if index else None)


def record_of(store: Store, doc_id: str) -> Record:
    """Return a record; `ConfigError` for an unknown id."""
    record = store.get(doc_id)
    if record is None:
        raise ConfigError("E_ID_UNKNOWN", f"no record {doc_id!r} in {store.path}")
    return record


def migrate_store(path: Path, source: StoreModel) -> Store:
    """Encode all texts of a store with another model; the old vectors answer until it is done."""
    encoder = source.load()
    with writing(path) as writer, progress("encode texts", len(writer.store)) as bar:

        def encode(texts: Sequence[str]) -> Any:
            bar.advance(len(texts))
            return encoder.encode(texts, "document")

        store = writer.migrate(encode, encoder.spec.dim, source.facts(encoder))
    _tell_student(encoder)
    return store


def search_store(
    path: Path, texts: Sequence[str], source: StoreModel, k: int, where: Filter | None
) -> list[list[StoreHit]]:
    """Return the hits of each text."""
    store = Store.open(path, verify=False)
    encoder = encoder_of(store, source)
    return store.search(encoder.encode(list(texts), "query"), k, where=where)


def encoder_of(store: Store, source: StoreModel) -> Encoder:
    """Return the encoder of a store: the one that is named, or the one that made it; `ConfigError` for another."""
    if source.bundle is None and not source.model:
        known = as_object(store.model.get("source", {}))
        bundle = Path(as_text(known["bundle"])) if known.get("bundle") else None
        if bundle is not None and not bundle.exists():
            raise ConfigError("E_OPTION", f"{store.path}: its bundle {bundle} is gone; name it with --bundle")
        source = StoreModel(bundle=bundle, model=as_text(known.get("model", "")))
    encoder = source.load()
    store.check_model(fingerprint(encoder.spec.as_dict()))
    return encoder


def settings_of(file: Path | None) -> IndexSettings:
    """Return the section [index] of honed.toml or of what ``honed tune`` printed; 2-bit RaBitQ without a file."""
    if file is None:
        return IndexSettings(backend="composed", codes="rabitq", bits=2)
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("index")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("E_CONFIG", f"{file}: not TOML: {error}") from None
    if table is None:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: no section [index]")
    section = read_section(IndexSection, table, "index", str(file)).check(str(file))
    return IndexSettings(**{setting.name: getattr(section, setting.name) for setting in fields(IndexSettings)})


def facts_of(store: Store) -> dict[str, Any]:
    """Return facts about a store (records, segments, index, model), as plain data."""
    return {
        "version": store.version,
        "records": len(store),
        "deleted": store.n_deleted,
        "dim": store.dim,
        "settings": store.settings.as_dict(),
        "model": dict(store.model),
        "fields": store.fields(),
        "segments": [{"name": entry.name, "records": entry.facts.n} for entry in store.manifest.segments],
    }


def _batches(files: Sequence[Path], encoder: Encoder, columns: StoreColumns) -> Iterator[Batch]:
    waiting: list[Record] = []
    with progress("encode texts") as bar:
        for record in _records(files, columns):
            waiting.append(record)
            if len(waiting) == _BATCH:
                yield Batch(records=waiting, vectors=encoder.encode([entry.text for entry in waiting], "document"))
                bar.advance(len(waiting))
                waiting = []
        if waiting:
            yield Batch(records=waiting, vectors=encoder.encode([entry.text for entry in waiting], "document"))
            bar.advance(len(waiting))


def _records(files: Sequence[Path], columns: StoreColumns) -> Iterator[Record]:
    for path in (item for file in files for item in table_files(file)):
        for table in open_tables(path, columns.format):
            for name in (columns.doc_id, columns.text, *columns.keep, *columns.decimal_comma):
                if name not in table.columns:
                    raise DataError(
                        "E_HEADER_MISSING",
                        f"{table.file}: no column {name}; found: {', '.join(table.columns)}"
                        f"{did_you_mean(name, table.columns)}",
                    )
            for row in table.rows:
                if isinstance(row, Reject):
                    raise DataError(row.code, str(row))
                yield _record(row, columns)


def _record(row: Row, columns: StoreColumns) -> Record:
    doc_id, text = only_value(row.values.get(columns.doc_id)), only_value(row.values.get(columns.text))
    if isinstance(doc_id, int) and not isinstance(doc_id, bool):
        doc_id = str(doc_id)
    for name, value in ((columns.doc_id, doc_id), (columns.text, text)):
        if not isinstance(value, str) or is_blank(value):
            raise DataError("E_TEXT_EMPTY", f"{row.file}, {row.where}, {name}: no text")
    names = columns.keep or [name for name in row.values if name not in (columns.doc_id, columns.text)]
    shown = {name: value for name in names if (value := _field(row, name, columns)) is not None}
    for name, value in ((columns.doc_id, doc_id), (columns.text, text), *shown.items()):
        if holds_nul(value):
            raise DataError("E_NUL", f"{row.file}, {row.where}, {name}: holds a NUL character")
    return Record(doc_id=str(doc_id), text=str(text), fields=shown)


def _field(row: Row, name: str, columns: StoreColumns) -> str | float | int | bool | None:
    """Return the value of a field, None where it has none; `DataError` for several, and for what is no number."""
    value = row.values.get(name)
    if isinstance(value, list):
        value = only_value(value)
    if value is None or value == "" or is_missing(value):
        return None
    if not isinstance(value, str | int | float | bool):
        raise DataError("E_TYPE", f"{row.file}, {row.where}, {name}: a field holds one value, not a list")
    if name not in columns.decimal_comma or not isinstance(value, str):
        return value
    number = decimal_text(value, ",")
    if number is None:
        raise DataError("E_NUMBER", f"{row.file}, {row.where}, {name}: {value!r} is no number with a decimal comma")
    return float(number)
