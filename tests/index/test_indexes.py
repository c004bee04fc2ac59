"""One conformance suite over all vector indexes, one over all text indexes, and what is special to each."""

from collections.abc import Callable

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.flat import VECTOR_INDEXES, ExactIndex
from honed.index.hnsw import HnswIndex
from honed.index.lexical import (
    Analyzer,
    Bm25Index,
    DictionaryIndex,
    InitialismIndex,
    InitialismTfidfIndex,
    TfidfIndex,
    initialisms,
)
from honed.index.stored import StoredVectors

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


class TestStoredVectors:
    def test_codes_are_searched_as_their_vectors_would_be(self) -> None:
        stored = StoredVectors.quantised(VECTORS)
        scores, rows = stored.index(slice(0, 200), "flat").search(QUERIES, 10)
        wanted_scores, wanted = ExactIndex(stored.take(slice(0, 200))).search(QUERIES, 10)
        assert (rows == wanted).all()
        assert np.allclose(scores, wanted_scores, atol=1e-5)
        assert np.abs(stored.take(slice(0, 200)) - VECTORS).max() < 0.005

    def test_what_was_stored_comes_back(self) -> None:
        for stored in (StoredVectors(VECTORS), StoredVectors.quantised(VECTORS)):
            again = StoredVectors.from_tensors(stored.tensors())
            assert np.array_equal(again.take(np.array([3, 1])), stored.take(np.array([3, 1])))

    def test_some_rows_alone_can_be_searched(self) -> None:
        some = np.array([5, 9, 40])
        for stored in (StoredVectors(VECTORS), StoredVectors.quantised(VECTORS)):
            assert stored.index(some, "exact").search(VECTORS[9:10], 1)[1].tolist() == [[1]]

    def test_an_empty_and_a_single_query_are_answered(self) -> None:
        index = StoredVectors.quantised(VECTORS).index(slice(0, 3), "exact")
        assert index.search(np.empty((0, 16), dtype=np.float32), 5)[1].shape == (0, 3)
        assert index.search(np.zeros((1, 16), dtype=np.float32), 5)[1].tolist() == [[0, 1, 2]]


class TestHnsw:
    def test_a_saved_graph_answers_as_before(self) -> None:
        before = HnswIndex(VECTORS)
        after = HnswIndex.from_tensors(VECTORS, before.tensors())
        for left, right in zip(before.search(QUERIES, 10), after.search(QUERIES, 10), strict=True):
            assert np.array_equal(left, right)

    def test_most_neighbours_are_found_in_a_larger_set(self) -> None:
        vectors = RANDOM.normal(size=(5000, 32)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found = HnswIndex(vectors).search(vectors[:200], 10)[1]
        wanted = ExactIndex(vectors).search(vectors[:200], 10)[1]
        overlap = np.mean([len(set(left) & set(right)) / 10 for left, right in zip(found, wanted, strict=True)])
        assert overlap > 0.9

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("neighbors", lambda array: array + 1000),
            ("neighbors", lambda array: array[:-1]),
            ("offsets", lambda array: array + 1),
            ("levels", lambda array: array + 40),
            ("levels", lambda array: array * 0),
            ("entry", lambda array: array + 1000),
            ("entry", lambda array: array + np.array([0, 3])),
        ],
    )
    def test_links_that_lead_out_of_the_graph_are_refused(self, name: str, change) -> None:
        tensors = HnswIndex(VECTORS).tensors()
        with pytest.raises(ArtifactError, match="no graph over these vectors"):
            HnswIndex.from_tensors(VECTORS, {**tensors, name: change(tensors[name])})
