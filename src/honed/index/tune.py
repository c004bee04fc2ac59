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
from honed.index.backends import build_index
from honed.index.composed import ComposedIndex
from honed.index.exact import FlatIndex
from honed.index.hnsw import HnswIndex
from honed.index.measured import Point, Yardstick
from honed.index.settings import FULL, IndexSettings, can_group
from honed.index.stored import StoredVectors
from honed.index.surface import Clustering, Coding, Surface, Targets

RESCORE = (0, 20, 50, 100, 200, 400, 1000)
WIDTHS = (16, 32, 64, 128, 256, 512)
CODES: Sequence[tuple[str, int]] = (
    (FULL, 32),
    ("scalar", 8),
    ("scalar", 4),
    ("fastscan", 2),
    ("fastscan", 1),
    ("rabitq", 2),
    ("rabitq", 1),
    ("sign", 1),
)
_FEW = 5000  # so few documents are compared one by one
_CLOSE = 1.3  # what is computed may be so much off in time
_SLACK = 0.01  # and so much in recall
_MOST_BUILDS = 5
_NEAR, _ROUNDS = 1.15, 3  # what is within so much of the best is timed again, so often


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What is asked of an index; None where it does not matter.

    With a recall the fastest that reaches it is chosen; without one the best recall within ``ms`` and ``mb``.
    """

    index_recall: float | None = None
    task_recall: float | None = None
    ms: float | None = None
    mb: float | None = None

    def holds(self, point: Point, *, slack: float = 0.0, close: float = 1.0) -> bool:
        """Tell whether a point keeps within the budget, ``slack`` less recall and ``close`` times its costs allowed."""
        return (
            (self.index_recall is None or point.index_recall >= self.index_recall - slack)
            and (self.task_recall is None or (point.task_recall or 0.0) >= self.task_recall - slack)
            and (self.ms is None or point.ms <= self.ms * close)
            and (self.mb is None or point.mb <= self.mb)
        )

    def cost(self, point: Point, *, close: float = 1.0) -> tuple[float, float]:
        """Return what is to be least: time where a recall is asked for, else what recall lacks, then time."""
        if self.index_recall is not None or self.task_recall is not None:
            return (close * point.ms, point.mb)
        recall = point.index_recall if point.task_recall is None else point.task_recall
        return (close * round(1 - recall, 4), point.ms)

    def lack(self, point: Point) -> float:
        """Return how far a point is from the budget: what recall lacks, and how much over it time and memory are."""
        lacking = 10 * max(0.0, (self.index_recall or 0.0) - point.index_recall)
        lacking += 10 * max(0.0, (self.task_recall or 0.0) - (point.task_recall or 0.0))
        for most, value in ((self.ms, point.ms), (self.mb, point.mb)):
            lacking += max(0.0, value / most - 1) if most is not None else 0.0
        return lacking

    def best(self, points: Sequence[Point]) -> Point | None:
        """Return the best point that keeps within the budget, or None."""
        return min((each for each in points if self.holds(each)), key=self.cost, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What is tried: clusters, kinds of codes with bits, rescoring widths, cut dimensions, and HNSW's search widths."""

    nlist: Sequence[int]
    codes: Sequence[tuple[str, int]] = CODES
    rescore: Sequence[int] = RESCORE
    dims: Sequence[int] = (0,)
    search_width: Sequence[int] = WIDTHS
    links: Sequence[int] = (32,)

    @classmethod
    def of(cls, n: int, dim: int, **changed: Sequence[int]) -> "Axes":
        """Return the axes for ``n`` vectors of ``dim``: clusters from sqrt(n) / 2 to 8 sqrt(n), in powers of two."""
        middle = round(math.log2(max(4.0, math.sqrt(n))))
        nlist = [2**power for power in range(max(2, middle - 1), middle + 4) if 2**power <= n // 16] or [1]
        codes = [each for each in CODES if can_group(*each, dim)]
        return cls(nlist=nlist, codes=codes, **changed)

    def nprobes(self, nlist: int) -> list[int]:
        """Return how many of some clusters are searched, in powers of two, up to all."""
        return [*(2**power for power in range(int(math.log2(nlist)) + 1) if 2**power < nlist), nlist]

    def codings(self, seed: int, sample: int) -> Iterator[IndexSettings]:
        """Yield the settings of each kind of codes."""
        for dims in self.dims:
            for codes, bits in self.codes:
                if can_group(codes, bits, dims):
                    kind = IndexSettings(backend="composed", codes=codes, bits=bits, dims=dims)
                    yield replace(kind, seed=seed, sample=sample)

    def widths(self, settings: IndexSettings) -> Sequence[int]:
        """Return the rescoring widths of a kind of codes; whole vectors need none."""
        return (0,) if settings.codes == FULL and not settings.dims else self.rescore


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """How long it may take (seconds), whether graphs are tried, the seed, and how many vectors are learned from."""

    limit_s: float = 600.0
    graph: bool = True
    seed: int = 0
    sample: int = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What a search for settings found: the chosen point (None: nothing keeps within the budget), and all others.

    ``nearest`` is the measured point that lacks least. ``computed`` are the points of the surface, ``pruned`` how many
    of them were never worth a measurement; ``stopped`` tells whether the time limit ended it. ``took`` are seconds.
    """

    chosen: Point | None
    points: Sequence[Point]
    nearest: Point
    computed: Sequence[Point] = ()
    pruned: int = 0
    took: float = 0.0
    stopped: bool = False


def tune(yard: Yardstick, budget: Budget, axes: Axes, options: TuneOptions | None = None) -> Tuned:
    """Return the settings that keep a budget best; see the module."""
    options, began = options or TuneOptions(), time.monotonic()
    flat = flat_point(yard)
    check_budget(flat, budget)
    if yard.source.shape[0] <= _FEW and budget.holds(flat):
        return Tuned(chosen=budget.best([flat]), points=[flat], nearest=flat, took=time.monotonic() - began)
    points = [flat]
    surface = parts_of(yard, axes, options, until=began + 0.6 * options.limit_s)
    computed = list(_computed(surface, axes))
    hopeful = sorted((each for each in computed if budget.holds(each, slack=_SLACK, close=_CLOSE)), key=budget.cost)
    pruned = len(computed) - len(hopeful)
    if not hopeful:  # what comes nearest is measured, so that the answer is no guess
        hopeful = sorted(computed, key=lambda each: budget.lack(each))
    built_of: dict[Point, ComposedIndex] = {}
    with progress("measure settings") as bar:
        for built, candidate in enumerate(_firsts(hopeful)):
            best = budget.best(points)
            worse = best is not None and built >= 2 and budget.cost(candidate) > budget.cost(best, close=_CLOSE)
            if built >= _MOST_BUILDS or worse or time.monotonic() - began > options.limit_s:
                break
            index, found = _around(yard, surface, candidate, axes, budget)
            points += found
            built_of |= dict.fromkeys(found, index)
            bar.advance()
            bar.note(_shown(budget, points))
    points = _settled(yard, budget, points, built_of)
    built_of.clear()
    left = options.limit_s - (time.monotonic() - began)
    if options.graph and left > 0:
        points += _graphs(yard, axes, options.seed, budget, left)
    return Tuned(
        chosen=budget.best(points),
        points=points,
        computed=computed,
        pruned=pruned,
        nearest=min(points, key=budget.lack),
        took=time.monotonic() - began,
        stopped=time.monotonic() - began > options.limit_s,
    )


def grid(yard: Yardstick, axes: Axes, options: TuneOptions | None = None) -> list[Point]:
    """Build and measure every combination of the axes; the clusters are shared by all kinds of codes."""
    options, points = options or TuneOptions(), [flat_point(yard)]
    targets = Targets.of(yard)
    codings = list(axes.codings(options.seed, options.sample))
    with progress("build and measure all", len(axes.nlist) * len(codings)) as bar:
        for nlist in axes.nlist:
            coarse = IndexSettings(backend="ivf", nlist=nlist, seed=options.seed, sample=options.sample)
            clustering = Clustering(yard.source, yard, targets, coarse)
            for settings in codings:
                wanted = replace(settings, nlist=clustering.nlist, nprobe=clustering.nlist)
                started = time.perf_counter()
                index = ComposedIndex.build(yard.source, wanted, clusters=clustering.clusters)
                build_s = time.perf_counter() - started + clustering.took
                for nprobe in axes.nprobes(clustering.nlist):
                    for rescore in axes.widths(settings):
                        points.append(_measured(yard, index, nprobe, rescore, build_s))
                bar.advance()
    if options.graph:
        points += _graphs(yard, axes, options.seed, Budget(), math.inf)
    return points


def parts_of(yard: Yardstick, axes: Axes, options: TuneOptions, *, until: float = math.inf) -> Surface:
    """Measure the parts of the surface: every clustering, and every kind of codes in the middle one, until a time."""
    targets = Targets.of(yard)
    found: list[Clustering] = []
    order = sorted(axes.nlist, key=lambda each: abs(each - axes.nlist[len(axes.nlist) // 2]))  # the middle first
    codings: list[Coding] = []
    kinds = list(axes.codings(options.seed, options.sample))
    with progress("measure parts", len(order) + len(kinds)) as bar:
        for nlist in order:
            if found and time.monotonic() > until:
                break
            coarse = IndexSettings(backend="ivf", nlist=nlist, seed=options.seed, sample=options.sample)
            found.append(Clustering(yard.source, yard, targets, coarse))
            bar.advance()
        for settings in kinds:
            if codings and time.monotonic() > until:
                break
            codings.append(Coding(yard.source, yard, targets, settings, found[0]))
            bar.advance()
        for coding in codings:  # again, so that what else the machine did at one time does not decide
            coding.time(yard, found[0])
    return Surface(yard.source, yard, sorted(found, key=lambda each: each.nlist), codings)


def flat_point(yard: Yardstick) -> Point:
    """Return what exact search finds and costs."""
    n, dim = yard.source.shape
    started = time.perf_counter()
    index = FlatIndex(yard.source.take(slice(None)))
    build_s = time.perf_counter() - started
    results = yard.ask(index.search)
    return yard.point(IndexSettings(), results, mb=4 * n * dim / 1e6, scanned=float(n), build_s=build_s)


def check_budget(flat: Point, budget: Budget) -> None:
    """Raise `ConfigError` for a recall that exact search does not reach."""
    if budget.task_recall is None:
        return
    if flat.task_recall is None:
        raise ConfigError("E_TUNE", "a task recall needs queries with judgements")
    if budget.task_recall > flat.task_recall:
        raise ConfigError(
            "E_TUNE",
            f"task recall {budget.task_recall}: exact search reaches {flat.task_recall:.4f}; an index cannot do better",
        )


def _computed(surface: Surface, axes: Axes) -> Iterator[Point]:
    for clustering in surface.clusterings:
        for coding in surface.codings:
            for nprobe in axes.nprobes(clustering.nlist):
                for rescore in axes.widths(coding.settings):
                    yield surface.point(clustering, coding, nprobe, rescore)


def _firsts(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the first point of each clustering with each kind of codes, which is what is built."""
    seen = set()
    for point in points:
        key = replace(point.settings, nprobe=0, rescore=0)
        if key not in seen:
            seen.add(key)
            yield point


def _settled(
    yard: Yardstick, budget: Budget, points: Sequence[Point], built_of: Mapping[Point, ComposedIndex]
) -> list[Point]:
    """Time what is nearly the best again, in turns: a few percent are chance, and the least of many is lucky."""
    best = budget.best(points)
    if best is None or (budget.index_recall is None and budget.task_recall is None):
        return list(points)
    near = [each for each in points if each in built_of and budget.holds(each) and each.ms <= _NEAR * best.ms]
    near = sorted(near, key=budget.cost)[:_MOST_BUILDS]
    times: dict[Point, list[float]] = {each: [] for each in near}
    for _ in range(_ROUNDS if len(near) > 1 else 0):
        for each in near:
            search = partial(built_of[each].search, nprobe=each.settings.nprobe, rescore=each.settings.rescore)
            times[each].append(float(np.median(yard.ask(search).ms)))
    return [replace(each, ms=min(times[each])) if times.get(each) else each for each in points]


def _around(
    yard: Yardstick, surface: Surface, point: Point, axes: Axes, budget: Budget
) -> tuple[ComposedIndex, list[Point]]:
    """Build an index and measure it with the widths that were computed, and with those beside them that may do."""
    wanted = point.settings
    clustering = next(each for each in surface.clusterings if each.nlist == wanted.nlist)
    coding = next(each for each in surface.codings if replace(each.settings, nlist=1, nprobe=1) == _kind(wanted))
    started = time.perf_counter()
    index = coding.index
    if coding.settings.nlist != clustering.nlist:
        index = ComposedIndex.build(yard.source, wanted, clusters=clustering.clusters)
    build_s = time.perf_counter() - started + clustering.took
    widths = list(axes.widths(wanted))
    at = widths.index(wanted.rescore)
    found: list[Point] = []
    for rescore in widths[max(0, at - 1) : at + 2]:
        for step in (0.5, 0.71, 1, 1.41, 2):
            nprobe = min(max(1, round(wanted.nprobe * step)), clustering.nlist)
            computed = surface.point(clustering, coding, nprobe, rescore)
            likely = budget.holds(computed, slack=2 * _SLACK, close=_CLOSE) or (nprobe, rescore) == _widths(point)
            if likely and (nprobe, rescore) not in map(_widths, found):
                found.append(_measured(yard, index, nprobe, rescore, build_s))
    return index, found


def _widths(point: Point) -> tuple[int, int]:
    return point.settings.nprobe, point.settings.rescore


def _kind(settings: IndexSettings) -> IndexSettings:
    return replace(settings, nlist=1, nprobe=1, rescore=IndexSettings().rescore)


def _measured(yard: Yardstick, index: ComposedIndex, nprobe: int, rescore: int, build_s: float) -> Point:
    results = yard.ask(partial(index.search, nprobe=nprobe, rescore=rescore))
    dims = index.settings.dims if index.settings.dims < index.dim else 0
    settings = replace(index.settings, nprobe=nprobe, rescore=rescore, dims=dims)
    scanned = float(index.scanned(yard.queries, nprobe).mean())
    return yard.point(settings, results, mb=index.code_bytes / 1e6, scanned=scanned, build_s=build_s)


def _graphs(yard: Yardstick, axes: Axes, seed: int, budget: Budget, left: float) -> list[Point]:
    """Measure graphs of neighbours, where they fit the budget of memory and can be built in the time that is left."""
    n, dim = yard.source.shape
    found = []
    for links in axes.links:
        settings = IndexSettings(backend="hnsw", links=links)
        mb = n * (4 * dim + 8 * links) / 1e6
        if (budget.mb is not None and mb > budget.mb) or _graph_seconds(yard.source, settings) > left:
            continue
        started = time.perf_counter()
        index = build_index(yard.source, settings)
        assert isinstance(index, HnswIndex)
        build_s = time.perf_counter() - started
        for width in axes.search_width:
            results = yard.ask(partial(index.search, search_width=width))
            shown = replace(settings, search_width=width)
            found.append(yard.point(shown, results, mb=index.code_bytes / 1e6, scanned=float(width), build_s=build_s))
            left -= float(results.ms.sum()) / 1000
        left -= build_s
    return found


def _graph_seconds(source: VectorSource, settings: IndexSettings) -> float:
    """Return how long a graph takes to build, from one over a part: time grows as n log n."""
    n = source.shape[0]
    part = min(n, _FEW)
    started = time.perf_counter()
    build_index(StoredVectors(source.take(slice(0, part))), settings)
    took = time.perf_counter() - started
    return took * n * math.log(n) / (part * math.log(part)) * 1.5  # memory is slower than the cache


def _shown(budget: Budget, points: Sequence[Point]) -> str:
    best = budget.best(points)
    return "nothing fits yet" if best is None else f"best {best.ms:.2f} ms, index recall {best.index_recall:.3f}"
