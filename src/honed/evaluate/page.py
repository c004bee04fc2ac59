"""Parts of report pages: one HTML file, tables and plots, no script, no network, opens from disk."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from honed.evaluate.results import Comparison, QueryOutcomes, SystemResult
from honed.evaluate.slices import SCRIPT, large_slices

Geometry: TypeAlias = dict[str, object]  # what a template draws
COLOURS = ("#0b7a5d", "#c2410c", "#2563eb", "#a21caf", "#ca8a04", "#0891b2", "#be123c", "#4d7c0f")
_WIDTH, _LABEL, _BAR = 720, 250, 22


def environment(*packages: str, trained: Sequence[str] = ()) -> Environment:
    """Return the environment of page templates: those of some packages, then honed's own; values are escaped.

    ``trained`` are the beginnings of the names of systems that are marked as ours.
    """
    loaders = [PackageLoader(package, "templates") for package in (*packages, "honed.evaluate")]
    templates = Environment(loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.tests["ours"] = lambda name: name.startswith(tuple(trained))
    templates.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    templates.filters["plain"] = msgspec.to_builtins
    return templates


def bar_chart(
    systems: Sequence[SystemResult], measure: str, ceiling: float | None, trained: Sequence[str] = ()
) -> Geometry:
    """Return the geometry of a bar chart with intervals: one bar a system, 0 to 100 %."""
    scale = _WIDTH - _LABEL - 60
    rows = []
    for number, system in enumerate(systems):
        value = system.measures[measure]
        rows.append(
            {
                "name": system.name,
                "y": number * (_BAR + 8),
                "x": _LABEL,
                "width": round(value.mean * scale, 1),
                "low": round(_LABEL + value.low * scale, 1),
                "high": round(_LABEL + value.high * scale, 1),
                "text": f"{100 * value.mean:.1f}",
                "ours": system.name.startswith(tuple(trained)),
            }
        )
    return {
        "rows": rows,
        "height": len(rows) * (_BAR + 8) + 24,
        "width": _WIDTH,
        "bar": _BAR,
        "label": _LABEL,
        "ceiling": None if ceiling is None else round(_LABEL + ceiling * scale, 1),
        "ticks": [{"x": _LABEL + scale * share / 100, "text": share} for share in range(0, 101, 20)],
    }


def slices_shown(systems: Sequence[SystemResult]) -> list[tuple[str, int]]:
    """Return the largest slices with their sizes, scripts aside; slices of few queries are left out."""
    return [pair for pair in large_slices(systems) if not pair[0].startswith(SCRIPT)][:12]


def comparison_sentence(comparison: Comparison) -> str:
    """Return a paired comparison as a sentence: the better system, by how many points, with which certainty."""
    gain = comparison.difference
    word = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not clearly different"
    return (
        f"{comparison.candidate} against {comparison.reference}: {100 * gain.mean:+.1f} points of {comparison.measure} "
        f"(95 %: {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, p = {comparison.p_value:.4f}): {word}."
    )


def outcomes_sentence(outcomes: QueryOutcomes) -> str:
    """Return how many queries went wrong or were won, where most of them are, and one of them."""
    what = (
        f"won against {outcomes.reference} by {outcomes.system}" if outcomes.reference else f"wrong: {outcomes.system}"
    )
    slices = ", ".join(f"{name} {n}" for name, n in list(outcomes.by_slice.items())[:3])
    sentence = f"{what}, {outcomes.n} of {outcomes.n_queries} first hits{f' ({slices})' if slices else ''}"
    if not outcomes.queries:
        return sentence
    sample = outcomes.queries[0]
    return f"{sentence}; such as {sample.query!r}: {sample.found or 'nothing'!r} in place of {sample.right[0]!r}"


def still_ahead(systems: Sequence[SystemResult], tuned: str, measure: str, trained: Sequence[str]) -> str:
    """Return which systems that nobody trained beat the fine-tuned model, and in which slices; empty: none."""
    ours = next((system for system in systems if system.name == tuned), None)
    if ours is None:
        return ""
    others = [system for system in systems if not system.name.startswith(tuple(trained))]
    ahead = [system for system in others if system.measures[measure].mean > ours.measures[measure].mean]
    if not ahead:
        return ""
    slices = [
        name
        for name in ours.slices
        if any(system.in_slice(name, measure).mean > ours.in_slice(name, measure).mean + 0.05 for system in ahead)
    ]
    where = f" It wins on: {', '.join(slices)}." if slices else ""
    return f"Still ahead of the {tuned} model in {measure}: {', '.join(system.name for system in ahead)}.{where}"
