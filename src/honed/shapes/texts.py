"""Texts of records and documents: what an encoder reads, and which passage a query is about."""

from collections.abc import Sequence

from honed.core.records import Document
from honed.core.text import terms


def whole_text(title: str, text: str) -> str:
    """Return what an encoder reads of a record: title and text, one after the other."""
    return f"{title} {text}" if title and text else title or text


def nearest_passage(query: str, passages: Sequence[Document]) -> Document:
    """Return the passage that has the most different words of a query; of equal ones the first."""
    wanted = set(terms(query))
    return max(passages, key=lambda passage: len(wanted.intersection(terms(passage.text))))
