"""The models of a bundle as ONNX files, compared with PyTorch where scores would be far apart unnoticed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from honed.artifacts.models import CrossEncoderArtifact
from honed.bundle.layout import RerankerFiles
from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.records import EncoderSpec
from honed.data.split import unit_interval

_CALIBRATION, _PAIRS = 512, 64
_FAR, _FAR_BF16 = 0.002, 0.1  # of a cross-encoder's scores, as a share of the largest


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderGraph:
    """The ONNX file of an encoder, the layout of its weights for numpy (None: numpy cannot), and the tokenizer file."""

    model: bytes
    numpy: Any
    tokenizer: str


def encoder_graph(folder: Path, spec: EncoderSpec, precision: str, texts: Sequence[str]) -> EncoderGraph:
    """Return the ONNX file of an encoder; int8 is calibrated on some of the ``texts``, which have their prompts."""
    require("ONNX export")
    from tokenizers import Tokenizer

    from honed.encode import onnx_export, onnx_layout, onnx_precision
    from honed.encode.onnx_file import aligned
    from honed.encode.tokens import TextTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise ArtifactError("E_TOKENIZER", f"{folder}: has no tokenizer.json; a bundle needs a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    shown = tokenizer.to_str()
    table = onnx_export.static_table(folder)
    model = onnx_export.export_onnx(folder, spec.dim) if table is None else onnx_export.export_static(table)
    names = onnx_layout.numpy_names(model, folder, spec) if table is None else None
    if precision == "bf16":
        model = onnx_precision.to_bf16(model)
    elif precision == "int8":
        chosen = sorted(texts, key=lambda text: unit_interval(1, text))[:_CALIBRATION]
        ids = TextTokenizer(tokenizer, spec.max_length)(chosen)
        model = onnx_precision.to_int8(model, ids)
    layout = onnx_layout.numpy_layout(model, names, folder) if names else None
    if table is not None:
        layout = onnx_layout.static_layout(model)
    return EncoderGraph(model=aligned(model.SerializeToString()), numpy=layout, tokenizer=shown)


def cross_encoder_graph(artifact: CrossEncoderArtifact, texts: Sequence[str], precision: str) -> RerankerFiles:
    """Return the cross-encoder as an ONNX file (bf16 in a bundle that is not fp32), its tokenizer, and facts.

    Its scores are compared with PyTorch's on pairs of labels; `ArtifactError` where they are far apart.
    """
    from tokenizers import Tokenizer

    from honed.encode import onnx_export, onnx_precision
    from honed.encode.onnx_file import aligned
    from honed.encode.pair_graph import GraphCrossEncoder

    folder = artifact.model
    scorer = artifact.scorer("fp32").load()
    model = onnx_export.export_pairs(folder)
    raw = aligned((model if precision == "fp32" else onnx_precision.to_bf16(model)).SerializeToString())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    shown = tokenizer.to_str()
    texts = texts[: _PAIRS + 1]
    pairs = list(pairwise(texts)) or [(texts[0], texts[0])]
    graph = GraphCrossEncoder.load(raw, Tokenizer.from_str(shown), scorer.max_length)
    exact = scorer.score(pairs)
    far = float(np.abs(graph.score(pairs) - exact).max())
    if far > (_FAR if precision == "fp32" else _FAR_BF16) * max(1.0, float(np.abs(exact).max())):
        raise ArtifactError(
            "E_PARITY", f"the exported cross-encoder scores otherwise than the trained one: by {far:.4f}"
        )
    return RerankerFiles(raw, shown, {"max_length": scorer.max_length, "largest_score_difference": round(far, 6)})
