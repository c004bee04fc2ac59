"""One command for each stage that people run alone, derived from the stages: those of every shape, and of plug-ins."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides

if TYPE_CHECKING:
    from honed.config.config import Config
    from honed.core.artifacts import Artifact
    from honed.core.json import Json as Plain
    from honed.core.stage import Stage
    from honed.shapes.grouped.parts import TripletReport
    from honed.train.reports import MiningReport, StudentReport

Checkpoint = Annotated[
    int | None, typer.Option(help="Go on from this checkpoint of a broken-off training, not from the last.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from honed.stages.all import all_stages

    for stage in all_stages():
        if stage.command:
            example = f"Example: honed {stage.name}  or  honed {stage.name} --json"
            app.command(stage.name, help=stage.command, epilog=example)(with_limits(_command(stage)))


def _command(stage: "Stage[Config]") -> Callable[..., None]:
    """Return the command of a stage; one that trains may go on from an earlier checkpoint."""

    def make(
        project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
    ) -> None:
        _make(stage.name, project, overrides(on_bad_row, encoding), json=json)

    def train(
        project: Folder = Path(),
        checkpoint: Checkpoint = None,
        on_bad_row: OnBadRow = None,
        encoding: Encoding = None,
        *,
        json: Json = False,
    ) -> None:
        _make(stage.name, project, overrides(on_bad_row, encoding), checkpoint, json=json)

    return train if stage.resumes else make


def _make(
    stage: str, project: Path, settings: "dict[str, Plain]", checkpoint: int | None = None, *, json: bool
) -> None:
    """Run up to a stage and show what it left."""
    from honed.api.project import Project

    opened = Project(project, settings=settings, listener=terminal.stage_line)
    if checkpoint is not None:
        terminal.say(f"from {opened.runner.rewind(stage, checkpoint)}")
    made = opened.run(until=stage)[stage]
    if json:
        terminal.emit_json(_plain(made))
    else:
        _show(made)


def _plain(made: "Artifact") -> object:
    from honed.artifacts.models import DistilArtifact, Mined, TrainArtifact
    from honed.shapes.relations.compile import TripletArtifact

    if isinstance(made, TripletArtifact):
        return made.report()
    if isinstance(made, Mined):
        return made.mining()
    if isinstance(made, DistilArtifact):
        return made.student()
    if isinstance(made, TrainArtifact):
        return made.history()
    return {"folder": str(made.folder), **made.manifest.facts}


def _show(made: "Artifact") -> None:
    from honed.artifacts.models import DistilArtifact, Mined
    from honed.shapes.relations.compile import TripletArtifact

    if isinstance(made, TripletArtifact):
        _show_triplets(made.report())
    elif isinstance(made, Mined):
        _show_mining(made.mining())
    elif isinstance(made, DistilArtifact):
        _show_students(made.student())
    else:
        terminal.emit(str(made.folder))


def _show_triplets(report: "TripletReport") -> None:
    terminal.emit(f"{report.triplets} triplets of {report.sentences} sentences, {report.relations} relations")
    for reason, count in (report.dropped | report.notes).items():
        terminal.emit(f"  {reason}: {count}")
    for sample in report.samples:
        terminal.emit("")
        terminal.emit(sample.relation)
        terminal.emit(f"  anchor    {sample.anchor}")
        terminal.emit(f"  positive  {sample.positive}")
        for text in sample.negatives:
            terminal.emit(f"  negative  {text}")


def _show_mining(report: "MiningReport") -> None:
    shares = report.estimated_false_negatives
    terminal.emit(f"{report.chosen} negatives for {report.anchors} anchors; {report.anchors_without} have none")
    if report.calibrated and report.threshold is not None and shares.chosen is not None and shares.top is not None:
        terminal.emit(
            f"estimated to be right after all: {100 * shares.chosen:.2f} % of them ({100 * shares.top:.2f} % of "
            f"the nearest); similarity up to {report.threshold:.3f}, from {report.calibrated_on}"
        )
    terminal.table(["not taken", "count"], [[reason, str(count)] for reason, count in report.rejected.items()])
    for kind, pairs in (report.samples or {}).items():
        rows = [[pair.anchor, pair.document, f"{pair.score:.3f}"] for pair in pairs[:8]]
        if rows:
            terminal.emit("")
            terminal.table([f"{kind}: anchor", "document", "cosine"], rows)


def _show_students(report: "StudentReport") -> None:
    teacher = report.teacher
    rows = [["teacher", f"{teacher.mb:.1f}", f"{teacher.ms:.2f}", f"{teacher.dev:.4f}", ""]]
    rows += [
        [
            student.name,
            f"{student.mb:.1f}",
            f"{student.ms:.2f}",
            "over budget" if student.dev is None else f"{student.dev:.4f}",
            "kept" if student.chosen is not False else "",
        ]
        for student in report.tried
    ]
    terminal.table(["model", "MB in int8", "ms a query", "dev MRR@10", ""], rows)
    for title, facts in (("vocabulary", report.student.vocabulary), ("targets", report.student.targets)):
        if facts is not None:
            terminal.emit(f"{title}: {facts.sentence()}")
