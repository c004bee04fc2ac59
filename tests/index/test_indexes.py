"""One conformance suite over all vector indexes, one over all text indexes, and what is special to each."""

from collections.abc import Callable

import numpy as np
import pytest

from honed.index.flat import VECTOR_INDEXES, ExactIndex
from honed.index.lexical import (
    Analyzer,
    Bm25Index,
    DictionaryIndex,
    InitialismIndex,
    InitialismTfidfIndex,
    TfidfIndex,
    initialisms,
)

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(200, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:20] + RANDOM.normal(size=(20, 16)).astype(np.float32) * 0.1


@pytest.fixture(params=sorted(VECTOR_INDEXES))
def build(request: pytest.FixtureRequest) -> Callable[..., object]:
    return VECTOR_INDEXES[request.param]


def test_equals_exact_search(build) -> None:
    scores, rows = build(VECTORS).search(QUERIES, 10)
    wanted = QUERIES @ VECTORS.T
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :10]
    assert (rows == order).all()
    assert np.allclose(scores, np.take_along_axis(wanted, order, axis=1), atol=1e-5)


def test_finds_itself(build) -> None:
    scores, rows = build(VECTORS).search(VECTORS, 1)
    assert (rows[:, 0] == np.arange(200)).all()
    assert np.allclose(scores, 1.0, atol=1e-5)


def test_k_beyond_the_size_gives_everything(build) -> None:
    scores, rows = build(VECTORS[:3]).search(QUERIES, 10)
    assert rows.shape == scores.shape == (20, 3)


def test_ties_go_by_row(build) -> None:
    same = np.tile(VECTORS[:1], (5, 1))
    assert build(same).search(VECTORS[:1], 5)[1].tolist() == [[0, 1, 2, 3, 4]]


def test_a_zero_vector_and_no_queries_are_answered(build) -> None:
    index = build(VECTORS)
    assert index.search(np.zeros((1, 16), dtype=np.float32), 3)[1].shape == (1, 3)
    assert index.search(np.empty((0, 16), dtype=np.float32), 3)[1].shape == (0, 3)


def test_other_float_types_are_taken(build) -> None:
    assert build(VECTORS.astype(np.float64)).search(QUERIES.astype(np.float64), 2)[1].shape == (20, 2)


def test_ties_at_the_cut_go_by_row_in_exact_search() -> None:
    same = np.tile(VECTORS[:1], (5, 1))
    assert ExactIndex(same).search(VECTORS[:1], 2)[1].tolist() == [[0, 1]]


NAMES = [
    "University of Guadalajara",
    "Massachusetts Institute of Technology",
    "National Autonomous University of Mexico",
    "Universidad de México",
    "College of Mining",
]
TEXT_INDEXES = {
    "bm25": lambda texts: Bm25Index(texts, Analyzer()),
    "words": lambda texts: TfidfIndex(texts, Analyzer()),
    "characters": lambda texts: TfidfIndex(texts),
    "initials": lambda texts: InitialismIndex(texts),
    "initials and characters": lambda texts: InitialismTfidfIndex(texts),
    "dictionary": lambda texts: DictionaryIndex(texts, [("UdeG", 0)]),
}


@pytest.mark.parametrize("name", TEXT_INDEXES)
def test_text_indexes_rank_with_positive_scores_and_answer_anything(name: str) -> None:
    index = TEXT_INDEXES[name](NAMES)
    queries = ["guadalajara university", "", "of the", "???", "東京", "MIT", "x" * 1000]
    found = index.search(queries, 3)
    assert len(found) == len(queries)
    for hits in found:
        assert len(hits) <= 3
        assert all(score > 0 for _, score in hits)
        assert hits == sorted(hits, key=lambda hit: (-hit[1], hit[0]))


@pytest.mark.parametrize("name", ["bm25", "words", "characters"])
def test_words_are_found_without_case_accents_and_endings(name: str) -> None:
    index = TEXT_INDEXES[name](NAMES)
    assert index.search(["GUADALAJARA universities"], 1)[0][0][0] == 0
    assert index.search(["universidad mexico"], 1)[0][0][0] == 3


def test_character_grams_survive_a_slip() -> None:
    assert TEXT_INDEXES["characters"](NAMES).search(["Univercity of Guadalahara"], 1)[0][0][0] == 0


@pytest.mark.parametrize(("text", "row"), [("MIT", 1), ("UNAM", None), ("NAUM", 2), ("UdG", None), ("uog", 0)])
def test_initials_are_matched_with_and_without_small_words(text: str, row: int | None) -> None:
    found = InitialismIndex(NAMES).search([text], 5)[0]
    assert ([hit[0] for hit in found] or [None])[0] == row


def test_initialisms_of_a_name() -> None:
    assert initialisms("University of Guadalajara") == {"uog", "ug"}
    assert initialisms("Oxford") == set()


def test_shared_initials_are_ordered_by_their_characters() -> None:
    index = InitialismTfidfIndex(["Mining Institute of Texas", "Massachusetts Institute of Technology"])
    assert {row for row, _ in index.search(["MIT"], 5)[0]} == {0, 1}


def test_a_dictionary_answers_with_the_most_frequent_meaning() -> None:
    index = DictionaryIndex(["a", "b"], [("x", 1), ("x", 1), ("X ", 0)])
    assert index.search(["x"], 5)[0] == [(1, 2 / 3), (0, 1 / 3)]


def test_bm25_equals_its_formula() -> None:
    texts = ["apple pear", "apple apple plum", "plum"]
    found = dict(Bm25Index(texts, Analyzer()).search(["apple"], 3)[0])
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    mean = 6 / 3
    for row, count, length in ((0, 1, 2), (1, 2, 3)):
        wanted = idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * length / mean))
        assert found[row] == pytest.approx(wanted, rel=1e-3)
