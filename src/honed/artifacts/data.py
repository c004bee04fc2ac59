"""Artifacts made of the user's files: records, training examples, judged tasks and names."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from honed.core.artifacts import Artifact
from honed.core.html import html_table
from honed.core.json import Json, JsonObject
from honed.core.protocols import Vectors
from honed.core.records import Example, JudgedTask
from honed.data import task
from honed.data.importer import ACCOUNTING, RECORDS, iterate_records
from honed.data.rows import Record
from honed.evaluate.results import Finding

AUDIT, VECTORS = "audit.json", "vectors.npy"
SIGNS = ("han", "kana")  # one sign is a word or a syllable: that it is a piece of its own says nothing
_SCRIPTS = 8  # that are told of


class ImportBooks(msgspec.Struct, kw_only=True):
    """The books of an import: ``rows_in`` = ``accepted`` + ``rejected``, with counts by code and the first warnings."""

    rows_in: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    warnings: dict[str, int]
    skipped: list[str]
    warning_samples: list[str]
    blank_rows: int = 0
    empty_files: list[str] = []


class ScriptShare(msgspec.Struct, kw_only=True):
    """How the letters of one script are read: shares that are unknown and spelled one by one, and pieces a letter."""

    letters: int
    unknown: float
    spelled: float
    pieces_a_letter: float

    def said(self, name: str) -> str:
        """Return the counts in words."""
        lost = {"unknown": self.unknown, "spelled letter by letter": 0.0 if name in SIGNS else self.spelled}
        told = [f"{100 * share:.0f} % {what}" for what, share in lost.items() if share >= 0.005]
        return f"{name} {self.letters} ({', '.join([*told, f'{self.pieces_a_letter:.2f} pieces a letter'])})"


class ScriptAudit(msgspec.Struct, kw_only=True):
    """How the tokenizer of a base model reads a sample of the texts, by script, the commonest first."""

    base: str
    texts: int
    scripts: dict[str, ScriptShare]

    def line(self) -> str:
        """Return the audit as one sentence."""
        shown = [share.said(name) for name, share in list(self.scripts.items())[:_SCRIPTS]]
        return f"letters of {self.texts} texts as {self.base} reads them: {', '.join(shown)}"


def script_line(audit: JsonObject) -> str:
    """Return the sentence of an audit on scripts; empty where it has none."""
    return msgspec.convert(audit["scripts"], ScriptAudit).line() if audit.get("scripts") else ""


class _AuditParts(msgspec.Struct):
    findings: dict[str, Finding]
    books: ImportBooks = msgspec.field(name="import")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What is in the data: books of the import, findings by code, and ``lines`` that tell the rest; ``data`` is all."""

    data: JsonObject
    books: ImportBooks
    findings: Mapping[str, Finding]
    lines: Sequence[str]

    @classmethod
    def of(cls, data: JsonObject, lines: Sequence[str]) -> Self:
        """Return the audit that plain data holds; ``lines`` are what the shape of the data says of it."""
        parts = msgspec.convert(data, _AuditParts)
        scripts = script_line(data)
        lines = [*lines, *([scripts] if scripts else [])]
        return cls(data=data, books=parts.books, findings=parts.findings, lines=lines)

    def as_dict(self) -> JsonObject:
        """Return the audit as plain data."""
        return self.data

    def _repr_html_(self) -> str:
        books = self.books
        counted = f"{books.rows_in} rows = {books.accepted} accepted + {books.rejected} rejected"
        rows = [("", line) for line in (counted, *self.lines, *books.warning_samples)]
        rows += [
            (code, f"{finding.count}: {'; '.join(finding.samples[:3])}") for code, finding in self.findings.items()
        ]
        return html_table(("", "what is in the data"), rows)


class ImportArtifact(Artifact):
    """The accepted records of the user's files, and the books of what was rejected."""

    def records(self) -> Iterator[Record]:
        """Yield the records, in the order of the files."""
        return iterate_records(self.folder)

    @property
    def table(self) -> Path:
        """The Parquet file of the records."""
        return self.path(RECORDS)

    @property
    def accepted(self) -> int:
        """The number of the records."""
        return int(str(self.manifest.facts["accepted"]))

    def accounting(self) -> Json:
        """Return the books: rows in, accepted, rejected by reason."""
        return self.read_json(ACCOUNTING)


class Examples(Artifact):
    """An artifact with training examples; those of the last stage that made some are trained on."""

    def examples(self) -> list[Example]:
        """Return the training examples."""
        return task.load_examples(self.path(task.EXAMPLES))


class SearchRecords(Artifact):
    """An artifact with what is searched: entities and their names; those of the last such stage are indexed."""

    def names(self) -> list[task.Name]:
        """Return the names of all entities."""
        return task.load_names(self.folder)

    def copy_names(self, folder: Path) -> None:
        """Copy the files of entities and names into a folder."""
        for name in (task.NAMES, task.ENTITIES):
            shutil.copyfile(self.path(name), folder / name)


class CheckArtifact(Examples, SearchRecords):
    """The audit, and what the shape of the data compiled to: examples, judged tasks, names."""

    def audit(self) -> dict[str, Json]:
        """Return the audit as plain data."""
        return self.read(AUDIT, dict[str, Json])

    def task(self, direction: str, split: str) -> JudgedTask:
        """Return a judged task: "dev" or "test" of a direction."""
        return task.load_task(self.folder, direction, split)

    def n_queries(self, direction: str, split: str) -> int:
        """Return how many queries a judged task has, without loading it."""
        return task.count_queries(self.folder, direction, split)


class BaseVectors(Artifact):
    """An artifact with the base model's vectors of all records, in their order."""

    def vectors(self) -> Vectors:
        """Return the vectors ``(n_records, dim)``."""
        values: Vectors = np.load(self.path(VECTORS), allow_pickle=False)
        return values
