"""The stage "retrieval": the labelled texts that are searched, and those that search them."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact, ImportArtifact, SearchRecords
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.fingerprint import sha256_file
from honed.core.json import Json
from honed.core.optional import require
from honed.core.ranking import Rows
from honed.core.stage import Stage, Work
from honed.core.text import bare, fold
from honed.core.writing import write_json
from honed.data import task
from honed.data.importer import Importer, PlainRows, iterate_records
from honed.data.rows import Accounting, ImportConfig, Role
from honed.data.tables import file_of, table_files
from honed.shapes.grouped.config import RetrievalSection, retrieval_section

SIDES, FACTS = ("corpus", "queries"), "retrieval.json"
LabelledText: TypeAlias = dict[str, str]  # id, text, label, split
OwnTexts: TypeAlias = Callable[[Work[Config]], list[LabelledText]]
_ROLES = (
    Role(name="text", kind="text", required=True),
    Role(name="label", kind="label", required=True),
    Role(name="split", kind="split", required=True),
)


class Duplicates(msgspec.Struct, kw_only=True):
    """Queries whose text stands in the corpus too."""

    count: int
    with_another_label: int
    excluded: bool
    samples: list[str]


class RetrievalFacts(msgspec.Struct, kw_only=True):
    """Sizes of corpus and queries, whether they are the ``same`` texts, and how many queries have no right answer.

    ``import`` on disk are the books of the section's own tables.
    """

    corpus: int
    queries: int
    labels: int
    same: bool
    splits: list[str]
    accounting: Json = msgspec.field(name="import")
    duplicates: Duplicates
    without_an_answer: int


class RetrievalTexts(SearchRecords):
    """Labelled texts: the corpus that is searched, and the queries."""

    def facts(self) -> RetrievalFacts:
        """Return the sizes of corpus and queries, and how they overlap."""
        return self.read(FACTS, RetrievalFacts)

    def side(self, name: str) -> list[LabelledText]:
        """Return the texts of a side: "corpus" or "queries"."""
        return task.read_rows(self.path(f"{name}.parquet"))


class LabelledRecords(SearchRecords):
    """Records with the labels that a stage of the shape gave them."""


def retrieval_stage(own_texts: OwnTexts, *, among_themselves: bool, wanted: Callable[[Config], bool]) -> Stage[Config]:
    """Return the stage for a shape: ``own_texts`` are searched where [retrieval] names no tables.

    ``among_themselves`` says that those texts have no sides of their own: what was held out searches itself.
    """

    def settings(config: Config, root: Path) -> dict[str, Json]:
        section = retrieval_section(config)
        files = [file for name in section.input for file in table_files(root / name)]
        return {
            "files": [[file.name, sha256_file(file_of(file))] for file in files],
            "columns": dict(section.columns),
            "splits": [list(section.corpus), list(section.queries)],
            "exclude": section.exclude_duplicates,
            "format": config.data.import_config().format.key(),
            "split": config.split.settings(),
            "given": "split" in config.data.columns,
        }

    def run(work: Work[Config]) -> dict[str, Json]:
        return gather(work, own_texts, among_themselves=among_themselves)

    return Stage(
        name="retrieval",
        artifact=RetrievalTexts,
        needs=(ImportArtifact, CheckArtifact, LabelledRecords),
        wanted=lambda config: wanted(config) and config.index is not None,
        settings=settings,
        run=run,
    )


def held_out(splits: Collection[str]) -> str:
    """Return the split that nothing was trained on: test, or dev where there is no test."""
    return "test" if "test" in splits or "dev" not in splits else "dev"


def gather(work: Work[Config], own_texts: OwnTexts, *, among_themselves: bool) -> dict[str, Json]:
    """Gather corpus and queries, look for texts that stand in both, and write the corpus as records to search."""
    section = retrieval_section(work.config)
    if section.annoy_trees:  # told before the work
        require("Annoy")
    rows, books = _imported(work, section) if section.input else (own_texts(work), None)
    splits, same = list(section.queries), False
    sides = {
        side: [row for row in rows if row["split"] in wanted]
        for side, wanted in zip(SIDES, (section.corpus, section.queries), strict=True)
    }
    if among_themselves and not section.input:
        splits = [held_out({row["split"] for row in rows})]
        searched = [row for row in rows if row["split"] in splits]
        sides, same = {"corpus": searched, "queries": searched}, True
    label_of = {_copy_key(row["text"]): row["label"] for row in sides["corpus"]}
    doubles = [] if same else [row for row in sides["queries"] if _copy_key(row["text"]) in label_of]
    if section.exclude_duplicates and not same:
        left_out = {row["id"] for row in doubles}
        sides["queries"] = [row for row in sides["queries"] if row["id"] not in left_out]
    _write_sides(work.folder, sides, fewest=1 + same)
    taught = Counter(row["label"] for row in sides["corpus"])
    facts = RetrievalFacts(
        corpus=len(sides["corpus"]),
        queries=len(sides["queries"]),
        labels=len(taught),
        same=same,
        splits=splits,
        accounting=books.as_dict() if books else None,
        duplicates=Duplicates(
            count=len(doubles),
            with_another_label=sum(label_of[_copy_key(row["text"])] != row["label"] for row in doubles),
            excluded=section.exclude_duplicates,
            samples=[row["text"] for row in doubles[:5]],
        ),
        without_an_answer=sum(taught[row["label"]] < 1 + same for row in sides["queries"]),
    )
    write_json(work.folder / FACTS, facts)
    return {"corpus": facts.corpus, "queries": facts.queries, "labels": facts.labels}


def _write_sides(folder: Path, sides: dict[str, list[LabelledText]], *, fewest: int) -> None:
    """Write both sides, and the corpus as records to search; `DataError` for a side without texts."""
    for side, rows in sides.items():
        if len(rows) < fewest:
            raise DataError(
                "E_SPLIT_EMPTY", f"no labelled text for the {side} of [retrieval]: see its splits and its input"
            )
    for side, rows in sides.items():
        task.write_rows(folder / f"{side}.parquet", rows, task.LABELLED)
    entities = [
        task.Entity(entity_id=row["id"], label=row["text"], fields={"label": row["label"]}) for row in sides["corpus"]
    ]
    task.save_names(folder, entities, task.label_names(entities))


def _copy_key(text: str) -> str:
    """Return the key that copies of a text share: letters and digits, folded; a text of signs alone is its own key."""
    return bare(text) or fold(text)


def _imported(work: Work[Config], section: RetrievalSection) -> tuple[list[LabelledText], Accounting]:
    """Read the tables of [retrieval]; rows without an id are numbered."""
    form = work.config.data.import_config()
    columns = {role: name for role, name in section.columns.items() if role != "id"}
    config = ImportConfig(shape="labels", columns=columns, on_bad_row=form.on_bad_row, format=form.format)
    importer = Importer(config, PlainRows(_ROLES))
    books = importer.run([work.root / name for name in section.input], work.folder)
    rows = [
        {"id": f"u{number}", **{role: record[role] for role in ("text", "label", "split")}}
        for number, record in enumerate(iterate_records(work.folder))
    ]
    return rows, books


@dataclass(frozen=True, kw_only=True)
class LabelledQueries:
    """Corpus and queries with their classes ``(m,)`` and ``(n,)``; ``own`` are rows of queries in the corpus."""

    corpus: Sequence[str]
    queries: Sequence[str]
    corpus_classes: Rows
    classes: Rows
    names: list[str]
    own: Rows | None
    facts: RetrievalFacts

    @classmethod
    def of(cls, texts: RetrievalTexts) -> "LabelledQueries":
        """Read them from the artifact of the stage."""
        rows = {side: texts.side(side) for side in SIDES}
        names = sorted({row["label"] for side in rows.values() for row in side})
        number = {name: place for place, name in enumerate(names)}
        classes = {side: np.array([number[row["label"]] for row in rows[side]], dtype=np.int64) for side in SIDES}
        facts = texts.facts()
        return cls(
            corpus=[row["text"] for row in rows["corpus"]],
            queries=[row["text"] for row in rows["queries"]],
            corpus_classes=classes["corpus"],
            classes=classes["queries"],
            names=names,
            own=np.arange(len(rows["queries"])) if facts.same else None,
            facts=facts,
        )
