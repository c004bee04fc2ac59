"""The weights that a hybrid begins with: learned over many data sets, and whether they help one that is not among them.

    python benchmarks/prior.py PROJECT...            # each set in turn as the stranger
    python benchmarks/prior.py PROJECT... --write    # and write src/honed/index/prior.json

PROJECT is a folder of a project with a hybrid, run until its index stands. Their dev queries teach: 500 of each, so
that every set counts the same; names and documents apart. For each set in turn the prior of the others is tried with
0, 20, 50, 200 and all of its dev queries but one third, on that third: MRR@10 of weights that are shrunk towards the
prior, of such that are shrunk towards 0, of those that cross-fitting chooses, and of the best single part.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import numpy.typing as npt

from honed import Project
from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import IndexArtifact
from honed.encode.base_models import resolve
from honed.index.fusion import KINDS, FusionLearner, JudgedCandidates, LearnedFusion
from honed.index.hybrid import HybridIndex
from honed.index.mentions import KNOWN, LABELS
from honed.index.prior import shared_name
from honed.shapes.registry import shape_of
from honed.shapes.systems import sampled
from honed.stages.encoded_queries import FOLDS, EncodedQueries, gather_candidates
from honed.stages.fusing import best_way, judged_candidates, reciprocal_rank
from honed.stages.hybrid import hybrid_texts
from honed.stages.searching import open_searcher

QUERIES, PENALTY, SIZES, DRAWS = 500, 10.0, (0, 20, 50, 200), 5
FILE = Path(__file__).parents[1] / "src/honed/index/prior.json"


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A data set: its candidates with the names of their features, the parts that rank alone, and folds of queries."""

    name: str
    of_names: bool
    features: tuple[str, ...]
    parts: dict[str, str]
    queries: list[JudgedCandidates]
    folds: npt.NDArray[np.int64]

    def shared(self, columns: dict[str, int], queries: list[JudgedCandidates]) -> list[JudgedCandidates]:
        """Return queries with the features that all data sets share; of several fields the sum."""
        wide = []
        for query in queries:
            table = np.zeros((len(query.grades), len(columns)), dtype=np.float32)
            for at, feature in enumerate(self.features):
                if (column := columns.get(shared_name(feature))) is not None:
                    table[:, column] += query.features[:, at]
            wide.append(query._replace(features=table))
        return wide


def taught(folder: Path) -> Taught:
    """Return what the dev queries of a project teach."""
    project = Project(folder)
    config, runner = project.config, project.runner
    check, index = runner.latest(CheckArtifact), runner.latest(IndexArtifact)
    searcher = open_searcher(index, None, index.encoder().load())
    hybrid = searcher.hybrid = HybridIndex.build(hybrid_texts(searcher, config, check.names()))
    hybrid.level = KNOWN if config.queries else LABELS
    main = shape_of(config).directions(config)[0].name
    asked = EncodedQueries.of(searcher, sampled(check.task(main, "dev"), QUERIES, 0))
    return Taught(
        name=folder.name,
        of_names=hybrid.names,
        features=tuple(hybrid.feature_names),
        parts=hybrid.part_features,
        queries=judged_candidates(hybrid, asked, list(gather_candidates(searcher, asked, folder.name))),
        folds=asked.folds,
    )


def pooled(sets: list[Taught]) -> dict[str, list[float]]:
    """Return the weights of features by their shared names, for each kind of query: of all, and what a kind adds."""
    names = list(dict.fromkeys(shared_name(feature) for data in sets for feature in data.features))
    names = [name for name in names if not name.startswith("kind: ")]
    columns = {name: at for at, name in enumerate(names)}
    queries = [query for data in sets for query in data.shared(columns, data.queries)]
    learned = FusionLearner(names=tuple(names), penalty=PENALTY).fit(queries).weights
    added = np.concatenate([learned[:1], learned[1:] - learned[:1]]).round(4)
    return {name: added[:, at].tolist() for at, name in enumerate(names)}


def mean_rank(fusion: LearnedFusion, queries: list[JudgedCandidates]) -> float:
    """Return MRR@10 in percent."""
    ranks = [reciprocal_rank(fusion.scores(query.features, kind=query.kind), query.grades) for query in queries]
    return 100 * float(np.mean(ranks))


def tried(stranger: Taught, others: list[Taught]) -> None:
    """Print how a data set fares with the prior of others, by how many queries it teaches itself."""
    weights = pooled(others)
    zero = [0.0] * len(KINDS)
    prior = np.array([weights.get(shared_name(name), zero) for name in stranger.features]).T
    pairs = list(zip(stranger.queries, stranger.folds, strict=True))
    asked = [query for query, fold in pairs if fold == 0]
    own = [query for query, fold in pairs if fold != 0]
    folds = np.array([at % FOLDS for at in range(len(own))])
    alone = {
        part: mean_rank(FusionLearner(names=stranger.features, only=name).fit(own), asked)
        for part, name in stranger.parts.items()
    }
    best = max(alone, key=lambda part: alone[part])
    print(f"\n{stranger.name}: {len(asked)} queries; best part {best} {alone[best]:.1f}")
    for size in (*SIZES, len(own)):
        ranks: dict[str, list[float]] = {"near the prior": [], "near 0": [], "as cross-fitting chooses": []}
        for seed in range(DRAWS if size < len(own) else 1):
            draw = np.random.default_rng(seed).permutation(len(own))[:size]
            queries = [own[at] for at in draw]
            near_prior = FusionLearner(names=stranger.features, prior=prior)
            chosen, _ = best_way(near_prior, queries, folds[: len(queries)])
            ways = (near_prior, FusionLearner(names=stranger.features), chosen)
            for way, means in zip(ways, ranks.values(), strict=True):
                means.append(mean_rank(way.fit(queries), asked))
        figures = ", ".join(f"{name} {np.mean(means):.1f}" for name, means in ranks.items())
        print(f"  {size:>4} of its own queries: {figures}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("projects", nargs="+", type=Path)
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    resolve("minilm")
    sets = [taught(folder) for folder in given.projects]
    weights = {}
    for kind in ("names", "documents"):
        group = [data for data in sets if data.of_names == (kind == "names")]
        for stranger in group if len(group) > 1 else ():
            tried(stranger, [data for data in group if data is not stranger])
        if group:
            weights[kind] = pooled(group)
    if given.write:
        FILE.write_text(json.dumps({"kinds": KINDS, "weights": weights}, indent=1) + "\n", encoding="utf-8")
        print(f"\nwrote {FILE}")


if __name__ == "__main__":
    main()
