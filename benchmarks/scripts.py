"""What the parts for names in other scripts bring, on the dev queries of a project: the hybrid without and with them.

    python benchmarks/scripts.py PROJECT [--latin 0.15]

PROJECT is a folder of a project with a hybrid of names, run until its index stands. All dev queries in other scripts
are asked, and a draw of the Latin ones; each by weights that the other two of three parts of dev taught (no entity is
in two parts). Prints Hit@1, Hit@10 and MRR@10 by script, the share of queries whose right label is a candidate, the
time to gather candidates, and the bytes a name of every part. The test split is never read.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from honed import Project
from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import IndexArtifact
from honed.core.text import is_other_script, script
from honed.index.fusion import FusionLearner
from honed.index.hybrid import HybridIndex
from honed.index.mentions import LABELS
from honed.index.prior import prior_weights
from honed.search.searcher import Searcher
from honed.shapes.registry import shape_of
from honed.stages.encoded_queries import EncodedQueries, gather_candidates
from honed.stages.fusing import judged_candidates
from honed.stages.hybrid import hybrid_texts
from honed.stages.searching import open_searcher


def measured(searcher: Searcher, asked: EncodedQueries, scripts: np.ndarray) -> None:
    """Print the figures of a searcher's hybrid."""
    index = searcher.hybrid
    assert index is not None
    began = time.process_time()
    queries = judged_candidates(index, asked, list(gather_candidates(searcher, asked, "dev")))
    print(f"  {1000 * (time.process_time() - began) / len(queries):.2f} ms a query (CPU) to gather candidates")
    names = tuple(index.feature_names)
    learner = FusionLearner(names=names, prior=prior_weights(names, of_names=True))
    ranks = np.zeros(len(queries))
    for fold in np.unique(asked.folds):
        fusion = learner.fit([query for query, of in zip(queries, asked.folds, strict=True) if of != fold])
        for at in np.flatnonzero(asked.folds == fold):
            query = queries[at]
            scores, right = fusion.scores(query.features, kind=query.kind), query.grades > 0
            ranks[at] = 1 + (scores > scores[right].max()).sum() if right.any() else np.inf
    other = ~np.isin(scripts, ("latin", "none"))
    groups = {"latin": scripts == "latin", "all others": other}
    common = sorted(set(scripts[other]), key=lambda name: -(scripts == name).sum())
    for name, rows in (groups | {name: scripts == name for name in common}).items():
        of = ranks[rows]
        mrr = np.where(of <= 10, 1 / of, 0).mean()
        figures = [(of == 1).mean(), (of <= 10).mean(), mrr, np.isfinite(of).mean()]
        print(f"  | {name} | {len(of)} | {' | '.join(f'{100 * figure:.1f}' for figure in figures)} |")
    for name, part in index.parts.items():
        print(
            f"  {name}: {sum(array.nbytes for array in part.tensors.values()) / len(searcher.labels):.0f} bytes a name"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path)
    arguments.add_argument("--latin", type=float, default=0.15)
    given = arguments.parse_args()
    project = Project(given.project)
    check, index = project.runner.latest(CheckArtifact), project.runner.latest(IndexArtifact)
    searcher = open_searcher(index, None, index.encoder().load())
    dev = check.task(shape_of(project.config).directions(project.config)[0].name, "dev")
    draw = np.random.default_rng(0)
    chosen = [query for query in dev.queries if is_other_script(query.text) or draw.random() < given.latin]
    asked = EncodedQueries.of(searcher, replace(dev, queries=chosen))
    scripts = np.array([script(text) for text in asked.texts])
    texts = hybrid_texts(searcher, project.config, check.names(), [query.text for query in dev.queries])
    ways = {
        "without": replace(texts, other_scripts=False),
        "letters and sounds": replace(texts, across=()),
        "letters, sounds and translations": texts,
    }
    for name, way in ways.items():
        began = time.process_time()
        hybrid = searcher.hybrid = HybridIndex.build(way)
        hybrid.level = hybrid.level_of_short = LABELS
        print(f"{name}: built in {time.process_time() - began:.1f} s", flush=True)
        measured(searcher, asked, scripts)


if __name__ == "__main__":
    main()
