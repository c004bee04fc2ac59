"""How fast bundles encode, side by side: a teacher and its students.

    python benchmarks/students.py TEACHER-BUNDLE STUDENT-BUNDLE... [--texts 4000]

The texts are names of the first bundle. Each bundle encodes with its own fastest engine, all of them in turn, several
times; the best round of each counts. Size is the model's file.
"""

import argparse
import time
from pathlib import Path

from honed.bundle.layout import MODEL
from honed.search.searcher import Searcher

ROUNDS = 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("bundles", type=Path, nargs="+")
    arguments.add_argument("--texts", type=int, default=4000)
    given = arguments.parse_args()
    searchers = {path: Searcher.load(path) for path in given.bundles}
    first = searchers[given.bundles[0]].names
    texts = [first.text(row) for row in range(min(given.texts, first.n_texts))]
    engines = {path: searcher.warm() for path, searcher in searchers.items()}
    best = dict.fromkeys(searchers, 0.0)
    for _ in range(ROUNDS):
        for path, searcher in searchers.items():
            started = time.perf_counter()
            searcher.encoder.encode(texts, "query")
            best[path] = max(best[path], len(texts) / (time.perf_counter() - started))
    print(f"{len(texts)} names")
    for path, rate in best.items():
        size = (searchers[path].folder / MODEL).stat().st_size / 1e6  # type: ignore[operator]
        ratio = rate / best[given.bundles[0]]
        print(f"{path.name:>24}  {engines[path]:>12}  {rate:>10,.0f} names/s  {ratio:>7.1f}x  {size:>6.1f} MB")


if __name__ == "__main__":
    main()
