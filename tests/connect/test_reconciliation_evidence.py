"""What properties do to the candidates of a reconciliation query, and when one is a match: by hand."""

import numpy as np
import pytest

from honed.connect.reconciliation_evidence import Condition, Judged, judge
from honed.core.records import Answer, Hit
from honed.index.answers import AnswerModel
from honed.index.risk import Promise

MODEL = AnswerModel(
    weights=np.zeros(2),
    centre=np.zeros(1),
    scale=np.ones(1),
    gap=None,
    risk=0.1,
    coverage=0.9,
    promise=Promise(risk=0.1, confidence=0.9, n=100, absent=0.0, cut=0.7),
)
COUNTRY = Condition.of("property:country", "country", ["Mexico"])
CITY = Condition.of("property:city", "city", ["Puebla"])


def hit(doc_id: str, chance: float | None, *, text: str = "", score: float = 0.5, **fields: str) -> Hit:
    return Hit(
        doc_id=doc_id,
        text=text or doc_id,
        score=score,
        cosine=0.5,
        matched=text or doc_id,
        rank=1,
        fields=fields,
        chance=chance,
    )


def judged(answer: Answer, *conditions: Condition, model: AnswerModel | None = MODEL) -> list[Judged]:
    def values_of(hit: Hit, name: str) -> list[str]:
        return [hit.fields[name]] if name in hit.fields else []

    return judge(answer, conditions, values_of, model)


def shown(candidates: list[Judged]) -> list[tuple[str, float, bool]]:
    return [(one.hit.doc_id, pytest.approx(one.score, abs=1e-9), one.match) for one in candidates]


def known(n: int) -> Answer:
    """A name that ``n`` entities bear: the second is in Mexico."""
    places = ["Spain", "Mexico", "Spain"]
    hits = [hit(f"e{at}", 1 / n, score=1.0, text="UP", country=places[at]) for at in range(n)]
    return Answer(hits=hits, chance=1 / n, match=n == 1)


def test_without_properties_the_score_is_the_chance_and_the_match_that_of_the_promise() -> None:
    answer = Answer(hits=[hit("a", 0.75), hit("b", 0.1)], chance=0.75, match=True)
    assert shown(judged(answer)) == [("a", 0.75, True), ("b", 0.1, False)]
    low = Answer(hits=[hit("a", 0.65), hit("b", 0.1)], chance=0.65, match=False)
    assert shown(judged(low)) == [("a", 0.65, False), ("b", 0.1, False)]


def test_a_name_of_several_is_no_match_until_a_property_tells_them_apart() -> None:
    assert [one.match for one in judged(known(3))] == [False] * 3
    first, *others = judged(known(3), COUNTRY)
    assert (first.hit.doc_id, first.match) == ("e1", True)
    assert first.score == pytest.approx(1.0)
    assert [one.score for one in others] == [0, 0]


def test_two_that_agree_with_a_property_are_still_two() -> None:
    spain = Condition.of("property:country", "country", ["spain "])  # as folded
    first = judged(known(3), spain)[0]
    assert first.hit.fields["country"] == "Spain"
    assert first.score == pytest.approx(0.5)
    assert not first.match


def test_what_a_property_contradicts_is_no_match_even_where_it_contradicts_all() -> None:
    answer = Answer(hits=[hit("a", 0.9, country="Spain"), hit("b", 0.05, country="Peru")], chance=0.9, match=True)
    assert shown(judged(answer, COUNTRY)) == [("a", 0.9, False), ("b", 0.05, False)]


def test_chances_are_shared_out_anew() -> None:
    answer = Answer(hits=[hit("a", 0.6, country="Spain"), hit("b", 0.3, country="Mexico")], chance=0.6, match=False)
    assert shown(judged(answer, COUNTRY)) == [("b", 0.3 / 0.4, False), ("a", 0.0, False)]
    both = judged(answer, COUNTRY, CITY)  # the city is not known: it says nothing
    assert both[0].score == pytest.approx(0.75)


def test_an_unknown_value_neither_agrees_nor_contradicts() -> None:
    answer = Answer(hits=[hit("a", 0.9), hit("b", 0.05, country="Mexico")], chance=0.9, match=True)
    first = judged(answer, COUNTRY)[0]
    assert (first.hit.doc_id, first.match, first.agreements) == ("a", True, {})


def test_entities_of_one_label_share_its_chance() -> None:
    hits = [hit("a", 0.9, text="Central", country="Spain"), hit("b", 0.9, text="Central", country="Mexico")]
    answer = Answer(hits=hits, chance=0.9, match=True)
    assert not judged(answer)[0].match  # 0.45 each is below the cut
    first = judged(answer, COUNTRY)[0]
    assert (first.hit.doc_id, first.match) == ("b", True)
    assert first.score == pytest.approx(0.45 / 0.55)


def test_another_than_the_one_that_was_answered_is_no_match() -> None:
    answer = Answer(hits=[hit("a", 0.8, country="Spain"), hit("b", 0.2, country="Mexico")], chance=0.8, match=True)
    first = judged(answer, COUNTRY)[0]
    assert (first.hit.doc_id, first.score, first.match) == ("b", 1.0, False)


def test_without_chances_nothing_is_a_match_and_scores_are_those_of_the_search() -> None:
    answer = Answer(hits=[hit("a", None, score=0.8, country="Spain"), hit("b", None, score=-0.1, country="Mexico")])
    assert shown(judged(answer, model=None)) == [("a", 0.8, False), ("b", 0.0, False)]
    assert shown(judged(answer, COUNTRY, model=None)) == [("a", 0.0, False), ("b", 0.0, False)]


def test_what_is_required_leaves_others_out() -> None:
    required = Condition.of("type_match", "country", ["Mexico"], required=True)
    answer = Answer(hits=[hit("a", 0.8, country="Spain"), hit("b", 0.1, country="Mexico"), hit("c", 0.1)], chance=0.8)
    assert [one.hit.doc_id for one in judged(answer, required)] == ["b"]


@pytest.mark.parametrize(
    ("wanted", "values", "holds"),
    [
        (["1990"], ["1990.0"], True),
        (["Ｍéxico "], ["méxico"], True),
        (["a", "b"], ["b"], True),
        (["nan"], ["NaN"], True),
        (["a"], ["b"], False),
        (["a"], [], None),
    ],
)
def test_values_are_compared_as_numbers_or_folded(wanted: list[str], values: list[str], holds: bool | None) -> None:
    assert Condition.of("f", "p", wanted).holds(values) is holds
