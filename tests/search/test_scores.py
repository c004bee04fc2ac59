"""The score of a hit: monotone, between its bounds, the same however it is asked for."""

from dataclasses import replace

import numpy as np
import pytest

from honed.core.records import Hit
from honed.index.blend import Blend
from honed.search.hits import HitList
from honed.search.scores import (
    KNOWN_NAME,
    RankedLabels,
    estimated_chances,
    known_chances,
    log_total,
    rounded,
    shares,
)


def hits(*scores: float) -> list[Hit]:
    return [
        Hit(doc_id=str(at), text=f"name {at}", score=score, cosine=0.5, matched="", rank=at + 1)
        for at, score in enumerate(scores)
    ]


def test_shares_are_those_of_a_softmax_and_never_reach_a_known_name() -> None:
    odds = np.array([3.0, 1.0, 1.0, -50.0])
    parts = shares(odds, log_total(odds))
    assert parts == pytest.approx(np.exp(odds) / np.exp(odds).sum())
    assert shares(np.array([900.0, 0.0]), log_total(np.array([900.0, 0.0])))[0] < KNOWN_NAME
    assert len(shares(np.empty(0), log_total(np.empty(0)))) == 0


def test_a_share_does_not_hang_on_what_is_looked_at_later() -> None:
    first = RankedLabels(np.array([4, 2]), np.array([2.0, 1.0]))
    total = log_total(first.odds)
    longer = first.followed_by(RankedLabels(np.array([2, 7, 9]), np.array([5.0, 3.0, -1.0])))
    assert longer.numbers.tolist() == [4, 2, 7, 9]
    assert longer.odds.tolist() == [2.0, 1.0, 1.0, -1.0]  # what is behind is never above
    assert shares(longer.odds, total)[:2].tolist() == shares(first.odds, total).tolist()


def test_the_smallest_scores_keep_their_order() -> None:
    values = [0.123456789, 1.23456e-7, 1.23e-12, 0.0]
    assert [rounded(value) for value in values] == [0.123457, 1.23456e-7, 1.23e-12, 0.0]


def test_a_reranked_order_has_odds_that_never_rise() -> None:
    fused, scores = np.array([5.0, 4.0, 3.5, 1.0, 0.5]), np.array([0.0, 2.0, 9.0])
    blend = Blend(ours=0.5, theirs=1.0)
    odds = blend.odds(fused, scores)
    assert blend.order(fused, scores).tolist() == [2, 1, 0, 3, 4]
    assert odds[:3].tolist() == [10.75, 4.0, 2.5]
    assert np.diff(odds[2:]).tolist() == [-2.5, -0.5]  # as far below as before
    assert blend.odds(fused, np.empty(0)).tolist() == fused.tolist()


@pytest.mark.parametrize("chance", [0.0, 0.2, 0.62, 0.9, 1.0])
def test_chances_fall_with_the_score_and_add_up_to_one_at_most(chance: float) -> None:
    found = estimated_chances(hits(0.6, 0.3, 0.06, 1e-9), chance)
    chances = [hit.chance or 0.0 for hit in found]
    assert chances[0] == chance
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-3
    if chance < 0.6:  # the rest is the chance that there is no answer: what is known of the first counts for all
        assert chances[1] == pytest.approx(chance * 0.3 / 0.6, abs=1e-4)


def test_a_known_name_leaves_no_chance_to_others() -> None:
    found = known_chances(hits(KNOWN_NAME, KNOWN_NAME, 0.7, 0.1), 2)
    assert [hit.chance for hit in found] == [0.5, 0.5, 0.0, 0.0]


def test_what_is_not_known_of_a_hit_is_left_out() -> None:
    (hit,) = hits(0.5)
    assert set(hit.as_dict()) == {"doc_id", "text", "score", "cosine", "matched", "rank", "fields"}
    assert set(estimated_chances([hit], 0.5)[0].as_dict()) - set(hit.as_dict()) == {"chance"}


def test_a_notebook_shows_hits_as_a_table() -> None:
    hit = Hit(doc_id="a<b", text="A & B", score=0.5, cosine=0.25, matched="A+B", rank=1, chance=0.75)
    shown = HitList([hit])._repr_html_()
    assert all(part in shown for part in ("A &amp; B", "A+B", "0.500", "75 %", "0.250", "a&lt;b"))
    assert "chance" not in HitList([replace(hit, chance=None)])._repr_html_()
