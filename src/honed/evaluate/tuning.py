"""The results of a tuner as pictures and as one page: recall over time, recall over memory, clusters by bits."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from honed.core.optional import is_installed, require
from honed.evaluate.page import environment

_FAMILIES = ("flat", "hnsw", "full", "scalar", "fastscan", "rabitq", "product", "sign")
_COLOURS = ("#1c2330", "#c2410c", "#2563eb", "#0b7a5d", "#db2777", "#a21caf", "#ca8a04", "#0891b2")


def render_tuning(report: Mapping[str, Any]) -> str:
    """Return the page of ``tune.json``; without matplotlib it has tables and says how to get the pictures."""
    pictures = draw(report, "svg") if is_installed("pictures") else {}
    shown = {name: content.decode("utf-8").partition("<svg")[2] for name, content in pictures.items()}
    page = environment().get_template("tuning.html.j2")
    return page.render(report=report, pictures={name: "<svg" + picture for name, picture in shown.items()})


def draw(report: Mapping[str, Any], form: str) -> dict[str, bytes]:
    """Return the pictures by name, as "png" or "svg"; needs matplotlib."""
    require("pictures")
    measure = "task_recall" if report["task"] else "index_recall"
    pictures = {
        "recall-latency": _frontier(report, "ms", measure, "ms a query, one thread", form),
        "recall-memory": _frontier(report, "mb", measure, "MB in memory", form),
    }
    if report["map"]:
        pictures["clusters-bits"] = _map(report["map"], measure, form)
    return pictures


def shown_name(settings: Mapping[str, Any]) -> str:
    """Return a short name of an index, such as "1024 clusters, 64 searched, rabitq 2 bits, 100 rescored"."""
    if settings["backend"] == "hnsw":
        return f"graph, {settings['links']} links, width {settings['search_width']}"
    if settings["backend"] != "composed":
        return "every vector compared"
    parts = [f"{settings['nlist']} clusters, {settings['nprobe']} searched"] if settings["nlist"] > 1 else []
    parts.append("full vectors" if settings["codes"] == "full" else f"{settings['codes']} {settings['bits']} bits")
    if settings["dims"]:
        parts.append(f"{settings['dims']} dimensions")
    if settings["rescore"]:
        parts.append(f"{settings['rescore']} rescored")
    return ", ".join(parts)


def _family(point: Mapping[str, Any]) -> str:
    settings = point["settings"]
    return str(settings["codes"] if settings["backend"] == "composed" else settings["backend"])


def _figure(width: float = 7.5, height: float = 4.4) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure


def _content(figure: Any, form: str) -> bytes:
    content = io.BytesIO()
    facts = {"Software": "honed"} if form == "png" else {"Creator": "honed", "Date": None}
    figure.savefig(content, format=form, metadata=facts)
    return content.getvalue()


def _frontier(report: Mapping[str, Any], cost: str, measure: str, label: str, form: str) -> bytes:
    figure = _figure()
    axes = figure.add_subplot()
    for family, colour in zip(_FAMILIES, _COLOURS, strict=True):
        members = [point for point in report["points"] if _family(point) == family]
        if members:
            axes.scatter(
                [point[cost] for point in members],
                [point[measure] for point in members],
                s=14,
                color=colour,
                alpha=0.55,
                label={"flat": "every vector", "hnsw": "graph", "full": "clusters, full vectors"}.get(family, family),
            )
    edge = pareto(report["points"], cost, measure)
    axes.plot([point[cost] for point in edge], [point[measure] for point in edge], color="#667085", lw=1, zorder=0)
    if report["chosen"]:
        axes.scatter(
            [report["chosen"][cost]],
            [report["chosen"][measure]],
            s=150,
            facecolors="none",
            edgecolors="#c2410c",
            linewidths=2,
            label="chosen",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    low = min((point[measure] for point in edge), default=0.0)
    axes.set_ylim(max(0.0, min(low, 0.9 * max(point[measure] for point in report["points"]))) - 0.01, None)
    axes.set_xlabel(label)
    axes.set_ylabel(_measure_name(report, measure))
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return _content(figure, form)


def _measure_name(report: Mapping[str, Any], measure: str) -> str:
    return f"R@{report['depth']}" if measure == "task_recall" else f"index recall@{report['k']}"


def _map(heat_map: Mapping[str, Any], measure: str, form: str) -> bytes:
    figure = _figure(7.5, 1.4 + 0.45 * len(heat_map["codes"]))
    axes = figure.add_subplot()
    values = [[cell[measure] for cell in line] for line in heat_map["cells"]]
    picture = axes.imshow(values, aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(heat_map["nlist"])), [str(nlist) for nlist in heat_map["nlist"]])
    axes.set_yticks(range(len(heat_map["codes"])), heat_map["codes"])
    axes.set_xlabel(f"clusters, so many searched that {100 * heat_map['share']:.0f} % of the corpus is compared")
    middle = (min(map(min, values)) + max(map(max, values))) / 2
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if value < middle else "black"
            axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(picture, ax=axes, shrink=0.9)
    return _content(figure, form)


def pareto(points: Sequence[Mapping[str, Any]], cost: str, measure: str) -> list[Mapping[str, Any]]:
    """Return the points that no cheaper one reaches, cheapest first."""
    edge: list[Mapping[str, Any]] = []
    for candidate in sorted(points, key=lambda point: (point[cost], -point[measure])):
        if not edge or candidate[measure] > edge[-1][measure]:
            edge.append(candidate)
    return edge
