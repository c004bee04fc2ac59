"""Names and queries of different scripts meet by letters and sounds; Latin ones are left as they were."""

import json

import numpy as np
import pytest

from honed.core import optional
from honed.core.errors import ArtifactError, MissingPartError
from honed.core.text import script
from honed.index.analysis import Analyzer
from honed.index.fusion import FusionLearner, JudgedCandidates
from honed.index.hybrid import Candidates, HybridIndex
from honed.index.other_scripts import ROMANISED, SOUNDS, TRANSLATED
from honed.index.parts import HybridTexts
from honed.index.postings import QueryTerms, term_key
from honed.index.translation import FEWEST, Translations

LATIN = ["Lomonosov Moscow State University", "Cairo University", "Toyota Boshoku", "Seoul Institute", "Kyiv Museum"]
MIXED = [*LATIN, "Новосибирский университет", "جامعة بغداد"]
PARTS = (ROMANISED, SOUNDS)


def hybrid(texts: list[str], *, bridged: bool = True) -> HybridIndex:
    return HybridIndex.build(HybridTexts(texts=texts, other_scripts=bridged))


PAIRS = [
    (f"{name}{kind}", f"{town} {english}")
    for name, town in (("東京", "Tokyo"), ("京都", "Kyoto"), ("大阪", "Osaka"), ("北京", "Beijing"), ("奈良", "Nara"))
    for kind, english in (("大学", "University"), ("病院", "Hospital"), ("博物館", "Museum"), ("高校", "High School"))
]


def translating(texts: list[str], pairs: list[tuple[str, str]]) -> HybridIndex:
    return HybridIndex.build(HybridTexts(texts=texts, other_scripts=True, across=pairs))


def test_words_that_stand_for_others_are_learned_of_pairs() -> None:
    table = Translations.learn(PAIRS, Analyzer())
    for word, english in (("大学", "university"), ("病院", "hospital"), ("京都", "kyoto"), ("奈良", "nara")):
        keys, chances = table.of_text(word)
        assert int(keys[chances.argmax()]) == term_key(Analyzer()(english)[0])
        assert 0.6 < chances.max() <= 1
    assert len(table.of_text("Київ")[0]) == len(table.of_text("")[0]) == 0


def test_a_translated_name_is_found_that_shares_no_letter() -> None:
    index = translating([*LATIN, "Nara Teachers University", "Osaka Hospital"], PAIRS)
    assert index.parts[TRANSLATED].scores(QueryTerms("大阪の病院")).argmax() == 6
    assert index.parts[TRANSLATED].scores(QueryTerms("奈良教育大学")).argmax() == 5
    assert not index.parts[TRANSLATED].scores(QueryTerms("Osaka Hospital")).any()  # Latin and Latin
    assert TRANSLATED not in translating(LATIN, PAIRS[: FEWEST - 1]).parts


def test_latin_queries_find_translated_names_in_other_scripts() -> None:
    names = ["大阪病院", "神戸大学", "Osaka Hospital"]
    index = translating(names, [(english, name) for name, english in PAIRS])
    assert index.parts[TRANSLATED].scores(QueryTerms("Kobe University")).argmax() == 1
    assert index.parts[TRANSLATED].scores(QueryTerms("Osaka Hospital")).argmax() == 0
    assert index.parts[TRANSLATED].scores(QueryTerms("Osaka Hospital"))[2] == 0


def test_translations_survive_a_round_trip_and_are_checked() -> None:
    names = [*LATIN, "Osaka Hospital"]
    index = translating(names, PAIRS)
    data, tensors = json.loads(json.dumps(index.as_dict())), index.tensors()
    back = HybridIndex.from_files(data, tensors, names.__getitem__, len(names))
    assert gathered(back, names, "大阪大学").features == pytest.approx(gathered(index, names, "大阪大学").features)
    name = next(name for name in tensors if name.endswith("chances"))
    for broken in (tensors[name] + 2, tensors[name][:-1], tensors[name] * np.nan):
        with pytest.raises(ArtifactError, match="translations: the arrays do not fit together"):
            HybridIndex.from_files(data, {**tensors, name: broken}, names.__getitem__, len(names))


def test_nothing_is_learned_of_no_pairs() -> None:
    table = Translations.learn([], Analyzer())
    assert len(table.of_text("大学")[0]) == 0


def gathered(index: HybridIndex, texts: list[str], query: str) -> Candidates:
    cosines = np.linspace(0.1, 0.2, len(texts), dtype=np.float32)  # vectors that know nothing
    return index.gather(query, np.array([len(texts) - 1]), lambda rows: cosines[rows], depth=2)


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("Московский Ломоносов", 0),
        ("トヨタ", 2),
        ("Музей Киева", 4),
        ("서울", 3),
        ("Novosibirsk University", 5),
        ("Baghdad", 6),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_name_is_found_in_another_script(query: str, right: int, part: str) -> None:
    scores = hybrid(MIXED).parts[part].scores(QueryTerms(query))
    assert scores.argmax() == right
    assert scores[right] > 0


