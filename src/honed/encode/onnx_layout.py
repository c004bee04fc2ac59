"""Which initializer of an exported graph holds which weight: what numpy needs to read the weights where they lie.

A layout is saved in the manifest of a bundle: ``config`` of the architecture, ``weights`` (name of a weight ->
initializer), and the names of those in ``codes`` (int8, with scales) or ``transposed``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honed.core.json import Json, JsonObject, parse_object
from honed.core.records import EncoderSpec
from honed.core.tensors import Array
from honed.encode.architectures import architecture_of
from honed.encode.numpy_encoder import (
    DISTANCES,
    KINDS,
    POSITIONS,
    PROJECTION,
    WORDS,
    EncoderSizes,
    unknown_to_numpy,
)
from honed.encode.static_encoder import STATIC

if TYPE_CHECKING:
    from onnx import ModelProto

_KEPT = ("model_type", "hidden_act", "num_attention_heads", "num_hidden_layers", "layer_norm_eps", "pad_token_id")
_OPTIONAL = (KINDS, DISTANCES, f"{PROJECTION}.weight", f"{PROJECTION}.bias")  # that some architectures have


def static_layout(model: "ModelProto") -> dict[str, Json]:
    """Return the layout of a graph that adds up token vectors, for `honed.encode.static_encoder`."""
    codes = any(tensor.name == "embedding.codes" for tensor in model.graph.initializer)
    return {
        "config": {"model_type": STATIC},
        "weights": {WORDS: "embedding"},
        "codes": [WORDS] if codes else [],
        "transposed": [],
    }


def numpy_names(model: "ModelProto", folder: Path, spec: EncoderSpec) -> dict[str, str] | None:
    """Return which initializer of the fp32 graph holds which weight of BERT's; None where numpy cannot run the model.

    A linear layer's weight lies transposed in the graph; the names are found by content.
    """
    from onnx import numpy_helper
    from safetensors.numpy import load_file

    config, file = _config(folder), folder / "model.safetensors"
    if unknown_to_numpy(config, spec) or not file.is_file() or _has_more_layers(folder):
        return None
    stored = load_file(str(file))
    initializers = {_digest(numpy_helper.to_array(tensor)): tensor.name for tensor in model.graph.initializer}
    names: dict[str, str] = {}
    rename = architecture_of(config).bert_name
    for name, array in stored.items():
        weight = rename(name)
        values = array.astype(np.float32)
        initializer = initializers.get(_digest(values.T if _is_linear(weight) else values))
        if initializer is not None:
            names[weight] = initializer
    optional = {name for name in map(rename, stored) if name in _OPTIONAL}
    return names if bert_weight_names(config) | optional <= set(names) else None


def numpy_layout(model: "ModelProto", names: Mapping[str, str], folder: Path) -> dict[str, Json]:
    """Return the layout of a graph for `honed.encode.numpy_encoder`; ``names`` are those of `numpy_names`."""
    config = _config(folder)
    settings = architecture_of(config).settings
    kept = [settings.get(key, key) for key in _KEPT]
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        "config": {key: config[key] for key in kept if key in config},
        "weights": dict(names),
        "codes": sorted(name for name, initializer in names.items() if f"{initializer}.codes" in stored),
        "transposed": sorted(name for name in names if _is_linear(name)),
    }


def bert_weight_names(config: JsonObject) -> set[str]:
    """Return the names of the weights that every encoder of BERT's kind has, of some configuration."""
    parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    layers = [
        f"encoder.layer.{layer}.{part}.{kind}"
        for layer in range(EncoderSizes.read(config).layers)
        for part in parts
        for kind in ("weight", "bias")
    ]
    return {*layers, WORDS, POSITIONS, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"}


def _config(folder: Path) -> dict[str, Json]:
    return parse_object((folder / "config.json").read_text(encoding="utf-8"))


def _digest(array: Array) -> tuple[tuple[int, ...], int]:
    """Return a digest of an array's shape and numbers."""
    return array.shape, hash(np.ascontiguousarray(array).tobytes())


def _has_more_layers(folder: Path) -> bool:
    """Tell whether a model has more behind its transformer than pooling and normalisation."""
    file = folder / "modules.json"
    modules = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return any(part["type"].rsplit(".", 1)[-1] not in ("Transformer", "Pooling", "Normalize") for part in modules)


def _is_linear(name: str) -> bool:
    if name == DISTANCES or "LayerNorm" in name or not name.endswith(".weight"):
        return False
    return name.startswith(("encoder.", PROJECTION))
