"""How long labelling takes after encoding, and how much memory: rules, lists, learner, combination.

    python benchmarks/label.py [--records 20000] [--hand 250]

Made-up records of some 40 words in four classes, five Python rules and five lists, vectors of 384 numbers in four
clouds. The peak is that of this process, the vectors included.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from honed.label.combine import combine
from honed.label.evidence import Evidence
from honed.label.lists import TermList
from honed.label.run import run_rules
from honed.label.threshold import balanced_thresholds, reaches_threshold

CLASSES = ["a", "b", "c", "d"]
DIM = 384


def records(truth: np.ndarray, random: np.random.Generator) -> list[dict[str, str]]:
    common = [f"word{number}" for number in range(3000)]
    own = {each: [f"{name}term{number}" for number in range(40)] for each, name in enumerate(CLASSES)}
    found = []
    for number, each in enumerate(truth.tolist()):
        words = [common[at] for at in random.integers(0, len(common), 40)]
        words[5] = own[each if random.random() < 0.8 else int(random.integers(4))][int(random.integers(40))]
        found.append({"id": str(number), "title": "", "text": " ".join(words)})
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--records", type=int, default=20_000)
    arguments.add_argument("--hand", type=int, default=250)
    given = arguments.parse_args()
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, given.records)
    rows = records(truth, random)
    centres = random.normal(size=(4, DIM)).astype(np.float32) * 0.005
    vectors = random.standard_normal((given.records, DIM), dtype=np.float32) * 0.05
    for start in range(0, given.records, 100_000):
        block = vectors[start : start + 100_000]
        block += centres[truth[start : start + 100_000]]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    lists = [
        TermList(label=name, name=f"list {name}", words=tuple(f"{name}term{number}" for number in range(25)))
        for name in CLASSES
    ]
    lists.append(TermList(label="a", name="pattern", patterns=(r"\baterm(2[5-9]|3\d)\b",)))
    code = "".join(
        f"def lf_{name}(row):\n    return '{name}' if '{name}term3' in row.text else None\n" for name in CLASSES
    )
    code += "def lf_last(row):\n    return 'd' if row.text.split()[5].startswith('dterm') else None\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.py"
        file.write_text(code, encoding="utf-8")
        started = time.perf_counter()
        voted = run_rules(rows, CLASSES, [file], lists, time_limit=2.0)
    after_rules = time.perf_counter()
    hand = np.concatenate([np.flatnonzero(truth == each)[: given.hand // 4] for each in range(4)])
    evidence = Evidence(n_classes=4, votes=voted.votes, rows=hand, classes=truth[hand], vectors=vectors)
    combined = combine(evidence, "auto", len(voted.names) + 1)
    kept = reaches_threshold(combined.probabilities, balanced_thresholds(combined.probabilities, 0.7))
    done = time.perf_counter()
    right = (combined.probabilities.argmax(axis=1) == truth)[kept].mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.records} records, {len(voted.names)} rules: rules {after_rules - started:.1f} s, "
        f"learner and combination {done - after_rules:.1f} s; {100 * right:.1f} % right at {100 * kept.mean():.0f} %; "
        f"peak {peak:,.0f} MB, of which vectors {vectors.nbytes / 1e6:,.0f}"
    )


if __name__ == "__main__":
    main()
