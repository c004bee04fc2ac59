"""Words of every script: what a word is, and that word search finds texts in scripts that set no blanks."""

import pytest

from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.text import bare, fold_accents, terms, words
from honed.index.analysis import Analyzer
from honed.index.hybrid import HybridIndex
from honed.index.languages import resolved
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.index.parts import HybridTexts
from honed.index.postings import QueryTerms
from honed.pipeline.honed_toml import config_of
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


def test_a_text_in_several_languages_is_stemmed_by_each() -> None:
    both = Analyzer("english+german")
    assert both("Kurse") == list(dict.fromkeys([*Analyzer("english", ())("Kurse"), *Analyzer("german")("Kurse")]))
    assert "universitat" in both("Universitäten")
    assert both("running") == ["run", "running"]
    assert Analyzer.of_dict(both.as_dict())("Kurse runs") == both("Kurse runs")


def test_a_field_has_words_of_its_own_language() -> None:
    texts, fields = ["course one", "course two", "three"], {"ort": ["mehrere Universitäten", "Kirche", "Ufer"]}
    index = HybridIndex.build(HybridTexts(texts=texts, fields=fields, languages={"ort": "german"}, names=False))
    again = HybridIndex.from_files(index.as_dict(), index.tensors(), texts.__getitem__, len(texts))
    for hybrid in (index, again):
        assert hybrid.parts["ort, words"].scores(QueryTerms("der Universität"))[0] > 0
        assert hybrid.parts["words"].terms_of("courses") == Analyzer("english")("courses")
    usual = HybridIndex.build(HybridTexts(texts=texts, fields=fields, names=False))
    assert usual.parts["ort, words"].scores(QueryTerms("der Universität"))[0] == 0
    assert all(set(part) == {"name", "kind"} for part in usual.as_dict()["parts"])  # type: ignore[union-attr]


def of_tables(language: dict[str, str], **hybrid: list[str]) -> Config:
    columns = {"id": "id", "title": "Titel", "text": "body"}
    tables = {
        "paths": {"input": ["documents.csv"]},
        "data": {"shape": "judgments", "columns": columns, "language": language},
        "judgments": {"queries": ["q.csv"], "qrels": ["r.csv"]},
        "baselines": {"language": "french"},
        **({"index": {}, "hybrid": hybrid} if hybrid else {}),
    }
    return config_of(tables, "honed.toml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ({}, "french"),
        ({"title": "de"}, "french+german"),
        ({"Titel": "german", "body": "de"}, "german"),
        ({"title": "auto", "text": "auto"}, "auto"),
    ],
)
def test_a_column_has_a_language(language: dict[str, str], expected: str) -> None:
    config = of_tables(language)
    assert (config.language, config.field_languages) == (expected, {})


def test_a_field_of_the_hybrid_has_a_language() -> None:
    config = of_tables({"city": "es"}, fields=["city", "site"])
    assert (config.language, config.field_languages) == ("french", {"city": "spanish"})


def test_languages_that_do_not_go_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.language.title: unknown language 'xx' \(known: arabic"):
        of_tables({"title": "xx"})
    with pytest.raises(ConfigError, match=r"titel is no column of texts .*did you mean Titel\? \(known: Titel, body\)"):
        of_tables({"titel": "de"})
