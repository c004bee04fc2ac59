"""The shape "labels": texts of which a few have a label, with keyword lists and rules."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from honed.artifacts.data import ImportArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.json import Json, JsonObject
from honed.core.stage import Work
from honed.core.text import fold
from honed.data.rows import Record, Role, RowReader
from honed.data.tables import Row
from honed.evaluate.measures import Measure
from honed.label.config import LabelConfig
from honed.shapes.grouped.base import GroupedShape
from honed.shapes.grouped.config import RetrievalSection
from honed.shapes.grouped.retrieval import RetrievalReport, retrieval_report
from honed.shapes.grouped.texts import LabelledText, retrieval_stage
from honed.shapes.labels.audit import LabelAudit, audit_labels
from honed.shapes.labels.labeling import ENCODE, LABEL, LabelArtifact
from honed.shapes.labels.page import clouds, labeling_pictures, legend
from honed.shapes.labels.propose import NOT_ACCEPTED, labels_proposal
from honed.shapes.labels.similar import P10, Labels, SimilarReport, similar_dev_score, similar_report
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.report_page import render
from honed.shapes.shape import Compiled, DevScore, Evaluation, Source
from honed.shapes.texts import cut_findings, whole_text

_CUT = "put what tells the classes apart first, or "


def hand_labelled(work: Work[Config]) -> list[LabelledText]:
    """Return the project's own texts with a label that a person gave."""
    labels = Labels.of(work.inputs.need(LabelArtifact))
    return [
        {"id": row["id"], "text": text, "label": row["hand"], "split": row["split"]}
        for row, text in zip(labels.rows, labels.texts, strict=True)
        if row["hand"]
    ]


def _with_texts(imported: ImportArtifact) -> Iterator[tuple[Record, str]]:
    """Yield every record with what is read of it."""
    for record in imported.records():
        yield record, whole_text(record["title"], record["text"])


def _searches(config: Config) -> bool:
    return config.section(RetrievalSection) is not None


class LabelShape(GroupedShape):
    """One row a text; a few have a class."""

    name = "labels"
    summary = "texts of which a few have a label: weak labels with confidence, and find similar"
    roles: Sequence[Role] = (
        Role(name="id", kind="id", required=True, unique=True, numbered=True),
        Role(name="title", kind="text", required=False, may_be_empty=True),
        Role(name="text", kind="text", required=False),
        Role(name="label", kind="label", required=False),
        Role(name="weak", kind="given", required=False),
        Role(name="confidence", kind="share", required=False),
        Role(name="answer", kind="word", required=False),
        Role(name="split", kind="split", required=False),
    )
    keeps_empty_fields = True  # rules ask for columns, filled or not
    sections: Mapping[str, type] = {"label": LabelConfig, "retrieval": RetrievalSection}
    stages = (ENCODE, LABEL, retrieval_stage(hand_labelled, among_themselves=False, wanted=_searches))

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose labels where there is a text, or an id and a class."""
        return labels_proposal(files, self.roles, asked=asked)

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row; a label that an annotator did not accept is none."""
        column = reader.config.columns.get("answer", "")
        answer = fold(str(row.values.get(column or "answer") or ""))
        if answer not in NOT_ACCEPTED or "label" not in reader.config.columns:
            return reader.read(row)
        if not column:
            advice = 'its label counts all the same; otherwise set  answer = "answer"  under [data.columns]'
            reader.books.warn("W_LABEL_REJECTED", f"{row.file}, {row.where}: the answer is {answer}; {advice}")
            return reader.read(row)
        reader.books.warn("W_LABEL_REJECTED", f"{row.file}, {row.where}: the answer is {answer}: not labelled")
        return reader.read(row) | {"label": ""}

    def check_config(self, config: Config, file: str) -> None:
        """Raise `ConfigError` when there is nothing to read, and for sections that do not go together."""
        reads = config.has("label") or config.train or config.index
        if reads and not {"title", "text"} & set(config.data.columns):
            raise ConfigError(
                "E_CONFIG_MISSING", f"{file}: labelling needs data.columns.text or title: what is to be read?"
            )
        self.check_grouped(config, file, {})

    def compile(self, source: Source) -> Compiled:
        """Audit the records; what is trained on and searched is made by the stage "label"."""
        config = source.config
        audit = audit_labels(
            ({**record, "text": text} for record, text in _with_texts(source.imported)),
            has_splits="split" in config.data.columns,
            declared=bool(config.data.labels),
            unknown=source.unknown,
            weak=config.has("label"),
            searched=_searches(config),
            on_leak=config.split.on_leak,
        )
        texts = (text for _, text in _with_texts(source.imported))
        audit.findings |= cut_findings(texts, audit.records, config.model, what="texts", advice=_CUT)
        return Compiled(audit=msgspec.to_builtins(audit))

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return the sentences that summarise an audit."""
        return msgspec.convert(audit, LabelAudit).lines()

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return whether labels come from rules too, which the audit takes into account."""
        return {"weak": config.has("label")}

    def dev_score(self, work: Work[Config]) -> DevScore:
        """Return the average precision of dev's records among all hand-labelled ones."""
        return similar_dev_score(work)

    def evaluate(self, evaluation: Evaluation) -> Report:
        """Measure find-similar on the test records, or the labelled texts of [retrieval]."""
        if self.searches_labelled(evaluation.work.config):
            return retrieval_report(evaluation.work)
        return similar_report(evaluation.work)

    def read_report(self, artifact: EvaluateArtifact) -> Report:
        """Return the report of find-similar, or of labelled texts that find each other."""
        kind = RetrievalReport if "retrieval" in artifact.report_json() else SimilarReport
        return artifact.report(kind)

    def render(self, report: Report) -> str:
        """Return the page of the report."""
        if isinstance(report, RetrievalReport):
            return self.render_retrieval(report)
        assert isinstance(report, SimilarReport)
        measures = [Measure.parse(name) for name in report.systems[0].measures]
        first = str(P10 if P10 in measures else measures[0])
        return render(
            "similar.html.j2",
            report,
            first,
            clouds=clouds(report.picture),
            legend=legend(report.classes),
            **labeling_pictures(report.labels),
        )


SHAPE = LabelShape()
