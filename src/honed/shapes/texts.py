"""Texts of records and documents: what an encoder reads, and which passage a query is about."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from honed.core.records import Document
from honed.core.text import fold, terms
from honed.encode.base_models import local_folder
from honed.encode.config import EncoderConfig
from honed.encode.wordpieces import token_counter
from honed.evaluate.results import Finding
from honed.shapes.findings import finding

_SAMPLE = 2000
_ENDS, _MORE = " .,:;!?-|", 20


def whole_text(title: str, text: str) -> str:
    """Return what an encoder reads of a record: title and text, one after the other, the text alone if it begins so."""
    return f"{title} {text}" if title and text and not begins_with(text, title) else text or title


def begins_with(text: str, title: str) -> bool:
    """Tell whether a text begins with the words of a title, so that they need not be read twice."""
    words = fold(title).rstrip(_ENDS)
    start = fold(text[: 2 * len(title) + _MORE])
    return bool(words) and start.startswith(words) and not start[len(words) : len(words) + 1].isalnum()


def nearest_passage(query: str, passages: Sequence[Document]) -> Document:
    """Return the passage that has the most different words of a query; of equal ones the first."""
    wanted = set(terms(query))
    return max(passages, key=lambda passage: len(wanted.intersection(terms(passage.text))))


def cut_findings(texts: Iterable[str], n: int, model: EncoderConfig, *, what: str, advice: str) -> dict[str, Finding]:
    """Return the finding that some of ``n`` texts are longer than the model reads; none where there are no such ones.

    ``what`` the texts are called, ``advice`` what helps before raising the model's length.
    """
    long, limit = cut_texts(texts, n, model)
    if not long:
        return {}
    sample = f"{long} of {n} {what} are longer than {limit} tokens, after which no word is read"
    return {"W_TEXT_CUT": finding(long, [f"{sample}; {advice}raise model.max_length"])}


def cut_texts(texts: Iterable[str], n: int, model: EncoderConfig) -> tuple[int, int]:
    """Return how many of ``n`` texts are longer than a model reads, from a sample, and how many tokens it reads.

    (0, 0) where the base model is not on disk, or its length is not known.
    """
    folder = local_folder(model.base)
    limit = model.max_length or (_longest(folder) if folder else 0)
    count = token_counter(folder) if folder and limit else None
    if count is None:
        return 0, 0
    lengths = [len(text) > limit and count(text) > limit for text in islice(texts, 0, None, max(1, n // _SAMPLE))]
    return round(sum(lengths) * n / max(1, len(lengths))), limit  # a token has a character or more


def _longest(folder: Path) -> int:
    """Return how many tokens the sentence-transformers model in a folder reads, 0 where it does not say."""
    try:
        settings = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        return int(settings.get("max_seq_length") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0
