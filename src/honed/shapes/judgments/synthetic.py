"""Queries made of documents, for a corpus that nobody has judged: without a model, or written by one.

A title is what people search by, a key phrase is what sets a document apart, and a contiguous span stands somewhere in
it (the inverse cloze task; Lee, Chang, Toutanova 2019, arXiv 1906.00300).
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import regex

from honed.core.records import Document, Example
from honed.core.text import fold

KINDS = ("title", "phrase", "span")
WRITTEN = "endpoint"  # by a language model
Write = Callable[[str, int], Sequence[str]]
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc"
# a word with its marks; a sign of a script that sets no blanks is one
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|(?![{_UNSPACED}])\w(?:(?![{_UNSPACED}])[\w\p{{M}}'-])*")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])\s*")
_SIGN = regex.compile(rf"[{_UNSPACED}]")
_LONGEST_PHRASE, _SPAN = 4, (4, 10)


def synthetic_examples(
    documents: Sequence[Document],
    per_document: int,
    kinds: Sequence[str],
    seed: int,
    left_out: frozenset[str],
    write: Write | None = None,
) -> list[Example]:
    """Return up to so many examples for each document, of the kinds in turn; ``left_out`` are folded queries to avoid.

    The same documents, settings and seed give the same queries. A query that equals its document is left out.
    ``write`` returns so many queries that a language model writes for a text, for the kind "endpoint".
    """
    frequency: Counter[str] = Counter()
    words_of = {document.doc_id: _WORD.findall(document.text) for document in documents}
    for words in words_of.values():
        frequency.update({word.casefold() for word in words})
    rarity = {word: math.log(len(documents) / count) for word, count in frequency.items() if count > 1}
    examples = []
    for document in documents:
        rng = random.Random(f"{seed} {document.doc_id}")  # noqa: S311
        query_by_key: dict[str, str] = {}
        turns = [kinds[turn % len(kinds)] for turn in range(per_document)]
        asked = turns.count(WRITTEN)
        written = iter(write(document.text, asked) if write and asked else ())
        for kind in turns:
            query = (
                next(written, "") if kind == WRITTEN else _query(kind, document, words_of[document.doc_id], rarity, rng)
            )
            key = fold(query)
            if query and key not in query_by_key and key not in left_out and key != fold(document.text):
                query_by_key[key] = query
        examples += [
            Example(anchor=query, positive=document.text, weight=1.0, source="synthetic")
            for query in query_by_key.values()
        ]
    return examples


def _query(kind: str, document: Document, words: Sequence[str], rarity: Mapping[str, float], rng: random.Random) -> str:
    if kind == "title":
        return document.fields.get("title", "").strip()
    if kind == "phrase":
        return _phrase(words, rarity, rng)
    return _span(document.text, rng)


def _phrase(words: Sequence[str], rarity: Mapping[str, float], rng: random.Random) -> str:
    """Return one of the three runs of words that are rarest in the corpus, but not found in this document alone."""
    scored = []
    for size in range(2, _LONGEST_PHRASE + 1):
        for start in range(len(words) - size + 1):
            run = words[start : start + size]
            values = [rarity.get(word.casefold(), 0.0) for word in run]
            if values[0] and values[-1]:
                scored.append((sum(values) / len(values) * math.sqrt(size), -start, _joined(run)))
    best = [phrase for _, _, phrase in sorted(scored, reverse=True)[:3]]
    return rng.choice(best) if best else ""


def _span(text: str, rng: random.Random) -> str:
    """Return a run of words from one sentence."""
    sentence = rng.choice(_SENTENCE.split(text))
    words = sentence.split() if not _SIGN.search(sentence) else _WORD.findall(sentence)
    size = rng.randint(*_SPAN)
    start = rng.randint(0, max(0, len(words) - size))
    return _joined(words[start : start + size]).strip(" .,;:!?-")


def _joined(words: Sequence[str]) -> str:
    """Return words as text: no blank stands between signs of scripts that set none."""
    text = words[0] if words else ""
    for word in words[1:]:
        text += word if _SIGN.match(word) and _SIGN.match(text[-1]) else f" {word}"
    return text
