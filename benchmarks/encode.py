"""Encoding speed: honed beside sentence-transformers' default, in one run, on the same texts.

Prints texts per second, the ratio, and the cosine of each way to fp32; names are the labels of the demo table, passages
are made of them.
"""

import csv
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder, load_model

ROOT = Path(__file__).parent.parent


def texts() -> dict[str, list[str]]:
    with (ROOT / "examples" / "institutions" / "institutions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(name for row in rows for name in (row["label"], row["alias"])))
    passages = [" ".join(names[start : start + 12]) for start in range(0, 4800, 12)]
    return {"names": names[:4000], "passages": passages}


def timed(work, count: int) -> tuple[float, np.ndarray]:
    best, vectors = 0.0, np.empty(0)
    for _ in range(2):
        started = time.perf_counter()
        vectors = work()
        best = max(best, count / (time.perf_counter() - started))
    return best, vectors


def main() -> None:
    usual = load_model(resolve("minilm").folder)
    ours = {name: TorchEncoder.load(EncoderConfig(precision=name)) for name in ("fp32", "bf16")}
    print(f"{'':<34}{'texts/s':>9}{'ratio':>8}{'cosine mean':>13}{'min':>10}")
    for kind, sample in texts().items():
        usual.encode(sample[:64])
        speed, exact = timed(lambda: usual.encode(sample, normalize_embeddings=True), len(sample))  # noqa: B023
        print(f"{kind + ': sentence-transformers fp32':<34}{speed:>9.0f}{1:>8.2f}")
        for name, encoder in ours.items():
            encoder.encode(sample[:64], "query")
            found, vectors = timed(lambda: encoder.encode(sample, "query"), len(sample))  # noqa: B023
            cosine = (vectors * exact).sum(axis=1)
            row = f"{kind + ': honed ' + name:<34}{found:>9.0f}{found / speed:>8.2f}"
            print(f"{row}{cosine.mean():>13.6f}{cosine.min():>10.6f}")


if __name__ == "__main__":
    main()
