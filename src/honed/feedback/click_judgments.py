"""Judgements made of clicks, written as tables that the shape ``judgments`` and the section ``[queries]`` read."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import NormalDist

import numpy as np

from honed.core.errors import ConfigError, DataError
from honed.core.json import Json
from honed.core.sections import limits
from honed.core.text import fold
from honed.core.writing import new_file
from honed.data.split import SplitConfig, assign
from honed.feedback.attractiveness import Attractiveness, estimate_attractiveness
from honed.feedback.examination import Examination, Pairs, estimate_examination
from honed.feedback.ubi_log import CLICKS, IMPRESSIONS, Impressions, Ints, impressions_of, read_ubi_log

QUERIES, QRELS, EVIDENCE, SUMMARY = "queries.jsonl", "qrels.jsonl", "clicks.jsonl", "clicks.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClickOptions:
    """What it takes to make a judgement of clicks.

    A pair that was shown ``min_impressions`` times gets the grade n where the lower end of the interval of its
    attractiveness, of which ``confidence`` is the level, reaches n of the ``thresholds``. ``examination`` is the curve
    where it is known; otherwise it is estimated. Positions below ``most_positions`` are left out.
    """

    thresholds: tuple[float, ...] = (0.1,)
    min_impressions: int = field(default=20, metadata=limits(low=1))
    confidence: float = field(default=0.9, metadata=limits(low=0.5, high=0.999))
    examination: tuple[float, ...] = ()
    most_positions: int = field(default=50, metadata=limits(low=1, high=100))
    clicks: tuple[str, ...] = CLICKS
    impressions: tuple[str, ...] = IMPRESSIONS
    seed: int = 0

    def check(self) -> None:
        """Raise `ConfigError` for thresholds that do not rise between 0 and 1."""
        if not self.thresholds or any(not 0 < value < 1 for value in self.thresholds):
            raise ConfigError("E_OPTION", "a threshold is between 0 and 1")
        if list(self.thresholds) != sorted(set(self.thresholds)):
            raise ConfigError("E_OPTION", "thresholds are to rise, one for each grade")


@dataclass(frozen=True, kw_only=True)
class ClickJudgments:
    """Grades of pairs ``(n_pairs,)``, 0 where clicks do not suffice for one, and what they were made of."""

    impressions: Impressions
    pairs: Pairs
    examination: Examination
    attractiveness: Attractiveness
    grades: Ints
    options: ClickOptions

    def query_id(self, query: int) -> str:
        """Return the id of a query, which its folded text gives."""
        return f"ubi-{sha256(fold(self.impressions.texts[query]).encode()).hexdigest()[:16]}"

    def summary(self) -> dict[str, Json]:
        """Return counts, the curve with its interval, and what was left out."""
        low, high = self.examination.interval()
        at_known = self.examination.known[self.impressions.position]
        levels = {str(grade): int((self.grades == grade).sum()) for grade in range(1, len(self.options.thresholds) + 1)}
        curve: list[Json] = [
            {"position": place + 1, "examination": float(value), "low": float(low[place]), "high": float(high[place])}
            for place, value in enumerate(self.examination.values)
            if np.isfinite(value)
        ]
        left_out: dict[str, Json] = dict(sorted(self.impressions.left_out.items()))
        if not at_known.all():
            left_out["impressions at positions of unknown examination"] = int((~at_known).sum())
        return {
            "searches": self.impressions.n_searches,
            "queries": len(self.impressions.texts),
            "impressions": len(at_known),
            "clicks": int(self.impressions.is_clicked.sum()),
            "pairs": len(self.pairs.query),
            "pairs_with_enough_impressions": int(self._are_enough().sum()),
            "judged_queries": len(np.unique(self.pairs.query[self.grades > 0])),
            "grades": dict(levels),
            "thresholds": list(self.options.thresholds),
            "min_impressions": self.options.min_impressions,
            "confidence": self.options.confidence,
            "examination": curve,
            "examination_from": {"pairs": self.examination.n_pairs, "clicks": self.examination.n_clicks},
            "left_out": left_out,
        }

    def _are_enough(self) -> np.typing.NDArray[np.bool_]:
        enough: np.typing.NDArray[np.bool_] = self.attractiveness.impressions >= self.options.min_impressions
        return enough


def judgments_from_ubi(files: Iterable[Path], options: ClickOptions) -> ClickJudgments:
    """Return judgements made of the clicks in logs of UBI; `DataError` where nothing can be told of them."""
    options.check()
    log = read_ubi_log(files, options.clicks, options.impressions)
    return judge_impressions(impressions_of(log, options.most_positions), options)


def judge_impressions(impressions: Impressions, options: ClickOptions) -> ClickJudgments:
    """Return judgements made of what was shown and clicked; `DataError` where nothing can be told of it."""
    if not impressions.is_clicked.any():
        raise DataError("E_NO_CLICKS", "nothing that was shown was clicked")
    pairs = Pairs.of(impressions)
    if options.examination:
        examination = Examination.given(options.examination, pairs.n_positions)
    else:
        examination = estimate_examination(pairs)
    z = NormalDist().inv_cdf(0.5 + options.confidence / 2)
    attractiveness = estimate_attractiveness(pairs, examination, z)
    grades = np.searchsorted(np.array(options.thresholds), attractiveness.low, side="right")
    grades = np.where(attractiveness.impressions >= options.min_impressions, grades, 0)
    return ClickJudgments(
        impressions=impressions,
        pairs=pairs,
        examination=examination,
        attractiveness=attractiveness,
        grades=grades,
        options=options,
    )


def write_judgments(judged: ClickJudgments, folder: Path) -> dict[str, Json]:
    """Write the tables and the evidence for each pair into a folder, and return the summary.

    A query is all in train, in dev or in test. Raises `DataError` when no pair has a grade.
    """
    summary = judged.summary()
    if not (judged.grades > 0).any():
        raise DataError(
            "E_NO_JUDGEMENTS",
            f"no pair of the {summary['pairs_with_enough_impressions']} with {judged.options.min_impressions} "
            f"impressions is surely as attractive as {judged.options.thresholds[0]:g}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / QUERIES, _query_rows(judged))
    _write(folder / QRELS, (_qrel(judged, pair) for pair in _graded(judged)))
    _write(folder / EVIDENCE, _evidence_rows(judged))
    _write(folder / SUMMARY, [summary], indent=1)
    return summary


def _graded(judged: ClickJudgments) -> Sequence[int]:
    pairs: Sequence[int] = np.flatnonzero(judged.grades > 0).tolist()
    return pairs


def _query_rows(judged: ClickJudgments) -> Iterator[dict[str, Json]]:
    """Yield the queries that have a judgement, with the ids of their hits, the best first."""
    mean, ids = judged.attractiveness.mean, dict[int, list[int]]()
    for pair in _graded(judged):
        ids.setdefault(int(judged.pairs.query[pair]), []).append(pair)
    splits = assign((judged.query_id(query) for query in ids), SplitConfig(seed=judged.options.seed))
    for query, pairs in ids.items():
        best = sorted(pairs, key=lambda pair: (-judged.grades[pair], -mean[pair], pair))
        query_id = judged.query_id(query)
        doc_ids: list[Json] = [_doc_id(judged, pair) for pair in best]
        yield {
            "query_id": query_id,
            "text": judged.impressions.texts[query],
            "ids": doc_ids,
            "split": splits[query_id],
        }


def _doc_id(judged: ClickJudgments, pair: int) -> str:
    return judged.impressions.doc_ids[int(judged.pairs.doc[pair])]


def _qrel(judged: ClickJudgments, pair: int) -> dict[str, Json]:
    query_id = judged.query_id(int(judged.pairs.query[pair]))
    return {"query_id": query_id, "doc_id": _doc_id(judged, pair), "relevance": int(judged.grades[pair])}


def _evidence_rows(judged: ClickJudgments) -> Iterator[dict[str, Json]]:
    """Yield every pair with what is known of it; the grade is null where clicks do not suffice for one."""
    known = judged.attractiveness
    for pair, grade in enumerate(judged.grades.tolist()):
        yield {
            **_qrel(judged, pair),
            "relevance": grade or None,
            "impressions": int(known.impressions[pair]),
            "clicks": int(known.clicks[pair]),
            "examinations": round(float(known.examinations[pair]), 3),
            "attractiveness": round(float(known.mean[pair]), 5),
            "low": round(float(known.low[pair]), 5),
            "high": round(float(known.high[pair]), 5),
        }


def _write(file: Path, rows: Iterable[Mapping[str, Json]], indent: int | None = None) -> None:
    """Write objects, one a line, and put the file into its place when it is whole."""
    with new_file(file) as beside, beside.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, indent=indent) + "\n")
