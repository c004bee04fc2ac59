"""What a search can be asked: its directions and bounds, and the messages for what cannot be answered."""

from collections.abc import Sequence

from honed.core.errors import ConfigError
from honed.core.text import is_blank

DIRECTIONS = ALIAS_TO_LABEL, LABEL_TO_ALIAS = ("alias-to-label", "label-to-alias")
MAX_K = 1000
MAX_CHARS = 10_000
NO_ANSWERS = "no candidate sets: they take [answers] in honed.toml, alias-to-label; no reranking, HyDE or filter"
NO_HYBRID = "nothing to explain by: it takes [hybrid] in honed.toml; honed explain TEXT TEXT shows which words count"
NO_RERANKER = "no cross-encoder to rerank with: it takes [hybrid] and [cross_encoder] in honed.toml, and alias-to-label"


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
