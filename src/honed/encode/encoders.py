"""Encoders that are code and no model folder: what ``[model] base = "NAME:ARGUMENT"`` may name.

Packages add their own by an entry point of the group ``honed.encoders``. Such an encoder can be indexed with, searched
with and evaluated; only a base model on disk can be trained or exported.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeGuard

from honed.core.protocols import Encoder
from honed.core.registry import Registry
from honed.encode.config import EncoderConfig

# (the argument after the colon, the section [model]) -> the encoder; an option that it does not take is a ConfigError
EncoderLoader: TypeAlias = Callable[[str, EncoderConfig], Encoder]


def _is_loader(entry: object) -> TypeGuard[EncoderLoader]:
    return callable(entry)


ENCODERS: Registry[EncoderLoader] = Registry(
    "encoder",
    group="honed.encoders",
    built_in={"hash": "honed.encode.hashing:load_hash_encoder"},
    accepts=_is_loader,
)


def split_base(base: str) -> tuple[str, str] | None:
    """Return (name of an encoder, argument) of a base that is written ``NAME:ARGUMENT``; None for a base model.

    A folder stays a folder whatever its name is, and an id of the Hub has no colon.
    """
    name, colon, argument = base.partition(":")
    if not colon or "/" in name or Path(base).is_dir():
        return None
    return name, argument
