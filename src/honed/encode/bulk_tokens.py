"""Many texts to token ids at once, by nanotoken where it is installed: the same ids as those of tokenizers, checked.

nanotoken knows WordPiece alone, and is young: it is believed for a tokenizer only after it gave the ids of `tokenizers`
for hostile strings and for a sample of the very texts that are to be read.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.optional import is_installed

if TYPE_CHECKING:
    from nanotoken.nanotoken_rs import WordPieceTokenizer
    from tokenizers import Tokenizer

Ids: TypeAlias = npt.NDArray[np.int64]
FEWEST = 2_000  # texts: it takes a tenth of a second to load
_SAMPLE = 64
_HOSTILE = (
    "",
    " \t\n",
    "naïve café ＡＢＣ ﬁ Ⅷ İstanbul Ὀδυσσεύς ς",
    "北京大学 東京 서울대학교 ไทย हिन्दी العربية",
    "a\u0301e\u0300 \u200bzero\u200dwidth\ufeff \u00ad soft \x00 \x07 \u2028",
    "👩‍👩‍👧 🇩🇪 ☃ \U0001f9d1\U0001f3fd",
    "don't U.S.A. 3.14 10,000 e-mail@x.org #tag a_b [MASK] [CLS] [SEP] [UNK] [PAD]",
    "x" * 300,
    "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
    "word " * 700,
)


class BulkTokenizer:
    """The ids that a tokenizer gives to many texts, by nanotoken."""

    def __init__(self, tokens: "WordPieceTokenizer", max_length: int) -> None:
        self._tokens, self._max_length = tokens, max_length

    @classmethod
    def of(cls, tokenizer: "Tokenizer", max_length: int) -> "BulkTokenizer | None":
        """Return it for a tokenizer that cuts at ``max_length``; None where nanotoken is missing or gives other ids."""
        if not is_installed("bulk tokens"):
            return None
        from nanotoken.nanotoken_rs import WordPieceTokenizer

        try:
            found = cls(WordPieceTokenizer.from_json(tokenizer.to_str()), max_length)
        except ValueError:  # no WordPiece, or a kind of it that nanotoken does not know
            return None
        return found if found.agrees(tokenizer, _HOSTILE) else None

    def concatenated(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Return the ids of all texts one after the other ``(n_tokens,)``, and the number of each ``(n_texts,)``."""
        ids, ends = self._tokens.encode_batch(list(texts), max_length=self._max_length)
        return ids.astype(np.int64), np.diff(ends).astype(np.int64)

    def agrees(self, tokenizer: "Tokenizer", texts: Sequence[str]) -> bool:
        """Tell whether the tokenizer gives the same ids to some texts, spread over all of these."""
        sample = list(texts[:: max(1, len(texts) // _SAMPLE)])
        try:
            ids, lengths = self.concatenated(sample)
        except (ValueError, UnicodeError):
            return False
        wanted = [encoding.ids for encoding in tokenizer.encode_batch_fast(sample)]
        same: bool = lengths.tolist() == list(map(len, wanted))
        return same and ids.tolist() == [id_ for own in wanted for id_ in own]
