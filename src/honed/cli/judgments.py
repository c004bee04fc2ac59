"""honed judgments."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError
from honed.core.optional import require

if TYPE_CHECKING:
    from honed.feedback.click_judgments import ClickJudgments
    from honed.feedback.prediction_powered import Estimate

Files = Annotated[
    list[Path],
    typer.Argument(help="Logs of User Behavior Insights, JSON lines; older parts (FILE.1 ...) are read too."),
]
Out = Annotated[Path, typer.Option(help="Folder for queries.jsonl, qrels.jsonl, clicks.jsonl and clicks.json.")]
Threshold = Annotated[
    list[float] | None,
    typer.Option(
        help="Least attractiveness of a grade, by the lower end of its interval; again for the next grade.",
        show_default="0.1",
    ),
]
MinImpressions = Annotated[int, typer.Option(help="A pair that was shown less often gets no grade.", min=1)]
Confidence = Annotated[float, typer.Option(help="Level of the intervals.", min=0.5, max=0.999)]
Curve = Annotated[
    str,
    typer.Option("--examination", help="The chance that a position is looked at, if known: 1,0.6,0.4. Else learned."),
]
Clicks = Annotated[
    list[str] | None,
    typer.Option(
        "--click",
        help="An action_name that counts as a click; repeatable.",
        show_default="click, click_through, add_to_cart, purchase",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the split of queries.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Judgements from what users did, and by a language model.", no_args_is_help=True)
    group.callback()(_group)
    group.command("from-ubi", epilog="Example: honed judgments from-ubi ubi.jsonl --out clicks/")(from_ubi)
    group.command("judge", epilog="Example: honed judgments judge --project shop")(judge)
    app.add_typer(group, name="judgments")


def _group() -> None:
    """Judgements from what users did, and by a language model."""


def from_ubi(
    files: Files,
    out: Out,
    threshold: Threshold = None,
    min_impressions: MinImpressions = 20,
    confidence: Confidence = 0.9,
    examination: Curve = "",
    click: Clicks = None,
    seed: Seed = 0,
    *,
    json: Json = False,
) -> None:
    """Make judgements of clicks, with what position does to clicks taken out.

    A hit gets a grade for a query only where it would surely be clicked often enough were it shown first. What the
    shape judgments and the section [queries] read is in queries.jsonl and qrels.jsonl; clicks.jsonl has every pair.
    """
    from honed.feedback.click_judgments import ClickOptions, judgments_from_ubi, write_judgments
    from honed.feedback.ubi_log import CLICKS, log_parts

    options = ClickOptions(
        thresholds=tuple(threshold or (0.1,)),
        min_impressions=min_impressions,
        confidence=confidence,
        examination=_curve(examination),
        clicks=tuple(click or CLICKS),
        seed=seed,
    )
    judged = judgments_from_ubi([part for file in files for part in log_parts(file)], options)
    summary = write_judgments(judged, out)
    if json:
        terminal.emit_json({**summary, "out": str(out)})
        return
    for line in _lines(judged):
        terminal.emit(line)
    terminal.emit(f"judgements are in {out}")


def judge(
    project: Folder = Path(),
    *,
    force: Annotated[bool, typer.Option("--force", help="Go on though it does not agree with people.")] = False,
    json: Json = False,
) -> None:
    """Let the language model of [judge] grade the first hits of all systems, and tell what that is worth.

    How far it agrees with people is measured first. Its grades stand apart, in judge/ of the output folder: no stage,
    no measure of the report and no gate reads them. Differences are corrected by the queries that people judged whole.
    """
    require("reading tables")
    from honed.project.judge import judge_project
    from honed.project.workspace import Workspace

    report = judge_project(Workspace(project), force=force)
    if json:
        terminal.emit_json(report)
        return
    agreement = report.agreement
    forced = ", forced" if report.is_forced else ""
    terminal.emit(
        f"{report.model} and people: kappa {agreement.kappa:.2f} ({agreement.low:.2f} to {agreement.high:.2f}), "
        f"the same grade in {agreement.same:.0%} of {agreement.n} pairs{forced}"
    )
    terminal.emit(
        f"pairs: {report.pairs_judged_by_people:,} judged by people, {report.pairs_judged_by_model_alone:,} by the "
        f"model alone, {report.unreadable:,} answers without a grade; {report.spent}"
    )
    if report.differences:
        first = report.differences[0]
        terminal.emit(
            f"{report.measure} in percent, {first.candidate} - the other: by people on "
            f"{report.groups_judged_by_people} queries, corrected on {report.groups_judged_by_model} more, by the "
            "model alone (biased, no interval)"
        )
        terminal.table(
            ["against", "people", "corrected", "weight", "model alone"],
            [
                [
                    row.reference,
                    _estimate(row.by_people),
                    _estimate(row.corrected),
                    f"{row.corrected.weight:.2f}",
                    f"{100 * row.by_model:+.1f}",
                ]
                for row in report.differences
            ],
        )
    terminal.emit(report.note)


def _estimate(estimate: "Estimate") -> str:
    return f"{100 * estimate.mean:+.1f} ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"


def _curve(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError("E_OPTION", f"--examination {text}: write numbers, 1,0.6,0.4") from None


def _lines(judged: "ClickJudgments") -> list[str]:
    """Return the summary in sentences."""
    impressions, pairs, examination = judged.impressions, judged.pairs, judged.examination
    shown = examination.values[examination.known]
    places = [str(place + 1) for place in examination.known.nonzero()[0]]
    curve = ", ".join(f"{place}: {value:.2f}" for place, value in zip(places, shown, strict=True))
    source = (
        f"learned from {examination.n_clicks:,} clicks on {examination.n_pairs:,} pairs at several positions"
        if examination.n_pairs
        else "as given"
    )
    grades = ", ".join(
        f"{grade} (from {least:g}): {int((judged.grades == grade).sum()):,}"
        for grade, least in enumerate(judged.options.thresholds, 1)
    )
    return [
        f"{impressions.n_searches:,} searches, {len(impressions.position):,} impressions, "
        f"{int(impressions.is_clicked.sum()):,} clicks, {len(impressions.texts):,} queries, {len(pairs.query):,} pairs",
        *(f"left out: {count:,} {reason}" for reason, count in sorted(impressions.left_out.items())),
        f"examination by position: {curve} ({source})",
        f"grades: {grades}",
    ]
