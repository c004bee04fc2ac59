"""An explanation as a picture: contributions beside the map of word pairs, one column a model."""

import io
from collections.abc import Mapping
from typing import Any

from honed.core.optional import require

_PLUS, _MINUS = "#0b7a5d", "#c2410c"
_MOST_WORDS = 60


def draw(found: Mapping[str, Any]) -> bytes:
    """Return explanations side by side as PNG; texts of more than 60 words are cut there."""
    require("pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    models = found["models"]
    sides = [each["words"][:_MOST_WORDS] for each in models[0]["texts"]]
    rows, columns = (len(words) for words in sides)
    width, height = 2.6 + 0.36 * columns, 1.6 + 0.3 * rows
    figure = Figure(figsize=(max(5.0, width) * len(models), max(3.2, height)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    colours = LinearSegmentedColormap.from_list("honed", [_MINUS, "#ffffff", _PLUS])
    for part, model in zip(figure.subfigures(1, len(models), squeeze=False)[0], models, strict=True):
        part.suptitle(f"{model['name']}: cosine {model['cosine']:.3f}", fontsize=10)
        grid = part.add_gridspec(2, 2, width_ratios=[1, 3], height_ratios=[1, 3])
        top, left, heat = (part.add_subplot(grid[place]) for place in ((0, 1), (1, 0), (1, 1)))
        values = [list(line[:columns]) for line in model["pairs"][:rows]]
        most = max((abs(value) for line in values for value in line), default=1.0) or 1.0
        heat.imshow(values, cmap=colours, vmin=-most, vmax=most, aspect="auto")
        heat.set_xticks(range(columns), _plain(sides[1]), rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
        heat.set_yticks([])
        own, other = (each["contributions"] for each in model["texts"])
        left.barh(range(rows), own[:rows], color=[_PLUS if value >= 0 else _MINUS for value in own[:rows]])
        left.set_yticks(range(rows), _plain(sides[0]), fontsize=8)
        left.set_ylim(rows - 0.5, -0.5)
        top.bar(range(columns), other[:columns], color=[_PLUS if value >= 0 else _MINUS for value in other[:columns]])
        top.set_xlim(-0.5, columns - 0.5)
        top.set_xticks([])
        for axes in (left, top):
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "honed"})
    return content.getvalue()


def _plain(words: list[str]) -> list[str]:
    """Return words that the picture's typesetting takes as they are: a dollar sign opens a formula there."""
    return [word.replace("$", r"\$") for word in words]
