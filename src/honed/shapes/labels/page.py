"""The pages of labeled texts: what rules and a few hand labels gave, and how well vectors keep classes together."""

from collections.abc import Sequence
from typing import Any

import msgspec

from honed.evaluate.page import COLOURS, Geometry, environment
from honed.label.report import LabelEvaluation, LabelReport
from honed.shapes.report_page import TEMPLATES

_PARTS = {"on_test": "test", "on_hand_labels": "hand labels"}


class Cloud(msgspec.Struct, kw_only=True):
    """Points ``[x, y, class]`` of records on the two main directions of a system's vectors."""

    name: str
    points: list[tuple[float, float, int]]


def render_labeling(labels: LabelReport, title: str) -> str:
    """Return the page of a labeling report."""
    page = environment(TEMPLATES).get_template("labelling.html.j2")
    return page.render(report={"title": title}, labels=labels, **labeling_pictures(labels))


def labeling_pictures(labels: LabelReport) -> dict[str, Any]:
    """Return the geometry of the plots of accuracy over coverage, on test and on hand labels."""
    parts = {"on_test": labels.on_test, "on_hand_labels": labels.on_hand_labels}
    evaluated = {part: part_report for part, part_report in parts.items() if part_report is not None}
    return {
        "shown": [(part, _PARTS[part]) for part in evaluated],
        "pictures": [_picture(_PARTS[part], part_report) for part, part_report in evaluated.items()],
    }


def _picture(name: str, judged: LabelEvaluation) -> Geometry:
    points = [point for point in judged.curve if point.coverage > 0]
    low = int(10 * min([*(point.accuracy.low for point in points), 0.9])) / 10

    def height(share: float) -> float:
        return round(190 - 175 * (share - low) / (1 - low), 1)

    def across(share: float) -> float:
        return round(40 + 640 * share, 1)

    upper = [f"{across(point.coverage)},{height(point.accuracy.high)}" for point in points]
    lower = [f"{across(point.coverage)},{height(point.accuracy.low)}" for point in points]
    return {
        "name": name,
        "points": " ".join(f"{across(point.coverage)},{height(point.accuracy.mean or 0.0)}" for point in points),
        "band": " ".join([*upper, *reversed(lower)]),
        "kept": across(judged.kept.coverage),
        "ticks": [
            {"y": height(low + at * (1 - low) / 4), "text": f"{100 * low + at * 25 * (1 - low):.0f}"} for at in range(5)
        ],
        "confusion": judged.confusion,
    }


def clouds(systems: Sequence[Cloud]) -> list[Geometry]:
    """Return the geometry of scatter plots side by side, each system in its range."""
    plots: list[Geometry] = []
    for number, system in enumerate(systems):
        xs, ys = [[point[axis] for point in system.points] for axis in (0, 1)]
        left = 20 + number * 350
        spans = [(min(values), (max(values) - min(values)) or 1.0) for values in (xs, ys)]
        dots = [
            {
                "x": round(left + 320 * (x - spans[0][0]) / spans[0][1], 1),
                "y": round(25 + 305 * (y - spans[1][0]) / spans[1][1], 1),
                "colour": COLOURS[int(label) % len(COLOURS)],
            }
            for x, y, label in system.points
        ]
        plots.append({"name": system.name, "x": left, "dots": dots})
    return plots


def legend(classes: Sequence[str]) -> list[Geometry]:
    """Return the places and colours of the classes under the scatter plots."""
    step = max(1, len(classes))
    return [
        {"name": name, "x": 30 + number * 680 // step, "colour": COLOURS[number % len(COLOURS)]}
        for number, name in enumerate(classes)
    ]
