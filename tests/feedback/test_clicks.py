"""What is learned from clicks, held to simulated searches whose biases are known."""

import numpy as np
import pytest

from honed.core.errors import ConfigError, DataError
from honed.feedback.attractiveness import estimate_attractiveness
from honed.feedback.click_judgments import ClickOptions, judge_impressions
from honed.feedback.examination import Examination, Floats, Pairs, estimate_examination
from honed.feedback.ubi_log import Impressions
from tests.feedback.simulated import World, concordance

STEEP = 1.0 / np.arange(1, 9)
DIP = np.array([1.0, 0.4, 0.35, 0.6, 0.3, 0.2, 0.2, 0.1])  # a curve that does not fall everywhere


def simulated(seed: int, examination: Floats, n_searches: int = 150, noise: float = 1.5) -> tuple[World, Impressions]:
    generator = np.random.default_rng(seed)
    world = World.drawn(generator, 150, examination)
    return world, world.impressions(generator, n_searches, noise)


@pytest.mark.parametrize("examination", [STEEP, DIP], ids=["steep", "dip"])
def test_the_curve_is_found(examination: Floats) -> None:
    _, impressions = simulated(1, examination)
    found = estimate_examination(Pairs.of(impressions))
    low, high = found.interval()
    assert found.values == pytest.approx(examination, rel=0.12)
    assert (low[1:] < examination[1:]).sum() >= 6 and (examination[1:] < high[1:]).sum() >= 6
    assert ((high - low)[1:] > 0).all() and found.values[0] == 1
    raw = np.bincount(impressions.position, impressions.is_clicked) / np.bincount(impressions.position)
    assert found.n_clicks > 10_000 and raw[0] < 0.4  # clicks alone are no chance of being looked at


@pytest.mark.parametrize("examination", [STEEP, DIP], ids=["steep", "dip"])
def test_hits_are_put_in_order_better_than_by_click_through_rate(examination: Floats) -> None:
    world, impressions = simulated(2, examination)
    pairs = Pairs.of(impressions)
    known = estimate_attractiveness(pairs, estimate_examination(pairs), 1.645)
    ours, rates = np.zeros(world.attractiveness.size), np.zeros(world.attractiveness.size)
    ours[pairs.doc], rates[pairs.doc] = known.mean, known.click_through
    shape = world.attractiveness.shape
    by_rate = concordance(rates.reshape(shape), world.attractiveness)
    by_model = concordance(ours.reshape(shape), world.attractiveness)
    assert by_model > by_rate + 0.08
    assert by_model > 0.85


def test_the_intervals_hold_what_they_promise() -> None:
    inside = []
    for seed in range(4):
        world, impressions = simulated(10 + seed, STEEP, n_searches=60)
        pairs = Pairs.of(impressions)
        known = estimate_attractiveness(pairs, estimate_examination(pairs), 1.645)
        truth = world.attractiveness.ravel()[pairs.doc]
        inside.append(np.array([(known.low <= truth).mean(), (truth <= known.high).mean()]))
    assert (np.mean(inside, axis=0) > 0.945).all()


def test_the_spread_of_the_curve_is_that_of_repeated_logs() -> None:
    generator = np.random.default_rng(3)
    world = World.drawn(generator, 60, STEEP[:4])
    logs, said = [], []
    for _ in range(60):
        found = estimate_examination(Pairs.of(world.impressions(generator, 60, 1.5)))
        logs.append(np.log(found.values[1:]))
        said.append(np.sqrt(np.diag(found.covariance)[1:]))
    ratio = np.mean(said, axis=0) / np.std(logs, axis=0)
    assert ((ratio > 0.7) & (ratio < 1.4)).all(), ratio


