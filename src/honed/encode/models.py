"""Where models come from: the one place in which a torch encoder or a cross-encoder is made."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from honed.core.json import Json
from honed.core.optional import require
from honed.core.records import EncoderSpec
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig

if TYPE_CHECKING:
    from honed.encode.cross_encoder import PairScorer
    from honed.encode.torch_encoder import TorchEncoder


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A base model, as ``[model]`` names it; ``precision`` replaces the one that is set there."""

    config: EncoderConfig
    precision: str = ""

    def identity(self) -> dict[str, Json]:
        """Return what identifies the model and how it is used, as plain data; its files are looked for, not loaded."""
        return {**asdict(self.config), "weights": resolve(self.config.base).weights}

    def load(self) -> "TorchEncoder":
        """Return the encoder; `MissingPartError` where PyTorch is not installed."""
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder

        config = replace(self.config, precision=self.precision) if self.precision else self.config
        return TorchEncoder.load(config)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model that a stage wrote, with its spec beside it."""

    folder: Path
    precision: str = "auto"

    def load(self) -> "TorchEncoder":
        """Return the encoder; `MissingPartError` where PyTorch is not installed."""
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder

        return TorchEncoder.load_folder(self.folder, precision=self.precision)


@dataclass(frozen=True, kw_only=True)
class ExactModel:
    """A model in fp32, used as a spec says that lies elsewhere."""

    folder: Path
    spec: EncoderSpec

    def load(self) -> "TorchEncoder":
        """Return the encoder; `MissingPartError` where PyTorch is not installed."""
        require("torch encoder")
        from honed.encode.torch_encoder import TorchEncoder, load_model

        return TorchEncoder(load_model(self.folder), self.spec, precision="fp32")


@dataclass(frozen=True, kw_only=True)
class CrossEncoderModel:
    """A cross-encoder that a stage wrote."""

    folder: Path
    precision: str = "auto"

    def load(self) -> "PairScorer":
        """Return the scorer of pairs; `MissingPartError` where PyTorch is not installed."""
        require("torch encoder")
        from honed.encode.cross_encoder import PairScorer

        return PairScorer.load_folder(self.folder, precision=self.precision)
