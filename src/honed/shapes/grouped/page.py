"""The page of labelled texts that find each other."""

from honed.evaluate.page import COLOURS, Geometry
from honed.shapes.grouped.parts import ExplanationReport
from honed.shapes.grouped.retrieval import HIT1, RetrievalReport
from honed.shapes.report_page import render

_ORDERS = {"attribution": COLOURS[0], "attention": COLOURS[1], "random": "var(--other)"}


def render_retrieval(report: RetrievalReport) -> str:
    """Return the report page of labelled texts that find each other."""
    return render("retrieval.html.j2", report, str(HIT1), checks=word_checks(report.explained))


def word_checks(explained: ExplanationReport | None) -> list[Geometry]:
    """Return the geometry of deletion and insertion curves, one plot for each model and way."""
    if explained is None:
        return []
    plots: list[Geometry] = []
    for name, ways in explained.faithful.items():
        for kind, way in ways.items():
            values = [value for order in _ORDERS for value in way.curve[order]]
            low, high = min(values), max(values)
            plots.append(
                {
                    "title": f"{name}, {kind}",
                    "lines": [
                        {"points": _points(way.curve[order], low, (high - low) or 1.0), "colour": colour}
                        for order, colour in _ORDERS.items()
                    ],
                    "low": f"{low:.2f}",
                    "high": f"{high:.2f}",
                    "area": way.area,
                    "against": way.against["attention"],
                    "colours": _ORDERS,
                }
            )
    return plots


def _points(line: list[float], low: float, span: float) -> str:
    places = enumerate(line)
    return " ".join(
        f"{40 + 290 * at / (len(line) - 1):.1f},{160 - 135 * (value - low) / span:.1f}" for at, value in places
    )