def test_an_order_that_never_changes_is_refused_and_a_given_curve_is_taken() -> None:
    world, impressions = simulated(4, STEEP, noise=0.0)
    with pytest.raises(DataError, match="E_FIXED_ORDER: too few hits were clicked that one query showed at several"):
        judge_impressions(impressions, ClickOptions())
    judged = judge_impressions(impressions, ClickOptions(examination=tuple(STEEP)))
    right = world.attractiveness.ravel()[judged.pairs.doc[judged.grades > 0]] >= 0.1
    assert len(right) > 200 and right.mean() > 0.95


def test_positions_that_no_hit_connects_are_left_out() -> None:
    generator = np.random.default_rng(5)
    _, impressions = simulated(5, STEEP)
    at_two = impressions.position < 2
    lone = (impressions.position == 4) & (impressions.doc % 8 == 0)  # a hit that is at position 5 alone
    at_two &= impressions.doc % 8 != 0
    kept = at_two | lone
    part = Impressions(
        texts=impressions.texts,
        doc_ids=impressions.doc_ids,
        query=impressions.query[kept],
        doc=impressions.doc[kept],
        position=impressions.position[kept],
        is_clicked=generator.random(int(kept.sum())) < np.where(impressions.position[kept] == 0, 0.4, 0.2),
        n_searches=1,
        left_out={},
    )
    judged = judge_impressions(part, ClickOptions())
    assert judged.examination.known.tolist() == [True, True, False, False, False]
    assert judged.examination.values[1] == pytest.approx(0.5, rel=0.1)
    assert judged.summary()["left_out"] == {"impressions at positions of unknown examination": int(lone.sum())}
    assert (judged.attractiveness.impressions[judged.pairs.doc % 8 == 0] == 0).all()


def test_grades_are_given_where_the_lower_end_and_the_impressions_suffice() -> None:
    world, impressions = simulated(6, STEEP, n_searches=60)
    options = ClickOptions(thresholds=(0.2, 0.4), min_impressions=50)
    judged = judge_impressions(impressions, options)
    known, grades = judged.attractiveness, judged.grades
    assert set(grades.tolist()) == {0, 1, 2}
    assert ((known.low >= 0.2) & (known.impressions >= 50) == (grades > 0)).all()
    assert ((known.low >= 0.4) & (known.impressions >= 50) == (grades > 1)).all()
    assert (world.attractiveness.ravel()[judged.pairs.doc[grades == 2]] >= 0.4).mean() > 0.9


def test_few_impressions_are_shrunk_towards_all_pairs() -> None:
    _, impressions = simulated(7, STEEP, n_searches=3)
    pairs = Pairs.of(impressions)
    known = estimate_attractiveness(pairs, Examination.given(tuple(STEEP), 8), 1.645)
    overall = known.clicks.sum() / known.examinations.sum()
    rates = known.clicks / known.examinations
    assert known.mean.std() < 0.5 * rates.std()
    assert (np.sign(known.mean - overall) == np.sign(rates - overall)).all()
    assert (known.low < known.mean).all() and (known.mean < known.high).all()


def test_blocks_of_queries_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, impressions = simulated(8, STEEP[:5], n_searches=30)
    pairs = Pairs.of(impressions)
    whole = estimate_examination(pairs)
    monkeypatch.setattr("honed.feedback.examination._BLOCK", 7)
    parts = list(pairs.blocks())
    assert len(parts) > 50
    assert sum(shown.sum() for _, shown, _ in parts) == len(impressions.position)
    again = estimate_examination(pairs)
    assert again.values == pytest.approx(whole.values, rel=1e-6)
    assert again.covariance == pytest.approx(whole.covariance, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ClickOptions(thresholds=(0.3, 0.1)), "thresholds are to rise"),
        (ClickOptions(thresholds=(1.5,)), "a threshold is between 0 and 1"),
        (ClickOptions(thresholds=()), "a threshold is between 0 and 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: ClickOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options.check()


def test_a_curve_that_holds_no_chances_is_refused() -> None:
    for values in ((), (1.0, 0.0), (1.0, 1.5)):
        with pytest.raises(DataError, match="above 0 and at most 1"):
            Examination.given(values, 3)
