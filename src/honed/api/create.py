"""New projects from data that Python holds: where it is written, and what honed proposes for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Self
from weakref import finalize

from honed.api import frames
from honed.api.frames import Data
from honed.config.config import FILE
from honed.core.json import Json
from honed.pipeline.honed_toml import with_overrides
from honed.pipeline.runner import Listener
from honed.project.init import propose
from honed.project.workspace import Workspace

# what a row that is a tuple holds, by shape
TUPLE_ROLES: Mapping[str, Sequence[str]] = {
    "aliases": ("alias", "label", "id", "split"),
    "labels": ("id", "text", "label", "title", "split"),
    "judgments": ("id", "text"),
}


class NewFolder:
    """The folder of a new project: one that is named, or a temporary one, which goes when nothing keeps this object."""

    def __init__(self, folder: str | Path | None) -> None:
        self.path = Path(folder or mkdtemp(prefix="honed-"))
        if not folder:
            finalize(self, rmtree, self.path, ignore_errors=True)


class CreatedWorkspace(Workspace):
    """A workspace that can be made of data."""

    _place: NewFolder | None = None

    @classmethod
    def from_data(
        cls,
        data: Data,
        *,
        shape: str | None = None,
        columns: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        settings: Mapping[str, Json] | None = None,
        listener: Listener | None = None,
    ) -> Self:
        """Return a project on data of any shape; see the constructors named after the shapes.

        Args:
            data: A data frame (pandas, polars, pyarrow or anything else with the Arrow or the interchange protocol),
                rows (mappings, or tuples in the order of the roles), columns by name, or paths of tables.
            shape: The shape of the data; by default the first that its columns fit.
            columns: Role to column; what is left out is found by the names of the columns.
            folder: Where data and results lie; by default a temporary folder, which goes with the project.
            settings: As for `Project`, in the place of what honed proposes for the data.
            listener: As for `Project`.

        Raises:
            honed.core.errors.DataError: For data that no shape fits, or that is no table.
            honed.core.errors.ConfigError: For columns and settings that do not exist or do not go together.
        """
        place = NewFolder(folder)
        paths = frames.paths_of(data)
        if paths is None:
            names = list(columns.values()) if columns else []
            paths = [frames.write_parquet(data, place.path / "data" / "data.parquet", names)]
        given = {role: column for role, column in (columns or {}).items() if column}
        return cls._proposed(place, paths, given, shape, settings, listener)

    @classmethod
    def from_pairs(
        cls,
        data: Data,
        *,
        alias: str = "",
        label: str = "",
        id: str = "",  # noqa: A002 - the word for it
        split: str = "",
        folder: str | Path | None = None,
        settings: Mapping[str, Json] | None = None,
    ) -> Self:
        """Return a project on names and their aliases: rows, or tuples (alias, label).

        ``alias``, ``label``, ``id`` and ``split`` name columns where their own names do not tell. See `from_data`.
        """
        return cls._of_shape(
            data, "aliases", {"alias": alias, "label": label, "id": id, "split": split}, folder, settings
        )

    @classmethod
    def from_labels(
        cls,
        data: Data,
        *,
        text: str = "",
        label: str = "",
        title: str = "",
        id: str = "",  # noqa: A002 - the word for it
        split: str = "",
        folder: str | Path | None = None,
        settings: Mapping[str, Json] | None = None,
    ) -> Self:
        """Return a project on texts of which some have a label: rows, or tuples (id, text, label).

        An empty label means: not labelled. Rules and lists are settings: ``{"label.rules": ["rules.py"]}``. See
        `from_data`.
        """
        roles = {"id": id, "text": text, "label": label, "title": title, "split": split}
        return cls._of_shape(data, "labels", roles, folder, settings)

    @classmethod
    def from_relations(
        cls,
        data: Data,
        *,
        columns: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        settings: Mapping[str, Json] | None = None,
    ) -> Self:
        """Return a project on sentences with the places of two entities, and their relation.

        ``columns`` maps roles (text, relation, head_start, head_end, tail_start, tail_end, ...) to columns where their
        own names do not tell. See `from_data`.
        """
        return cls.from_data(data, shape="relations", columns=columns, folder=folder, settings=settings)

    @classmethod
    def from_judgments(
        cls,
        documents: Data,
        queries: Data,
        judgments: Data,
        *,
        columns: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        settings: Mapping[str, Json] | None = None,
    ) -> Self:
        """Return a project on queries with judged documents.

        Args:
            documents: Documents: an id, a title or a text, other fields; or tuples (doc_id, text).
            queries: Queries: query_id and query; or such tuples.
            judgments: Judgments: query_id, doc_id, relevance; or such tuples.
            columns: Role (id, title, text) to column of the documents where their own names do not tell.
            folder: As for `from_data`.
            settings: As for `from_data`.
        """
        place, parts = NewFolder(folder), {"documents": documents, "queries": queries, "qrels": judgments}
        names = {
            "documents": ("doc_id", "text"),
            "queries": ("query_id", "query"),
            "qrels": ("query_id", "doc_id", "relevance"),
        }
        paths: list[Path] = []
        for part, data in parts.items():
            named = frames.paths_of(data)
            paths += named or [frames.write_parquet(data, place.path / "data" / f"{part}.parquet", names[part])]
        return cls._proposed(place, paths, dict(columns or {}), "judgments", settings, None)

    @classmethod
    def _of_shape(
        cls,
        data: Data,
        shape: str,
        roles: Mapping[str, str],
        folder: str | Path | None,
        settings: Mapping[str, Json] | None,
    ) -> Self:
        place = NewFolder(folder)
        names = [roles[role] or role for role in TUPLE_ROLES[shape]]
        paths = frames.paths_of(data) or [frames.write_parquet(data, place.path / "data" / f"{shape}.parquet", names)]
        return cls._proposed(
            place, paths, {role: column for role, column in roles.items() if column}, shape, settings, None
        )

    @classmethod
    def _proposed(
        cls,
        place: NewFolder,
        paths: Sequence[Path],
        columns: Mapping[str, str],
        shape: str | None,
        settings: Mapping[str, Json] | None,
        listener: Listener | None,
    ) -> Self:
        proposal = propose(paths, place.path, given=columns, shape=shape, encoding="utf-8")
        project = cls.__new__(cls)
        project._place = place
        project._open(with_overrides(proposal.tables(), settings or {}), place.path / FILE, listener)
        return project
