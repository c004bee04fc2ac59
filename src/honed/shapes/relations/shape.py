"""The shape "relations": sentences with a head and a tail entity, and the relation between them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.json import Json, JsonObject
from honed.core.stage import Work
from honed.data.rows import BadRowError, Record, Role, RowReader
from honed.data.tables import Row
from honed.data.task import Entity, label_names
from honed.explain.config import ExplainConfig
from honed.shapes.grouped.base import GroupedShape
from honed.shapes.grouped.config import RetrievalSection
from honed.shapes.grouped.retrieval import RetrievalReport, retrieval_report
from honed.shapes.grouped.texts import LabelledText, retrieval_stage
from honed.shapes.proposal import COLUMN_NAMES, InitFiles, Proposal
from honed.shapes.relations import compile as triplets
from honed.shapes.relations import explain
from honed.shapes.relations.compile import SentenceAudit, audit_sentences, sentences_of, sentences_read
from honed.shapes.relations.sentences import SIDES, TACRED_ENDS, SpanError, placed
from honed.shapes.relations.triplets import TripletConfig
from honed.shapes.shape import Compiled, DevScore, Evaluation, Source
from honed.shapes.texts import cut_findings

# a sentence may come as its tokens, which offsets then count
_COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("tokens", "token", *COLUMN_NAMES["text"]),
    "head": ("head_mentions", "head_spans", "subject_mentions", "h"),
    "head_start": ("head_start", "subj_start", "subject_start"),
    "head_end": ("head_end", "subj_end", "subject_end"),
    "tail": ("tail_mentions", "tail_spans", "object_mentions", "t"),
    "tail_start": ("tail_start", "obj_start", "object_start"),
    "tail_end": ("tail_end", "obj_end", "object_end"),
    "head_type": ("head_type", "subj_type", "subject_type"),
    "tail_type": ("tail_type", "obj_type", "object_type"),
    "relation": ("relation", "relation_name", "predicate", "label"),
}


def related_texts(work: Work[Config]) -> list[LabelledText]:
    """Return the sentences as texts whose label is their relation."""
    return [
        {
            "id": sentence.sentence_id,
            "text": sentence.text,
            "label": sentence.relation,
            "split": sentence.split,
        }
        for sentence in sentences_read(work)
    ]


class RelationShape(GroupedShape):
    """One row a sentence, with the places of its two entities."""

    name = "relations"
    summary = "sentences with two entities and their relation: search by what is said, not by whom"
    roles: Sequence[Role] = (
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
    )
    sections: Mapping[str, type] = {
        "triplets": TripletConfig,
        "retrieval": RetrievalSection,
        "explain": ExplainConfig,
    }
    stages = (
        triplets.STAGE,
        retrieval_stage(related_texts, among_themselves=True, wanted=lambda _: True),
        explain.STAGE,
    )
    report = RetrievalReport

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose relations where columns say where two entities stand."""
        places = [*_places("head", files), *_places("tail", files)]
        named = files.has("relation", _COLUMN_NAMES["relation"])
        placed_well = _both_sides(places) or _is_tagged(files)
        if not asked and "relation" not in files.given and not (named and placed_well):
            return None
        order = ("id", "text", *places, "relation", "head_type", "tail_type", "split")
        given = replace(files, given={**_object_columns(files), **files.given})
        mapping = given.mapping(self.roles, _COLUMN_NAMES, order)
        return given.propose(self.name, mapping, _sections(mapping), data=_ends_lines(given, mapping))

    def check_config(self, config: Config, file: str) -> None:
        """Raise `ConfigError` for sections that do not go together."""
        self.check_grouped(config, file, {"train": ("triplets",)})

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Raise `ConfigError` unless each entity has its mentions, or a start and an end."""
        if not any(role.startswith(SIDES) for role in columns if not role.endswith("_type")):
            return  # they stand in tags
        for side in SIDES:
            ends = {f"{side}_start", f"{side}_end"}
            if (side in columns) == ends.issubset(columns):
                raise ConfigError(
                    "E_CONFIG_MISSING",
                    f"data.columns: where does the {side} stand? Give {side} (a column of all its mentions), or "
                    f"{side}_start and {side}_end",
                )

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row: its text as one string, the character offsets of its entities as JSON."""
        columns = reader.config.columns
        try:
            text, spans = placed(row.values, columns, reader.config.offsets, reader.config.ends)
        except SpanError as error:
            sides = (error.side, f"{error.side}_start")
            column = next((name for role, name in columns.items() if role in sides), columns["text"])
            raise BadRowError("E_SPAN", column, error.reason) from None
        record = reader.read(replace(row, values={**row.values, columns["text"]: text}))
        return record | {side: json.dumps(mentions) for side, mentions in spans.items()}

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return that leaks of given splits are withheld, which was not always so."""
        return {"leaks": "withheld"} if "split" in config.data.columns else {}

    def compile(self, source: Source) -> Compiled:
        """Audit the sentences; they are searched under their text."""
        sentences = sentences_of(source.config, source.imported)
        entities = [
            Entity(entity_id=sentence.sentence_id, label=sentence.text, fields={"label": sentence.relation})
            for sentence in sentences
        ]
        audit = audit_sentences(sentences)
        texts = [sentence.text for sentence in sentences]
        audit.findings |= cut_findings(texts, len(texts), source.config.model, what="sentences", advice="")
        return Compiled(audit=msgspec.to_builtins(audit), entities=entities, names=label_names(entities))

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return the sentences that summarise an audit."""
        return msgspec.convert(audit, SentenceAudit).lines()

    def searches_labelled(self, config: Config) -> bool:
        """Tell that labelled texts are always searched: those of [retrieval], or held-out relations."""
        return True

    def dev_score(self, work: Work[Config]) -> DevScore:
        """Return the share of triplets of dev's relations that a model gets right."""
        return triplets.triplet_dev_score(work.config, work.inputs)

    def evaluate(self, evaluation: Evaluation) -> Report:
        """Measure how labelled texts find each other."""
        return retrieval_report(evaluation.work)

    def render(self, report: Report) -> str:
        """Return the page of the report."""
        assert isinstance(report, RetrievalReport)
        return self.render_retrieval(report)


