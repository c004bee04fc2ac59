"""Text to token ids, the same for every engine: characters cut first, no padding, cut at the model's length."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.int64]
_CHARS_A_TOKEN = 12


class Tokens:
    """A fast tokenizer with the model's limit; long texts lose characters first, which keeps them cheap."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        self.max_chars = max_length * _CHARS_A_TOKEN

    def __call__(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of each text, special tokens included."""
        cut = [text[: self.max_chars] for text in texts]
        return [np.array(each.ids, dtype=np.int64) for each in self.tokenizer.encode_batch_fast(cut)]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[TokenIds, TokenIds]]:
        """Return (token ids, segment ids) of each pair of texts."""
        cut = [(left[: self.max_chars], right[: self.max_chars]) for left, right in pairs]
        found = self.tokenizer.encode_batch_fast(cut)
        return [(np.array(each.ids, dtype=np.int64), np.array(each.type_ids, dtype=np.int64)) for each in found]

    def flat(self, texts: Sequence[str]) -> tuple[TokenIds, TokenIds]:
        """Return the token ids of all texts, one after the other, and how many each has."""
        found = [each.ids for each in self.tokenizer.encode_batch_fast([text[: self.max_chars] for text in texts])]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        return np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(lengths.sum())), lengths

    def is_cut(self, text: str) -> bool:
        """Tell whether a text (its prompt included) is longer than the model reads."""
        if 4 * len(text) + 2 <= self.max_length:  # no tokenizer makes more than four tokens of a character
            return False
        return len(text) > self.max_chars or bool(self.tokenizer.encode(text).overflowing)


def token_batches(ids: Sequence[TokenIds], budget: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield row numbers in batches of similar length, each of at most ``budget`` tokens (and at least one text)."""
    lengths = np.fromiter((len(each) for each in ids), dtype=np.int64, count=len(ids))
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
    """Return token ids and attention mask, both ``(n_texts, n_tokens)``; what is padded is masked."""
    width = max(len(each) for each in ids)
    words = np.full((len(ids), width), padding_id, dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    for row, each in enumerate(ids):
        words[row, : len(each)] = each
        mask[row, : len(each)] = 1
    return words, mask
