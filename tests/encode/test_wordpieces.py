"""What a tokenizer does not know, by script."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from honed.encode.base_models import resolve
from honed.encode.wordpieces import script_counts, token_counter, unknown_text

RUSSIAN = "Московский государственный университет"


def bytes_tokenizer(folder: Path) -> Path:
    """A folder with a tokenizer that knows bytes alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_letters_are_counted_by_hand(tiny_model: Path) -> None:
    counts = script_counts(tiny_model, ["ab c1", "Ж ж", "かな", "გ"])
    assert counts is not None
    assert list(counts) == ["latin", "cyrillic", "kana", "georgian"]
    latin, cyrillic = counts["latin"], counts["cyrillic"]
    # a single Latin letter may be an abbreviation: it is not counted as spelled
    assert (latin.letters, latin.unknown, latin.spelled, latin.pieces) == (3, 0, 0, 3)
    assert (cyrillic.letters, cyrillic.unknown, cyrillic.spelled, cyrillic.pieces) == (2, 2, 0, 2)
    assert counts["kana"].lost == counts["georgian"].lost == 1


def test_minilm_spells_cyrillic_and_does_not_know_thai() -> None:
    counts = script_counts(resolve("minilm").folder, [RUSSIAN, "จุฬาลงกรณ์มหาวิทยาลัย", "Universität Zürich", "한국"])
    assert counts is not None
    assert counts["cyrillic"].spelled > 0.8 * counts["cyrillic"].letters
    assert counts["thai"].unknown == counts["thai"].letters
    assert counts["latin"].lost == 0
    assert counts["hangul"].spelled == counts["hangul"].letters < counts["hangul"].pieces


def test_pieces_of_bytes_are_counted_one_by_one(tmp_path: Path) -> None:
    counts = script_counts(bytes_tokenizer(tmp_path), ["москва", "abc", "東"])
    assert counts is not None
    assert counts["cyrillic"].pieces == 2 * counts["cyrillic"].letters
    assert counts["han"].pieces == 3
    assert counts["latin"].pieces == counts["latin"].letters
    assert counts["cyrillic"].lost == 1
    assert counts["cyrillic"].unknown == 0


def test_without_a_tokenizer_nothing_is_counted(tmp_path: Path, tiny_model: Path) -> None:
    assert script_counts(tmp_path, ["a"]) is unknown_text(tmp_path) is token_counter(tmp_path) is None
    assert script_counts(tiny_model, ["12", ""]) == {}


def test_only_the_beginning_of_a_text_is_read(tiny_model: Path) -> None:
    counts = script_counts(tiny_model, ["a" * 2000])
    assert counts is not None
    assert counts["latin"].letters == 500


def test_a_multilingual_model_knows_words_of_many_scripts(real_model: Callable[[str], Path]) -> None:
    counts = script_counts(real_model("multilingual-e5-small"), [RUSSIAN, "جامعة القاهرة", "Πανεπιστήμιο Αθηνών"])
    assert counts is not None
    assert all(count.lost < 0.2 for count in counts.values())
    assert counts["cyrillic"].pieces / counts["cyrillic"].letters == pytest.approx(0.2, abs=0.1)
