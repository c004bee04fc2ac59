"""Base models that honed knows by a short name: what their cards say of them, and the prompts of their families.

The facts stand in ``bases.json``, the smallest model first: parameters in millions, ``dim`` numbers a vector,
``max_length`` tokens. ``patterns`` are the names that models of a family go by, whoever built their folder.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple

Use = Literal["names", "search"]  # what a model is used for: names like names, or passages for questions
_START = r"(?:^|/|--)"  # of the last part of an id or of a path, also in the Hub's cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """The prompts that a family of models was trained with.

    ``query`` and ``document`` are for questions and the passages that answer them; ``names`` is put before both sides
    where these are alike: names and their aliases, texts of one class.
    """

    query: str = ""
    document: str = ""
    names: str = ""

    def pair(self, use: Use) -> tuple[str, str]:
        """Return the (query prompt, document prompt) for a use."""
        return (self.names, self.names) if use == "names" else (self.query, self.document)


NO_PROMPTS = Prompts()


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A published base model; ``names`` are its short names, the usual one first, ``hub`` is its id on the Hub.

    ``bytes_a_parameter`` is 2 where the weights are published in 16 bits. ``note`` is what else has to be known.
    """

    names: tuple[str, ...]
    hub: str
    languages: str
    parameters: float
    dim: int
    max_length: int
    pooling: str
    licence: str
    prompts: Prompts = NO_PROMPTS
    bytes_a_parameter: int = 4
    note: str = ""

    @property
    def name(self) -> str:
        """The usual short name."""
        return self.names[0]

    @property
    def folder_name(self) -> str:
        """What a folder of the model is usually called: its id without who published it."""
        return self.hub.rsplit("/", 1)[-1]

    @property
    def published_mb(self) -> float:
        """The MB of the published weights."""
        return self.parameters * self.bytes_a_parameter


class _Registry(NamedTuple):
    bases: Sequence[Base]
    families: Sequence[tuple[str, Prompts]]


@cache
def _registry() -> _Registry:
    data = json.loads(resources.files("honed.encode").joinpath("bases.json").read_text(encoding="utf-8"))
    families = {name: Prompts(**prompts) for name, prompts in data["families"].items()}
    bases = tuple(_base(facts, families) for facts in data["bases"])
    return _Registry(bases, tuple((_START + pattern, families[name]) for pattern, name in data["patterns"]))


def _base(facts: Mapping[str, Any], families: Mapping[str, Prompts]) -> Base:
    stated = {name: fact for name, fact in facts.items() if name not in ("names", "family")}
    prompts = families[facts["family"]] if "family" in facts else NO_PROMPTS
    return Base(names=tuple(facts["names"]), prompts=prompts, **stated)


def known_bases() -> Sequence[Base]:
    """Return all base models with a short name, the smallest first."""
    return _registry().bases


def base_named(name: str) -> Base | None:
    """Return the base model of a short name or an id of the Hub; None for any other name."""
    return next((base for base in known_bases() if name in base.names or name.lower() == base.hub.lower()), None)


def family_prompts(name: str) -> Prompts:
    """Return what the family of a model was trained with, by its short name, id or folder; none for other models."""
    base = base_named(name)
    if base is not None:
        return base.prompts
    families = _registry().families
    return next((prompts for pattern, prompts in families if re.search(pattern, name.lower())), NO_PROMPTS)
