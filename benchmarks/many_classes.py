"""Weak labels of many classes from few hand labels, beside plain logistic regression on the same vectors.

    python benchmarks/many_classes.py TABLE.parquet --label intent [--split train] [--classes 77] [--hand 300]

Each draw takes classes, hand labels and records to judge by chance; nothing is learned of those. Plain is logistic
regression of scikit-learn at C = 1, 10 and 100, and at the C that is likeliest on hand labels in cross-fitting (five
folds). Both keep the records that they are surest of. Printed is the share that is right, in %, at each coverage, mean
over the draws, with honed's confidence and its estimate from hand labels beside what is right.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

from honed.core.protocols import Vectors
from honed.encode.config import EncoderConfig
from honed.encode.models import encoder_source
from honed.label.arrays import Classes, Probabilities
from honed.label.combine import combine
from honed.label.evidence import Evidence
from honed.label.learner import stratified_folds

COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
ABSENT = 1e-3  # the chance of a class that a fold was not taught


def plain_probabilities(taught: Vectors, classes: Classes, asked: Vectors, n_classes: int, c: float) -> Probabilities:
    """Return scikit-learn's probabilities ``(n_asked, n_classes)``."""
    model = LogisticRegression(C=c, max_iter=2000).fit(taught, classes)
    probabilities = np.zeros((len(asked), n_classes))
    probabilities[:, model.classes_] = model.predict_proba(asked)
    return probabilities


def likeliest_c(vectors: Vectors, classes: Classes, n_classes: int) -> float:
    """Return the C under which the labels are likeliest in five-fold cross-fitting."""
    folds, likelihoods = stratified_folds(classes, 5, 0), []
    for c in STRENGTHS:
        chances = np.zeros(len(classes))
        for fold in range(5):
            inside = folds == fold
            held_out = plain_probabilities(vectors[~inside], classes[~inside], vectors[inside], n_classes, c)
            chances[inside] = held_out[np.arange(int(inside.sum())), classes[inside]]
        likelihoods.append(np.log(np.maximum(chances, ABSENT)).mean())
    return STRENGTHS[int(np.argmax(likelihoods))]


def right_at(probabilities: Probabilities, truth: Classes) -> list[float]:
    """Return the share that is right among the surest records, at each coverage, in %."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == truth)[order]
    return [100 * float(right[: max(1, round(share * len(right)))].mean()) for share in COVERAGES]


def draw(vectors: Vectors, labels: Classes, n_classes: int, n_hand: int, seed: int) -> dict[str, list[float]]:
    """Return the curves of one draw: of hand labels from one half of the records, judged on the other."""
    random = np.random.default_rng(seed)
    names = np.unique(labels)
    names = random.choice(names, min(n_classes, len(names)), replace=False)
    rows = random.permutation(np.flatnonzero(np.isin(labels, names)))
    hand, judged = rows[:n_hand], rows[len(rows) // 2 :]
    seen = np.unique(labels[hand])
    place = {name: number for number, name in enumerate(seen.tolist())}
    truth = np.array([place.get(name, -1) for name in labels.tolist()])
    chosen = likeliest_c(vectors[hand], truth[hand], len(seen))
    curves = {}
    for name, c in {**{f"plain, C = {c:g}": c for c in STRENGTHS[:3]}, "plain, C chosen": chosen}.items():
        plain = plain_probabilities(vectors[hand], truth[hand], vectors[judged], len(seen), c)
        curves[name] = right_at(plain, truth[judged])
    evidence = Evidence(
        n_classes=len(seen),
        votes=np.empty((len(rows), 0), dtype=np.int16),
        rows=np.arange(n_hand),
        classes=truth[hand],
        vectors=vectors[rows],
        hidden=np.arange(len(rows)) >= len(rows) // 2,
    )
    started = time.perf_counter()
    combined = combine(evidence, "auto", evidence.n_sources)
    seconds = time.perf_counter() - started
    shares = combined.probabilities[len(rows) // 2 :]
    curves["honed"] = right_at(shares, truth[judged])
    estimate = (combined.probabilities[:n_hand].argmax(axis=1) == truth[hand]).mean()
    recipe, confidence = combined.recipe, shares.max(axis=1).mean()
    print(
        f"draw {seed}: {len(rows)} records, {len(seen)} classes with hand labels; C = {recipe.c:g}, nearness "
        f"{recipe.nearness:g}, taught by {combined.lesson}; confidence {100 * confidence:.1f} %, estimate "
        f"{100 * estimate:.1f} %, right {curves['honed'][-1]:.1f} %; {seconds:.1f} s",
        flush=True,
    )
    return curves


def main() -> None:
    """Print the table of one data set."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--text", default="text")
    arguments.add_argument("--label", required=True)
    arguments.add_argument("--split", default="")
    arguments.add_argument("--classes", type=int, default=77)
    arguments.add_argument("--hand", type=int, default=300)
    arguments.add_argument("--draws", type=int, default=5)
    arguments.add_argument("--records", type=int, default=5000)
    given = arguments.parse_args()
    table = pq.read_table(given.data).to_pandas()
    table = table[table.split == given.split] if given.split else table
    table = table.sample(min(given.records, len(table)), random_state=0)
    vectors = encoder_source(EncoderConfig(base="minilm")).load().encode(table[given.text].tolist(), "document")
    labels = table[given.label].to_numpy().astype(str)
    curves = [draw(vectors, labels, given.classes, given.hand, seed) for seed in range(given.draws)]
    print(f"{'% right at coverage':<22}" + "".join(f"{share:>7.0%}" for share in COVERAGES))
    for name in curves[0]:
        mean = np.mean([curve[name] for curve in curves], axis=0)
        print(f"{name:<22}" + "".join(f"{value:>7.1f}" for value in mean))


if __name__ == "__main__":
    main()
