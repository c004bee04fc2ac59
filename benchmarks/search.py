"""One search by the hybrid, and many in batches: with the compiled loops and by numpy alone, in turn.

    python benchmarks/search.py PROJECT_OR_BUNDLE [--queries FILE] [--n 400] [--json]

FILE has a query a line; without one they are names of the catalogue, each with a letter left out.
The time of the encoder is measured apart: the searches get its vectors.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from honed import Project, Searcher
from honed.core.protocols import Encoder, Role, Vectors
from honed.index import kernel

BATCH, ROUNDS = 32, 3


class _Kept:
    """An encoder that has encoded its texts before."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], vectors: Vectors) -> None:
        self.spec = encoder.spec
        self._row = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return the vectors of texts that it has, whatever their role."""
        return self._vectors[[self._row[text] for text in texts]]


def slips(searcher: Searcher, n: int) -> list[str]:
    """Return names of the catalogue, each without one of its letters."""
    draw = random.Random(0)
    names = searcher.names
    chosen = [names.text(int(row)) for row in draw.sample(range(names.n_texts), min(n, names.n_texts))]
    places = [draw.randrange(1, max(2, len(name))) for name in chosen]
    return list(dict.fromkeys(name[:at] + name[at + 1 :] for name, at in zip(chosen, places, strict=True)))


def timed(call: Callable[[Sequence[str]], object], texts: Sequence[str], batch: int) -> list[float]:
    """Return the milliseconds that each text takes in batches of a size."""
    took = []
    for start in range(0, len(texts) - batch + 1, batch):
        began = time.perf_counter()
        call(texts[start : start + batch])
        took.append(1000 * (time.perf_counter() - began) / batch)
    return took


def measure(searcher: Searcher, texts: list[str]) -> dict[str, dict[str, float]]:
    """Return the median and the 99th percentile, in milliseconds a query, of each way and size of batch."""
    encoder = searcher.encoder
    vectors = encoder.encode(texts, "query")
    took: dict[str, list[float]] = {}
    compiled = kernel.compiled
    ways = {"compiled": compiled, "numpy": None} if compiled else {"numpy": None}
    for _ in range(ROUNDS):
        for batch in (1, BATCH):
            encode = lambda some: encoder.encode(list(some), "query")  # noqa: E731
            took.setdefault(f"encode, {batch}", []).extend(timed(encode, texts, batch))
            for way, module in ways.items():
                kernel.compiled = module
                searcher.encoder = _Kept(encoder, texts, vectors)
                took.setdefault(f"search, {way}, {batch}", []).extend(timed(searcher.answer_many, texts, batch))
                searcher.encoder, kernel.compiled = encoder, compiled
    return {
        name: {"p50": round(float(np.median(all_)), 3), "p99": round(float(np.quantile(all_, 0.99)), 3)}
        for name, all_ in took.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    is_project = (options.path / "honed.toml").is_file()
    searcher = Project(options.path).searcher() if is_project else Searcher.load(options.path)
    searcher.warm()
    texts = options.queries.read_text().splitlines() if options.queries else slips(searcher, options.n)
    texts = texts[: options.n]
    searcher.answer_many(texts[:3])
    found = measure(searcher, texts)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{searcher.names.n_entities:,} entities, {len(texts)} queries; ms a query")
    for name, figures in found.items():
        print(f"{name:24} p50 {figures['p50']:8.3f}   p99 {figures['p99']:8.3f}")


if __name__ == "__main__":
    main()
