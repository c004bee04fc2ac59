"""Count source trees of honed, for the table in docs/architecture.md.

python docs/count.py [FOLDER ...]
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

MOST_FILE, MOST_FUNCTION = 350, 50  # lines


def counts(root: Path) -> Iterator[tuple[str, str]]:
    """Yield what is counted in a tree, as rows of a table."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(root.rglob("*.py"))]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    lengths = [len(text.splitlines()) for text in texts]
    functions = [
        node.end_lineno - node.lineno + 1
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    anys = sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes)
    each = sum(isinstance(node, ast.Name) and node.id == "each" for node in nodes)
    yield "files, lines", f"{len(texts)}, {sum(lengths):,}"
    yield f"files over {MOST_FILE} lines", str(sum(length > MOST_FILE for length in lengths))
    yield "functions", f"{len(functions):,}"
    yield "lines of a function: median, 90 % within", f"{median(functions):g}, {quantiles(functions, n=10)[-1]:.0f}"
    yield f"functions over {MOST_FUNCTION} lines", str(sum(length > MOST_FUNCTION for length in functions))
    yield "`Any` in 1,000 lines", f"{1000 * anys / sum(lengths):.1f}"
    yield "variables called `each`", str(each)


if __name__ == "__main__":
    tables = [dict(counts(Path(place))) for place in sys.argv[1:] or ["src/honed"]]
    for name in tables[0]:
        print(f"| {name} | " + " | ".join(table[name] for table in tables) + " |")
