"""Text to token ids: alone, and many at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from honed.encode.bulk_tokens import FEWEST, BulkTokenizer
from honed.encode.tokens import TextTokenizer

pytest.importorskip("nanotoken")


@pytest.fixture
def tokenizer(tiny_model: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_model / "tokenizer.json"))


@pytest.fixture(scope="module")
def texts(institutions: list[dict[str, str]]) -> list[str]:
    names = [row["label"] for row in institutions] + [row["alias"] for row in institutions]
    return [f"{name} {place % 3}" for place, name in enumerate(names * 3)][: FEWEST + 7]


def ids_one_by_one(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [tokenizer.encode(text).ids for text in texts]


@pytest.mark.parametrize("max_length", [5, 256])
def test_many_texts_have_the_ids_that_each_has_alone(tokenizer: Tokenizer, texts: list[str], max_length: int) -> None:
    tokens = TextTokenizer(tokenizer, max_length)
    assert BulkTokenizer.of(tokenizer, max_length) is not None
    assert len(texts) >= FEWEST
    ids, lengths = tokens.concatenated(texts)
    wanted = ids_one_by_one(tokenizer, texts)
    assert (ids.dtype, lengths.dtype) == (np.int64, np.int64)
    assert lengths.tolist() == list(map(len, wanted))
    assert ids.tolist() == [id_ for own in wanted for id_ in own]
    assert [own.tolist() for own in tokens(texts)] == wanted
    assert [own.tolist() for own in tokens(texts[:3])] == wanted[:3]
    assert tokens([]) == []


def test_another_kind_of_tokenizer_is_left_alone(texts: list[str]) -> None:
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0)], unk_id=0))
    assert BulkTokenizer.of(unigram, 256) is None
    assert len(TextTokenizer(unigram, 256)(texts)) == len(texts)


def test_other_ids_are_noticed_in_hostile_strings_and_in_the_texts(
    tokenizer: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = TextTokenizer(tokenizer, 256)
    bulk = BulkTokenizer.of(tokenizer, 256)
    assert bulk is not None
    assert bulk.agrees(tokenizer, texts)
    honest = BulkTokenizer.concatenated

    def wrong(self: BulkTokenizer, given: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        ids, lengths = honest(self, given)
        return ids + any("2" in text for text in given), lengths

    monkeypatch.setattr(BulkTokenizer, "concatenated", wrong)
    assert not bulk.agrees(tokenizer, texts)
    ids, _ = tokens.concatenated(texts)
    assert ids.tolist() == [id_ for own in ids_one_by_one(tokenizer, texts) for id_ in own]
    other = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    other.normalizer, other.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Whitespace()
    monkeypatch.setattr(BulkTokenizer, "concatenated", lambda self, given: (np.zeros(len(given), np.int64),) * 2)
    assert BulkTokenizer.of(other, 256) is None
