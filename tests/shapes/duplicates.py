"""A shape of data that honed does not bring: records with a group id, as in lists of customers or products.

Records of one group are the same thing, written differently. The first record of a group stands for it; a search with
another record of the group shall find that one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.json import JsonObject
from honed.core.records import Document, Example, JudgedTask, Qrels, Query
from honed.data.rows import Record, Role
from honed.data.split import assign
from honed.data.task import Entity, Name
from honed.shapes.judged import MAIN, JudgedShape
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.shape import Compiled, Source

GROUP_NAMES = ("group", "group_id", "cluster", "cluster_id", "duplicate_of")
SECTIONS = ("[baselines]", "", "[train]", "epochs = 2", "", "[index]", "", "[evaluate]", "")


class DuplicateShape(JudgedShape):
    """One row a record; rows of one group are duplicates of each other."""

    name = "duplicates"
    summary = "records that were entered several times: record -> group"
    title = "record-to-group"
    roles: Sequence[Role] = (
        Role(name="id", kind="id", required=True, unique=True),
        Role(name="text", kind="text", required=True),
        Role(name="group", kind="word", required=True),
    )

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose duplicates where a column is called like a group."""
        if not asked and not files.has("group", GROUP_NAMES):
            return None
        mapping = files.mapping(self.roles, {"group": GROUP_NAMES}, ("group", "id", "text"))
        return files.propose(self.name, mapping, SECTIONS)

    def compile(self, source: Source) -> Compiled:
        """Make pairs of the training groups, one task for each of dev and test, and the groups as entities."""
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in source.imported.records():
            groups[record["group"] or record["id"]].append(record)
        several = [group for group, records in groups.items() if len(records) > 1]
        if not several:
            raise DataError("E_EMPTY", "no group has two records: nothing to learn from")
        split_of = assign(several, source.config.split.split_config())
        return Compiled(
            audit={"records": sum(map(len, groups.values())), "groups": len(groups), "findings": {}},
            examples=[
                Example(anchor=other["text"], positive=groups[group][0]["text"], source="duplicate")
                for group in several
                if split_of[group] == "train"
                for other in groups[group][1:]
            ],
            tasks=[(_task(groups, split_of, split), split) for split in ("dev", "test")],
            entities=[Entity(entity_id=group, label=records[0]["text"]) for group, records in groups.items()],
            names=[
                Name(
                    entity_id=group,
                    text=record["text"],
                    kind="alias" if place else "label",
                    known=not place or split_of[group] == "train",
                )
                for group, records in groups.items()
                for place, record in enumerate(records)
            ],
        )

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return how many records and groups there are."""
        return [f"records: {audit['records']} of {audit['groups']} groups"]

    def check_config(self, config: Config, file: str) -> None:
        """Raise `honed.core.errors.ConfigError` for sections without those that they need."""
        super().check_config(config, file)


def _task(groups: Mapping[str, Sequence[Record]], split_of: Mapping[str, str], split: str) -> JudgedTask:
    """Return the task of a split: its records that do not stand for their group, searched among all groups."""
    asked = [(group, record) for group in split_of if split_of[group] == split for record in groups[group][1:]]
    return JudgedTask(
        name=MAIN,
        queries=[Query(query_id=record["id"], text=record["text"]) for _, record in asked],
        corpus=[Document(doc_id=group, text=records[0]["text"]) for group, records in groups.items()],
        qrels=Qrels(grades={record["id"]: {group: 1} for group, record in asked}),
        groups={record["id"]: group for group, record in asked},
        slices={},
    )


SHAPE = DuplicateShape()
