"""Names of other scripts in Latin letters, and their consonants."""

import pytest

from honed.core import optional
from honed.core.errors import MissingPartError
from honed.index.romanise import consonant_grams, consonants, romanised, romanised_grams


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Московский  УНИВЕРСИТЕТ", "moskovskiy universitet"),
        ("Αριστοτέλειο Πανεπιστήμιο", "aristoteleio panepistimio"),
        ("東京タワー", "dongjingtawa"),
        ("서울", "seoul"),
        ("ʻAyn Shams (Cairo)", "ayn shams cairo"),
        ("Tromsø, Łódź", "tromso lodz"),
        ("O'Higgins 7", "ohiggins 7"),
        ("…", ""),
    ],
)
def test_a_text_in_latin_letters(text: str, expected: str) -> None:
    assert romanised(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Кембридж", "Kembridzh"),
        ("خارطوم", "Khartoum"),
        ("תל אביב", "Tel Aviv"),
        ("ハーバード", "Habado"),
        ("Шанхай", "Shanghai"),
        ("فيلادلفيا", "Philadelphia"),
    ],
)
def test_what_is_said_alike_has_like_consonants(one: str, other: str) -> None:
    grams, others = set(consonant_grams(one)), set(consonant_grams(other))
    assert len(grams & others) >= len(grams) / 2
    assert len(grams & set(consonant_grams("Wittgenstein"))) < len(grams) / 2


def test_vowels_are_left_out_but_where_a_word_begins() -> None:
    assert consonants("Universität Oxford") == "0nfrstt 0kfrt"
    assert consonants("Mississippi") == "mssp"
    assert consonants("Papua") == "pp"
    assert consonants("aeiou") == "0"


@pytest.mark.parametrize("text", ["", "…", "!!!"])
def test_texts_without_letters_have_no_grams(text: str) -> None:
    assert romanised_grams(text) == consonant_grams(text) == []


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"needs the module anyascii: .*honed\[serve\]"):
        romanised("Киев")
    assert romanised("Kiev") == "kiev"  # what is Latin already needs nothing
