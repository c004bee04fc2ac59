"""One conformance suite over all vector indexes, one over all text indexes, and what is special to each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from honed.core.errors import ArtifactError, ConfigError
from honed.core.protocols import VectorIndex
from honed.core.tensors import map_safetensors, unit_rows
from honed.index.annoy import AnnoyIndex
from honed.index.backends import build_index, restore_index, tensors_of
from honed.index.clusters import nearest_clusters, train_clusters
from honed.index.codes import CODES
from honed.index.composed import ComposedIndex, code_vectors
from honed.index.exact import NARROW, ExactIndex, FlatIndex
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
from honed.index.settings import BACKENDS, IndexSettings
from honed.index.stored import StoredVectors

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(200, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:20] + RANDOM.normal(size=(20, 16)).astype(np.float32) * 0.1
# every backend with all that it can search: at full width it must answer as exact search does
FULL = {
    "exact": {},
    "flat": {},
    "hnsw": {},
    "ivf": {"nlist": 8, "nprobe": 8},
    "scalar": {"rescore": 200},
    "product": {"rescore": 200},
    "fastscan": {"rescore": 200},
    "sign": {"rescore": 200},
    "rabitq": {"rescore": 200},
    "composed": {"codes": "rabitq", "bits": 2, "nlist": 8, "nprobe": 8, "rescore": 200},
}


def built(backend: str, vectors: np.ndarray = VECTORS, **changed: object) -> VectorIndex:
    settings = IndexSettings(backend=backend, **{**FULL[backend], **changed})
    return build_index(StoredVectors(np.asarray(vectors, dtype=np.float32)), settings)


def test_every_backend_is_tested() -> None:
    assert set(FULL) == set(BACKENDS.built_in)


@pytest.fixture(params=sorted(FULL))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_equals_exact_search(backend: str) -> None:
    scores, rows = built(backend).search(QUERIES, 10)
    wanted = QUERIES @ VECTORS.T
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :10]
    assert (rows == order).all()
    assert scores.dtype == np.float32
    assert np.allclose(scores, np.take_along_axis(wanted, order, axis=1), atol=1e-5)


def test_finds_itself(backend: str) -> None:
    scores, rows = built(backend).search(VECTORS, 1)
    assert (rows[:, 0] == np.arange(200)).all()
    assert np.allclose(scores, 1.0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_k_beyond_the_size_gives_everything(backend: str, n: int) -> None:
    scores, rows = built(backend, VECTORS[:n]).search(QUERIES, 10)
    assert rows.shape == scores.shape == (20, n)
    assert (np.sort(rows, axis=1) == np.arange(n)).all()


def test_ties_go_by_row(backend: str) -> None:
    same = np.tile(VECTORS[:1], (5, 1))
    assert built(backend, same).search(VECTORS[:1], 5)[1].tolist() == [[0, 1, 2, 3, 4]]


def test_a_zero_vector_and_no_queries_are_answered(backend: str) -> None:
    index = built(backend)
    assert index.search(np.zeros((1, 16), dtype=np.float32), 3)[1].shape == (1, 3)
    assert index.search(np.empty((0, 16), dtype=np.float32), 3)[1].shape == (0, 3)


def test_a_zero_vector_among_the_documents_is_found_last(backend: str) -> None:
    some = np.concatenate([VECTORS[:20], np.zeros((1, 16), np.float32)])
    rows = built(backend, some).search(np.abs(VECTORS[:1]), 21)[1]
    assert sorted(rows[0].tolist()) == list(range(21))


def test_other_float_types_are_taken(backend: str) -> None:
    assert built(backend, VECTORS.astype(np.float64)).search(QUERIES.astype(np.float64), 2)[1].shape == (20, 2)


@pytest.mark.parametrize("share", [0.5, 0.05, 0.0])
def test_a_filter_gives_k_of_what_it_allows(backend: str, share: float) -> None:
    allowed = np.random.default_rng(1).random(200) < share
    scores, rows = built(backend).search(QUERIES, 12, allowed=allowed)
    wanted_scores, wanted = ExactIndex(VECTORS).search(QUERIES, 12, allowed=allowed)
    assert wanted.shape == (20, min(12, allowed.sum()))
    assert (rows == wanted).all()
    assert np.allclose(scores, wanted_scores, atol=1e-5)


def test_a_wide_filter_gives_k_of_what_it_allows(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.index.composed.NARROW", 0)
    monkeypatch.setattr("honed.index.hnsw.NARROW", 0)
    allowed = np.random.default_rng(1).random(200) < 0.5
    rows = built(backend).search(QUERIES, 12, allowed=allowed)[1]
    assert (rows == ExactIndex(VECTORS).search(QUERIES, 12, allowed=allowed)[1]).all()


def test_what_was_saved_answers_as_before(backend: str, tmp_path: Path) -> None:
    settings, stored = IndexSettings(backend=backend, **FULL[backend]), StoredVectors(VECTORS)
    before = build_index(stored, settings)
    saved = tensors_of(before)
    if saved:
        save_file({name: np.ascontiguousarray(each) for name, each in saved.items()}, str(tmp_path / "a"))
        saved = map_safetensors(tmp_path / "a")
    after = restore_index(stored, IndexSettings.from_dict(settings.as_dict()), saved)
    for left, right in zip(before.search(QUERIES, 10), after.search(QUERIES, 10), strict=True):
        assert np.array_equal(left, right)


def test_ties_at_the_cut_go_by_row_in_exact_search() -> None:
    same = np.tile(VECTORS[:1], (5, 1))
    assert ExactIndex(same).search(VECTORS[:1], 2)[1].tolist() == [[0, 1]]


CLUSTERED = np.repeat(RANDOM.normal(size=(40, 32)), 100, axis=0) + 0.4 * RANDOM.normal(size=(4000, 32))
CLUSTERED = (CLUSTERED / np.linalg.norm(CLUSTERED, axis=1, keepdims=True)).astype(np.float32)
ASKED = CLUSTERED[::100] + 0.1 * RANDOM.normal(size=(40, 32)).astype(np.float32)


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(left.tolist(), right.tolist(), strict=True)]))


class TestComposed:
    @pytest.mark.parametrize(("codes", "bits"), [(kind, bits) for kind in CODES.built_in for bits in CODES[kind].bits])
    def test_wider_stages_find_more(self, codes: str, bits: int) -> None:
        index = ComposedIndex.build(
            StoredVectors(CLUSTERED), IndexSettings(backend="composed", codes=codes, bits=bits, nlist=50)
        )
        wanted = ExactIndex(CLUSTERED).search(ASKED, 10)[1]
        widths = [(1, 0), (4, 0), (4, 20), (50, 400), (50, 4000)]
        found = [
            overlap(index.search(ASKED, 10, nprobe=nprobe, rescore=rescore)[1], wanted) for nprobe, rescore in widths
        ]
        assert found[-1] == 1.0
        assert found[1] <= found[2] + 0.02 <= found[3] + 0.04
        assert found[0] < 1.0
        assert found[2] > 0.4

    def test_more_bits_are_finer(self) -> None:
        wanted = ExactIndex(CLUSTERED).search(ASKED, 10)[1]
        for kind in ("rabitq", "product", "fastscan", "scalar"):
            found = []
            for bits in sorted(CODES[kind].bits)[:3]:
                settings = IndexSettings(backend=kind, bits=bits, rescore=0)
                index = ComposedIndex.build(StoredVectors(CLUSTERED), settings)
                found.append(overlap(index.search(ASKED, 10)[1], wanted))
            assert found == sorted(found)
            assert found[0] < found[-1]

    def test_equals_its_formula_with_full_vectors_in_the_nearest_clusters(self) -> None:
        index = ComposedIndex.build(StoredVectors(CLUSTERED), IndexSettings(backend="ivf", nlist=20, nprobe=3))
        tensors = index.tensors()
        near = nearest_clusters(ASKED, tensors["centroids"], 3)
        cluster_of = np.empty(len(CLUSTERED), int)
        for cluster in range(20):
            cluster_of[tensors["rows"][tensors["offsets"][cluster] : tensors["offsets"][cluster + 1]]] = cluster
        for at, query in enumerate(ASKED):
            mask = np.isin(cluster_of, near[at])
            wanted = ExactIndex(CLUSTERED).search(query[None], 10, allowed=mask)[1][0]
            assert (index.search(query[None], 10)[1][0] == wanted).all()
            assert index.scanned(query[None])[0] == 20 + mask.sum()

    def test_int8_vectors_and_blocks_give_the_same_index(self, tmp_path: Path) -> None:
        settings = IndexSettings(backend="composed", codes="rabitq", nlist=16, nprobe=16)
        whole = ComposedIndex.build(StoredVectors(CLUSTERED), settings).tensors()
        told: list[tuple[int, int]] = []
        parts = code_vectors(
            StoredVectors(CLUSTERED), settings, block=300, scratch=tmp_path, progress=lambda *each: told.append(each)
        )
        assert [each.name for each in tmp_path.iterdir()] == ["codes.npy"]
        assert all(np.array_equal(whole[name], parts[name]) for name in whole)
        assert told[-1] == (4000, 4000)
        int8 = ComposedIndex.build(StoredVectors.quantised(CLUSTERED), settings)
        assert overlap(int8.search(ASKED, 10)[1], ExactIndex(CLUSTERED).search(ASKED, 10)[1]) > 0.98

    def test_shorter_vectors_are_coded_and_whole_ones_rescored(self) -> None:
        settings = IndexSettings(backend="scalar", dims=8, rescore=4000)
        scores, rows = ComposedIndex.build(StoredVectors(CLUSTERED), settings).search(ASKED, 10)
        wanted_scores, wanted = ExactIndex(CLUSTERED).search(ASKED, 10)
        assert (rows == wanted).all()
        assert np.allclose(scores, wanted_scores, atol=1e-5)

    def test_near_clusters_that_are_too_small_are_not_the_end(self) -> None:
        index = ComposedIndex.build(StoredVectors(CLUSTERED), IndexSettings(backend="ivf", nlist=500, nprobe=1))
        rows = index.search(ASKED, 1000)[1]
        assert (rows >= 0).all()
        assert all(len(set(line)) == 1000 for line in rows.tolist())

    def test_a_filter_widens_the_search(self) -> None:
        big = np.tile(CLUSTERED, (3, 1)) + 0.05 * RANDOM.normal(size=(12_000, 32)).astype(np.float32)
        index = ComposedIndex.build(StoredVectors(big), IndexSettings(backend="ivf", nlist=100, nprobe=4))
        allowed = np.random.default_rng(0).random(12_000) < 0.4
        assert allowed.sum() > NARROW
        rows = index.search(ASKED, 10, allowed=allowed)[1]
        assert allowed[rows].all()
        assert overlap(rows, ExactIndex(big).search(ASKED, 10, allowed=allowed)[1]) > 0.9

    def test_memory_is_counted(self) -> None:
        index = ComposedIndex.build(StoredVectors(CLUSTERED), IndexSettings(backend="sign"))
        assert 4000 * (8 + 8) <= index.memory_bytes <= 4000 * (8 + 8) + 1000

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("centroids", lambda each: each * np.float32("nan")),
            ("centroids", lambda each: each[:, :-1].copy()),
            ("offsets", lambda each: each[::-1].copy()),
            ("offsets", lambda each: each + 1),
            ("rows", lambda each: each * 0),
            ("rows", lambda each: each - 1),
            ("rows", lambda each: each + 1_000_000),
            ("codes", lambda each: each[:-1].copy()),
            ("rows", lambda each: np.where(each == 0, 2**31 - 1, each).astype(np.int32)),
            ("offsets", lambda each: each[None]),
            ("codes", lambda each: None),
            ("learned", lambda each: each[:-1].copy()),
            ("learned", lambda each: each * np.float32("inf")),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, name: str, change: Callable) -> None:
        settings, stored = IndexSettings(backend="composed", codes="scalar", nlist=8), StoredVectors(VECTORS)
        tensors = ComposedIndex.build(stored, settings).tensors()
        with pytest.raises(ArtifactError, match=r"not fit"):
            restore_index(stored, settings, {**tensors, name: change(tensors[name])})

    def test_arrays_that_are_missing_are_refused(self) -> None:
        for settings in (IndexSettings(backend="ivf"), HNSW):
            with pytest.raises(ArtifactError, match="not fit"):
                restore_index(StoredVectors(VECTORS), settings, {})


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"backend": "flat", "nlist": 4}, r"index.nlist: backend 'flat' does not take it; it takes no settings"),
            ({"backend": "sign", "bits": 1}, r"index.bits: backend 'sign' does not take it; it takes rescore, dims"),
            ({"backend": "scalar", "bits": 3}, r"index.bits: 3; scalar codes can have 4, 6, 8, 16"),
            ({"backend": "ivf", "nlist": 4, "nprobe": 9}, r"index.nprobe: 9 of nlist 4 clusters"),
        ],
    )
    def test_what_a_backend_does_not_take_is_refused(self, settings: dict, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            IndexSettings(**settings).check()

    def test_product_codes_need_groups_of_dimensions(self) -> None:
        with pytest.raises(ConfigError, match="1 bits need dimensions divisible by 8, not 12"):
            IndexSettings(backend="product").resolved(100, 12)
        with pytest.raises(ConfigError, match="2 bits need dimensions divisible by 2, not 15"):
            IndexSettings(backend="fastscan").resolved(100, 15)

    def test_an_odd_number_of_groups_is_compared_in_blocks(self) -> None:
        settings = IndexSettings(backend="fastscan", bits=1, rescore=200)
        cut = np.ascontiguousarray(VECTORS[:, :12])
        rows = ComposedIndex.build(StoredVectors(cut), settings).search(QUERIES[:, :12], 10)[1]
        assert (rows == ExactIndex(cut).search(QUERIES[:, :12], 10)[1]).all()

    def test_blocks_count_for_memory_as_they_are_laid_out(self) -> None:
        settings = IndexSettings(backend="composed", codes="fastscan", bits=2, nlist=50, sample=4000)
        index = ComposedIndex.build(StoredVectors(CLUSTERED), settings)
        blocks = -(-np.diff(index.tensors()["offsets"]) // 32)
        learned = sum(index.tensors()[name].nbytes for name in ("centroids", "offsets", "learned"))
        assert index.memory_bytes == 32 * 8 * blocks.sum() + 8 * 4000 + learned

    @pytest.mark.parametrize("data", [{"backend": "no"}, {"nlist": "4"}, {"nlist": -1}, {"odd": 1}, {"nlist": True}])
    def test_settings_of_a_file_are_checked(self, data: dict) -> None:
        with pytest.raises(ArtifactError, match="settings of the index cannot be read"):
            IndexSettings.from_dict({"backend": "composed", **data})

    def test_what_is_left_open_is_chosen_by_the_number_of_vectors(self) -> None:
        found = IndexSettings(backend="composed", codes="rabitq").resolved(1_000_000, 384)
        assert (found.nlist, found.nprobe, found.bits, found.dims, found.rescore) == (2000, 125, 1, 384, 100)
        assert IndexSettings(backend="ivf").resolved(0, 8).nlist == 1


def test_clusters_are_unit_vectors_and_the_same_for_a_seed() -> None:
    first = train_clusters(CLUSTERED, 10, 0)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert np.array_equal(first, train_clusters(CLUSTERED, 10, 0))
    assert not np.array_equal(first, train_clusters(CLUSTERED, 10, 1))
    assert len(train_clusters(CLUSTERED[:5], 10, 0)) == 5


def test_annoy_looks_at_as_many_nodes_as_it_is_told() -> None:
    pytest.importorskip("annoy")
    narrow = AnnoyIndex(CLUSTERED, trees=1, search_k=10)
    wide = AnnoyIndex(CLUSTERED, trees=20, search_k=50_000)
    wanted = ExactIndex(CLUSTERED).search(ASKED, 10)[1]
    assert overlap(narrow.search(ASKED, 10)[1], wanted) < overlap(wide.search(ASKED, 10)[1], wanted) == 1.0


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
    assert index.search([" x"], 5)[0] == [(1, 2 / 3), (0, 1 / 3)]


def test_a_dictionary_prefers_what_is_written_alike() -> None:
    index = DictionaryIndex(["a", "b"], [("ITU", 1), ("Itu", 0), ("itu ", 1)])
    assert index.search(["Itu", "ITU", "iTu"], 1) == [[(0, 1 + 1 / 3)], [(1, 1 + 2 / 3)], [(1, 2 / 3)]]


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
        scores, rows = stored.exact(slice(0, 200)).search(QUERIES, 10)
        wanted_scores, wanted = ExactIndex(stored.take(slice(0, 200))).search(QUERIES, 10)
        assert (rows == wanted).all()
        assert np.allclose(scores, wanted_scores, atol=1e-5)
        assert np.abs(stored.take(slice(0, 200)) - VECTORS).max() < 0.005

    def test_what_was_stored_comes_back(self) -> None:
        for stored in (StoredVectors(VECTORS), StoredVectors.quantised(VECTORS)):
            again = StoredVectors.from_tensors(stored.tensors())
            assert np.array_equal(again.take(np.array([3, 1])), stored.take(np.array([3, 1])))

    def test_a_subset_is_numbered_from_0(self) -> None:
        stored = StoredVectors(VECTORS)
        for rows in (slice(0, 9), np.array([5, 9, 40])):
            part = stored.subset(rows)
            assert part.shape == (len(VECTORS[rows]), 16)
            assert np.array_equal(part.take(np.array([1, 2])), VECTORS[rows][[1, 2]])

    def test_some_rows_alone_can_be_searched(self) -> None:
        some = np.array([5, 9, 40])
        for stored in (StoredVectors(VECTORS), StoredVectors.quantised(VECTORS)):
            assert stored.exact(some).search(VECTORS[9:10], 1)[1].tolist() == [[1]]

    def test_an_empty_and_a_single_query_are_answered(self) -> None:
        index = StoredVectors.quantised(VECTORS).exact(slice(0, 3))
        assert index.search(np.empty((0, 16), dtype=np.float32), 5)[1].shape == (0, 3)
        assert index.search(np.zeros((1, 16), dtype=np.float32), 5)[1].tolist() == [[0, 1, 2]]


HNSW, STORED = IndexSettings(backend="hnsw"), StoredVectors(VECTORS)


class TestHnsw:
    def test_most_neighbours_are_found_in_a_larger_set(self) -> None:
        vectors = RANDOM.normal(size=(5000, 32)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found = HnswIndex(StoredVectors(vectors), HNSW).search(vectors[:200], 10)[1]
        wanted = ExactIndex(vectors).search(vectors[:200], 10)[1]
        assert overlap(found, wanted) > 0.9

    def test_what_passes_a_filter_is_found_wherever_it_lies(self) -> None:
        vectors = np.repeat(CLUSTERED, 3, axis=0) + 0.05 * RANDOM.normal(size=(12_000, 32)).astype(np.float32)
        index = HnswIndex(StoredVectors(vectors), IndexSettings(backend="hnsw", links=8, search_width=16))
        far = np.argsort(vectors @ ASKED[0])[:5000]  # most unlike the query
        allowed = np.isin(np.arange(12_000), far)
        rows = index.search(ASKED[:1], 10, allowed=allowed)[1]
        assert allowed[rows].all()
        assert (rows == ExactIndex(vectors).search(ASKED[:1], 10, allowed=allowed)[1]).all()

    def test_settings_make_the_graph(self) -> None:
        wanted = ExactIndex(CLUSTERED).search(ASKED, 10)[1]
        shares = []
        for links, width in ((4, 1), (32, 300)):
            settings = IndexSettings(backend="hnsw", links=links, search_width=width)
            index = HnswIndex(StoredVectors(CLUSTERED), settings)
            shares.append(overlap(index.search(ASKED, 10)[1], wanted))
        assert shares[0] < shares[1] > 0.95

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
        tensors = HnswIndex(STORED, HNSW).tensors()
        with pytest.raises(ArtifactError, match="no graph over these vectors"):
            HnswIndex.from_tensors(STORED, HNSW, {**tensors, name: change(tensors[name])})


@pytest.mark.parametrize("n_queries", [1, 33, 450])
def test_few_queries_over_many_documents_are_answered_as_by_the_reference(n_queries: int) -> None:
    rng = np.random.default_rng(0)
    documents = unit_rows(rng.normal(size=(8_300, 16)).astype(np.float32))
    documents[5_000:5_020] = documents[7]  # ties
    queries = unit_rows(rng.normal(size=(n_queries, 16)).astype(np.float32))
    queries[0] = documents[7]
    wanted_scores, wanted = ExactIndex(documents).search(queries, 30)
    scores, rows = FlatIndex(documents).search(queries, 30)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-6)
    assert set(rows[0, :21].tolist()) == {7, *range(5_000, 5_020)}
    assert (rows == wanted).mean() > 0.99  # near-ties aside
