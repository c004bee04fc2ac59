"""The tuner: a budget in, the settings of an index out, with the frontier of recall, time and memory.

`tune` computes the surface from its parts (`honed.index.surface`), leaves out the corners that cannot meet the budget,
then builds and measures the best that remain. `grid` builds and measures every combination: the reference.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from honed.core.errors import ConfigError
from honed.core.progress import progress
from honed.core.protocols import VectorSource
from honed.index.benchmark import IndexBenchmark, OperatingPoint
from honed.index.budget import Budget
from honed.index.composed import ComposedIndex
from honed.index.exact import FlatIndex
from honed.index.hnsw import HnswIndex
from honed.index.search_space import SearchSpace
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.surface import ClusterProfile, CodeProfile, Surface, WantedRows

_FEW = 5000  # so few documents are compared one by one
_CLOSE = 1.3  # what is computed may be so much off in time
_SLACK = 0.01  # and so much in recall
_MOST_BUILDS = 5
_NEAR, _ROUNDS = 1.15, 3  # what is within so much of the best is timed again, so often


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """How long the tuner may take (seconds), whether it tries graphs, its seed, how many vectors are learned from."""

    limit_s: float = 600.0
    graph: bool = True
    seed: int = 0
    sample: int = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningResult:
    """The chosen point (None: nothing keeps within the budget), and all that were measured.

    ``nearest`` is the measured point that lacks least. ``computed`` are the points of the surface, ``pruned`` how many
    of them were never worth a measurement; ``stopped`` tells whether the time limit ended it. ``seconds`` are those
    that it took.
    """

    chosen: OperatingPoint | None
    points: Sequence[OperatingPoint]
    nearest: OperatingPoint
    computed: Sequence[OperatingPoint] = ()
    pruned: int = 0
    seconds: float = 0.0
    stopped: bool = False


def tune(
    benchmark: IndexBenchmark, budget: Budget, space: SearchSpace, options: TuneOptions | None = None
) -> TuningResult:
    """Return the settings that keep a budget best, with all that was measured on the way; see the module.

    Raises `ConfigError` for a recall that exact search does not reach.
    """
    options, started = options or TuneOptions(), time.monotonic()
    flat = flat_point(benchmark)
    check_budget(flat, budget)
    if benchmark.source.shape[0] <= _FEW and budget.holds(flat):
        chosen = budget.best([flat])
        return TuningResult(chosen=chosen, points=[flat], nearest=flat, seconds=time.monotonic() - started)
    surface = measure_parts(benchmark, space, options, until=started + 0.6 * options.limit_s)
    computed = list(_all_points(surface, space))
    hopeful = sorted((point for point in computed if budget.holds(point, slack=_SLACK, close=_CLOSE)), key=budget.cost)
    pruned = len(computed) - len(hopeful)
    if not hopeful:  # what comes nearest is measured, so that the answer is no guess
        hopeful = sorted(computed, key=budget.lack)
    points = [flat, *_measure_best(_Refinement(surface, space, budget), hopeful, flat, started + options.limit_s)]
    seconds_left = started + options.limit_s - time.monotonic()
    if options.graph and seconds_left > 0:
        points += _measure_graphs(benchmark, space, budget, seconds_left)
    return TuningResult(
        chosen=budget.best(points),
        points=points,
        computed=computed,
        pruned=pruned,
        nearest=min(points, key=budget.lack),
        seconds=time.monotonic() - started,
        stopped=time.monotonic() - started > options.limit_s,
    )


def grid(benchmark: IndexBenchmark, space: SearchSpace, options: TuneOptions | None = None) -> list[OperatingPoint]:
    """Build and measure every combination of the space; the clusters are shared by all kinds of codes."""
    options, points = options or TuneOptions(), [flat_point(benchmark)]
    wanted = WantedRows.of(benchmark)
    codings = list(space.codings(options.seed, options.sample))
    with progress("build and measure all", len(space.nlist) * len(codings)) as bar:
        for nlist in space.nlist:
            coarse = IndexSettings(backend="ivf", nlist=nlist, seed=options.seed, sample=options.sample)
            clustering = ClusterProfile(benchmark.source, benchmark, wanted, coarse)
            for coding in codings:
                settings = replace(coding, nlist=clustering.nlist, nprobe=clustering.nlist)
                started = time.perf_counter()
                index = ComposedIndex.build(benchmark.source, settings, clusters=clustering.clusters)
                build_s = time.perf_counter() - started + clustering.seconds
                for nprobe in space.nprobes(clustering.nlist):
                    for rescore in space.widths(coding):
                        points.append(_measure(benchmark, index, nprobe, rescore, build_s))
                bar.advance()
    if options.graph:
        points += _measure_graphs(benchmark, space, Budget(), math.inf)
    return points


def measure_parts(
    benchmark: IndexBenchmark, space: SearchSpace, options: TuneOptions, *, until: float = math.inf
) -> Surface:
    """Return the surface from its parts: every clustering, and every kind of codes in the middle one.

    No part is begun after ``until``, a ``time.monotonic()``, but for the first clustering and the first kind of codes.
    """
    source, wanted = benchmark.source, WantedRows.of(benchmark)
    clusterings: list[ClusterProfile] = []
    codings: list[CodeProfile] = []
    middle = space.nlist[len(space.nlist) // 2]
    order = sorted(space.nlist, key=lambda nlist: abs(nlist - middle))  # the middle first
    kinds = list(space.codings(options.seed, options.sample))
    with progress("measure parts", len(order) + len(kinds)) as bar:
        for nlist in order:
            if clusterings and time.monotonic() > until:
                break
            coarse = IndexSettings(backend="ivf", nlist=nlist, seed=options.seed, sample=options.sample)
            clusterings.append(ClusterProfile(source, benchmark, wanted, coarse))
            bar.advance()
        for settings in kinds:
            if codings and time.monotonic() > until:
                break
            codings.append(CodeProfile(source, benchmark, wanted, settings, clusterings[0]))
            bar.advance()
        for coding in codings:  # again, so that what else the machine did at one time does not decide
            coding.time(benchmark, clusterings[0])
    return Surface(benchmark, sorted(clusterings, key=lambda clustering: clustering.nlist), codings)


def flat_point(benchmark: IndexBenchmark) -> OperatingPoint:
    """Return the operating point of exact search."""
    n, dim = benchmark.source.shape
    started = time.perf_counter()
    index = FlatIndex(benchmark.source.take(slice(None)))
    build_s = time.perf_counter() - started
    results = benchmark.run(index.search)
    return benchmark.point(IndexSettings(), results, mb=4 * n * dim / 1e6, scanned=float(n), build_s=build_s)


def check_budget(flat: OperatingPoint, budget: Budget) -> None:
    """Raise `ConfigError` for a recall that exact search, the point ``flat``, does not reach."""
    if budget.task_recall is None:
        return
    if flat.task_recall is None:
        raise ConfigError("E_TUNE", "a task recall needs queries with judgements")
    if budget.task_recall > flat.task_recall:
        raise ConfigError(
            "E_TUNE",
            f"task recall {budget.task_recall}: exact search reaches {flat.task_recall:.4f}; an index cannot do better",
        )


def _all_points(surface: Surface, space: SearchSpace) -> Iterator[OperatingPoint]:
    for clustering in surface.clusterings:
        for coding in surface.codings:
            for nprobe in space.nprobes(clustering.nlist):
                for rescore in space.widths(coding.settings):
                    yield surface.point(clustering, coding, nprobe, rescore)


def _measure_best(
    refinement: "_Refinement", hopeful: Sequence[OperatingPoint], flat: OperatingPoint, until: float
) -> list[OperatingPoint]:
    """Build and measure the first of some computed points, until a time or until the next would cost more.

    Those that are nearly the best are timed again, in turns.
    """
    budget, points = refinement.budget, [flat]
    index_of: dict[OperatingPoint, ComposedIndex] = {}
    with progress("measure settings") as bar:
        for built, candidate in enumerate(_first_of_each_build(hopeful)):
            best = budget.best(points)
            is_worse = best is not None and built >= 2 and budget.cost(candidate) > budget.cost(best, close=_CLOSE)
            if built >= _MOST_BUILDS or is_worse or time.monotonic() > until:
                break
            index, measured = refinement.around(candidate)
            points += measured
            index_of |= dict.fromkeys(measured, index)
            bar.advance()
            bar.note(_note(budget, points))
    return _timed_again(refinement.benchmark, budget, points, index_of)[1:]


def _first_of_each_build(points: Sequence[OperatingPoint]) -> Iterator[OperatingPoint]:
    """Yield the first point of each clustering with each kind of codes: one build serves all their widths."""
    seen = set()
    for point in points:
        build = replace(point.settings, nprobe=0, rescore=0)
        if build not in seen:
            seen.add(build)
            yield point


def _timed_again(
    benchmark: IndexBenchmark,
    budget: Budget,
    points: Sequence[OperatingPoint],
    index_of: Mapping[OperatingPoint, ComposedIndex],
) -> list[OperatingPoint]:
    """Time what is nearly the best again, in turns: a few percent are chance, and the least of many is lucky."""
    best = budget.best(points)
    if best is None or not budget.wants_recall:
        return list(points)
    near = [point for point in points if point in index_of and budget.holds(point) and point.ms <= _NEAR * best.ms]
    near = sorted(near, key=budget.cost)[:_MOST_BUILDS]
    times: dict[OperatingPoint, list[float]] = {point: [] for point in near}
    for _ in range(_ROUNDS if len(near) > 1 else 0):
        for point in near:
            settings = point.settings
            search = partial(index_of[point].search, nprobe=settings.nprobe, rescore=settings.rescore)
            times[point].append(float(np.median(benchmark.run(search).ms)))
    return [replace(point, ms=min(times[point])) if times.get(point) else point for point in points]


class _Refinement:
    """Measures a computed point of a surface, and the widths beside it that may do."""

    def __init__(self, surface: Surface, space: SearchSpace, budget: Budget) -> None:
        self.surface, self.space, self.budget, self.benchmark = surface, space, budget, surface.benchmark

    def around(self, point: OperatingPoint) -> tuple[ComposedIndex, list[OperatingPoint]]:
        """Build the index of a point; return it with the operating points of that and of the widths around it."""
        settings = point.settings
        clustering = next(part for part in self.surface.clusterings if part.nlist == settings.nlist)
        coding = next(part for part in self.surface.codings if _kind(part.settings) == _kind(settings))
        started = time.perf_counter()
        index = coding.index
        if coding.settings.nlist != clustering.nlist:
            index = ComposedIndex.build(self.benchmark.source, settings, clusters=clustering.clusters)
        build_s = time.perf_counter() - started + clustering.seconds
        measured = [
            _measure(self.benchmark, index, nprobe, rescore, build_s)
            for nprobe, rescore in self._likely_widths(clustering, coding, settings)
        ]
        return index, measured

    def _likely_widths(
        self, clustering: ClusterProfile, coding: CodeProfile, settings: IndexSettings
    ) -> list[tuple[int, int]]:
        """Return (nprobe, rescore) of settings, and those beside them that may keep the budget."""
        widths = list(self.space.widths(settings))
        at = widths.index(settings.rescore)
        likely: dict[tuple[int, int], None] = {}
        for rescore in widths[max(0, at - 1) : at + 2]:
            for step in (0.5, 0.71, 1, 1.41, 2):
                nprobe = min(max(1, round(settings.nprobe * step)), clustering.nlist)
                computed = self.surface.point(clustering, coding, nprobe, rescore)
                is_wanted = (nprobe, rescore) == (settings.nprobe, settings.rescore)
                if is_wanted or self.budget.holds(computed, slack=2 * _SLACK, close=_CLOSE):
                    likely[nprobe, rescore] = None
        return list(likely)


def _kind(settings: IndexSettings) -> IndexSettings:
    """Return the settings that define the codes (kind, bits, dims), without clusters and search widths."""
    return replace(settings, nlist=1, nprobe=1, rescore=IndexSettings().rescore)


def _measure(
    benchmark: IndexBenchmark, index: ComposedIndex, nprobe: int, rescore: int, build_s: float
) -> OperatingPoint:
    results = benchmark.run(partial(index.search, nprobe=nprobe, rescore=rescore))
    dims = index.settings.dims if index.settings.dims < index.dim else 0
    settings = replace(index.settings, nprobe=nprobe, rescore=rescore, dims=dims)
    scanned = float(index.scanned(benchmark.queries, nprobe).mean())
    return benchmark.point(settings, results, mb=index.memory_bytes / 1e6, scanned=scanned, build_s=build_s)


def _measure_graphs(
    benchmark: IndexBenchmark, space: SearchSpace, budget: Budget, seconds_left: float
) -> list[OperatingPoint]:
    """Measure HNSW graphs, where they fit the budget of memory and can be built in the seconds that are left."""
    n, dim = benchmark.source.shape
    points = []
    for links in space.links:
        settings = IndexSettings(backend="hnsw", links=links)
        mb = n * (4 * dim + 8 * links) / 1e6
        if (budget.mb is not None and mb > budget.mb) or _graph_seconds(benchmark.source, settings) > seconds_left:
            continue
        started = time.perf_counter()
        index = HnswIndex(benchmark.source, settings)
        build_s = time.perf_counter() - started
        for width in space.search_width:
            results = benchmark.run(partial(index.search, search_width=width))
            mb, scanned = index.memory_bytes / 1e6, float(width)
            wide = replace(settings, search_width=width)
            points.append(benchmark.point(wide, results, mb=mb, scanned=scanned, build_s=build_s))
            seconds_left -= float(results.ms.sum()) / 1000
        seconds_left -= build_s
    return points


def _graph_seconds(source: VectorSource, settings: IndexSettings) -> float:
    """Return how long a graph takes to build, from one over a part: time grows as n log n."""
    n = source.shape[0]
    part = min(n, _FEW)
    started = time.perf_counter()
    HnswIndex(StoredVectors(source.take(slice(0, part))), settings)
    took = time.perf_counter() - started
    return took * n * math.log(n) / (part * math.log(part)) * 1.5  # memory is slower than the cache


def _note(budget: Budget, points: Sequence[OperatingPoint]) -> str:
    best = budget.best(points)
    return "nothing fits yet" if best is None else f"best {best.ms:.2f} ms, index recall {best.index_recall:.3f}"
