"""``honed compare``: two evaluations, or two systems of one, on the same test queries, paired query by query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from honed.core.artifacts import MANIFEST, Artifact, Manifest
from honed.core.errors import ConfigError, did_you_mean
from honed.core.records import JudgedTask
from honed.data import task
from honed.evaluate.measures import Measure, Scores
from honed.evaluate.score import GROUPS, SCORES, TaskScores
from honed.project.project import Project
from honed.stages.hybrid import LEARNED
from honed.stages.reports import BASE, NAMES, STUDENT, TUNED

# what a search answers with: the first of them that was measured
SHIPPED = tuple(each for name in (LEARNED, STUDENT, TUNED) for each in (name + NAMES, name))
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One evaluation: where it is, its test queries, and the scores ``(n_queries,)`` by system and measure."""

    folder: Path
    test: JudgedTask
    systems: Mapping[str, Mapping[str, Scores]]
    seed: int

    @classmethod
    def open(cls, place: Path) -> Self:
        """Read an evaluation from its folder, or the last one of a project; `ConfigError` for one of another shape."""
        place = place.resolve()
        if (place / MANIFEST).is_file():
            made = Artifact(folder=place, manifest=Manifest.read(place))
        else:
            made = Project(place).runner.latest("evaluate")
        check = made.folder.resolve().parents[1] / "check" / made.manifest.inputs.get("check", "")
        scored = made.manifest.stage.startswith("evaluate.") and SCORES in made.manifest.files
        if not scored or not (check / "tasks" / task.FORWARD / "test").is_dir():
            raise ConfigError(
                "E_COMPARE", f"{place}: no evaluation with scores for each query, as of names or of judged search"
            )
        test = task.load_task(check, task.FORWARD, "test")
        systems: dict[str, dict[str, Scores]] = {}
        with np.load(made.path(SCORES), allow_pickle=False) as stored:
            for name in stored.files:
                if name != GROUPS:
                    system, measure = name.rsplit("/", 1)
                    systems.setdefault(system, {})[measure] = stored[name]
        if any(len(values) != len(test.queries) for each in systems.values() for values in each.values()):
            raise ConfigError("E_COMPARE", f"{place}: its scores are not of its test queries")
        settings = made.manifest.config.get("evaluate") or {}
        return cls(folder=made.folder, test=test, systems=systems, seed=int(settings.get("seed", 0)))

    def system(self, name: str) -> str:
        """Return a system's name, by default what is shipped; `ConfigError` for one that was not measured."""
        if not name:
            return next(each for each in (*SHIPPED, BASE, *self.systems) if each in self.systems)
        if name not in self.systems:
            known = ", ".join(self.systems)
            raise ConfigError("E_COMPARE", f"no system {name!r}{did_you_mean(name, self.systems)} (measured: {known})")
        return name


def compare(first: Path, second: Path, names: Sequence[str] = ("", "")) -> dict[str, Any]:
    """Return how the second stands to the first, as plain data.

    Every measure that both have, with the paired difference (second - first), its interval and p; the first measure by
    slice; and the queries that won and lost most. Raises `ConfigError` when the test queries are not the same.
    """
    one, other = Evaluated.open(first), Evaluated.open(second)
    _same_queries(one, other)
    left, right = one.system(names[0]), other.system(names[1])
    if (one.folder, left) == (other.folder, right):
        raise ConfigError("E_COMPARE", f"both are {left!r} of {one.folder}: name another with --system-a or --system-b")
    measures = [each for each in one.systems[left] if each in other.systems[right]]
    scores = TaskScores(one.test, [Measure.parse(each) for each in measures], seed=one.seed)
    for name, found in (("a", one.systems[left]), ("b", other.systems[right])):
        scores.scores[name] = {Measure.parse(each): found[each] for each in measures}
    head = scores.measures[0]
    return {
        "a": {"folder": str(one.folder), "system": left},
        "b": {"folder": str(other.folder), "system": right},
        "n_queries": len(one.test.queries),
        "same_documents": [each.doc_id for each in one.test.corpus] == [each.doc_id for each in other.test.corpus],
        "measures": {str(measure): _row(scores, measure) for measure in scores.measures},
        "slices": {part: _row(scores, head, part) for part, ids in sorted(one.test.slices.items()) if ids},
        "won": _most(scores, head, one.test, sign=1),
        "lost": _most(scores, head, one.test, sign=-1),
    }


def _same_queries(one: Evaluated, other: Evaluated) -> None:
    ours, theirs = ([(query.query_id, query.text) for query in each.test.queries] for each in (one, other))
    if ours != theirs:
        shared = len(set(ours) & set(theirs))
        raise ConfigError(
            "E_COMPARE",
            f"other test queries: {len(ours)} and {len(theirs)}, {shared} of them the same; compare runs of one split",
        )
    if one.test.qrels.grades != other.test.qrels.grades:
        raise ConfigError("E_COMPARE", "the same test queries, but other documents are right for them")


def _row(scores: TaskScores, measure: Measure, part: str = "") -> dict[str, Any]:
    found = scores.compare("b", "a", measure, part)
    rows = slice(None) if not part else np.flatnonzero([each in scores.task.slices[part] for each in scores.query_ids])
    means = {name: round(float(scores.scores[name][measure][rows].mean()), 5) for name in ("a", "b")}
    return means | {name: found[name] for name in ("difference", "p_value", "wins", "losses", "n")}


def _most(scores: TaskScores, measure: Measure, test: JudgedTask, *, sign: int) -> list[dict[str, Any]]:
    """Return the queries that gained most, or lost most (sign -1), by the first measure, then by all together."""
    every = np.stack([scores.scores["b"][each] - scores.scores["a"][each] for each in scores.measures])
    order = np.lexsort((-sign * every.sum(axis=0), -sign * every[0]))
    return [
        {
            "query_id": test.queries[at].query_id,
            "text": test.queries[at].text,
            "difference": round(float(every[0, at]), 5),
        }
        for at in order[:_SHOWN].tolist()
        if sign * every[0, at] > 0
    ]
