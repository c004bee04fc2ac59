"""Names and queries of different scripts meet by letters and sounds; Latin ones are left as they were."""

import json

import numpy as np
import pytest

from honed.core import optional
from honed.core.errors import ArtifactError, MissingPartError
from honed.core.text import script
from honed.index.fusion import FusionLearner, JudgedCandidates
from honed.index.hybrid import Candidates, HybridIndex
from honed.index.other_scripts import ROMANISED, SOUNDS
from honed.index.parts import HybridTexts

LATIN = ["Lomonosov Moscow State University", "Cairo University", "Toyota Boshoku", "Seoul Institute", "Kyiv Museum"]
MIXED = [*LATIN, "Новосибирский университет", "جامعة بغداد"]
PARTS = (ROMANISED, SOUNDS)


def hybrid(texts: list[str], *, bridged: bool = True) -> HybridIndex:
    return HybridIndex.build(HybridTexts(texts=texts, other_scripts=bridged))


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
    scores = hybrid(MIXED).parts[part].scores(query)
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
        assert not with_parts.parts[part].scores(query).any()
    one, other = (gathered(index, LATIN, query) for index in (with_parts, without))
    assert one.rows.tolist() == other.rows.tolist()
    shared = [with_parts.feature_names.index(name) for name in without.feature_names]
    assert one.features[:, shared].tolist() == other.features.tolist()
    mixed = hybrid(MIXED)
    for part in PARTS:
        assert not mixed.parts[part].scores(query)[: len(LATIN)].any()


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
