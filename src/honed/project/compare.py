"""``honed compare``: two evaluations, or two systems of one, on the same test queries, paired query by query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.core.artifacts import MANIFEST
from honed.core.errors import ConfigError, did_you_mean
from honed.core.records import JudgedTask
from honed.data import task
from honed.evaluate.measures import Measure, Scores
from honed.evaluate.results import Interval
from honed.evaluate.score import SCORES, TaskScores
from honed.project.workspace import Workspace
from honed.shapes.systems import BASE, SHIPPED

_SHOWN = 10


class Compared(msgspec.Struct, kw_only=True):
    """Means of both, and the paired difference (second - first) with its interval and p."""

    a: float
    b: float
    difference: Interval
    p_value: float
    wins: int
    losses: int
    n: int


class Side(msgspec.Struct, kw_only=True):
    """One of the two that are compared."""

    folder: str
    system: str


class ChangedScore(msgspec.Struct, kw_only=True):
    """A query that won or lost, by the first measure."""

    query_id: str
    text: str
    difference: float


class ComparisonReport(msgspec.Struct, kw_only=True):
    """Two evaluations compared: every measure that both have, the first measure by slice, and queries won and lost."""

    a: Side
    b: Side
    n_queries: int
    same_documents: bool
    measures: dict[str, Compared]
    slices: dict[str, Compared]
    won: list[ChangedScore]
    lost: list[ChangedScore]


Place: TypeAlias = Path | Workspace  # the folder of an evaluation or of a project, or a project


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One evaluation: where it is, its test queries, and the scores ``(n_queries,)`` by system and measure."""

    folder: Path
    test: JudgedTask
    systems: Mapping[str, Mapping[str, Scores]]
    seed: int

    @classmethod
    def open(cls, place: Place) -> Self:
        """Read an evaluation from its folder, or the last one of a project; `ConfigError` for one of another shape."""
        if isinstance(place, Path) and (place / MANIFEST).is_file():
            artifact = EvaluateArtifact.at(place.resolve())
        else:
            project = place if isinstance(place, Workspace) else Workspace(place.resolve())
            artifact = project.runner.latest(EvaluateArtifact)
        where = artifact.folder
        check = artifact.folder.resolve().parents[1] / "check" / artifact.manifest.inputs.get("check", "")
        scored = artifact.manifest.stage.startswith("evaluate.") and artifact.has(SCORES)
        if not scored or not (check / task.TASKS / task.FORWARD / "test").is_dir():
            raise ConfigError(
                "E_COMPARE", f"{where}: no evaluation with scores for each query, as of names or of judged search"
            )
        test = CheckArtifact.at(check).task(task.FORWARD, "test")
        systems, _ = artifact.scores()
        if any(len(values) != len(test.queries) for scores in systems.values() for values in scores.values()):
            raise ConfigError("E_COMPARE", f"{where}: its scores are not of its test queries")
        settings = artifact.manifest.config.get("evaluate")
        seed = settings.get("seed", 0) if isinstance(settings, Mapping) else 0
        return cls(folder=artifact.folder, test=test, systems=systems, seed=seed if isinstance(seed, int) else 0)

    def system(self, name: str) -> str:
        """Return a system's name, by default that of the shipped model; `ConfigError` for one that was not measured."""
        if not name:
            return next(system for system in (*SHIPPED, BASE, *self.systems) if system in self.systems)
        if name not in self.systems:
            known = ", ".join(self.systems)
            raise ConfigError("E_COMPARE", f"no system {name!r}{did_you_mean(name, self.systems)} (measured: {known})")
        return name


def compare(first: Place, second: Place, names: Sequence[str] = ("", "")) -> ComparisonReport:
    """Return the second evaluation compared with the first.

    Raises `ConfigError` when the test queries are not the same.
    """
    one, other = Evaluated.open(first), Evaluated.open(second)
    _same_queries(one, other)
    left, right = one.system(names[0]), other.system(names[1])
    if (one.folder, left) == (other.folder, right):
        raise ConfigError("E_COMPARE", f"both are {left!r} of {one.folder}: name another with --system-a or --system-b")
    measures = [name for name in one.systems[left] if name in other.systems[right]]
    scores = TaskScores(one.test, [Measure.parse(name) for name in measures], seed=one.seed)
    for name, values in (("a", one.systems[left]), ("b", other.systems[right])):
        scores.scores[name] = {Measure.parse(measure): values[measure] for measure in measures}
    head = scores.measures[0]
    return ComparisonReport(
        a=Side(folder=str(one.folder), system=left),
        b=Side(folder=str(other.folder), system=right),
        n_queries=len(one.test.queries),
        same_documents=[doc.doc_id for doc in one.test.corpus] == [doc.doc_id for doc in other.test.corpus],
        measures={str(measure): _compared(scores, measure) for measure in scores.measures},
        slices={part: _compared(scores, head, part) for part, ids in sorted(one.test.slices.items()) if ids},
        won=_most_changed(scores, head, one.test, sign=1),
        lost=_most_changed(scores, head, one.test, sign=-1),
    )


def _same_queries(one: Evaluated, other: Evaluated) -> None:
    ours, theirs = ([(query.query_id, query.text) for query in side.test.queries] for side in (one, other))
    if ours != theirs:
        shared = len(set(ours) & set(theirs))
        raise ConfigError(
            "E_COMPARE",
            f"other test queries: {len(ours)} and {len(theirs)}, {shared} of them the same; compare runs of one split",
        )
    if one.test.qrels.grades != other.test.qrels.grades:
        raise ConfigError("E_COMPARE", "the same test queries, but other documents are right for them")


def _compared(scores: TaskScores, measure: Measure, part: str = "") -> Compared:
    comparison = scores.compare("b", "a", measure, part)
    members = scores.task.slices[part] if part else frozenset(scores.query_ids)
    rows = np.flatnonzero([query in members for query in scores.query_ids])
    a, b = (round(float(scores.scores[name][measure][rows].mean()), 5) for name in ("a", "b"))
    return Compared(
        a=a,
        b=b,
        difference=comparison.difference,
        p_value=comparison.p_value,
        wins=comparison.wins,
        losses=comparison.losses,
        n=comparison.n,
    )


def _most_changed(scores: TaskScores, measure: Measure, test: JudgedTask, *, sign: int) -> list[ChangedScore]:
    """Return the queries that gained most, or lost most (sign -1), by the first measure, then by all together."""
    gains = np.stack([scores.scores["b"][name] - scores.scores["a"][name] for name in scores.measures])
    order = np.lexsort((-sign * gains.sum(axis=0), -sign * gains[0]))
    return [
        ChangedScore(
            query_id=test.queries[at].query_id,
            text=test.queries[at].text,
            difference=round(float(gains[0, at]), 5),
        )
        for at in order[:_SHOWN].tolist()
        if sign * gains[0, at] > 0
    ]
