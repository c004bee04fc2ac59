"""How fast an encoder is on this machine: a probe of about a second, kept for the user."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from honed.core.effort import Texts
from honed.core.protocols import Encoder
from honed.encode.machine import keep, machine_file
from honed.encode.models import BaseModel

Sample = tuple[int, int]  # words of a text, and texts
SHORT, LONG = (6, 192), (90, 24)
_FEW = ((6, 64), (90, 8))
_QUERIES = 8


class Rate(msgspec.Struct, frozen=True):
    """Seconds for each token of texts of a length, in tokens."""

    length: float
    seconds: float


class EncodeSpeed(msgspec.Struct, kw_only=True, frozen=True):
    """What an encoder does on a machine: ``rates`` at a short and a long length, ms for one query of six words.

    ``names`` are texts of six words, ``passages`` texts of ninety, in a second.
    """

    rates: list[Rate]
    query_ms: float
    names: float
    passages: float


def seconds_of(rates: Sequence[Rate], texts: Texts) -> float:
    """Return the seconds of texts, between the rates of two lengths and at those beyond."""
    seconds = np.interp(texts.tokens, [rate.length for rate in rates], [rate.seconds for rate in rates])
    return float(texts.count * texts.tokens * seconds)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of the faster of two runs, after one that warms up."""
    work()
    took = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took)


def probe_texts(count: int, words: int) -> list[str]:
    """Return texts of so many drawn words."""
    drawn = np.random.default_rng(words).zipf(1.3, size=(count, words)) % 5000
    syllables = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu")
    return [" ".join("".join(syllables[int(digit)] for digit in str(word)) for word in row) for row in drawn.tolist()]


def encode_rates(encoder: Encoder, samples: Sequence[Sample] = (SHORT, LONG)) -> list[Rate]:
    """Return the rates of an encoder at the lengths of some samples."""
    count = getattr(encoder, "tokens", None)
    rates = []
    for words, number in samples:
        texts = probe_texts(number, words)
        length = float(np.mean([len(ids) for ids in count(texts)])) if count else words * 2.0
        seconds = timed(lambda texts=texts: encoder.encode(texts, "document"))  # type: ignore[misc]
        rates.append(Rate(length, seconds / (length * number)))
    return rates


def encode_speed(encoder: Encoder) -> EncodeSpeed:
    """Return the speed of an encoder, from about a second of work where it is small."""
    rates = encode_rates(encoder, _FEW)
    queries = probe_texts(_QUERIES, _FEW[0][0])
    one = timed(lambda: [encoder.encode([query], "query") for query in queries]) / len(queries)
    names, passages = (1 / (rate.length * rate.seconds) for rate in rates)
    return EncodeSpeed(rates=rates, query_ms=1000 * one, names=names, passages=passages)


def kept_speed(source: BaseModel) -> EncodeSpeed | None:
    """Return the speed of a base model that was measured on this machine before; None where it was not."""
    try:
        return msgspec.json.decode(_speed_file(source).read_bytes(), type=EncodeSpeed)
    except (OSError, msgspec.MsgspecError):
        return None


def machine_speed(source: BaseModel, encoder: Encoder | None = None) -> EncodeSpeed:
    """Return the speed of a base model on this machine, as it is kept; measured, and then kept, where it is not.

    ``encoder`` is the one of the source, where that is loaded already.
    """
    speed = kept_speed(source)
    if speed is None:
        speed = encode_speed(encoder or source.load())
        keep(_speed_file(source), speed)
    return speed


def _speed_file(source: BaseModel) -> Path:
    return machine_file({**source.identity(), "precision": source.precision or source.config.precision}, "models")
