"""BERT in plain numpy over memory-mapped weights: no PyTorch, no start-up cost, the same vectors.

For the first answers of a process, and where nothing but numpy and tokenizers is installed. Batches of one length are
exact and small; a bulk of texts is faster through another encoder.
"""

import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec

Array = npt.NDArray[np.float32]
_CHARS_A_TOKEN = 12
_TOKENS_A_BATCH = 1024
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}


def map_safetensors(path: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file as read-only arrays over a memory map.

    Raises `ArtifactError` when the header does not fit the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, 100_000_000):
            raise ArtifactError("E_SAFETENSORS", f"{path}: the header does not fit the file")
        header: dict[str, Any] = json.loads(file.read(length))
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = _DTYPES.get(entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if dtype is None or not 0 <= begin <= end <= size - 8 - length or end - begin != count * dtype.itemsize:
            raise ArtifactError("E_SAFETENSORS", f"{path}: tensor {name} does not fit the file")
        array: Any = np.frombuffer(data, dtype=dtype.str, count=count, offset=8 + length + begin)
        tensors[name] = array.reshape(entry["shape"])
    return tensors


class NumpyEncoder:
    """A BERT encoder with mean or CLS pooling."""

    def __init__(
        self, weights: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any, spec: EncoderSpec
    ) -> None:
        _refuse_unknown(config, spec)
        self._spec = spec
        self.weights = {name.removeprefix("bert."): value for name, value in weights.items()}
        self.heads = int(config["num_attention_heads"])
        self.layers = int(config["num_hidden_layers"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(spec.max_length)

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec) -> Self:
        """Load ``model.safetensors``, ``config.json`` and ``tokenizer.json`` of a folder."""
        require("tokenizer")
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls(map_safetensors(folder / "model.safetensors"), config, tokenizer, spec)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        prompt, limit = self._spec.prompt(role), self._spec.max_length * _CHARS_A_TOKEN
        ids = [each.ids for each in self.tokenizer.encode_batch([(prompt + text)[:limit] for text in texts])]
        by_length: dict[int, list[int]] = {}
        for row, each in enumerate(ids):
            by_length.setdefault(len(each), []).append(row)
        vectors = np.empty((len(texts), self._spec.dim), dtype=np.float32)
        for length, rows in by_length.items():
            step = max(1, _TOKENS_A_BATCH // length)
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                vectors[some] = self._forward(np.array([ids[row] for row in some], dtype=np.int64))
        return vectors

    def _forward(self, ids: npt.NDArray[np.int64]) -> Array:
        """Return unit vectors of token ids ``(n_texts, n_tokens)``, all of one length."""
        weights = self.weights
        n_texts, n_tokens = ids.shape
        words = weights["embeddings.word_embeddings.weight"][ids].astype(np.float32)
        positions = weights["embeddings.position_embeddings.weight"][:n_tokens].astype(np.float32)
        kind = weights["embeddings.token_type_embeddings.weight"][0].astype(np.float32)
        states = self._norm(words + positions + kind, "embeddings.LayerNorm")
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            attended = self._attend(states, f"{name}.attention.self")
            attended = self._linear(attended, f"{name}.attention.output.dense")
            states = self._norm(states + attended, f"{name}.attention.output.LayerNorm")
            inner = _gelu(self._linear(states, f"{name}.intermediate.dense"))
            states = self._norm(states + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        pooled = states[:, 0] if self._spec.pooling == "cls" else states.mean(axis=1)
        unit: Array = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return unit.reshape(n_texts, -1)

    def _linear(self, states: Array, name: str) -> Array:
        weight = self.weights[f"{name}.weight"].astype(np.float32, copy=False)
        product: Array = states.reshape(-1, states.shape[-1]) @ weight.T
        product += self.weights[f"{name}.bias"].astype(np.float32, copy=False)
        return product.reshape(*states.shape[:-1], -1)

    def _attend(self, states: Array, name: str) -> Array:
        n_texts, n_tokens, width = states.shape
        shape = (n_texts, n_tokens, self.heads, width // self.heads)
        query, key, value = (
            self._linear(states, f"{name}.{part}").reshape(shape).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        out: Array = (scores @ value).transpose(0, 2, 1, 3).reshape(n_texts, n_tokens, width)
        return out

    def _norm(self, states: Array, name: str) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled: Array = centred / np.sqrt(variance + np.float32(self.epsilon))
        scaled *= self.weights[f"{name}.weight"].astype(np.float32, copy=False)
        scaled += self.weights[f"{name}.bias"].astype(np.float32, copy=False)
        return scaled


def _refuse_unknown(config: Mapping[str, Any], spec: EncoderSpec) -> None:
    wrong = [
        f"{key} {config.get(key)!r}"
        for key, known in {"model_type": ("bert",), "hidden_act": ("gelu",)}.items()
        if config.get(key) not in known
    ]
    if spec.pooling not in ("mean", "cls"):
        wrong.append(f"pooling {spec.pooling!r}")
    if wrong:
        raise ArtifactError("E_ENCODER", f"the numpy encoder does not know {', '.join(wrong)}")


def _gelu(values: Array) -> Array:
    """Return x * Phi(x), with the error function to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26)."""
    scaled = np.abs(values) * np.float32(0.7071067811865476)
    step = 1 / (1 + np.float32(0.3275911) * scaled)
    series: Any = np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * step + np.float32(factor)
    error = 1 - series * step * np.exp(-scaled * scaled)
    out: Array = values * np.float32(0.5) * (1 + np.sign(values) * error)
    return out
