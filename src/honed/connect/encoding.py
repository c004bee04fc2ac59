"""Texts of other protocols to vectors: checked, in small jobs that let others in between, with the tokens counted."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from honed.core.protocols import Role, Vectors
from honed.search.searcher import Searcher
from honed.serve.batching import MAX_TEXTS, EncodeWork
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.requests import check_text
from honed.serve.service import Service
from honed.serve.waiting import Waiting

MOST_CHARS = 32_000  # of one text; the model reads its beginning, and the answer tells which texts are longer


class ModelName(NamedTuple):
    """A model by name and, where it was said, the role of its texts."""

    name: str
    role: Role | None


def model_names(service: Service) -> tuple[str, ...]:
    """Return the names of the model that is served: that of the bundle, and "honed" for any."""
    return tuple(dict.fromkeys((service.path.stem, "honed")))


def read_model(name: str, service: Service) -> ModelName:
    """Return the model of a name with or without ``:query`` or ``:document``; `RequestError` (404) for another."""
    known = model_names(service)
    if name in known:
        return ModelName(name, None)
    base, _, suffix = name.rpartition(":")
    if base in known and suffix in ("query", "document"):
        return ModelName(base, "query" if suffix == "query" else "document")
    shown = ", ".join(known)
    raise RequestError(404, "E_MODEL", f"no model {name[:50]!a} (known: {shown}, each also with :query or :document)")


def check_documents(texts: Sequence[str], name: str, limits: Limits, most: int) -> None:
    """Raise `RequestError` for a list of texts that is empty or longer than ``most``, or holds what is no text."""
    if not texts:
        raise RequestError(422, "E_QUERY_EMPTY", f"{name} is empty")
    if len(texts) > most:
        raise RequestError(413, "E_BATCH_TOO_BIG", f"{name} holds {len(texts)} texts; allowed are {most}")
    longest = max(limits.max_chars, MOST_CHARS)
    for number, text in enumerate(texts):
        if len(text) > longest:
            raise RequestError(
                413, "E_QUERY_TOO_LONG", f"{name}[{number}] has {len(text)} characters; allowed are {longest}"
            )
        check_text(text[: limits.max_chars], f"{name}[{number}]", limits)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise RequestError(422, "E_ENCODING", f"{name}[{number}] holds a NUL character or a lone surrogate")


def jobs(texts: Sequence[str], limits: Limits) -> Iterator[slice]:
    """Yield the spans of texts that wait for the model together: few texts, and few characters but for long ones."""
    start = n_chars = 0
    for at, text in enumerate(texts):
        if at > start and (at - start == MAX_TEXTS or n_chars + len(text) > limits.max_tokens):
            yield slice(start, at)
            start, n_chars = at, 0
        n_chars += len(text)
    if texts:
        yield slice(start, len(texts))


async def encoded(waiting: Waiting, texts: Sequence[str], role: Role, limits: Limits) -> Vectors:
    """Return the unit vectors ``(n_texts, dim)`` of texts."""
    parts = [await waiting.result(EncodeWork(role), texts[span]) for span in jobs(texts, limits)]
    return np.concatenate(parts)


async def count_tokens(searcher: Searcher, texts: Sequence[str], role: Role) -> int:
    """Return how many tokens the bi-encoder reads for all texts."""
    return await asyncio.to_thread(searcher.count_tokens, texts, role)


async def cut_texts(searcher: Searcher, texts: Sequence[str], role: Role) -> list[int]:
    """Return the numbers of the texts whose end the model does not see."""
    return await asyncio.to_thread(lambda: [at for at, text in enumerate(texts) if searcher.is_cut(text, role)])