def test_what_transliteration_alone_finds_is_a_candidate() -> None:
    query = "Университет Ломоносова"
    assert 0 in gathered(hybrid(LATIN), LATIN, query).rows
    assert 0 not in gathered(hybrid(LATIN, bridged=False), LATIN, query).rows


@pytest.mark.parametrize("query", ["Moscow University", "Université du Caire", "7", ""])
def test_between_latin_and_latin_nothing_is_added(query: str) -> None:
    with_parts, without = hybrid(LATIN), hybrid(LATIN, bridged=False)
    for part in PARTS:
        assert not with_parts.parts[part].scores(QueryTerms(query)).any()
    one, other = (gathered(index, LATIN, query) for index in (with_parts, without))
    assert one.rows.tolist() == other.rows.tolist()
    shared = [with_parts.feature_names.index(name) for name in without.feature_names]
    assert one.features[:, shared].tolist() == other.features.tolist()
    mixed = hybrid(MIXED)
    for part in PARTS:
        assert not mixed.parts[part].scores(QueryTerms(query))[: len(LATIN)].any()


def test_letters_of_latin_names_are_not_kept_twice() -> None:
    index = hybrid(MIXED)
    assert index.parts[ROMANISED].postings.documents().tolist() == [5, 6]
    assert len(hybrid(LATIN).parts[ROMANISED].postings.documents()) == 0


def test_it_is_the_same_after_a_round_trip() -> None:
    index = hybrid(MIXED)
    data = json.loads(json.dumps(index.as_dict()))
    back = HybridIndex.from_files(data, index.tensors(), MIXED.__getitem__, len(MIXED))
    assert back.feature_names == index.feature_names
    for query in ("Московский университет", "Novosibirsk", "Cairo", "京都大学", "ITMO Университет"):
        assert gathered(back, MIXED, query).features == pytest.approx(gathered(index, MIXED, query).features)
    without_sounds = {**data, "parts": [part for part in data["parts"] if part["name"] != SOUNDS]}
    with pytest.raises(ArtifactError, match="cannot be read"):
        HybridIndex.from_files(without_sounds, index.tensors(), MIXED.__getitem__, len(MIXED))


def test_a_bridge_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    index = hybrid(LATIN)
    data = json.loads(json.dumps(index.as_dict()))
    find_spec = optional.find_spec
    monkeypatch.setattr(optional, "find_spec", lambda name: None if name == "anyascii" else find_spec(name))
    with pytest.raises(MissingPartError, match=r"needs the module anyascii: .*honed\[serve\]"):
        HybridIndex.from_files(data, index.tensors(), LATIN.__getitem__, len(LATIN))


def test_queries_in_other_scripts_have_weights_of_their_own() -> None:
    index = hybrid(LATIN)
    assert index.kind_of("Киев") != index.kind_of("Kiev")
    assert hybrid(LATIN, bridged=False).kind_of("Киев") == index.kind_of("Kiev")
    asked = [("Московский", 0), ("Каир", 1), ("トヨタ", 2), ("Moscow", 0), ("Cairo", 1), ("Toyota", 2)]
    queries = []
    for text, right in asked * 4:
        candidates = gathered(index, LATIN, text)
        grades = (candidates.rows == right).astype(np.float32)
        queries.append(JudgedCandidates(candidates.features, grades, index.kind_of(text)))
    index.fusion = FusionLearner(names=tuple(index.feature_names), penalty=0.1).fit(queries)
    at = index.feature_names.index(f"{SOUNDS}: cosine")
    assert index.fusion.weights[index.kind_of("Киев"), at] > index.fusion.weights[index.kind_of("Kiev"), at]
    assert index.rank("Сеул", gathered(index, LATIN, "Сеул")).rows[0] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Université", "latin"),
        ("МГУ (MSU)", "cyrillic"),
        ("IBM研究所", "han"),
        ("IBM Research 研究所", "latin"),
        ("コンピューター", "kana"),
        ("ﾊｰﾊﾞｰﾄﾞ", "kana"),
        ("Ｒｅｆｕｎｄ", "latin"),
        ("佐々木", "han"),
        ("ঢাকা বিশ্ববিদ্যালয়", "bengali"),
        ("2024 ―", "none"),
    ],
)
def test_the_script_of_a_text_is_that_of_most_letters(text: str, expected: str) -> None:
    assert script(text) == expected
