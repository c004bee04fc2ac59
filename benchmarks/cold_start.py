"""Cold start: a fresh process from start to its first answer, honed's bundle beside sentence-transformers + FAISS.

    python benchmarks/cold_start.py BUNDLE MODEL_FOLDER [--repeat 7]

BUNDLE is a bundle, MODEL_FOLDER the sentence-transformers folder of the same model (honed export DIR --to hf). All
answer one query over the same labels; the ways take turns, and the median counts. `exit` is the end of the process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from honed import Searcher

HONED = """
import sys, time
t = [time.perf_counter()]
import numpy
t.append(time.perf_counter())
import tokenizers
from honed import Searcher
t.append(time.perf_counter())
searcher = Searcher.load(sys.argv[1], engine=sys.argv[4])
t.append(time.perf_counter()); t.append(t[-1])
hit = searcher.search(sys.argv[3], k=1)[0]
t.append(time.perf_counter())
"""
USUAL = """
import sys, time
t = [time.perf_counter()]
import numpy
t.append(time.perf_counter())
import faiss
from sentence_transformers import SentenceTransformer
t.append(time.perf_counter())
model = SentenceTransformer(sys.argv[1], device="cpu")
t.append(time.perf_counter())
index = faiss.read_index(sys.argv[2] + "/index.faiss")
texts = open(sys.argv[2] + "/labels.txt", encoding="utf-8").read().split("\\n")
t.append(time.perf_counter())
scores, rows = index.search(model.encode([sys.argv[3]], normalize_embeddings=True), 1)
hit = texts[rows[0, 0]]
t.append(time.perf_counter())
"""
LAMBDA = """
import os, sys, time
t = [time.perf_counter()]
import numpy
t.append(time.perf_counter())
import tokenizers
t.append(time.perf_counter())
os.environ["HONED_BUNDLE"] = sys.argv[1]
sys.path.insert(0, sys.argv[4])
import handler
t.append(time.perf_counter()); t.append(t[-1])
hit = handler.handler({"query": sys.argv[3], "k": 1}, None)["hits"][0]["text"]
t.append(time.perf_counter())
"""
END = """
import json
print(json.dumps({"phases": [b - a for a, b in zip(t, t[1:])], "at": time.time(), "hit": getattr(hit, "text", hit)}))
sys.stdout.flush()
"""
HANDLER = Path(__file__).parent.parent / "examples" / "lambda"
PHASES = ("interpreter", "numpy", "imports", "model", "index", "first query", "answer", "exit")


# every way with its bytecode on disk, as packages are installed: compiling honed's modules takes 60 ms and more
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def once(code: str, arguments: list[str]) -> list[float]:
    started = time.time()
    command = [sys.executable, "-c", code + END, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    ended = time.time()
    found = json.loads(done.stdout.strip().splitlines()[-1])
    answer = found["at"] - started
    return [answer - sum(found["phases"]), *found["phases"], answer, ended - started]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("model")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--query", default="UdeG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        n = prepare(options.bundle, options.model, Path(scratch))
        ways = {
            "sentence-transformers + FAISS": (USUAL, [options.model, scratch, options.query, ""]),
            "honed, onnxruntime at once": (HONED, [options.bundle, scratch, options.query, "onnxruntime"]),
            "honed, numpy first": (HONED, [options.bundle, scratch, options.query, "auto"]),
            "honed, the Lambda handler": (LAMBDA, [options.bundle, scratch, options.query, str(HANDLER)]),
        }
        runs: dict[str, list[list[float]]] = {name: [] for name in ways}
        for code, arguments in ways.values():  # warm the page cache, for every way alike
            once(code, arguments)
        for _ in range(options.repeat):
            for name, (code, arguments) in ways.items():
                runs[name].append(once(code, arguments))
    print(f"{n} labels, median of {options.repeat} fresh processes, milliseconds")
    print(f"{'':32s}" + "".join(f"{phase:>12s}" for phase in PHASES))
    middle = {name: [statistics.median(each) for each in zip(*found, strict=True)] for name, found in runs.items()}
    for name, values in middle.items():
        print(f"{name:32s}" + "".join(f"{1000 * value:12.0f}" for value in values))
    usual = middle["sentence-transformers + FAISS"]
    for name, values in middle.items():
        print(f"{name}: {usual[6] / values[6]:.1f}x to the answer, {usual[7] / values[7]:.1f}x to the exit")


def prepare(bundle: str, model: str, scratch: Path) -> int:
    """Write what the usual way needs: a FAISS index of the same labels, and the labels."""
    import faiss

    searcher = Searcher.load(bundle)
    names = searcher.names
    rows = names.rows_of(1)
    n = rows.stop if isinstance(rows, slice) else len(rows)
    vectors = searcher.catalogue.vectors.take(rows)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(scratch / "index.faiss"))
    chosen = range(n) if isinstance(rows, slice) else rows
    (scratch / "labels.txt").write_text("\n".join(names.text(int(row)) for row in chosen), encoding="utf-8")
    return n


if __name__ == "__main__":
    main()