def _places(side: str, files: InitFiles) -> list[str]:
    """Return the roles that say where an entity stands: all its mentions, or start and end of one."""
    if files.find(side, (), _COLUMN_NAMES[side]) or side in _object_columns(files):
        return [side]
    ends = [f"{side}_start", f"{side}_end"]
    return ends if all(files.find(role, (), _COLUMN_NAMES[role]) for role in ends) else []


def _is_tagged(files: InitFiles) -> bool:
    """Tell whether the texts hold SemEval's tags of entities."""
    column = files.given.get("text") or files.find("text", (), _COLUMN_NAMES["text"])
    return column is not None and any("<e1>" in str(row.values.get(column)) for row in files.rows[:5])


def _object_columns(files: InitFiles) -> dict[str, str]:
    """Return the columns "head" and "tail" where they hold objects with the places of an entity, as few_rel's do."""
    values = files.rows[0].values if files.rows else {}
    held = {side: values.get(side) for side in SIDES if side in files.columns}
    return {side: side for side, value in held.items() if isinstance(value, dict) and {"indices", "pos"} & set(value)}


def _ends_lines(files: InitFiles, mapping: Mapping[str, str]) -> list[str]:
    """Return the line of [data] on the ends of offsets, where some rows say that they are inclusive."""
    pairs = [
        (row.values.get(mapping[f"{side}_start"]), row.values.get(mapping[f"{side}_end"]))
        for side in SIDES
        if f"{side}_end" in mapping
        for row in files.rows
    ]
    same = sum(str(start) == str(end) for start, end in pairs)
    inclusive = bool(same) or mapping.get("head_end") in TACRED_ENDS
    return ['ends = "inclusive"  # an end is that of the last token, as in TACRED'] if inclusive and pairs else []


def _both_sides(places: Sequence[str]) -> bool:
    return all(any(place.startswith(side) for place in places) for side in SIDES)


def _sections(mapping: Mapping[str, str]) -> list[str]:
    split = ["# [split]  # by relation, where the file has no splits", "# test = 0.2", "# dev = 0.1", ""]
    return [
        *(split if "split" not in mapping else []),
        "[triplets]  # see them with  honed triplets",
        'positive = "swap"  # the same sentence of others',
        'negatives = ["same-entities", "same-relation"]  # another relation of the same, and its own with the same',
        "# per_relation = 100  # sentences of a relation at most",
        "",
        "[train]",
        'objective = "triplet"',
        'negatives = "own"  # of each sentence, not of the whole batch',
        "hard_negatives = 2",
        "margin = 0.5",
        "epochs = 1",
        "batch_size = 64",
        "learning_rate = 2e-5",
        "",
        "[index]",
        "",
        "# [retrieval]  # labelled texts to search and to measure with, in place of held-out relations",
        '# input = ["utterances.csv"]',
        '# columns = { text = "text", label = "intent", split = "split" }',
        "# annoy_trees = 20  # an Annoy index beside exact search",
        "",
        "[explain]  # what words count before and after; two texts:  honed explain A B",
        "",
        "[evaluate]",
        "",
    ]


SHAPE = RelationShape()
