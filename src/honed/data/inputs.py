"""Inputs that are no local files: objects at a URL, and the rows of a query to a database; both become files here.

An object is fetched once and kept under its sha256, which honed.toml has to state: nobody trains on another file than
was looked at. A query is asked anew whenever the plan is made, so that new rows count.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from honed.core.errors import ConfigError, DataError, StorageError
from honed.core.fingerprint import sha256_file
from honed.core.optional import require
from honed.core.writing import new_file
from honed.data.values import plain_value

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_QUERY = "sql:"
_BLOCK = 1 << 20
_ROWS = 1000
FOLDER = "inputs"


def is_remote(name: str) -> bool:
    """Tell whether an input is a URL or a query, and no path."""
    return name.startswith(_QUERY) or _URL.match(name) is not None


def local_input(name: str, root: Path, kept: Path, sha256: Mapping[str, str] | None, *, anew: bool = True) -> Path:
    """Return the local path of an input: a path under ``root``, or what was fetched into the folder ``kept``.

    ``sha256`` maps names of objects to what they must hash to; None takes whatever is there, for a first look. Unless
    ``anew`` a query that was asked before is not asked again. Raises `DataError` for another content, `ConfigError`
    where no hash is stated, `StorageError` for what cannot be reached.
    """
    if name.startswith(_QUERY):
        return _asked(name, root, kept, anew=anew)
    return _fetched(name, kept, sha256) if is_remote(name) else root / name


def object_name(url: str) -> str:
    """Return the file name of an object, such as ``names.csv.gz``: what honed.toml states a sha256 for."""
    return PurePosixPath(urlsplit(url).path).name or "object"


def _fetched(url: str, kept: Path, sha256: Mapping[str, str] | None) -> Path:
    name = object_name(url)
    target = kept / hashlib.sha256(url.encode()).hexdigest()[:12] / name
    stated = None if sha256 is None else sha256.get(name) or sha256.get(url)
    if stated and target.is_file() and sha256_file(target) == stated:
        return target
    _download(url, target)
    digest = sha256_file(target)
    if sha256 is not None and stated is None:
        raise ConfigError(
            "E_CHECKSUM", f'{url}: state what it must hash to in honed.toml: [data.sha256] "{name}" = "{digest}"'
        )
    if stated and digest != stated:
        raise DataError("E_CHECKSUM", f"{url}: sha256 is {digest}, data.sha256 says {stated}")
    return target


def _download(url: str, target: Path) -> None:
    require("object stores")
    import fsspec

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with new_file(target) as part, fsspec.open(url, "rb") as source, part.open("wb") as out:
            while block := source.read(_BLOCK):
                out.write(block)
    except ImportError as error:
        raise ConfigError("E_MISSING_PART", f"{url}: {error}") from error
    except StorageError:  # of the place where it is kept
        raise
    except (OSError, ValueError) as error:
        raise StorageError("E_FETCH", f"{url}: cannot be read: {str(error) or type(error).__name__}") from error
    except Exception as error:  # every object store has errors of its own
        raise StorageError("E_FETCH", f"{url}: {type(error).__name__}: {error}") from error


def _asked(name: str, root: Path, kept: Path, *, anew: bool) -> Path:
    """Write the rows of a query as JSON lines; returns the file."""
    url, _, query = name.removeprefix(_QUERY).strip().partition(" ")
    if not query.strip() or "://" not in url:
        example = "sql:sqlite:///names.db SELECT id, label, alias FROM names"
        raise ConfigError("E_SQL", f"{name[:60]!r}: write  sql:URL QUERY  such as  {example}")
    target = kept / f"sql-{hashlib.sha256(name.encode()).hexdigest()[:12]}.jsonl"
    if target.is_file() and not anew:
        return target
    require("databases")
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    kept.mkdir(parents=True, exist_ok=True)
    try:
        address = sqlalchemy.make_url(os.path.expandvars(url))
        if address.get_backend_name() == "sqlite" and address.database:
            if not (root / address.database).is_file():
                raise DataError("E_NO_FILE", f"{address.database}: no such SQLite file")
            address = address.set(database=str(root / address.database))
        engine = sqlalchemy.create_engine(address)
        try:
            with new_file(target) as part, engine.connect() as connection, part.open("w", encoding="utf-8") as out:
                rows = connection.execution_options(stream_results=True).execute(sqlalchemy.text(query))
                _write_rows(list(rows.keys()), rows.partitions(_ROWS), out, query)
        finally:
            engine.dispose()
    except (ArgumentError, ImportError) as error:
        raise ConfigError("E_SQL", f"{_without_password(url)}: {error}") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError("E_SQL", f"{_without_password(url)}: {reason}") from error
    return target


def _write_rows(columns: list[str], blocks: object, out: IO[str], query: str) -> None:
    if len(set(columns)) < len(columns):
        raise DataError("E_HEADER_DUP", f"{query[:60]!r} names a column twice; name each with AS")
    assert hasattr(blocks, "__iter__")
    for block in blocks:
        for row in block:
            values = dict(zip(columns, map(plain_value, row), strict=True))
            out.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
