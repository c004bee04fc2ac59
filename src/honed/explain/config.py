"""The section ``[explain]``; free of heavy imports."""

from dataclasses import dataclass, field

from honed.core.sections import limits

REFERENCES = ("pad", "mask", "zero")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainConfig:
    """The section ``[explain]``: what the words of held-out sentences add to a cosine, before and after fine-tuning.

    ``pairs`` is how many pairs of sentences are drawn, both of one relation (or label) and not trained on. ``steps``
    are points of the integral, ``reference`` is the word embedding that takes the place of an absent word. ``check``
    of the pairs are also tried by taking words away.
    """

    pairs: int = field(default=120, metadata=limits(low=10, high=100_000))
    check: int = field(default=60, metadata=limits(low=0, high=100_000))
    steps: int = field(default=12, metadata=limits(low=2, high=500))
    reference: str = field(default="pad", metadata=limits(one_of=REFERENCES))
    seed: int = field(default=0, metadata=limits(low=0))
