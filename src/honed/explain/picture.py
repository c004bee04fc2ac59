"""Explanations as a picture: contributions beside the map of word pairs, one column a model."""

import io
from typing import TYPE_CHECKING

from honed.core.optional import require
from honed.explain.explanation import Explanation, ExplanationSet

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure

_PLUS, _MINUS = "#0b7a5d", "#c2410c"
_MOST_WORDS = 60


def draw_png(explanations: ExplanationSet) -> bytes:
    """Return explanations side by side as PNG; texts of more than 60 words are cut there."""
    require("pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    models = explanations.models
    rows, columns = (min(len(text.words), _MOST_WORDS) for text in models[0].texts)
    width, height = 2.6 + 0.36 * columns, 1.6 + 0.3 * rows
    figure = Figure(figsize=(max(5.0, width) * len(models), max(3.2, height)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    colours = LinearSegmentedColormap.from_list("honed", [_MINUS, "#ffffff", _PLUS])
    for column, model in zip(figure.subfigures(1, len(models), squeeze=False)[0], models, strict=True):
        _draw_model(column, model, colours)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "honed"})
    return content.getvalue()


def _draw_model(column: "SubFigure", model: Explanation, colours: "Colormap") -> None:
    """Draw the map of word pairs, with the contributions of the query left of it and of the document above."""
    query, document = model.texts
    rows, columns = query.words[:_MOST_WORDS], document.words[:_MOST_WORDS]
    column.suptitle(f"{model.name}: cosine {model.cosine:.3f}", fontsize=10)
    grid = column.add_gridspec(2, 2, width_ratios=[1, 3], height_ratios=[1, 3])
    top, left, heat = (column.add_subplot(grid[place]) for place in ((0, 1), (1, 0), (1, 1)))
    values = [list(line[: len(columns)]) for line in model.pairs[: len(rows)]]
    largest = max((abs(value) for line in values for value in line), default=1.0) or 1.0
    heat.imshow(values, cmap=colours, vmin=-largest, vmax=largest, aspect="auto")
    labels = _without_formulas(columns)
    heat.set_xticks(range(len(columns)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    heat.set_yticks([])
    left_values, top_values = query.contributions[: len(rows)], document.contributions[: len(columns)]
    left.barh(range(len(rows)), left_values, color=_colours(left_values))
    left.set_yticks(range(len(rows)), _without_formulas(rows), fontsize=8)
    left.set_ylim(len(rows) - 0.5, -0.5)
    top.bar(range(len(columns)), top_values, color=_colours(top_values))
    top.set_xlim(-0.5, len(columns) - 0.5)
    top.set_xticks([])
    for axes in (left, top):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)


def _colours(values: list[float]) -> list[str]:
    return [_PLUS if value >= 0 else _MINUS for value in values]


def _without_formulas(words: list[str]) -> list[str]:
    """Return words that the picture's typesetting takes as they are: a dollar sign opens a formula there."""
    return [word.replace("$", r"\$") for word in words]
