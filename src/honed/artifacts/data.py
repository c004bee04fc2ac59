"""Records, training examples, judged tasks and names: what is made of the user's files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from honed.core.artifacts import Artifact
from honed.core.json import Json
from honed.core.protocols import Vectors
from honed.core.records import Example, JudgedTask
from honed.data import task
from honed.data.importer import ACCOUNTING, RECORDS, iterate_records
from honed.data.rows import Record

AUDIT, VECTORS = "audit.json", "vectors.npy"


class ImportArtifact(Artifact):
    """The accepted records of the user's files, and the books of what was rejected."""

    def records(self) -> Iterator[Record]:
        """Yield the records, in the order of the files."""
        return iterate_records(self.folder)

    @property
    def table(self) -> Path:
        """The Parquet file of the records."""
        return self.path(RECORDS)

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


class BaseVectors(Artifact):
    """An artifact with the base model's vectors of all records, in their order."""

    def vectors(self) -> Vectors:
        """Return the vectors ``(n_records, dim)``."""
        found: Vectors = np.load(self.path(VECTORS), allow_pickle=False)
        return found
