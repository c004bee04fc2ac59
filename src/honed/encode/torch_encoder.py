"""The sentence-transformers encoder: tokenised once, sorted by length, batched by tokens, bf16 where the CPU has it."""

import contextlib
import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import torch

from honed.core.errors import ConfigError
from honed.core.progress import progress
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.encode import hardware
from honed.encode.attention import Features
from honed.encode.base_models import read_spec, resolve, save_spec
from honed.encode.config import PRECISIONS, EncoderConfig
from honed.encode.packed import (
    bag_features,
    model_architecture,
    packed_features,
    padded_features,
    use_packed_attention,
)
from honed.encode.prompts import completed
from honed.encode.tokens import TextTokenizer, TokenIds, token_batches

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from tokenizers import Tokenizer

Module = TypeVar("Module", bound=torch.nn.Module)
_LONGEST, _UNSTATED = 1 << 16, 512  # what claims more has no limit of its own
_TOKENS_A_BATCH, _TOKENS_A_BATCH_OF_BAGS = 2048, 1 << 17


class TorchEncoder:
    """A sentence-transformers model as an `honed.core.protocols.Encoder`; the model is put into the precision.

    ``static`` tells whether it has token vectors alone, ``packed`` whether its batches are laid end to end.
    """

    role_is_prompt = True  # and nothing else: two roles with one prompt have the same vectors

    def __init__(self, model: "SentenceTransformer", spec: EncoderSpec, *, precision: str = "auto") -> None:
        self.model = model
        self._spec = spec
        self.tokens = TextTokenizer(tokenizer_of(model), spec.max_length)
        self.padding_id: int = getattr(model.tokenizer, "pad_token_id", 0) or 0
        self.static = hasattr(model[0], "num_embeddings")
        self.precision = "fp32" if self.static else choose_precision(precision, model.device.type)
        self.model.eval()
        if self.precision == "bf16":
            self.model.to(torch.bfloat16)
        self.packed = not self.static and use_packed_attention(self.model)
        self.first_position = _first_position(model)

    @classmethod
    def load(cls, config: EncoderConfig) -> Self:
        """Load a base model by its name; see `honed.encode.base_models.resolve` for where it is looked for."""
        base = resolve(config.base)
        model = load_model(base.folder)
        config, spec = completed(config, base.folder), spec_of(model, base.weights)
        spec = replace(spec, query_prompt=config.query_prompt, document_prompt=config.document_prompt)
        if spec.query_prompt + spec.document_prompt and _leaves_prompts_out(model):
            raise ConfigError(
                "E_POOLING", f"{config.base}: its pooling leaves the prompt out; honed has no such vectors"
            )
        spec = with_dim(with_max_length(spec, config.max_length, model), config.dim)
        return cls(model, spec, precision=config.precision)

    @classmethod
    def load_folder(cls, folder: Path, *, precision: str = "auto") -> Self:
        """Load a model that honed trained, with the spec saved beside it; `ArtifactError` when the two do not fit."""
        return cls(load_model(folder), read_spec(folder), precision=precision)

    @classmethod
    def snapshot(cls, model: "SentenceTransformer", spec: EncoderSpec, *, precision: str = "auto") -> Self:
        """Make an encoder of a model in training, by copy."""
        return cls(copy_model(model), spec, precision=precision)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        vectors = np.empty((len(texts), self._spec.dim), dtype=np.float32)
        prompt = self._spec.prompt(role)
        with progress(f"encode {role} texts", len(texts)) as bar:
            for start in range(0, len(texts), 50_000):  # tokens of a block at a time bound the memory
                block = texts[start : start + 50_000]
                ids = self.tokens([prompt + text for text in block] if prompt else block)
                for rows in token_batches(ids, _TOKENS_A_BATCH_OF_BAGS if self.static else _TOKENS_A_BATCH):
                    vectors[start + rows] = self.encode_ids([ids[row] for row in rows])
                    bar.advance(len(rows))
        return vectors

    def encode_ids(self, ids: Sequence[TokenIds]) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` of one batch of token ids."""
        with torch.inference_mode():
            pooled = self.model(self.features(ids))["sentence_embedding"][:, : self._spec.dim].float()
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors

    def features(self, ids: Sequence[TokenIds]) -> Features:
        """Return the model's input for one batch of token ids, packed where the model can be."""
        device = self.model.device
        if self.static:
            return bag_features(ids, device)
        if self.packed:
            return packed_features(ids, device, self.first_position)
        return padded_features(ids, self.padding_id, device)


def _leaves_prompts_out(model: "SentenceTransformer") -> bool:
    """Tell whether a model's pooling skips the tokens of its prompt."""
    return any(getattr(part, "include_prompt", True) is False for part in model)


def copy_model(model: Module) -> Module:
    """Return a copy of a model in training, without the wrapper of its ``forward`` that the trainer put on it."""
    twin = copy.deepcopy(model)
    twin.__dict__.pop("forward", None)  # the mixed-precision wrapper that accelerate puts on the instance
    return twin


def tokenizer_of(model: "SentenceTransformer | CrossEncoder") -> "Tokenizer":
    """Return a copy of a model's fast tokenizer, so that its settings can be changed; `ConfigError` without one."""
    from tokenizers import Tokenizer

    tokenizer = model.tokenizer
    if not (hasattr(tokenizer, "backend_tokenizer") or isinstance(tokenizer, Tokenizer)):
        raise ConfigError("E_TOKENIZER", "the model has no fast tokenizer (tokenizer.json); honed needs one")
    return Tokenizer.from_str(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())


def choose_precision(precision: str, device: str) -> str:
    """Return "fp32" or "bf16" for a wanted precision; "auto" takes bf16 where the hardware multiplies in it.

    ``device`` is a type of torch, "cpu" or "cuda". Raises `ConfigError` for another word.
    """
    if precision not in PRECISIONS:
        raise ConfigError("E_CONFIG_RANGE", f"model.precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    able = torch.cuda.is_bf16_supported() if device == "cuda" else hardware.cpu_has_bf16()
    return "bf16" if able else "fp32"


def load_model(folder: Path) -> "SentenceTransformer":
    """Load a sentence-transformers (or transformers) folder: safetensors only, no code of the folder, no network."""
    with quiet_libraries():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
        )


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the progress bars and notices of transformers while a model loads or trains."""
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def spec_of(model: "SentenceTransformer", weights: str) -> EncoderSpec:
    """Return the spec of a loaded model: pooling, width, length and the prompts of its folder.

    ``weights`` is the sha256 over its files. A model that states no limit reads 512 tokens.
    """
    length = int(length) if (length := model.max_seq_length or _UNSTATED) < _LONGEST else _UNSTATED
    pooling = next((getattr(part, "pooling_mode", "") for part in model if hasattr(part, "pooling_mode")), "none")
    prompts = getattr(model, "prompts", None) or {}
    return EncoderSpec(
        weights=weights,
        pooling=str(pooling),
        normalize=True,
        dim=int(model.get_embedding_dimension()),
        max_length=min(length, _most_tokens(model) or length),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or prompts.get("passage") or "",
        similarity="cosine",
    )


def with_max_length(spec: EncoderSpec, max_length: int, model: "SentenceTransformer") -> EncoderSpec:
    """Return the spec with another ``max_length`` (0: the same); `ConfigError` over the positions of the model."""
    if not max_length:
        return spec
    limit = _most_tokens(model)
    if limit and max_length > limit:
        raise ConfigError(
            "E_CONFIG_RANGE",
            f"model.max_length: {max_length} is over the {limit} positions of the model; at most {limit}",
        )
    return replace(spec, max_length=max_length)


def _first_position(model: "SentenceTransformer") -> int:
    """Return where the first token of a text stands in a model's table of positions."""
    padding_id = getattr(_config(model), "pad_token_id", None)
    return model_architecture(model).first_position(1 if padding_id is None else int(padding_id))


def _most_tokens(model: "SentenceTransformer") -> int:
    """Return how many tokens a model has positions for; 0 where there is no limit."""
    limit = getattr(_config(model), "max_position_embeddings", None)
    return int(limit) - _first_position(model) if limit else 0


def _config(model: "SentenceTransformer") -> object:
    """Return the configuration of a model's transformer, or None without any."""
    return getattr(getattr(model[0], "model", None), "config", None)


def with_dim(spec: EncoderSpec, dim: int) -> EncoderSpec:
    """Return the spec with vectors cut to ``dim`` numbers (0: whole); `ConfigError` over what the model gives."""
    if dim > spec.dim:
        raise ConfigError("E_CONFIG_RANGE", f"model.dim: {dim} is over the {spec.dim} numbers of the model's vectors")
    return replace(spec, dim=dim) if dim else spec


def save_model(model: "SentenceTransformer", spec: EncoderSpec, folder: Path) -> EncoderSpec:
    """Save a model with its spec beside it; returns the spec with the fingerprint of the saved weights."""
    fast = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    if hasattr(fast, "no_truncation"):  # whatever was encoded last leaves its settings there
        fast.no_padding()
        fast.no_truncation()
    model.save(str(folder), create_model_card=False, safe_serialization=True)
    return save_spec(spec, folder)
