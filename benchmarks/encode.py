"""Encoding speed: honed and the engines of its bundles beside sentence-transformers, in one run, on the same texts.

Prints texts per second, the ratio, and the cosine of each way to fp32; names are the labels of the demo table, passages
are made of them.
"""

import csv
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from tokenizers import Tokenizer

from honed.core.protocols import Encoder
from honed.encode import hardware
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.engines import engines_for
from honed.encode.graph_encoder import GraphEncoder
from honed.encode.onnx_export import export_onnx
from honed.encode.onnx_file import aligned
from honed.encode.onnx_precision import to_bf16, to_int8
from honed.encode.tokens import TextTokenizer
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


def engines(names: list[str]) -> dict[str, GraphEncoder]:
    """The engines of a bundle that run here over the exported graph, in its precisions."""
    base = resolve("minilm").folder
    spec = TorchEncoder.load(EncoderConfig(precision="fp32")).spec
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ids = TextTokenizer(tokenizer, spec.max_length)(names[:512])
    graphs = {"fp32": export_onnx(base), "bf16": to_bf16(export_onnx(base)), "int8": to_int8(export_onnx(base), ids)}
    encoders = {}
    for precision, graph in graphs.items():
        for engine in engines_for(precision):
            tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
            try:
                model = aligned(graph.SerializeToString())
                encoder = GraphEncoder.load(model, tokenizer, spec, engine=engine)
                encoder.encode(names[:8], "query")
            except Exception as error:  # the engines have no common exception
                print(f"bundle {precision}, {engine}: cannot run here: {str(error)[:100]}")
            else:
                encoders[f"bundle {precision}, {engine}"] = encoder
    return encoders


def main() -> None:
    usual = load_model(resolve("minilm").folder)
    precisions = ("fp32", "bf16") if hardware.cpu_has_bf16() or hardware.gpus() else ("fp32",)
    if "bf16" not in precisions:
        print("bf16 by PyTorch: not run, this CPU multiplies in fp32 alone")
    ours: dict[str, Encoder] = {
        f"honed {name}": TorchEncoder.load(EncoderConfig(precision=name)) for name in precisions
    }
    ours |= engines(texts()["names"])
    print(f"{'':<34}{'texts/s':>9}{'ratio':>8}{'cosine mean':>13}{'min':>10}")
    for kind, sample in texts().items():
        usual.encode(sample[:64])
        speed, exact = timed(lambda: usual.encode(sample, normalize_embeddings=True), len(sample))  # noqa: B023
        print(f"{kind + ': sentence-transformers fp32':<34}{speed:>9.0f}{1:>8.2f}")
        for name, encoder in ours.items():
            encoder.encode(sample[:64], "query")
            found, vectors = timed(lambda: encoder.encode(sample, "query"), len(sample))  # noqa: B023
            cosine = (vectors * exact).sum(axis=1)
            row = f"{kind + ': ' + name:<34}{found:>9.0f}{found / speed:>8.2f}"
            print(f"{row}{cosine.mean():>13.6f}{cosine.min():>10.6f}")


if __name__ == "__main__":
    main()
