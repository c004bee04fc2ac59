"""What an index is measured by, the surface computed from its parts, and the tuner against the whole grid."""

from dataclasses import replace

import numpy as np
import pytest

from honed.core.errors import ConfigError
from honed.index import tune as tuner
from honed.index.benchmark import IndexBenchmark, OperatingPoint
from honed.index.budget import Budget
from honed.index.composed import ComposedIndex
from honed.index.exact import ExactIndex
from honed.index.scaling import _Line, estimate_sizes
from honed.index.search_space import SearchSpace
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.surface import ClusterProfile, CodeProfile, Surface, WantedRows
from honed.index.tune import TuneOptions, grid, tune

RANDOM = np.random.default_rng(0)


def clustered(n: int, dim: int = 32, groups: int = 60) -> np.ndarray:
    centres = RANDOM.normal(size=(groups, dim))
    vectors = centres[RANDOM.integers(groups, size=n)] + 0.7 * RANDOM.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS = clustered(6000)
WANTED = RANDOM.choice(6000, 80, replace=False)
QUERIES = VECTORS[WANTED] + 0.08 * RANDOM.normal(size=(80, 32)).astype(np.float32)
QUERIES /= np.linalg.norm(QUERIES, axis=1, keepdims=True)
SPACE = SearchSpace(
    nlist=(16, 64), codes=(("full", 32), ("scalar", 8), ("rabitq", 2), ("sign", 1)), rescore=(0, 20, 100)
)


@pytest.fixture(scope="module")
def benchmark() -> IndexBenchmark:
    return IndexBenchmark(StoredVectors(VECTORS), QUERIES, [np.array([row]) for row in WANTED])


