"""Which prompts a base model is used with: those that were written, else those that it was trained with for a use."""

import json
from dataclasses import replace
from pathlib import Path

from honed.encode.bases import NO_PROMPTS, Prompts, Use, family_prompts
from honed.encode.config import EncoderConfig

Pair = tuple[str, str]  # the prompts of queries and of documents
_SETTINGS = "config_sentence_transformers.json"
NONE: Pair = ("", "")
_MOST_PAIRS = 8  # that are tried beside the one in use


def completed(config: EncoderConfig, folder: Path) -> EncoderConfig:
    """Return a section ``[model]`` with the prompts that are really used; ``folder`` holds its base model.

    A prompt that was written stays. Completing what is complete changes nothing.
    """
    if config.prompts == "none":
        return config
    query, document = model_prompts(config.base, folder, "names" if config.prompts == "names" else "search")
    return replace(
        config,
        query_prompt=config.query_prompt or query,
        document_prompt=config.document_prompt or document,
        prompts="none",
    )


def model_prompts(name: str, folder: Path, use: Use) -> Pair:
    """Return the (query prompt, document prompt) of a base model for a use.

    They are those of its family, unless its folder states others than the family has for search: a model that was
    trained further knows its own. A model of no known family has what its folder states, whatever the use.
    """
    stated, family = stated_pair(folder), _family(name, folder)
    if family == NO_PROMPTS or stated not in (NONE, family.pair("search")):
        return stated
    return family.pair(use)


def stated_prompts(folder: Path) -> dict[str, str]:
    """Return the prompts that a model's folder states, by their names; none where it states none."""
    try:
        prompts = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))["prompts"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not isinstance(prompts, dict):
        return {}
    return {name: text for name, text in prompts.items() if isinstance(name, str) and isinstance(text, str)}


def stated_pair(folder: Path) -> Pair:
    """Return the (query prompt, document prompt) that a model's folder states."""
    prompts = stated_prompts(folder)
    return prompts.get("query", ""), prompts.get("document") or prompts.get("passage", "")


def _family(name: str, folder: Path) -> Prompts:
    family = family_prompts(name)
    return family if family != NO_PROMPTS else family_prompts(folder.as_posix())


def other_pairs(config: EncoderConfig, folder: Path) -> dict[str, Pair]:
    """Return the pairs of prompts worth trying beside those of a completed section ``[model]``, by what they are.

    They are the family's for both uses, what the folder states, none, and the pair's own prompts swapped or the same on
    both sides; at most eight. There are none for a model that no prompts are known of, by itself or by the section.
    """
    used = config.query_prompt, config.document_prompt
    family, stated = _family(config.base, folder), stated_prompts(folder)
    if used == NONE and family == NO_PROMPTS and not any(stated.values()):
        return {}
    pairs: dict[str, Pair] = {
        "of names": family.pair("names"),
        "of search": family.pair("search"),
        "as its folder states": stated_pair(folder),
        "none": NONE,
        "the other way round": (used[1], used[0]),
        "that of queries on both sides": (used[0], used[0]),
        "that of documents on both sides": (used[1], used[1]),
    }
    pairs |= {f"{title!r} of its folder on both sides": (text, text) for title, text in stated.items()}
    kept: dict[Pair, str] = {}
    for title, pair in pairs.items():
        if pair != used:
            kept.setdefault(pair, title)
    return {title: pair for pair, title in list(kept.items())[:_MOST_PAIRS]}


def without_prompts(config: EncoderConfig) -> EncoderConfig:
    """Return a section ``[model]`` whose model reads texts as they are."""
    return replace(config, query_prompt="", document_prompt="", prompts="none")
