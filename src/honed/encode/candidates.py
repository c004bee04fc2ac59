"""Base models to choose among: those that are named, or the known ones that are on this machine."""

from dataclasses import replace

from honed.core.errors import ConfigError
from honed.encode.base_models import local_folder
from honed.encode.bases import known_bases
from honed.encode.config import EncoderConfig
from honed.encode.encoders import split_base

_USUAL = EncoderConfig().base


def candidates(config: EncoderConfig) -> list[str]:
    """Return the bases that a section ``[model]`` leaves open, or the one that it names.

    Raises `ConfigError` where none of the known ones is on this machine, and for an encoder that is code.
    """
    if not config.is_open:
        return [config.base]
    names = list(dict.fromkeys(config.bases)) or [base.name for base in known_bases() if local_folder(base.name)]
    if not names:
        raise ConfigError(
            "E_BASE_MODEL",
            'model.base: "auto" finds no known model on this machine; name them in a list, such as '
            'base = ["minilm", "e5-multilingual"]; see  honed models',
        )
    for name in names:
        if split_base(name) is not None:
            raise ConfigError("E_BASE_MODEL", f"model.base: {name}: an encoder that is code is not tried; name models")
    return names


def with_base(config: EncoderConfig, base: str) -> EncoderConfig:
    """Return a section ``[model]`` in which one base is chosen."""
    return replace(config, base=base, bases=())


def provisional(config: EncoderConfig) -> EncoderConfig:
    """Return a section ``[model]`` with the base that counts before one is chosen: the first candidate."""
    if not config.is_open:
        return config
    here = (base.name for base in known_bases() if local_folder(base.name))
    return with_base(config, config.bases[0] if config.bases else next(here, _USUAL))