class TestIndexBenchmark:
    def test_exact_search_finds_all_and_as_much_of_the_task_as_it_holds(self, benchmark: IndexBenchmark) -> None:
        rows = ExactIndex(VECTORS).search(QUERIES, 10)[1]
        assert benchmark.index_recall(rows) == 1.0
        assert benchmark.task_recall(rows) == pytest.approx(np.mean(rows[:, 0] == WANTED))

    def test_half_of_the_neighbours_is_half_of_the_recall(self, benchmark: IndexBenchmark) -> None:
        rows = ExactIndex(VECTORS).search(QUERIES, 10)[1].copy()
        rows[:, 5:] = -1
        assert benchmark.index_recall(rows) == 0.5
        rows[:, :5] = np.argsort(QUERIES @ VECTORS.T, axis=1)[:, :5]
        assert benchmark.index_recall(rows) == 0.0

    def test_twins_count_as_each_other(self) -> None:
        twins = np.repeat(VECTORS[:50], 4, axis=0)
        benchmark = IndexBenchmark(StoredVectors(twins), VECTORS[:5], k=2)
        assert benchmark.index_recall(np.array([[4 * at + 3, 4 * at + 2] for at in range(5)])) == 1.0

    def test_without_judgements_there_is_no_task(self) -> None:
        benchmark = IndexBenchmark(StoredVectors(VECTORS), QUERIES)
        assert benchmark.task_recall(benchmark.exact) is None

    def test_each_query_is_asked_alone(self, benchmark: IndexBenchmark) -> None:
        seen = []

        def search(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            seen.append(vectors.shape)
            return ExactIndex(VECTORS).search(vectors, k)

        results = benchmark.run(search)
        assert set(seen) == {(1, 32)}
        assert results.ms.shape == (80,)
        assert (results.ms > 0).all()
        assert benchmark.index_recall(results.rows) == 1.0


@pytest.fixture(scope="module")
def parts(benchmark: IndexBenchmark) -> tuple[ClusterProfile, ClusterProfile, list[CodeProfile]]:
    wanted, source = WantedRows.of(benchmark), benchmark.source
    made = [ClusterProfile(source, benchmark, wanted, IndexSettings(backend="ivf", nlist=nlist)) for nlist in (16, 64)]
    kinds = list(SPACE.codings(0, 100_000))
    return made[0], made[1], [CodeProfile(source, benchmark, wanted, each, made[0]) for each in kinds]


class TestSurface:
    def test_what_is_computed_is_what_is_measured(
        self, benchmark: IndexBenchmark, parts: tuple[ClusterProfile, ClusterProfile, list[CodeProfile]]
    ) -> None:
        coarse, fine, codings = parts
        surface = Surface(benchmark, [coarse, fine], codings)
        for clustering in (coarse, fine):
            for coding in codings:
                settings = replace(coding.settings, nlist=clustering.nlist)
                index = ComposedIndex.build(benchmark.source, settings, clusters=clustering.clusters)
                for nprobe in (2, 8):
                    for rescore in SPACE.widths(coding.settings):
                        point = surface.point(clustering, coding, nprobe, rescore)
                        rows = index.search(QUERIES, 10, nprobe=nprobe, rescore=rescore)[1]
                        near = 0.15 if settings.codes == "rabitq" else 0.02  # residuals are finer in smaller clusters
                        assert point.index_recall == pytest.approx(benchmark.index_recall(rows), abs=near)
                        assert point.task_recall == pytest.approx(benchmark.task_recall(rows), abs=near)
                        assert point.scanned == pytest.approx(index.scanned(QUERIES, nprobe).mean())
                        assert point.mb == pytest.approx(index.memory_bytes / 1e6, rel=0.02)
                        assert point.measured is False

    def test_full_vectors_in_all_clusters_are_exact(
        self, benchmark: IndexBenchmark, parts: tuple[ClusterProfile, ClusterProfile, list[CodeProfile]]
    ) -> None:
        coarse, _, codings = parts
        point = Surface(benchmark, [coarse], codings).point(coarse, codings[0], 16, 0)
        assert point.index_recall == 1.0

    def test_probes_for_a_cost_keep_it(self, parts: tuple[ClusterProfile, ClusterProfile, list[CodeProfile]]) -> None:
        for clustering in parts[:2]:
            nprobe = clustering.probes_for(1500)
            assert clustering.scanned(nprobe) >= 1500 > clustering.scanned(nprobe - 1)


class TestTuner:
    def test_the_choice_keeps_the_budget_and_is_near_the_best_of_the_grid(
        self, benchmark: IndexBenchmark, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tuner, "_FEW", 1000)
        budget = Budget(index_recall=0.95, mb=0.2)
        options = TuneOptions(graph=False)
        found = tune(benchmark, budget, SPACE, options)
        every = grid(benchmark, SPACE, options)
        best = budget.best(every)
        assert found.chosen is not None and best is not None
        assert found.chosen.index_recall >= 0.95
        assert found.chosen.mb <= 0.2
        assert found.chosen.settings.codes in ("rabitq", "sign")
        assert found.chosen.scanned <= 2 * best.scanned  # times of a machine that does other things are not compared
        assert len({replace(each.settings, nprobe=0, rescore=0) for each in found.points}) <= tuner._MOST_BUILDS + 1
        assert found.pruned > 0
        assert all(each.measured for each in found.points)

    def test_a_graph_is_tried_where_it_fits(self, benchmark: IndexBenchmark, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tuner, "_FEW", 1000)
        backends = [
            {each.settings.backend for each in tune(benchmark, Budget(index_recall=0.9, mb=mb), SPACE).points}
            for mb in (None, 0.2)
        ]
        assert "hnsw" in backends[0]
        assert "hnsw" not in backends[1]

    def test_without_a_recall_the_best_recall_is_chosen(self) -> None:
        points = [
            OperatingPoint(
                settings=IndexSettings(), index_recall=r, task_recall=None, ms=ms, ms_high=ms, mb=1, scanned=1
            )
            for r, ms in ((0.9, 1.0), (0.99, 3.0), (0.99, 2.0), (1.0, 9.0))
        ]
        assert Budget(ms=5).best(points) == points[2]
        assert Budget(index_recall=0.9).best(points) == points[0]
        assert Budget(index_recall=0.9, ms=0.5).best(points) is None
        assert Budget(index_recall=0.9, ms=0.5).lack(points[0]) == 1.0

    def test_a_recall_that_exact_search_does_not_reach_is_refused(self) -> None:
        hard = IndexBenchmark(StoredVectors(VECTORS), QUERIES, [np.array([row // 2]) for row in WANTED])
        with pytest.raises(ConfigError, match="exact search reaches"):
            tune(hard, Budget(task_recall=1.0), SPACE)
        with pytest.raises(ConfigError, match="needs queries with judgements"):
            tune(IndexBenchmark(StoredVectors(VECTORS), QUERIES), Budget(task_recall=0.5), SPACE)

    def test_few_documents_are_compared_one_by_one(self) -> None:
        small = IndexBenchmark(StoredVectors(VECTORS[:1000]), QUERIES)
        found = tune(small, Budget(index_recall=0.99), SearchSpace.of(1000, 32))
        assert found.chosen is not None
        assert found.chosen.settings.backend == "flat"

    def test_few_documents_are_coded_where_the_memory_asks_for_it(self) -> None:
        small = IndexBenchmark(StoredVectors(VECTORS[:3000]), QUERIES)
        found = tune(small, Budget(mb=0.1), SPACE, TuneOptions(graph=False))
        assert found.chosen is not None
        assert found.chosen.mb <= 0.1
        assert found.chosen.settings.codes == "sign"

    def test_shorter_vectors_are_tried_with_the_codes_that_they_can_have(self) -> None:
        space = replace(SPACE, dims=(0, 12), codes=(("product", 1), ("sign", 1)))
        kinds = [(each.codes, each.dims) for each in space.codings(0, 1000)]
        assert kinds == [("product", 0), ("sign", 0), ("sign", 12)]

    def test_shorter_vectors_are_an_axis(self, benchmark: IndexBenchmark, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tuner, "_FEW", 1000)
        space = replace(SPACE, dims=(16,), codes=(("sign", 1), ("full", 32)))
        found = tune(benchmark, Budget(index_recall=0.9), space, TuneOptions(graph=False))
        assert found.chosen is not None
        assert {each.settings.dims for each in found.points if each.settings.backend == "composed"} == {16}
        assert all(each.settings.resolved(6000, 32).rescore == each.settings.rescore for each in found.points[1:])

    def test_the_time_limit_ends_it(self, benchmark: IndexBenchmark, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tuner, "_FEW", 1000)
        found = tune(benchmark, Budget(index_recall=0.95), SPACE, TuneOptions(limit_s=0.0))
        assert found.stopped
        assert len(found.points) == 1

    def test_axes_follow_the_number_of_vectors(self) -> None:
        assert SearchSpace.of(100_000, 384).nlist == [128, 256, 512, 1024, 2048]
        assert ("product", 1) not in SearchSpace.of(100_000, 100).codes
        assert SearchSpace.of(1000, 8).nprobes(48) == [1, 2, 4, 8, 16, 32, 48]


class TestScaling:
    def test_a_line_is_continued_with_an_interval_that_widens(self) -> None:
        x = np.arange(5.0)
        exact = _Line(x, 2 * x + 1)
        assert exact.at(10) == pytest.approx((21, 21, 21))
        noisy = _Line(x, 2 * x + np.array([0.1, -0.1, 0.1, -0.1, 0.1]))
        near, far = noisy.at(2), noisy.at(20)
        assert near[0] < near[1] < near[2]
        assert far[2] - far[0] > 3 * (near[2] - near[0])

    def test_a_larger_corpus_needs_more(self) -> None:
        vectors = clustered(30_000, 16, 200)
        settings = IndexSettings(backend="composed", codes="rabitq", bits=2)
        needs, parts = estimate_sizes(
            StoredVectors(vectors), vectors[:50], settings, 0.9, (30_000, 14_000_000, 100_000_000)
        )
        assert [part.n for part in parts] == [2400, 4800, 9600, 19200, 30000]
        here, large, larger = needs
        index = ComposedIndex.build(StoredVectors(vectors), settings)
        assert here.mb == pytest.approx(index.memory_bytes / 1e6, rel=0.1)
        assert here.ms < large.ms < larger.ms
        assert all(each.ms_low <= each.ms <= each.ms_high for each in needs)
        assert larger.disk_mb == pytest.approx(4 * 16 * 1e8 / 1e6)

    def test_too_few_vectors_tell_nothing(self) -> None:
        assert estimate_sizes(
            StoredVectors(VECTORS[:3000]), QUERIES, IndexSettings(backend="composed"), 0.9, (10,)
        ) == (
            [],
            [],
        )
