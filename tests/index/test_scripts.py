"""Words of every script: what a word is, and that word search finds texts in scripts that set no blanks."""

import pytest

from honed.core.text import bare, fold_accents, terms, words
from honed.index.analysis import Analyzer
from honed.index.languages import resolved
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.shapes.judgments.passages import cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("U.C.L.A. don't stop_it 3.5", ["u", "c", "l", "a", "don", "t", "stop_it", "3", "5"]),
        ("Straße, México; naïve", ["strasse", "mexico", "naive"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zerowidth"]),
        ("हिन्दी विश्वविद्यालय", ["हिन्दी", "विश्वविद्यालय"]),
        ("தமிழ் பல்கலை", ["தமிழ்", "பல்கலை"]),
        ("المدرسةُ العربية", ["المدرسة", "العربية"]),
        ("北京大学 Beijing", ["北京大学", "beijing"]),
    ],
)
def test_the_words_of_a_text(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert bare(text) == " ".join(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("北京大学", ["北京", "京大", "大学"]),
        ("京", ["京"]),
        ("東京タワー3階", ["東京", "京タ", "タワ", "ワー", "3", "階"]),
        ("한국대학교 서울", ["한국", "국대", "대학", "학교", "서울"]),
        ("ที่นี่", ["ที่นี่"]),
        ("ກາ ភាសា", ["ກາ", "ភាសា"]),
        ("plain English words", ["plain", "english", "words"]),
        ("Москва Αθήνα", ["москва", "αθηνα"]),
    ],
)
def test_scripts_without_blanks_are_pairs_of_signs(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_marks_that_make_another_letter_stay() -> None:
    assert fold_accents("が") != fold_accents("か")
    assert fold_accents("é") == "e"


@pytest.mark.parametrize(
    ("documents", "queries"),
    [
        (["在北京租房需要准备押金", "学习游泳可以去体育馆", "修理自行车的店铺很多"], ["怎么租房", "游泳", "修自行车"]),
        (["東京の大学で学ぶ", "大阪のラーメン屋", "京都の古い寺"], ["東京大学", "ラーメン", "古寺 京都の古"]),
        (["โรงพยาบาลในกรุงเทพ", "มหาวิทยาลัยเชียงใหม่", "ตลาดน้ำ"], ["พยาบาล", "เชียงใหม่", "น้ำ"]),
        (["서울에서 방을 구하기", "부산 수영장", "자전거 수리점"], ["방구하기", "수영", "자전거"]),
    ],
)
def test_word_search_finds_texts_without_blanks(documents: list[str], queries: list[str]) -> None:
    analyzer = Analyzer()
    for index in (Bm25Index(documents, analyzer), TfidfIndex(documents, analyzer)):
        assert [hits[0][0] for hits in index.search(queries, 3)] == [0, 1, 2]


def test_the_language_is_found_and_stems_its_words() -> None:
    pytest.importorskip("py3langid")
    german = ["Die Universität bietet mehrere Kurse zur Geschichte an", "Wo finde ich gute Ärzte in der Stadt?"]
    assert resolved("auto", german) == "auto:german"
    assert resolved("english", german) == "english"
    analyzer = Analyzer.of_texts("auto", german)
    assert analyzer("Kurse Kurses") == ["kurs", "kurs"]
    assert analyzer("университеты")[0] == analyzer("университета")[0]
    assert resolved("auto", ["北京"]) == "auto:english"


def test_a_passage_does_not_part_signs_from_their_marks() -> None:
    assert cut("ที่นี่ดี", 2, 0) == ["ที่นี่", "ดี"]
