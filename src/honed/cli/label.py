"""honed label: labels from rules and a few hand labels."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Encoding, Folder, Json
from honed.core.errors import ConfigError
from honed.core.progress import log_to_stderr
from honed.label.report import LabelReport


def register(app: typer.Typer) -> None:
    """Add the command with its own commands."""
    group = typer.Typer(
        help="Labels for all records, from rules, lists of terms and a few hand labels.",
        epilog="Example: honed label  or  honed label --serve  or  honed label suggest",
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.callback()(with_limits(label))
    group.command(epilog="Example: honed label suggest -n 10  or  honed label suggest --records 20 --json")(suggest)
    group.command("import", epilog="Example: honed label import refinery-export.json --who anna")(import_labels)
    group.command("export", epilog="Example: honed label export tasks.json --tool label-studio")(export_labels)
    group.command(epilog="Example: honed label allow")(allow)
    app.add_typer(group, name="label")


def label(
    context: typer.Context,
    project: Folder = Path(),
    host: Annotated[str, typer.Option(help="With --serve: the address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --serve: the port; 0 takes a free one.")] = 8081,
    who: Annotated[str, typer.Option(help="With --serve: the name that labels are kept under.")] = "",
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Open the page to label by keyboard.")] = False,
    majority: Annotated[bool, typer.Option("--majority", help="Combine by majority vote.")] = False,
    allow_worse: Annotated[
        bool, typer.Option("--allow-worse", help="Write labels even where fewer are right than asked for.")
    ] = False,
    json: Json = False,
) -> None:
    """Label all records: run the rules, teach the learner, combine, draw the line."""
    if context.invoked_subcommand is not None:
        if project != Path() or serve or majority or allow_worse or json:
            raise ConfigError(
                "E_OPTION",
                f"options stand behind the sub-command: honed label {context.invoked_subcommand} --project FOLDER",
            )
        return
    from honed.api.project import Project
    from honed.core.stage import Inputs
    from honed.shapes.labels.labeling import LabelArtifact

    given = {"label.combine": "majority"} if majority else {}
    given |= {"label.when_worse": "warn"} if allow_worse else {}
    if serve:
        from honed.serve.label_server import LabelPageOptions, serve_labels

        log_to_stderr({"honed.server": logging.INFO, "honed.access": logging.ERROR})
        serve_labels(project, LabelPageOptions(host=host, port=port, who=who, overrides=given))
        return
    opened = Project(project, settings=given, listener=terminal.stage_line)
    made = Inputs(opened.run(until="label")).need(LabelArtifact)
    report = made.report()
    if json:
        terminal.emit_json(report)
        return
    print_labels(report)
    terminal.emit(f"labels: {made.path('labels.parquet')}")
    terminal.emit(f"report: {made.path('label.html')}")


def print_labels(report: LabelReport) -> None:
    """Print how labels came about and how right they are, for people."""
    for warning in report.warnings:
        terminal.say(f"{warning.code}: {warning.message}")
    terminal.table(
        ["rule", "says", "coverage", "overlap", "conflict", "precision", "low", "high", "n"],
        [
            [
                rule.rule,
                ", ".join(rule.classes),
                *(_percent(share) for share in (rule.coverage, rule.overlap, rule.conflict)),
                *(_percent(bound) for bound in (rule.precision.mean, rule.precision.low, rule.precision.high)),
                str(rule.judged),
            ]
            for rule in report.rules
        ],
    )
    terminal.emit(f"combined by {report.combine.reason}")
    if report.learner:
        learner = report.learner
        terminal.emit(
            f"learner taught by {learner.lesson}: C = {learner.c:g}, weight of nearness {learner.nearness:g}, "
            "as was best on hand labels judged unseen"
        )
    if not report.by_class:
        terminal.emit("one threshold for all classes: too few hand labels to keep the classes' shares")
    terminal.emit(f"{report.labelled} of {report.records} records labelled")
    for evaluation, name in (
        (report.on_hand_labels, "on hand labels, each judged unseen"),
        (report.on_test, "on test"),
    ):
        if evaluation:
            kept, accuracy = evaluation.kept, evaluation.kept.accuracy
            terminal.emit(
                f"{name} (n={kept.n}): {_percent(accuracy.mean)} % right ({_percent(accuracy.low)} to "
                f"{_percent(accuracy.high)}) at {_percent(kept.coverage)} % coverage; "
                f"{_percent(evaluation.all_records.accuracy.mean)} % without thresholds"
            )
    terminal.table(["class", "estimated share", "from confidence", "precision", "share"], _class_rows(report))


def _class_rows(report: LabelReport) -> list[list[str]]:
    evaluation = report.on_test or report.on_hand_labels
    classes = evaluation.kept.classes if evaluation else {}
    return [
        [
            name,
            _percent(report.class_shares[name]),
            f"{report.thresholds[name]:.2f}",
            _percent(classes[name].precision.mean) if name in classes else "",
            _percent(classes[name].share) if name in classes else "",
        ]
        for name in report.classes
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def suggest(
    project: Folder = Path(),
    n: Annotated[int, typer.Option("-n", help="Terms for each class.")] = 10,
    records: Annotated[int, typer.Option(help="Records worth labelling next.")] = 10,
    *,
    json: Json = False,
) -> None:
    """Propose terms for the lists, and the records that are most worth a hand label."""
    from honed.api.project import Project
    from honed.project.labels import suggestions

    opened = Project(project, listener=terminal.stage_line)
    suggested = suggestions(opened, n, records)
    if json:
        terminal.emit_json(suggested)
        return
    terminal.table(
        ["class", "term", "records", "precision", "low"],
        [
            [term.label, term.term, str(term.records), _percent(term.precision), _percent(term.low)]
            for term in suggested.terms
        ],
    )
    terminal.emit("")
    terminal.table(
        ["record", "likeliest", "text"],
        [[record.id, f"{record.likeliest} {record.confidence:.2f}", record.text[:100]] for record in suggested.records],
    )


def import_labels(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON, JSONL or Parquet with an id and a label for each row.")],
    project: Folder = Path(),
    who: Annotated[str, typer.Option(help="The name that the labels are kept under.")] = "",
    id_column: Annotated[str, typer.Option("--id", help="Column of the record's id.")] = "",
    label_column: Annotated[str, typer.Option("--label", help="Column of the label.")] = "",
    encoding: Encoding = None,
) -> None:
    """Add hand labels from a file to the store; labels of records that are not there are refused."""
    from honed.api.project import Project
    from honed.project.labels import import_hand_labels
    from honed.shapes.labels.task import label_section

    opened = Project(project, listener=terminal.stage_line)
    n = import_hand_labels(opened, file, who=who, id_column=id_column, label_column=label_column, encoding=encoding)
    terminal.emit(f"{n} labels added to {label_section(opened.config).store}")


def export_labels(
    file: Annotated[Path, typer.Argument(help="Where to write.")],
    project: Folder = Path(),
    tool: Annotated[str, typer.Option(help="label-studio, doccano, prodigy or argilla.")] = "label-studio",
    n: Annotated[int, typer.Option("-n", help="How many records, those most worth a label first.")] = 200,
) -> None:
    """Write records for a labelling tool, with their likeliest class; its export is read by  honed label import."""
    from honed.api.project import Project
    from honed.project.labels import export_records

    written = export_records(Project(project, listener=terminal.stage_line), file, tool, n)
    terminal.emit(f"{written} records for {tool} in {file}")


def allow(project: Folder = Path()) -> None:
    """Agree that the rules of a project run on this machine, as they are now; read them first."""
    from honed.api.project import Project

    for file in Project(project).allow_rules():
        terminal.emit(f"may run: {file}")
