"""The weights that a hybrid begins with: learned over many data sets, and whether they help one that is not among them.

    python benchmarks/prior.py PROJECT...            # each set in turn as the stranger
    python benchmarks/prior.py PROJECT... --write    # and write src/honed/index/prior.json
    python benchmarks/prior.py PROJECT --scripts     # only what queries in other scripts add, written to the same file

PROJECT is a folder of a project with a hybrid, run until its index stands. Their dev queries teach: 500 of each, so
that every set counts the same; names and documents apart. For each set in turn the prior of the others is tried with
0, 20, 50, 200 and all of its dev queries but one third, on that third: MRR@10 of weights that are shrunk towards the
prior, of such that are shrunk towards 0, of those that cross-fitting chooses, and of the best single part.

With ``--scripts`` the dev queries that are not Latin teach (2,000 at most), from the prior of all queries on; what they
add to it becomes the prior of their kind, and nothing else in the file changes.
"""

import argparse
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import numpy.typing as npt

from honed import Project
from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import IndexArtifact
from honed.core.text import is_other_script
from honed.encode.base_models import resolve
from honed.index.fusion import KINDS, FusionLearner, JudgedCandidates, LearnedFusion
from honed.index.hybrid import HybridIndex
from honed.index.mentions import KNOWN, LABELS
from honed.index.prior import prior_weights, shared_name
from honed.shapes.registry import shape_of
from honed.shapes.systems import sampled
from honed.stages.encoded_queries import FOLDS, EncodedQueries, gather_candidates
from honed.stages.fusing import best_way, judged_candidates, reciprocal_rank
from honed.stages.hybrid import hybrid_texts
from honed.stages.searching import open_searcher

QUERIES, OF_SCRIPTS, PENALTY, SIZES, DRAWS = 500, 2000, 10.0, (0, 20, 50, 200), 5
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


def taught(folder: Path, *, scripts: bool = False) -> Taught:
    """Return what the dev queries of a project teach, or those of them in other ``scripts``."""
    project = Project(folder)
    config, runner = project.config, project.runner
    check, index = runner.latest(CheckArtifact), runner.latest(IndexArtifact)
    searcher = open_searcher(index, None, index.encoder().load())
    hybrid = searcher.hybrid = HybridIndex.build(hybrid_texts(searcher, config, check.names()))
    hybrid.level = KNOWN if config.queries else LABELS
    main = shape_of(config).directions(config)[0].name
    dev = check.task(main, "dev")
    if scripts:
        dev = replace(dev, queries=[query for query in dev.queries if is_other_script(query.text)])
    asked = EncodedQueries.of(searcher, sampled(dev, OF_SCRIPTS if scripts else QUERIES, 0))
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


def add_scripts(data: Taught) -> None:
    """Write what queries in other scripts add to the weights of all queries, for each feature of names."""
    written = json.loads(FILE.read_text(encoding="utf-8"))
    names = [name for name in dict.fromkeys(map(shared_name, data.features)) if not name.startswith("kind: ")]
    queries = data.shared({name: at for at, name in enumerate(names)}, data.queries)
    prior = prior_weights(names, of_names=True)
    assert prior is not None
    prior[-1] = 0
    apart, nothing = KINDS.index("other script"), [0.0] * (len(KINDS) - 1)
    learner = FusionLearner(names=tuple(names), penalty=PENALTY, prior=prior)
    for fold in range(FOLDS):
        pairs = list(zip(queries, data.folds, strict=True))
        fitted = learner.fit([query for query, of in pairs if of != fold])
        asked = [query for query, of in pairs if of == fold]
        before = mean_rank(learner.fit([]), asked)
        after = mean_rank(fitted, asked)
        print(f"fold {fold}: {len(asked)} queries, MRR@10 {before:.1f} by the general prior, {after:.1f} taught")
    added = (learner.fit(queries).weights[apart] - prior[0]).round(4)
    of_names = written["weights"]["names"]
    for name, weight in zip(names, added.tolist(), strict=True):
        of_names[name] = [*of_names.get(name, nothing)[:apart], weight]
    FILE.write_text(json.dumps({**written, "kinds": KINDS}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {FILE}")


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
    arguments.add_argument("--scripts", action="store_true")
    given = arguments.parse_args()
    resolve("minilm")
    if given.scripts:
        add_scripts(taught(given.projects[0], scripts=True))
        return
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
