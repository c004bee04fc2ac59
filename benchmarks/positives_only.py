"""What the squared error on positive pairs alone does to a model, beside the project's own training.

    python benchmarks/positives_only.py examples/products examples/movies

Trains each project's base model on its training pairs with (1 - cosine)^2, Adam at 1e-5 and batches of 64 (the recipe
of TransformerLearningProject, with the gradient that its code cuts off), 30 steps on 768 of them, and again at a
learning rate of 2e-4; then all are measured on the same test queries (200 at most) over a part of the corpus (every
judged document, others as drawn). Needs ``honed check`` of a project at least; what
it has trained itself is measured too.
"""

import argparse
import contextlib
import sys

import numpy as np
import torch
from honed.stages.stage import narrowed, sampled, trained_encoder
from honed.stages.systems import encoder_run

from honed import Project
from honed.core.errors import HonedError
from honed.data import task
from honed.encode.torch_encoder import TorchEncoder
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores

BATCH, PAIRS, STEPS = 64, 768, 30
QUERIES, CHARS = 200, 800_000  # of the test: every judged document of so many queries, others as drawn


def taught(encoder: TorchEncoder, pairs: list[tuple[str, str]], rate: float) -> None:
    """Train in place."""
    model = encoder.model.float().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(pairs))[:PAIRS]
    for step in range(STEPS):
        some = [pairs[at] for at in rng.choice(chosen, min(BATCH, len(chosen)), replace=False)]
        left, right = (model(model.tokenize([pair[side] for pair in some]))["sentence_embedding"] for side in (0, 1))
        loss = ((1 - torch.cosine_similarity(left, right)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step} loss {loss.item():.4f}", file=sys.stderr, flush=True)
    model.eval()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("projects", nargs="+")
    arguments.add_argument("--rates", type=float, nargs="+", default=[1e-5, 2e-4])
    given = arguments.parse_args()
    for folder in given.projects:
        measured(Project(folder), given.rates)


def measured(project: Project, rates: list[float]) -> None:
    config, check = project.config, project.runner.latest("check").folder
    test = narrowed(sampled(task.load_task(check, task.FORWARD, "test"), QUERIES, 0), CHARS)
    pairs = [(each.anchor, each.positive) for each in task.load_examples(check / "examples.parquet")]
    measure = Measure("nDCG", 10)
    scores = TaskScores(test, [measure])
    found = {"base": TorchEncoder.load(config.model)}
    for rate in rates:
        name = f"positives alone, {rate:g}"
        encoder = TorchEncoder.load(config.model)
        taught(encoder, pairs, rate)
        found[name] = encoder
    with contextlib.suppress(HonedError):
        found["honed"] = trained_encoder(config, {"train": project.runner.latest("train")})
    for name, encoder in found.items():
        run = encoder_run(name, encoder, test, 100)
        scores.add(run)
        vectors = encoder.encode([query.text for query in test.queries[:500]], "query")
        likeness = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean()
        print(f"{name}: mean cosine of different queries {likeness:.3f}", flush=True)
    print(f"{project.file}: {len(test.queries)} queries, {len(test.corpus)} documents, {len(pairs)} pairs")
    for each in scores.systems():
        value = each["measures"][str(measure)]
        print(f"{each['name']}: nDCG@10 {value['mean']:.4f} ({value['low']:.4f} to {value['high']:.4f})")
    for name in list(found)[1:]:
        print(name, "against base:", scores.compare(name, "base", measure)["difference"])


if __name__ == "__main__":
    main()
