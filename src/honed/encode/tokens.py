"""Text to token ids, the same for every engine: characters cut first, no padding, cut at the model's length."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.encode.bulk_tokens import FEWEST, BulkTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TokenIds: TypeAlias = npt.NDArray[np.int64]
_CHARS_A_TOKEN = 12


class TextTokenizer:
    """A fast tokenizer that cuts at ``max_length`` tokens; long texts lose characters first, which keeps them cheap."""

    def __init__(self, tokenizer: "Tokenizer", max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        self.max_chars = max_length * _CHARS_A_TOKEN

    @cached_property
    def _bulk(self) -> BulkTokenizer | None:
        return BulkTokenizer.of(self.tokenizer, self.max_length)

    def __call__(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of every text, special tokens included."""
        ids, lengths = self.concatenated(texts)
        return np.split(ids, np.cumsum(lengths)[:-1]) if len(texts) else []

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[TokenIds, TokenIds]]:
        """Return (token ids, segment ids) of every pair of texts; segments are 0 for the first text and 1 after it."""
        cut = [(left[: self.max_chars], right[: self.max_chars]) for left, right in pairs]
        encodings = self.tokenizer.encode_batch_fast(cut)
        return [
            (np.array(encoding.ids, dtype=np.int64), np.array(encoding.type_ids, dtype=np.int64))
            for encoding in encodings
        ]

    def concatenated(self, texts: Sequence[str]) -> tuple[TokenIds, TokenIds]:
        """Return the token ids of all texts one after the other ``(n_tokens,)``, and the length of each text."""
        cut = [text[: self.max_chars] for text in texts]
        bulk = self._bulk if len(cut) >= FEWEST else None
        if bulk is not None and bulk.agrees(self.tokenizer, cut):
            return bulk.concatenated(cut)
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(cut)]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        return np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum())), lengths

    def is_cut(self, text: str) -> bool:
        """Tell whether a text (its prompt included) is longer than the model reads."""
        if 4 * len(text) + 2 <= self.max_length:  # no tokenizer makes more than four tokens of a character
            return False
        return len(text) > self.max_chars or bool(self.tokenizer.encode(text).overflowing)


def token_batches(ids: Sequence[TokenIds], budget: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield row numbers in batches of similar length, each of at most ``budget`` tokens (and at least one text)."""
    lengths = np.fromiter((len(tokens) for tokens in ids), dtype=np.int64, count=len(ids))
    order = np.argsort(lengths, kind="stable")
    start = total = 0
    for position, row in enumerate(order):
        if position > start and total + lengths[row] > budget:
            yield order[start:position]
            start, total = position, 0
        total += lengths[row]
    if start < len(order):
        yield order[start:]


def padded(ids: Sequence[TokenIds], padding_id: int = 0) -> tuple[TokenIds, TokenIds]:
    """Return token ids and attention mask, both ``(n_texts, n_tokens)``; the mask is 0 over padding."""
    width = max(len(tokens) for tokens in ids)
    words = np.full((len(ids), width), padding_id, dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    for row, tokens in enumerate(ids):
        words[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return words, mask
