"""Texts of records and documents: what an encoder reads, and which passage a query is about."""

import json
from collections.abc import Sequence
from pathlib import Path

from honed.core.records import Document
from honed.core.text import terms
from honed.encode.base_models import local_folder
from honed.encode.config import EncoderConfig
from honed.encode.wordpieces import token_counter

_SAMPLE = 2000


def whole_text(title: str, text: str) -> str:
    """Return what an encoder reads of a record: title and text, one after the other."""
    return f"{title} {text}" if title and text else title or text


def nearest_passage(query: str, passages: Sequence[Document]) -> Document:
    """Return the passage that has the most different words of a query; of equal ones the first."""
    wanted = set(terms(query))
    return max(passages, key=lambda passage: len(wanted.intersection(terms(passage.text))))


def cut_texts(texts: Sequence[str], model: EncoderConfig) -> tuple[int, int]:
    """Return how many texts are longer than a model reads, estimated from a sample, and how many tokens it reads.

    (0, 0) where the base model is not on disk, or its length is not known.
    """
    folder = local_folder(model.base)
    limit = model.max_length or (_longest(folder) if folder else 0)
    count = token_counter(folder) if folder and limit else None
    if count is None:
        return 0, 0
    step = max(1, len(texts) // _SAMPLE)
    sample = texts[::step]
    long = [text for text in sample if len(text) > limit]  # a token has a character or more
    return round(sum(count(text) > limit for text in long) * len(texts) / max(1, len(sample))), limit


def _longest(folder: Path) -> int:
    """Return how many tokens the sentence-transformers model in a folder reads, 0 where it does not say."""
    try:
        settings = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        return int(settings.get("max_seq_length") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0
