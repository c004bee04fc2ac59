import numpy as np
import pytest

from honed.train.calibrate import fit_posterior
from honed.train.config import MineConfig
from honed.train.mine import KNOWN, LIKELY, SAME, choose_negatives, find_candidates


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def crowded(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[set[int]]]:
    """Anchors with three right documents near each, among documents that are a little less near."""
    random = np.random.default_rng(seed)
    anchors = unit(random.normal(size=(n, 24)))
    right = unit(np.repeat(anchors, 3, axis=0) + random.normal(size=(3 * n, 24)) * 0.12)
    wrong = unit(np.repeat(anchors, 6, axis=0) + random.normal(size=(6 * n, 24)) * 0.3)
    true = [set(range(3 * row, 3 * row + 3)) for row in range(n)]
    return anchors, np.concatenate([right, wrong]), true


@pytest.fixture(scope="module")
def hidden() -> tuple[np.ndarray, np.ndarray, list[frozenset[int]], list[set[int]]]:
    """The same with one right document in three unknown."""
    anchors, documents, true = crowded()
    return anchors, documents, [frozenset(sorted(right)[:2]) for right in true], true


def names(n: int, what: str) -> list[str]:
    return [f"{what} {number}" for number in range(n)]


def share_right(negatives: list[list[int]], true: list[set[int]]) -> float:
    chosen = [row in true[anchor] for anchor, rows in enumerate(negatives) for row in rows]
    return sum(chosen) / len(chosen)


def mined(hidden, **settings):
    anchors, documents, known, _ = hidden
    config = MineConfig(negatives=3, depth=12, **settings)
    texts, labels = names(len(anchors), "anchor"), names(len(documents), "document")
    candidates = find_candidates((texts, anchors), (labels, documents), known, [], config)
    return candidates, choose_negatives(candidates, config)


def test_no_known_positive_is_ever_a_candidate(hidden) -> None:
    candidates, result = mined(hidden)
    for anchor, known in enumerate(hidden[2]):
        assert not known & set(candidates.rows[anchor].tolist())
        assert not known & set(result.negatives[anchor])
    assert candidates.rejected[KNOWN] > 0


def test_candidates_are_the_nearest_by_exact_search(hidden) -> None:
    anchors, documents, known, _ = hidden
    candidates, _ = mined(hidden)
    scores = anchors @ documents.T
    for anchor in (0, 17, 599):
        scores[anchor, list(known[anchor])] = -2
        assert candidates.rows[anchor].tolist() == np.argsort(-scores[anchor])[:12].tolist()
        assert np.allclose(candidates.scores[anchor], np.sort(scores[anchor])[::-1][:12], atol=1e-5)


def test_the_threshold_keeps_the_hidden_positives_within_the_share_that_was_asked_for(hidden) -> None:
    true = hidden[3]
    top = mined(hidden, false_negatives=1.0)[1]
    assert share_right(top.negatives, true) > 0.2  # top-k mining takes what is hidden
    for wanted in (0.05, 0.02):
        result = mined(hidden, false_negatives=wanted)[1]
        assert share_right(result.negatives, true) <= wanted + 0.01
        assert result.report.estimated_false_negatives.chosen <= wanted
        assert result.report.rejected[LIKELY] > 100
        assert result.report.chosen > 1000


def test_the_estimate_for_top_k_mining_is_near_the_truth(hidden) -> None:
    result = mined(hidden, false_negatives=1.0)[1]
    wanted = share_right(result.negatives, hidden[3])
    assert result.report.estimated_false_negatives.top == pytest.approx(wanted, abs=0.06)


def test_known_pairs_of_the_same_text_do_not_hide_what_is_hidden() -> None:
    """No candidate has the text of its anchor, so known pairs that have must not stand for the hidden ones."""
    anchors, documents, true = crowded()
    n = len(anchors)
    texts, labels = names(n, "anchor"), [*names(len(documents), "document"), *names(n, "Anchor")]
    known = [frozenset({*sorted(right)[:2], len(documents) + row}) for row, right in enumerate(true)]
    config = MineConfig(negatives=3, depth=12)
    candidates = find_candidates((texts, anchors), (labels, np.concatenate([documents, anchors])), known, [], config)
    assert len(candidates.positives) == 2 * n
    result = choose_negatives(candidates, config)
    assert result.report.estimated_false_negatives.top > 0.1
    assert share_right(result.negatives, true) <= 0.03


def test_a_catalogue_without_hidden_positives_is_not_emptied() -> None:
    anchors, documents, true = crowded(seed=1)
    known = [frozenset(right) for right in true]
    _, result = mined((anchors, documents, known, true), false_negatives=0.02)
    assert result.report.chosen > 0.95 * 3 * len(anchors)


def test_text_that_equals_the_anchor_or_a_positive_is_no_negative() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(4, 8)))
    known = [frozenset({0})]
    labels = ["École Normale", "Ecole normale", "U.d.G.", "Other"]
    config = MineConfig(depth=4, negatives=4)
    candidates = find_candidates((["UDG", *[]], vectors[:1]), (labels, vectors), known, [], config)
    assert candidates.rejected[SAME] == 1  # the near-duplicate of the positive
    assert set(candidates.rows[0].tolist()) == {2, 3, -1}


def test_words_bring_candidates_that_the_vectors_do_not() -> None:
    class Words:
        def search(self, texts: list[str], k: int) -> list[list[tuple[int, float]]]:
            return [[(19, 1.0)] for _ in texts]

    vectors = unit(np.eye(20) + 0.01)
    config = MineConfig(candidates=("tfidf",), depth=3)
    candidates = find_candidates(
        (names(20, "a"), vectors), (names(20, "d"), vectors), [frozenset({n}) for n in range(20)], [Words()], config
    )
    assert [set(rows.tolist()) for rows in candidates.rows[:2]] == [{19, -1}, {19, -1}]


def test_too_few_known_pairs_are_told_and_handled_with_care() -> None:
    anchors, documents, true = crowded(n=12)
    known = [frozenset(sorted(right)[:2]) for right in true]
    _, result = mined((anchors, documents, known, true))
    assert not result.report.calibrated
    assert share_right(result.negatives, true) < 0.1


def test_the_posterior_rises_with_the_score_and_stays_a_chance() -> None:
    random = np.random.default_rng(0)
    posterior = fit_posterior(random.normal(0.8, 0.1, 500), random.normal(0.3, 0.2, 5000))
    assert posterior is not None
    chances = posterior(np.linspace(-1, 1.5, 200))
    assert (np.diff(chances) >= 0).all()
    assert 0 <= chances.min() <= chances.max() <= 1
    assert fit_posterior(np.ones(10), np.zeros(100)) is None
