"""Parts of a report on labelled texts that other stages leave: what triplets were built, what fine-tuning changed."""

import msgspec

from honed.evaluate.results import Interval
from honed.shapes.systems import BASE, TUNED


class TripletSample(msgspec.Struct, frozen=True, kw_only=True):
    """A triplet to look at."""

    relation: str
    anchor: str
    positive: str
    negatives: list[str]


class TripletReport(msgspec.Struct, frozen=True, kw_only=True):
    """How triplets were built: counts, sentences ``dropped`` and odd ones, by reason."""

    triplets: int
    sentences: int
    relations: int
    dropped: dict[str, int]
    notes: dict[str, int]
    samples: list[TripletSample]


class PairedDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of a paired difference with its 95 % interval, and the p-value of no difference."""

    mean: float
    low: float
    high: float
    p_value: float


class ChangedWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word seen ``n`` times: the mean share of all contributions that it has in the base and the fine-tuned model."""

    word: str
    n: int
    base: float = msgspec.field(name=BASE)
    tuned: float = msgspec.field(name=TUNED)


class ChangedWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words whose share of the contributions rose and fell most by fine-tuning."""

    rose: list[ChangedWord]
    fell: list[ChangedWord]


class RemovalCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Deletion or insertion of words, by their order ("attribution", "attention", "random").

    ``curve`` is the mean cosine by share of the words, ``area`` what lies under it, ``against`` how far the area of
    "attribution" is from that of the other orders.
    """

    area: dict[str, Interval]
    curve: dict[str, list[float]]
    against: dict[str, PairedDifference]


class ExplanationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How fine-tuning changed the contributions of words, over ``pairs`` of held-out sentences.

    ``entity_words`` is the share of words that name an entity, ``entity_share`` what share of the contributions they
    have in each model, ``difference`` how far the fine-tuned model is from the base model. ``faithful`` holds for each
    model the checks by deletion and insertion.
    """

    pairs: int
    split: str
    relations: int
    entity_words: Interval
    entity_share: dict[str, Interval]
    difference: PairedDifference | None
    words: ChangedWords
    faithful: dict[str, dict[str, RemovalCheck]]
