"""Encoders of BERT's kind in plain numpy over memory-mapped weights: no PyTorch, no start-up cost, the same vectors.

For the first answers of a process, and where nothing but numpy and tokenizers is installed. Batches of one length are
exact and small; a bulk of texts is faster through another encoder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.json import JsonObject, parse_object
from honed.core.optional import require
from honed.core.plain import as_integer, as_number
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.tensors import Array, Tensors, map_safetensors, unit_rows
from honed.encode.architectures import architecture_of, padding_id_of
from honed.encode.tokens import TextTokenizer, TokenIds

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENS_A_BATCH, _FILE = 1024, "model.safetensors"
WORDS = "embeddings.word_embeddings.weight"
POSITIONS, KINDS = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"
DISTANCES = "encoder.relative_attention_bias.weight"  # of MPNet: (buckets of distances, heads)
PROJECTION = "embeddings_project"  # of ELECTRA: from narrow token vectors to the width of the layers
_FARTHEST = 128  # tokens as far apart as this or farther share one bucket


class Weights:
    """The weights of a model by name, read where they lie; quantised ones are made fp32 when first used.

    ``scales`` maps the name of int8 codes to their scales: ``(n_rows, 1)`` for the word embeddings, and
    ``(n_in // block, n_out)`` for a linear layer, whose codes are stored ``(n_in, n_out)`` as the names in
    ``transposed`` are.
    """

    def __init__(self, arrays: Tensors, scales: Tensors | None = None, transposed: Sequence[str] = ()) -> None:
        self.arrays, self.scales, self.transposed = arrays, scales or {}, frozenset(transposed)
        self._dequantised: dict[str, Vectors] = {}

    def word_vectors(self, ids: TokenIds) -> Vectors:
        """Return the word embeddings ``(*ids.shape, dim)``."""
        vectors: Vectors = self.arrays[WORDS][ids].astype(np.float32)
        return vectors * self.scales[WORDS][ids] if WORDS in self.scales else vectors

    def linear(self, name: str) -> Vectors:
        """Return the weight of a linear layer as ``(n_in, n_out)``."""
        if name in self.scales:
            if name not in self._dequantised:
                self._dequantised[name] = _dequantised(self.arrays[name], self.scales[name])
            return self._dequantised[name]
        return self[name] if name in self.transposed else self[name].T

    def __getitem__(self, name: str) -> Vectors:
        """Return an array that is not quantised, in fp32."""
        weights: Vectors = self.arrays[name].astype(np.float32, copy=False)
        return weights


def _dequantised(codes: Array, scales: Array) -> Vectors:
    """Return fp32 weights of int8 codes ``(n_in, n_out)`` with one scale for each block of rows."""
    weights: Vectors = codes.astype(np.float32)
    weights.reshape(len(scales), -1, codes.shape[1])[...] *= scales[:, None, :]
    return weights


class EncoderSizes(NamedTuple):
    """What a transformer's configuration says of its computation.

    ``first_position`` is where the first token of a text stands in the table of positions.
    """

    heads: int
    layers: int
    epsilon: float
    first_position: int

    @classmethod
    def read(cls, config: JsonObject) -> Self:
        """Read a ``config.json``; `ArtifactError` where a number is missing or none."""
        architecture = architecture_of(config)
        heads, layers = (
            as_integer(architecture.setting(config, name)) for name in ("num_attention_heads", "num_hidden_layers")
        )
        epsilon = as_number(config.get("layer_norm_eps", 1e-12))
        return cls(heads, layers, epsilon, architecture.first_position(padding_id_of(config)))


class NumpyEncoder:
    """An encoder of BERT's kind with mean or CLS pooling; ``config`` is the ``config.json`` of the model.

    Raises `ArtifactError` for an architecture that it does not know.
    """

    def __init__(self, weights: Weights, config: JsonObject, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        if reason := unknown_to_numpy(config, spec):
            raise ArtifactError("E_ENCODER", f"the numpy encoder does not know {reason}")
        self._spec = spec
        self.weights, self.sizes = weights, EncoderSizes.read(config)
        self.tokens = TextTokenizer(tokenizer, spec.max_length)

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec) -> Self:
        """Load ``model.safetensors``, ``config.json`` and ``tokenizer.json`` of a folder."""
        require("tokenizer")
        from tokenizers import Tokenizer

        config = parse_object((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        rename = architecture_of(config).bert_name
        arrays = {rename(name): array for name, array in map_safetensors(folder / _FILE).items()}
        return cls(Weights(arrays), config, tokenizer, spec)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        prompt = self._spec.prompt(role)
        ids = self.tokens([prompt + text for text in texts])
        by_length: dict[int, list[int]] = {}
        for row, tokens in enumerate(ids):
            by_length.setdefault(len(tokens), []).append(row)
        vectors = np.empty((len(texts), self._spec.dim), dtype=np.float32)
        for length, rows in by_length.items():
            step = max(1, _TOKENS_A_BATCH // length)
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                vectors[batch] = self._forward(np.stack([ids[row] for row in batch]))
        return vectors

    def _forward(self, ids: TokenIds) -> Vectors:
        """Return unit vectors of token ids ``(n_texts, n_tokens)``, all of one length."""
        states, bias = self._embed(ids), self._bias(ids.shape[1])
        for layer in range(self.sizes.layers):
            name = f"encoder.layer.{layer}"
            attended = self._attend(states, f"{name}.attention.self", bias)
            attended = self._linear(attended, f"{name}.attention.output.dense")
            states = self._norm(states + attended, f"{name}.attention.output.LayerNorm")
            inner = _gelu(self._linear(states, f"{name}.intermediate.dense"))
            states = self._norm(states + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        pooled = states[:, 0] if self._spec.pooling == "cls" else states.mean(axis=1)
        return unit_rows(pooled[:, : self._spec.dim])

    def _embed(self, ids: TokenIds) -> Vectors:
        """Return the states before the first layer ``(n_texts, n_tokens, width)``."""
        weights, first = self.weights, self.sizes.first_position
        states = weights.word_vectors(ids) + weights[POSITIONS][first : first + ids.shape[1]]
        if KINDS in weights.arrays:
            states += weights[KINDS][0]
        states = self._norm(states, "embeddings.LayerNorm")
        return self._linear(states, PROJECTION) if f"{PROJECTION}.weight" in weights.arrays else states

    def _bias(self, n_tokens: int) -> Vectors | None:
        """Return what is added to the scores of attention ``(heads, n_tokens, n_tokens)`` for distances; or None."""
        if DISTANCES not in self.weights.arrays:
            return None
        table = self.weights[DISTANCES]
        steps = np.arange(n_tokens)
        bias: Vectors = table[_buckets(steps[None, :] - steps[:, None], len(table))].transpose(2, 0, 1)
        return bias

    def _linear(self, states: Vectors, name: str) -> Vectors:
        product: Vectors = states.reshape(-1, states.shape[-1]) @ self.weights.linear(f"{name}.weight")
        product += self.weights[f"{name}.bias"]
        return product.reshape(*states.shape[:-1], -1)

    def _attend(self, states: Vectors, name: str, bias: Vectors | None) -> Vectors:
        n_texts, n_tokens, width = states.shape
        shape = (n_texts, n_tokens, self.sizes.heads, width // self.sizes.heads)
        query, key, value = (
            self._linear(states, f"{name}.{part}").reshape(shape).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(shape[-1]))
        if bias is not None:
            scores += bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        out: Vectors = (scores @ value).transpose(0, 2, 1, 3).reshape(n_texts, n_tokens, width)
        return out

    def _norm(self, states: Vectors, name: str) -> Vectors:
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled: Vectors = centred / np.sqrt(variance + np.float32(self.sizes.epsilon))
        scaled *= self.weights[f"{name}.weight"]
        scaled += self.weights[f"{name}.bias"]
        return scaled


def unknown_to_numpy(config: JsonObject, spec: EncoderSpec) -> str:
    """Return what the numpy encoder does not support of a model, such as "model_type 'mpnet'"; empty: nothing."""
    architecture = architecture_of(config)
    if architecture.bert is None:
        return f"model_type {config.get('model_type')!r}"
    positions, activation = config.get("position_embedding_type"), architecture.setting(config, "hidden_act")
    unknown = [] if activation == "gelu" else [f"hidden_act {activation!r}"]
    if positions not in (None, "absolute"):
        unknown.append(f"position_embedding_type {positions!r}")
    if spec.pooling not in ("mean", "cls"):
        unknown.append(f"pooling {spec.pooling!r}")
    return ", ".join(unknown)


def _buckets(distances: TokenIds, n_buckets: int) -> TokenIds:
    """Return the bucket of each distance between tokens: half of them for either direction, near ones alone.

    Raffel et al. 2020 (T5, arXiv 1910.10683), section 2.1: farther ones share buckets that grow with the logarithm.
    """
    half = n_buckets // 2
    exact, away = half // 2, np.abs(distances)
    far = np.log(np.maximum(away, 1) / np.float32(exact), dtype=np.float32) / np.float32(np.log(_FARTHEST / exact))
    shared = np.minimum(exact + (far * np.float32(half - exact)).astype(np.int64), half - 1)
    buckets: TokenIds = np.where(away < exact, away, shared) + half * (distances > 0)
    return buckets


def _gelu(values: Vectors) -> Vectors:
    """Return x * Phi(x), with the error function to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26)."""
    scaled = np.abs(values)
    scaled *= np.float32(0.7071067811865476)
    step = scaled * np.float32(0.3275911)
    step += 1
    np.reciprocal(step, out=step)
    series = step * np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(factor)
        series *= step
    np.square(scaled, out=scaled)
    np.negative(scaled, out=scaled)
    series *= np.exp(scaled, out=scaled)  # 1 - erf
    np.subtract(1, series, out=series)
    np.copysign(series, values, out=series)
    series += 1
    series *= values
    series *= np.float32(0.5)
    return series
