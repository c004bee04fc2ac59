"""``honed models``: the base models that are known, what is of them on this machine, and how fast they are here."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from honed.core.errors import ConfigError, did_you_mean
from honed.encode.base_models import FOLDERS, licence_of, local_folder, place_of
from honed.encode.bases import base_named, family_prompts, known_bases
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel
from honed.encode.probe import EncodeSpeed, kept_speed, machine_speed
from honed.encode.prompts import NONE, Pair, model_prompts


class ModelEntry(msgspec.Struct, kw_only=True):
    """A base model: what its card says, where it is here, and its speed here if that was measured.

    ``parameters`` are in millions, ``max_length`` counts tokens, None where it is not known. ``place`` is empty and
    ``folder`` None for what is not here. The prompts are (query, document) pairs, for search and for names.
    """

    name: str
    names: list[str]
    hub: str
    languages: str
    parameters: float | None
    mb: float | None
    dim: int | None
    max_length: int | None
    pooling: str
    licence: str
    search_prompts: Pair
    names_prompts: Pair
    note: str
    place: str
    folder: str | None
    speed: EncodeSpeed | None

    @property
    def uses(self) -> str:
        """What the prompts are for, in words; empty for a model without any."""
        pairs = {"search": self.search_prompts, "names": self.names_prompts}
        told = [f"{use}: {_shown(pair)}" for use, pair in pairs.items() if pair != NONE]
        return "; ".join(told)


def _shown(pair: Pair) -> str:
    query, document = (json.dumps(prompt, ensure_ascii=False) if prompt else "none" for prompt in pair)
    return f"{query} on both sides" if query == document else f"{query} and {document}"


def list_models(name: str = "", *, measure: bool = False) -> list[ModelEntry]:
    """Return the known base models, the smallest first, then the other folders that HONED_MODELS holds.

    With a ``name`` (short, an id, a folder) only that one. ``measure`` times those that are on this machine, for about
    a second each, and keeps the figures. Raises `ConfigError` for a name that is neither known nor here.
    """
    if name:
        if base_named(name) is None and local_folder(name) is None:
            known = [short for base in known_bases() for short in base.names]
            raise ConfigError(
                "E_BASE_MODEL", f"{name}: no known base model and no folder here{did_you_mean(name, known)}"
            )
        return [_entry(name, measure=measure)]
    return [_entry(one, measure=measure) for one in (*(base.name for base in known_bases()), *_other_folders())]


def _other_folders() -> Sequence[str]:
    """Return the names of the model folders in HONED_MODELS that are no known models."""
    root = os.environ.get(FOLDERS, "")
    if not root or not Path(root).is_dir():
        return []
    known = {name for base in known_bases() for name in (*base.names, base.folder_name)}
    return sorted(
        path.name for path in Path(root).iterdir() if path.name not in known and any(path.glob("*.safetensors"))
    )


def _entry(name: str, *, measure: bool) -> ModelEntry:
    base, folder = base_named(name), local_folder(name)
    source = BaseModel(EncoderConfig(base=name))
    speed = None
    if folder is not None:
        speed = machine_speed(source) if measure else kept_speed(source)
    search, names = _prompts(name, folder)
    return ModelEntry(
        name=base.name if base else name,
        names=list(base.names) if base else [],
        hub=base.hub if base else "",
        languages=base.languages if base else "not stated",
        parameters=base.parameters if base else None,
        mb=_mb(folder) if folder else base.published_mb if base else None,
        dim=base.dim if base else _stated(folder, "config.json", "hidden_size"),
        max_length=base.max_length if base else _stated(folder, "sentence_bert_config.json", "max_seq_length"),
        pooling=base.pooling if base else "as its folder says",
        licence=licence_of(name),
        search_prompts=search,
        names_prompts=names,
        note=base.note if base else "",
        place=place_of(name),
        folder=str(folder) if folder else None,
        speed=speed,
    )


def _prompts(name: str, folder: Path | None) -> tuple[Pair, Pair]:
    if folder is not None:
        return model_prompts(name, folder, "search"), model_prompts(name, folder, "names")
    prompts = family_prompts(name)
    return prompts.pair("search"), prompts.pair("names")


def _mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6


def _stated(folder: Path | None, file: str, key: str) -> int | None:
    try:
        value = json.loads((folder / file).read_text(encoding="utf-8")).get(key) if folder else None
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) else None
