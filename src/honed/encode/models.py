"""Where models come from: the one place where a torch encoder or a cross-encoder is loaded.

Each class is an `honed.core.executor.ModelSource`: a small value that names a model, can be compared, hashed and sent
to another process, and loads the model. Naming a model imports no torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honed.core.errors import ArtifactError, ConfigError, HonedError
from honed.core.json import Json
from honed.core.optional import require
from honed.core.protocols import Encoder
from honed.core.records import EncoderSpec
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.encoders import ENCODERS, split_base
from honed.encode.hashing import HashEncoder
from honed.encode.joined import JoinedEncoder
from honed.encode.prompts import completed

if TYPE_CHECKING:
    from honed.encode.cross_encoder import TorchCrossEncoder
    from honed.encode.torch_encoder import TorchEncoder


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The base model of a section ``[model]``, as it is before any training.

    ``precision`` ("auto", "fp32" or "bf16") takes the place of the section's own; empty keeps that.
    """

    config: EncoderConfig
    precision: str = ""

    def load(self) -> "TorchEncoder":
        """Return the encoder, in fp32 or bf16.

        Raises `honed.core.errors.MissingPartError` without the extra, `ConfigError` for a name that is nowhere,
        `honed.core.errors.ArtifactError` for weights that are not the official ones.
        """
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder

        return TorchEncoder.load(replace(self.config, precision=self.precision or self.config.precision))

    def identity(self) -> dict[str, Json]:
        """Return the hash of the model's files and its settings, as plain data, for fingerprints; nothing is loaded.

        The prompts among them are those that are used, whether they were written down or are the model's own.
        """
        files = resolve(self.config.base)
        return {**completed(self.config, files.folder).settings(), "weights": files.weights}


@dataclass(frozen=True, slots=True)
class FrozenBase:
    """What a model is a linear map over: a base model, the sha256 of its files, and the map ``(dim, dim)`` as npy."""

    model: BaseModel
    weights: str
    head: Path


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A bi-encoder that honed trained, in its folder; ``precision`` is "auto", "fp32" or "bf16".

    ``frozen`` says what it is a linear map over, where it is one.
    """

    folder: Path
    precision: str = "auto"
    frozen: FrozenBase | None = None

    def load(self) -> "TorchEncoder":
        """Return the encoder; `honed.core.errors.ArtifactError` when its weights and its spec do not fit."""
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder

        return TorchEncoder.load_folder(self.folder, precision=self.precision)


@dataclass(frozen=True, slots=True)
class ExactModel:
    """A trained bi-encoder in fp32, used as a spec says that lies elsewhere."""

    folder: Path
    spec: EncoderSpec

    def load(self) -> "TorchEncoder":
        """Return the encoder."""
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder, load_model

        return TorchEncoder(load_model(self.folder), self.spec, precision="fp32")


@dataclass(frozen=True, slots=True)
class CrossEncoderModel:
    """A cross-encoder that honed trained, in its folder; ``precision`` is "auto", "fp32" or "bf16"."""

    folder: Path
    precision: str = "auto"

    def load(self) -> "TorchCrossEncoder":
        """Return the cross-encoder; `honed.core.errors.ArtifactError` when the folder holds something else."""
        require("torch encoder")
        from honed.encode.cross_encoder import TorchCrossEncoder

        return TorchCrossEncoder.load_folder(self.folder, precision=self.precision)


@dataclass(frozen=True, slots=True)
class NewCrossEncoder:
    """A cross-encoder to be trained: the transformer of a base model under an output drawn with ``seed``.

    ``max_length`` counts the tokens of a pair; 0 keeps the model's own.
    """

    base: str
    max_length: int = 0
    seed: int = 0

    def load(self) -> "TorchCrossEncoder":
        """Return the untrained cross-encoder in fp32, the same for the same seed."""
        require("torch encoder")
        from honed.encode.cross_encoder import TorchCrossEncoder

        return TorchCrossEncoder.new(self.base, max_length=self.max_length, seed=self.seed)


@dataclass(frozen=True, slots=True)
class PluginModel:
    """An encoder that is code: ``config.base`` is ``NAME:ARGUMENT``, see `honed.encode.encoders`."""

    config: EncoderConfig

    def load(self) -> Encoder:
        """Return the encoder; `ConfigError` for an unknown name, and for a plug-in that fails or gives no encoder."""
        parts = split_base(self.config.base)
        if parts is None:
            raise ConfigError("E_BASE_MODEL", f"model.base: {self.config.base} names no encoder; write NAME:ARGUMENT")
        name, argument = parts
        load = ENCODERS[name]
        try:
            encoder: object = load(argument, self.config)
        except HonedError:
            raise
        except Exception as error:  # whatever foreign code raises
            raise ConfigError(
                "E_PLUGIN", f"{_shown(name)} fails: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        if not isinstance(encoder, Encoder):
            raise ConfigError("E_PLUGIN", f"{_shown(name)} gave a {type(encoder).__name__}, which cannot encode")
        return encoder

    def identity(self) -> dict[str, Json]:
        """Return the settings of the encoder with the fingerprint in its spec, as plain data, for fingerprints."""
        return {**self.config.settings(), "weights": self.load().spec.weights}


@dataclass(frozen=True, slots=True)
class HashModel:
    """The encoder without weights, for tests: hashed character trigrams in ``dim`` dimensions."""

    dim: int = 64

    def load(self) -> HashEncoder:
        """Return the encoder; nothing is read and no part is needed."""
        return HashEncoder(self.dim)


@dataclass(frozen=True, slots=True)
class JoinedModels:
    """Several encoders as one, on the directions in an npy file (None: as they are)."""

    parts: "tuple[EncoderSource, ...]"
    directions: Path | None = None

    def load(self) -> JoinedEncoder:
        """Return the encoder; `ArtifactError` that names a model or a file that is gone."""
        files = [part.folder for part in self.parts if isinstance(part, TrainedModel)]
        for path in (*files, *([self.directions] if self.directions else [])):
            if not path.exists():
                raise ArtifactError(
                    "E_TEACHER",
                    f"{path}: gone; the documents of this index were encoded by the teacher, and so must be new ones: "
                    "make it again with  honed run",
                )
        directions = np.load(self.directions, allow_pickle=False) if self.directions else None
        return JoinedEncoder([part.load() for part in self.parts], directions)


EncoderSource = BaseModel | PluginModel | TrainedModel


def encoder_source(config: EncoderConfig, precision: str = "") -> BaseModel | PluginModel:
    """Return the source of the encoder that a section ``[model]`` names: a base model, or an encoder that is code."""
    return BaseModel(config, precision) if split_base(config.base) is None else PluginModel(config)


def _shown(name: str) -> str:
    return f"model.base: the encoder {name!r} of the package {ENCODERS.packages().get(name, 'honed')}"
