"""The page of a report, with what all shapes share; each shape gives its template and what only it draws."""

from collections.abc import Sequence

from honed.artifacts.report import JudgedReport, Report
from honed.evaluate.page import (
    Geometry,
    bar_chart,
    comparison_sentence,
    environment,
    slices_shown,
    still_ahead,
)
from honed.evaluate.slices import FEW, scripts_shown
from honed.shapes.systems import TRAINED, TUNED
from honed.train.history import TrainingHistory
from honed.train.reports import MiningReport

TEMPLATES = "honed.shapes"


def render(template: str, report: Report, first: str, **parts: object) -> str:
    """Return the page of a report from a template; ``first`` is the measure that is drawn."""
    page = environment(TEMPLATES, trained=TRAINED).get_template(template)
    return page.render(
        report=report,
        first=first,
        bars=bar_chart(report.systems, first, report.ceiling, TRAINED),
        slice_names=slices_shown(report.systems),
        script_names=scripts_shown(report.systems),
        few=FEW,
        curve=training_curve(report.training),
        story=story(report, first),
        **parts,
    )


def render_judged(report: JudgedReport, audit: Sequence[str]) -> str:
    """Return the page of a report on judged tasks; ``audit`` are sentences on the data."""
    first = next(iter(report.systems[0].measures)) if report.systems else "R@1"
    judged = any(name.startswith("Judged") for system in report.systems[:1] for name in system.measures)
    return render(
        "report.html.j2", report, first, chances=calibration_curve(report.mining), audit=audit, counts_judged=judged
    )


def story(report: Report, measure: str) -> list[str]:
    """Return the findings of a report in sentences."""
    sentences = [comparison_sentence(comparison) for comparison in report.comparisons if comparison.measure == measure]
    if report.headroom:
        sentences.append(report.headroom.said_after or report.headroom.said)
    if ahead := still_ahead(report.systems, TUNED, measure, TRAINED):
        sentences.append(ahead)
    if report.protocol == "catalogue":
        sentences.append(
            "Protocol catalogue: the test pairs were trained on. These figures say how well the model repeats what it "
            "was taught, and nothing about new names; the dictionary shows what a plain lookup scores here."
        )
    return sentences


def training_curve(history: TrainingHistory | None) -> Geometry | None:
    """Return the geometry of the loss and dev curves over steps, each in its own range; None without a history."""
    if history is None or not history.loss:
        return None
    steps = max(1, history.steps)
    lines: Geometry = {}
    for name, points in {
        "loss": [(point.step, point.loss) for point in history.loss],
        "dev": [(point.step, point.score) for point in history.dev],
    }.items():
        low, high = min(value for _, value in points), max(value for _, value in points)
        span = (high - low) or 1.0
        lines[name] = {
            "points": " ".join(f"{40 + 640 * x / steps:.1f},{150 - 130 * (y - low) / span:.1f}" for x, y in points),
            "low": f"{low:.3f}",
            "high": f"{high:.3f}",
        }
    return {**lines, "steps": steps, "best": 40 + 640 * history.best_step / steps}


def calibration_curve(mining: MiningReport | None) -> Geometry | None:
    """Return the geometry of a mining's calibration: the chance that a candidate is right, by its similarity."""
    if mining is None or len(mining.curve) < 2 or mining.threshold is None:
        return None
    points = [(point.score, point.chance) for point in mining.curve]
    low, high = points[0][0], points[-1][0]
    span, top = (high - low) or 1.0, max(chance for _, chance in points) or 1.0

    def across(score: float) -> float:
        place: float = 40 + 640 * (min(max(score, low), high) - low) / span
        return place

    return {
        "points": " ".join(f"{across(score):.1f},{150 - 130 * chance / top:.1f}" for score, chance in points),
        "threshold": round(across(mining.threshold), 1),
        "low": f"{low:.2f}",
        "high": f"{high:.2f}",
        "top": f"{100 * top:.1f}",
    }
