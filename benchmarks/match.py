"""Whether the promise of `honed match` is kept: tables, and what of them is reviewed, drawn anew many times.

    python benchmarks/risk.py evidence DATA CACHE               # once: minutes a task
    python benchmarks/match.py CACHE [--draws 200] [--max-error 0.05]

A draw takes 500 queries of a task as dev, learns the chances as the stage `hybrid` does, and takes all other queries as
a table; a tenth of the rows of tasks without unanswerable queries are asked without their answer. Rows are reviewed in
batches as `honed match` asks for them at random. "as dev": the table is drawn as dev was; "acronyms", "words": it holds
nothing but queries that look like acronyms, or of four words and more, while dev is as before. Prints how often what
was said to be proved by the table was broken, how often it was proved at all, which share was accepted then, and which
the best cut would accept, known only afterwards; without reviews, how often what is borrowed from dev was broken.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from risk import TASKS, Pool

from honed.core.absence import AbsentShare
from honed.index.answers import _N_OF_RANKING
from honed.index.risk import DevAnswers
from honed.match.promise import Borrowed, Reviewed, TablePromise, promise

DEV, BATCH = 500, 25
_ACRONYM, _WORDS = _N_OF_RANKING - 2, _N_OF_RANKING - 1  # places in the evidence on a query


@dataclass(frozen=True)
class Drawn:
    """A table: the chance that each row's first candidate is right, whether it is, and a random order."""

    chances: np.ndarray
    right: np.ndarray
    order: np.ndarray
    dev: DevAnswers

    def error(self, made: TablePromise) -> tuple[float, float]:
        """Return the true share of errors above the cut, and the share of rows above it."""
        above = self.chances >= made.cut if made.cut is not None else np.zeros(len(self.chances), dtype=bool)
        return (float((~self.right[above]).mean()) if above.any() else 0.0), float(above.mean())

    def best(self, risk: float) -> float:
        """Return the share of rows that the laxest cut accepts that keeps the risk, known only afterwards."""
        order = np.argsort(-self.chances, kind="stable")
        errors = np.cumsum(~self.right[order]) / np.arange(1, len(order) + 1)
        kept = np.flatnonzero(errors <= risk)
        return (kept[-1] + 1) / len(order) if len(kept) else 0.0


def drawn_table(pool: Pool, shift: str, random: np.random.Generator) -> Drawn:
    """Return a table of the queries that dev left over, with the chances that dev taught."""
    dev, rest = pool.draw(min(DEV, len(pool.right) // 2), random)
    evidence = pool.evidence(dev, random)
    share = AbsentShare.of(evidence.answerable, None)
    weights = evidence.chance_weights(share, np.ones(len(dev), dtype=bool))
    if shift == "acronyms":
        rest = rest[pool.shown[rest, _ACRONYM] > 0.5]
    elif shift == "words":
        rest = rest[pool.shown[rest, _WORDS] >= 0.4]
    asked_hidden = pool.answerable[rest] & (random.random(len(rest)) < share.hidden)
    table = np.where(asked_hidden[:, None], pool.hidden[rest], pool.shown[rest])
    right = pool.right[rest].astype(bool) & ~asked_hidden
    return Drawn(weights.chances(table), right, random.permutation(len(rest)), evidence.dev_answers(share))


def reviewed(table: Drawn, reviews: int, risk: float, confidence: float) -> TablePromise:
    """Return the promise after so many reviews, in batches, of the rows that it asks for."""
    wrong, cut = np.full(len(table.right), np.nan), table.dev.cut(risk, confidence)

    def looked_at() -> TablePromise:
        rows = Reviewed(values=table.chances, order=table.order, wrong=wrong)
        return promise(rows, risk=risk, confidence=confidence, borrowed=None if cut is None else Borrowed(cut, "dev"))

    made = looked_at()
    for _ in range(reviews // BATCH):
        unknown = (table.chances >= made.asked) & np.isnan(wrong)
        asked = table.order[unknown[table.order]][:BATCH]
        if not len(asked):
            break
        wrong[asked] = ~table.right[asked]
        made = looked_at()
    return made


def redraw(name: str, pool: Pool, shift: str, given: argparse.Namespace) -> None:
    """Print how the promise is kept on draws of one kind of table."""
    for reviews in given.reviews:
        rows = []
        for draw in range(given.draws):
            table = drawn_table(pool, shift, np.random.default_rng([draw, reviews]))
            if len(table.right) < 50:
                return
            made = reviewed(table, reviews, given.max_error, given.confidence)
            error, share = table.error(made)
            rows.append((made.source, error > given.max_error, share, table.best(given.max_error), len(table.right)))
        proven = [row for row in rows if row[0] == "this table"]
        borrowed = [row for row in rows if row[0] == "dev"]
        print(
            f"| {name}, {shift} | {np.mean([row[4] for row in rows]):.0f} | {reviews} "
            f"| {100 * sum(row[1] for row in proven) / len(rows):.1f} % | {100 * len(proven) / len(rows):.0f} % "
            f"| {100 * np.mean([row[2] for row in proven] or [0]):.1f} % "
            f"| {100 * np.mean([row[3] for row in rows]):.1f} % | {100 * len(borrowed) / len(rows):.0f} % "
            f"| {100 * np.mean([row[1] for row in borrowed] or [0]):.0f} % |",
            flush=True,
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("cache", type=Path)
    arguments.add_argument("tasks", nargs="*", default=[])
    arguments.add_argument("--draws", type=int, default=200)
    arguments.add_argument("--max-error", type=float, default=0.05)
    arguments.add_argument("--confidence", type=float, default=0.9)
    arguments.add_argument("--reviews", type=int, nargs="+", default=(0, 200, 500))
    given = arguments.parse_args()
    print("| task, table | rows | reviews | proved, broken | proved | accepted then | best cut | borrowed | broken |")
    print("|" + " --- |" * 9)
    for name in given.tasks or TASKS:
        with np.load(given.cache / f"{name}.npz") as arrays:
            pool = Pool(**{field: arrays[field] for field in Pool.__dataclass_fields__})
        for shift in ("as dev", "acronyms", "words"):
            redraw(name, pool, shift, given)


if __name__ == "__main__":
    main()
