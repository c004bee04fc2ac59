"""Draw docs/rooms.svg, the rooms of honed and who imports whom, from the imports; --check only says whether it is new.

A room stands above all that it imports. An arrow that follows from others is left out: cli imports core, and it is not
drawn, since it imports api and that imports core.
"""

import ast
from graphlib import TopologicalSorter
from html import escape
from itertools import pairwise
from pathlib import Path

from generated import write

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "honed"
TARGET = Path(__file__).with_name("rooms.svg")
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 104, 34, 22, 46, 12  # of a box and between boxes, in pixels
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1b2733;text-anchor:middle;dominant-baseline:central}"
    "rect{fill:#e8f0f7;stroke:#5b7a99;rx:6px}path{fill:none;stroke:#8aa2b8;stroke-width:1.2}"
    "svg{background:#fff}"
)


def imported_rooms(file: Path) -> set[str]:
    """Return the rooms that a file imports, wherever its imports stand."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = (name.split(".") for name in names if name.startswith("honed."))
    return {part[1] for part in parts if (SOURCE / part[1]).is_dir()}


def rooms() -> dict[str, set[str]]:
    """Return each room with the rooms that it imports."""
    folders = sorted(folder for folder in SOURCE.iterdir() if (folder / "__init__.py").is_file())
    return {
        folder.name: set().union(*(imported_rooms(file) for file in folder.rglob("*.py"))) - {folder.name}
        for folder in folders
    }


def reachable(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return each room with all that it imports, through others too; `graphlib.CycleError` where there is a circle."""
    below: dict[str, set[str]] = {}
    for room in TopologicalSorter(graph).static_order():
        below[room] = graph[room].union(*(below[other] for other in graph[room]))
    return below


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return the row of each room, from the bottom: one above the highest of those that it imports."""
    level: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        level[room] = 1 + max((level[other] for other in graph[room]), default=-1)
    return level


def routes(arrows: dict[str, set[str]], level: dict[str, int]) -> list[list[str]]:
    """Return each arrow as its places: a room, one in every row that it passes (room>other@row), a room."""
    return [
        [room, *(f"{room}>{other}@{row}" for row in range(level[room] - 1, level[other], -1)), other]
        for room in sorted(arrows)
        for other in sorted(arrows[room])
    ]


def ordered(layers: list[list[str]], paths: list[list[str]]) -> list[list[str]]:
    """Return the rows sorted so that few arrows cross: each place near the mean of those it is joined to."""
    joined: dict[str, list[str]] = {place: [] for layer in layers for place in layer}
    for path in paths:
        for upper, lower in pairwise(path):
            joined[upper].append(lower)
            joined[lower].append(upper)
    for _ in range(12):
        for direction in (layers, layers[::-1]):
            position = {name: offset for layer in layers for name, offset in offsets(layer).items()}
            for before, layer in pairwise(direction):
                mean = {}
                for name in layer:
                    near = [position[other] for other in joined[name] if other in before]
                    mean[name] = sum(near) / len(near) if near else position[name]
                layer.sort(key=lambda name: (mean[name], name))
                position |= offsets(layer)
    return layers


def offsets(layer: list[str]) -> dict[str, float]:
    """Return the centre of each place of a row, in pixels from the middle of the picture."""
    widths = [WIDTH if "@" not in name else 0 for name in layer]
    x = -(sum(widths) + GAP_X * (len(layer) - 1)) / 2
    centers = {}
    for name, width in zip(layer, widths, strict=True):
        centers[name] = x + width / 2
        x += width + GAP_X
    return centers


def picture() -> str:
    """Return the picture as SVG."""
    graph = rooms()
    below, level = reachable(graph), levels(graph)
    arrows = {
        room: {other for other in others if not any(other in below[between] for between in others)}
        for room, others in graph.items()
    }
    paths = routes(arrows, level)
    row = {name: level[path[0]] - number for path in paths for number, name in enumerate(path)}
    layers = [sorted(name for name in row if row[name] == number) for number in range(max(row.values()) + 1)]
    layers = ordered(layers, paths)
    width = max(sum(WIDTH if "@" not in name else 0 for name in layer) + GAP_X * len(layer) for layer in layers)
    width, height = width + 2 * MARGIN, len(layers) * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    center = {
        name: (round(width / 2 + x), height - MARGIN - HEIGHT / 2 - number * (HEIGHT + GAP_Y))
        for number, layer in enumerate(layers)
        for name, x in offsets(layer).items()
    }
    lines = [arrow([center[name] for name in path]) for path in paths]
    boxes = [box(room, *center[room]) for room in sorted(graph)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="The rooms of honed: each stands above those that it imports">\n'
        f'<style>{STYLE}</style>\n<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#8aa2b8"/></marker></defs>\n'
        + "\n".join([*lines, *boxes])
        + "\n</svg>\n"
    )


def arrow(places: list[tuple[float, float]]) -> str:
    """Return a curve from the lower edge of a box, straight past the rows between, to the upper edge of another."""
    half = HEIGHT / 2
    curve = f"M{places[0][0]:g} {places[0][1] + half:g}"
    for (x, y), (to_x, to_y) in pairwise(places):
        bend = GAP_Y / 2
        curve += (
            f"L{x:g} {y + half:g}C{x:g} {y + half + bend:g} {to_x:g} {to_y - half - bend:g} {to_x:g} {to_y - half:g}"
        )
    return f'<path d="{curve}" marker-end="url(#tip)"/>'


def box(room: str, x: float, y: float) -> str:
    """Return a room's box with its name."""
    return (
        f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}"/>'
        f'<text x="{x:g}" y="{y:g}">{escape(room)}</text>'
    )


if __name__ == "__main__":
    write(TARGET, picture())
