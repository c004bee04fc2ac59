"""Long documents as passages: whole sentences up to a number of words, each passage knowing its parent."""

import re
from collections.abc import Sequence
from dataclasses import replace

import regex

from honed.core.records import Document

PARENT = "parent"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？।။។])\s*")
# a word with the blank after it; a sign of a script that sets no blanks, with its marks, counts as a word
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc"
_PIECE = regex.compile(rf"[{_UNSPACED}]\p{{M}}*\s*|[^\s{_UNSPACED}]+\s*")


def passages_of(document: Document, most: int, overlap: int) -> list[Document]:
    """Return a document as passages of up to ``most`` words, named ``ID#1`` and so on, with the field ``parent``.

    Passages end where sentences do; a sentence that is longer is cut between words. ``overlap`` words, in whole
    sentences, stand at the end of one passage and at the beginning of the next. The title leads every passage but the
    first, which the document's text leads as it is.
    """
    parts = cut(document.text, most, overlap)
    title = document.fields.get("title", "").strip()
    passages = []
    for number, part in enumerate(parts, 1):
        text = f"{title}: {part}" if title and number > 1 else part
        fields = {**document.fields, PARENT: document.doc_id}
        passages.append(replace(document, doc_id=f"{document.doc_id}#{number}", text=text, fields=fields))
    return passages


def cut(text: str, most: int, overlap: int) -> list[str]:
    """Return a text in parts of up to ``most`` words; see `passages_of`."""
    pieces: list[list[str]] = []
    for sentence in _SENTENCE.split(text):
        words = _PIECE.findall(" ".join(sentence.split()) + " ")
        pieces += [words[at : at + most] for at in range(0, len(words), most)]
    parts: list[list[list[str]]] = []
    current: list[list[str]] = []
    for piece in pieces:
        if current and sum(map(len, current)) + len(piece) > most:
            parts.append(current)
            current = _end_of(current, min(overlap, most - len(piece)))
        current.append(piece)
    if current:
        parts.append(current)
    return ["".join(_end(piece) for piece in part).strip() for part in parts]


def _end(words: Sequence[str]) -> str:
    """Return a piece as text, with a blank after it unless its script sets none."""
    text = "".join(words).strip()
    return text if text[-1:] in "。！？" else text + " "


def _end_of(pieces: Sequence[list[str]], most: int) -> list[list[str]]:
    """Return the last sentences that have up to ``most`` words together, never all."""
    kept: list[list[str]] = []
    for piece in reversed(pieces[1:]):
        if sum(map(len, kept)) + len(piece) > most:
            break
        kept.insert(0, piece)
    return kept
