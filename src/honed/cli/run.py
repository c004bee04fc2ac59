"""honed run, and one command for each stage that people run alone."""

from pathlib import Path
from typing import Annotated, Any

import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError, GateError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: honed run  or  honed run --until train  or  honed run --dry-run")(run)
    app.command(epilog="Example: honed triplets  or  honed triplets --json")(triplets)
    app.command(epilog="Example: honed train")(train)
    app.command(epilog="Example: honed mine --json")(mine)
    app.command(epilog="Example: honed distil")(distil)
    app.command(epilog="Example: honed index")(index)


def run(
    project: Folder = Path(),
    start: Annotated[str | None, typer.Option("--from", help="Make this stage and all after it anew.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    seeds: Annotated[str, typer.Option(help="Run once for each of these seeds, such as 0,1,2, and compare.")] = "",
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Run all stages of honed.toml; what stands is skipped."""
    from honed.artifacts.evaluation import EvaluateArtifact
    from honed.project.project import Project

    if seeds:
        if start or until or dry_run:
            raise ConfigError("E_OPTION", "--seeds runs everything: it goes without --from, --until and --dry-run")
        _seeds(project, seeds, overrides(on_bad_row, encoding), json=json)
        return
    opened = Project(project, overrides=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    if dry_run:
        for plan in opened.plan(start=start, until=until):
            terminal.emit(f"{plan.stage.name:>10}  {'stands' if plan.stands else 'would run':<10} {plan.key.key}")
        return
    failed: GateError | None = None
    try:
        artifacts = opened.run(start=start, until=until)
    except GateError as error:
        failed, artifacts = error, {"evaluate": opened.runner.latest(EvaluateArtifact)}
    if json:
        terminal.emit_json({name: str(artifact.folder) for name, artifact in artifacts.items()})
    elif "evaluate" in artifacts:
        terminal.print_report(opened.report())
        terminal.emit(f"report: {artifacts['evaluate'].path('report.html')}")
    if failed:
        raise failed


def _seeds(project: Path, text: str, given: dict[str, Any], *, json: bool) -> None:
    from honed.project.seeds import run_seeds

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError("E_OPTION", f"--seeds {text}: expected whole numbers and commas, such as 0,1,2")
    report = run_seeds(project, [int(part) for part in parts], overrides=given, listener=terminal.stage_line)
    if json:
        terminal.emit_json(report)
        return
    terminal.emit(
        f"seeds {', '.join(parts)}; {report.n_queries} queries; mean, 95 % interval and each seed, in percent"
    )
    rows = [
        [
            system.name,
            measure,
            f"{100 * value.mean:.1f}",
            f"{100 * value.low:.1f} to {100 * value.high:.1f}",
            ", ".join(f"{100 * mean:.1f}" for mean in value.each),
        ]
        for system in report.systems
        for measure, value in system.measures.items()
    ]
    terminal.table(["system", "measure", "mean", "interval", "by seed"], rows)
    for measure, gain in report.gain.items():
        terminal.emit(
            f"fine-tuned - base model: {100 * gain.mean:+.1f} points of {measure} "
            f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        )


def triplets(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Build triplets from sentences with entities, and show some of them."""
    found = _until(project, "triplets", overrides(on_bad_row, encoding)).read("triplets.json", dict[str, Any])
    if json:
        terminal.emit_json(found)
        return
    terminal.emit(f"{found['triplets']} triplets of {found['sentences']} sentences, {found['relations']} relations")
    for reason, n in (found["dropped"] | found["notes"]).items():
        terminal.emit(f"  {reason}: {n}")
    for each in found["samples"]:
        terminal.emit("")
        terminal.emit(f"{each['relation']}")
        terminal.emit(f"  anchor    {each['anchor']}")
        terminal.emit(f"  positive  {each['positive']}")
        for text in each["negatives"]:
            terminal.emit(f"  negative  {text}")


def train(
    project: Folder = Path(),
    checkpoint: Annotated[
        int | None, typer.Option(help="Go on from this checkpoint of a broken-off training, not from the last.")
    ] = None,
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
) -> None:
    """Fine-tune, running what must come before it; a training that was broken off goes on."""
    if checkpoint is not None:
        from honed.project.project import Project

        opened = Project(project, overrides=overrides(on_bad_row, encoding))
        terminal.say(f"from {opened.runner.rewind('train', checkpoint)}")
    terminal.emit(str(_until(project, "train", overrides(on_bad_row, encoding)).folder))


def mine(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Mine hard negatives with a calibrated threshold, running what must come before it."""
    found = _until(project, "mine", overrides(on_bad_row, encoding)).read("mining.json", dict[str, Any])
    if json:
        terminal.emit_json(found)
        return
    shares = found["estimated_false_negatives"]
    terminal.emit(f"{found['chosen']} negatives for {found['anchors']} anchors; {found['anchors_without']} have none")
    if found["calibrated"] and found["threshold"] is not None and shares["chosen"] is not None:
        terminal.emit(
            f"estimated to be right after all: {100 * shares['chosen']:.2f} % of them ({100 * shares['top']:.2f} % of "
            f"the nearest); similarity up to {found['threshold']:.3f}, from {found['calibrated_on']}"
        )
    terminal.table(["not taken", "count"], [[reason, str(n)] for reason, n in found["rejected"].items()])
    for kind, lines in found["samples"].items():
        rows = [[each["anchor"], each["document"], f"{each['score']:.3f}"] for each in lines[:8]]
        if rows:
            terminal.emit("")
            terminal.table([f"{kind}: anchor", "document", "cosine"], rows)


def distil(project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None) -> None:
    """Make a small student of the fine-tuned model, running what must come before it."""
    found = _until(project, "distil", overrides(on_bad_row, encoding)).read("student.json", dict[str, Any])
    teacher = ["teacher", found["teacher"]["mb"], found["teacher"]["ms"], found["teacher"]["dev"], ""]
    tried = [
        [each["name"], each["mb"], each["ms"], each.get("dev"), "kept" if each.get("chosen", True) else ""]
        for each in found["tried"]
    ]
    rows = [
        [name, f"{mb:.1f}", f"{ms:.2f}", "over budget" if dev is None else f"{dev:.4f}", kept]
        for name, mb, ms, dev, kept in [teacher, *tried]
    ]
    terminal.table(["model", "MB in int8", "ms a query", "dev MRR@10", ""], rows)


def index(project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None) -> None:
    """Build the search index, running what must come before it."""
    terminal.emit(str(_until(project, "index", overrides(on_bad_row, encoding)).folder))


def _until(project: Path, stage: str, given: dict[str, Any]) -> Artifact:
    from honed.project.project import Project

    return Project(project, overrides=given, listener=terminal.stage_line).run(until=stage)[stage]
