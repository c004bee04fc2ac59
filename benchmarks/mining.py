"""False negatives among mined ones, with positives that are known to be right and were hidden from the miner.

    python benchmarks/mining.py WORK [--hide 0.3] [--seeds 3]

WORK is the output folder of a project of aliases (its check stage has run). A share of all training pairs is hidden;
mining sees the rest, and is judged by all of them: how many of the nearest candidates (top-k mining) and of those below
the calibrated threshold are hidden positives, beside what the calibration estimated. Both directions, base model.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from honed.core.text import fold
from honed.data import task
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import MineConfig
from honed.train.mine import choose_negatives, find_candidates


def share_right(negatives: list[list[int]], true: list[set[int]]) -> float:
    chosen = [row in true[anchor] for anchor, rows in enumerate(negatives) for row in rows]
    return sum(chosen) / max(1, len(chosen))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("work", type=Path)
    arguments.add_argument("--hide", type=float, default=0.3)
    arguments.add_argument("--seeds", type=int, default=3)
    given = arguments.parse_args()
    check = given.work / "check" / json.loads((given.work / "latest.json").read_text())["check"]
    examples = task.load_examples(check / "examples.parquet")
    labels = [doc.text for doc in task.load_task(check, task.FORWARD, "dev").corpus]
    aliases = list({fold(each.anchor): each.anchor for each in examples}.values())
    row_of_label = {fold(text): row for row, text in enumerate(labels)}
    row_of_alias = {fold(text): row for row, text in enumerate(aliases)}
    pairs = sorted({(row_of_alias[fold(each.anchor)], row_of_label[fold(each.positive)]) for each in examples})
    encoder = TorchEncoder.load(EncoderConfig())
    alias_vectors, label_vectors = encoder.encode(aliases, "query"), encoder.encode(labels, "document")
    sides = {
        "alias -> label": (aliases, alias_vectors, labels, label_vectors, pairs),
        "label -> alias": (labels, label_vectors, aliases, alias_vectors, [(label, alias) for alias, label in pairs]),
    }
    print(f"{len(pairs)} pairs, {100 * given.hide:.0f} % hidden; 4 negatives an anchor; shares in percent")
    print("direction       seed  top-k: right  estimated   calibrated: right  estimated  negatives an anchor")
    for name, (texts, vectors, names, targets, known_pairs) in sides.items():
        for seed in range(given.seeds):
            hidden = np.random.default_rng(seed).random(len(known_pairs)) < given.hide
            true: list[set[int]] = [set() for _ in texts]
            known: list[set[int]] = [set() for _ in texts]
            for (anchor, document), hide in zip(known_pairs, hidden, strict=True):
                true[anchor].add(document)
                if not hide:
                    known[anchor].add(document)
            asked = [row for row, each in enumerate(known) if each]
            config = MineConfig(seed=seed)
            found = find_candidates(
                ([texts[row] for row in asked], vectors[asked]),
                (names, targets),
                [frozenset(known[row]) for row in asked],
                [],
                config,
            )
            answers = [true[row] for row in asked]
            calibrated = choose_negatives(found, config)
            estimated = calibrated.report.estimated_false_negatives
            top = [rows[: config.negatives].tolist() for rows in found.rows]
            print(
                f"{name}  {seed:>4}  {100 * share_right(top, answers):>12.2f} {100 * estimated.top:>10.2f}  "
                f"{100 * share_right(calibrated.negatives, answers):>17.2f} {100 * estimated.chosen:>10.2f}  "
                f"{calibrated.report.chosen / len(asked):>19.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
