"""What a search can be asked: its directions and bounds, and the messages for what cannot be answered."""

from collections.abc import Sequence

from honed.core.errors import ConfigError, did_you_mean
from honed.core.text import is_blank

DIRECTIONS = ALIAS_TO_LABEL, LABEL_TO_ALIAS = ("alias-to-label", "label-to-alias")
# what is looked for -> the direction of search; documents and records are entities too
TARGETS = {
    "entities": ALIAS_TO_LABEL,
    "documents": ALIAS_TO_LABEL,
    "records": ALIAS_TO_LABEL,
    "aliases": LABEL_TO_ALIAS,
}
MAX_K = 1000
MAX_CHARS = 10_000
NO_ANSWERS = "no candidate sets: they take [answers] in honed.toml, alias-to-label; no reranking, HyDE or filter"
NO_HYBRID = "nothing to explain by: it takes [hybrid] in honed.toml; honed explain TEXT TEXT shows which words count"
NO_RERANKER = "no cross-encoder to rerank with: it takes [hybrid] and [cross_encoder] in honed.toml, and alias-to-label"


def direction_of(target: str = "", direction: str = "") -> str:
    """Return the direction in which a ``target`` of `TARGETS` is found; ``direction`` is the older word for it.

    Entities unless either is named. Raises `ConfigError` for a target that is none, and for both at once.
    """
    if target and direction:
        raise ConfigError("E_OPTION", "target and direction say the same: give one of them")
    if target and target not in TARGETS:
        known = ", ".join(TARGETS)
        raise ConfigError("E_OPTION", f"target {target!r} is not one of {known}{did_you_mean(target, TARGETS)}")
    return TARGETS[target] if target else direction or ALIAS_TO_LABEL


def check_request(texts: Sequence[str], k: int, direction: str) -> None:
    """Refuse what cannot be answered; `ConfigError` says which query, and what is allowed."""
    if direction not in DIRECTIONS:
        raise ConfigError("E_DIRECTION", f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}")
    if not 1 <= k <= MAX_K:
        raise ConfigError("E_RANGE", f"k = {k} is out of range; allowed: 1..max_k, which is {MAX_K}")
    for number, text in enumerate(texts):
        which = "the query" if len(texts) == 1 else f"queries[{number}]"
        if is_blank(text[:MAX_CHARS]):
            raise ConfigError("E_QUERY_EMPTY", f"{which} is empty")
        if len(text) > MAX_CHARS:
            raise ConfigError("E_QUERY_TOO_LONG", f"{which} has {len(text)} characters; allowed are {MAX_CHARS}")
        if "\0" in text:
            raise ConfigError("E_NUL", f"{which} holds a NUL character")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ConfigError("E_ENCODING", f"{which} holds a lone surrogate, which is no text")
