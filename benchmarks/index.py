"""The index room measured: curves on real passages, a million vectors, the tuner against the whole grid.

    python benchmarks/index.py curves  examples/squad
    python benchmarks/index.py million examples/squad [--n 1000000]
    python benchmarks/index.py tuner   examples/squad examples/dbpedia-schools

``curves`` and ``tuner`` use the vectors and test or dev queries of a project's last run (``honed run`` first). Parts of
a run are in one process each, so that the memory of one is not counted for the next; all times are of one query on one
thread, the median over the queries, after a warm-up. ``million`` needs usearch beside honed (pip install usearch).
Results go to stdout as JSON Lines, with what they mean to stderr.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from honed import Project
from honed.data import task
from honed.index.benchmark import IndexBenchmark, one_thread
from honed.index.budget import Budget
from honed.index.codes import CODES, FULL
from honed.index.composed import ComposedIndex, code_vectors
from honed.index.exact import ExactIndex
from honed.index.search_space import SearchSpace
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.surface import ClusterProfile, WantedRows
from honed.index.tune import TuneOptions, grid, tune
from honed.project.tune_data import project_data
from honed.stages.encoded_queries import EncodedQueries

N_QUERIES, N_TUNED = 200, 100
NOISE = 0.02  # standard deviation for each of 384 dimensions: a copy has a cosine of about 0.93 with its original


def tell(**facts: Any) -> None:
    print(json.dumps({name: round(value, 5) if isinstance(value, float) else value for name, value in facts.items()}))
    sys.stdout.flush()


def asked_of(project: Project, split: str) -> tuple[StoredVectors, np.ndarray, list[np.ndarray]]:
    searcher = project.searcher()
    asked = EncodedQueries.of(searcher, task.load_task(project.runner.latest_of("check").folder, task.FORWARD, split))
    relevant = [np.array(asked.right(at), dtype=np.int64) for at in range(len(asked.texts))]
    return searcher.searched_vectors(), asked.vectors, relevant


def first_hit(rows: np.ndarray, relevant: list[np.ndarray]) -> float:
    """Return R@1: the share of the relevant found at the first place."""
    return float(np.mean([np.isin(own, line[:1]).mean() for own, line in zip(relevant, rows, strict=True) if len(own)]))


# -- the fifth system's curves -------------------------------------------------------------------


def curves(folder: str) -> None:
    source, queries, relevant = asked_of(Project(folder), "test")
    n = source.shape[0]
    exact = ExactIndex(source.take(slice(None))).search(queries, 10)[1]
    tell(curve="exact", n=n, queries=len(queries), r1=first_hit(exact, relevant))
    whole = ClusterProfile(
        source,
        IndexBenchmark(source, queries),
        WantedRows(rows=exact, n_neighbours=10),
        IndexSettings(backend="ivf", nlist=1),
    )

    def show(curve: str, index: ComposedIndex, nprobe: int, rescore: int, scanned: float) -> None:
        rows = index.search(queries, 10, nprobe=nprobe, rescore=rescore)[1]
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(exact, rows, strict=True)])
        settings = index.settings
        tell(
            curve=curve,
            clusters=settings.nlist,
            searched=nprobe,
            codes=settings.codes,
            bits=settings.bits,
            rescored=rescore,
            scanned=scanned,
            r1=first_hit(rows, relevant),
            index_recall=float(recall),
        )

    built = {}
    for codes, kinds in ((name, CODES[name].bits) for name in CODES.built_in):
        for bits in kinds:
            if (
                (codes, bits) in ((FULL, 32), ("product", 1), ("product", 2))
                or codes in ("sign", "scalar", "fastscan")
                or (codes == "rabitq" and bits in (1, 2, 4))
            ):
                settings = IndexSettings(backend="composed", codes=codes, bits=bits, nlist=1)
                built[codes, bits] = ComposedIndex.build(source, settings, clusters=whole.clusters)
                show("bits", built[codes, bits], 1, 0, n)
    for codes in ("sign", "rabitq", "product", "fastscan"):
        for rescore in (10, 50, 100, 500, 1000):
            show("rescoring", built[codes, 1], 1, rescore, n)
    built.clear()
    benchmark = IndexBenchmark(source, queries)
    wanted = WantedRows.of(benchmark)
    for nlist in (10, 100, 500, 1000, 2000):
        clustering = ClusterProfile(source, benchmark, wanted, IndexSettings(backend="ivf", nlist=nlist))
        for codes, bits in ((FULL, 32), ("scalar", 8), ("scalar", 4), ("rabitq", 2), ("rabitq", 1), ("sign", 1)):
            settings = IndexSettings(backend="composed", codes=codes, bits=bits, nlist=nlist)
            index = ComposedIndex.build(source, settings, clusters=clustering.clusters)
            if codes == FULL:
                show("clusters, 5 searched", index, 5, 0, clustering.scanned(5))
            for share in (0.02, 0.05, 0.1):
                nprobe = clustering.probes_for(share * n)
                for rescore in (0,) if codes == FULL else (0, 50, 200):
                    show(f"surface, {share:.0%} compared", index, nprobe, rescore, clustering.scanned(nprobe))


# -- a million vectors ---------------------------------------------------------------------------


def million(folder: str, n: int, only: list[str]) -> None:
    source, queries, _ = asked_of(Project(folder), "dev")
    with tempfile.TemporaryDirectory(prefix="honed-index-") as place:
        vectors, asked, exact = _corpus(source, queries, n, Path(place))
        tell(part="corpus", n=n, dim=vectors.shape[1], noise=NOISE, synthetic=round(0.2 * n), queries=len(asked))
        contenders = (_flat, _ivf, _honed_fast, _honed_small, _honed_scalar, _hnsw, _usearch)
        for contender in (each for each in contenders if not only or each.__name__.strip("_") in only):
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=_alone, args=(contender.__name__, place))
            process.start()
            process.join()
            if process.exitcode:
                tell(part=contender.__name__, failed=process.exitcode)
        del vectors, exact


def _corpus(source: StoredVectors, queries: np.ndarray, n: int, place: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Write four fifths of copies of real vectors with noise, a fifth of synthetic clusters; ask for both."""
    rng, dim = np.random.default_rng(0), source.shape[1]
    vectors = np.lib.format.open_memmap(place / "v.npy", mode="w+", dtype=np.float32, shape=(n, dim))
    real = n - n // 5
    centres = rng.normal(size=(2000, dim)).astype(np.float32)
    for start in range(0, n, 50_000):
        rows = np.arange(start, min(start + 50_000, n))
        noise = rng.normal(size=(len(rows), dim)).astype(np.float32)
        copies = source.take(rows % source.shape[0]) + NOISE * noise * (rows >= source.shape[0])[:, None]
        made = centres[rng.integers(len(centres), size=len(rows))] + noise
        block = np.where((rows < real)[:, None], copies, made)
        vectors[rows] = block / np.linalg.norm(block, axis=1, keepdims=True)
    half = N_QUERIES - N_QUERIES // 5
    own = queries[rng.choice(len(queries), half, replace=False)]
    made = centres[rng.integers(len(centres), size=N_QUERIES - half)]
    made = made + rng.normal(size=made.shape).astype(np.float32)
    asked = np.concatenate([own, made / np.linalg.norm(made, axis=1, keepdims=True)]).astype(np.float32)
    benchmark = IndexBenchmark(StoredVectors(vectors), asked)
    np.save(place / "q.npy", asked)
    np.save(place / "exact.npy", benchmark.exact)
    vectors.flush()
    return vectors, asked, benchmark.exact


def _alone(name: str, place: str) -> None:
    vectors = np.load(Path(place) / "v.npy", mmap_mode="r")
    asked, exact = (np.load(Path(place) / f"{each}.npy") for each in ("q", "exact"))
    globals()[name](vectors, asked, exact)


def _peak() -> dict[str, float]:
    """Return what the process held at most, in MB, and what of that now belongs to no file."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous = float(status["RssAnon"].split()[0]) / 1000
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, "held_mb": anonymous}


def _timed(search: Callable[[np.ndarray], np.ndarray], asked: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Return the index recall@10 and the median ms of one query."""
    with one_thread():
        for query in asked[:5]:
            search(query[None])
        took, found = [], []
        for query in asked:
            started = time.perf_counter()
            found.append(search(query[None]))
            took.append(1000 * (time.perf_counter() - started))
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])
    return float(recall), float(np.median(took))


def _until(
    target: float,
    widths: list[Any],
    make: Callable[[Any], Callable[[np.ndarray], np.ndarray]],
    asked: np.ndarray,
    exact: np.ndarray,
    **facts: Any,
) -> None:
    """Widen a search until it reaches a recall, and tell of every step."""
    for width in widths:
        recall, ms = _timed(make(width), asked, exact)
        tell(**facts, width=width, index_recall=recall, ms=ms, reached=recall >= target, **_peak())
        if recall >= target:
            return


def _flat(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    import faiss

    started = time.perf_counter()
    index = faiss.IndexFlatIP(vectors.shape[1])
    _add(index, vectors)
    build = time.perf_counter() - started
    recall, ms = _timed(lambda query: index.search(query, 10)[1][0], asked, exact)
    tell(part="faiss flat", index_recall=recall, ms=ms, build_s=build, **_peak())


def _add(index: Any, vectors: Any) -> None:
    for start in range(0, len(vectors), 50_000):
        index.add(np.ascontiguousarray(vectors[start : start + 50_000]))


def _ivf(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    import faiss

    started = time.perf_counter()
    dim = vectors.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, 4096, faiss.METRIC_INNER_PRODUCT)
    rows = np.sort(np.random.default_rng(0).choice(len(vectors), 160_000, replace=False))
    index.train(np.ascontiguousarray(vectors[rows]))
    _add(index, vectors)
    build = time.perf_counter() - started

    def make(nprobe: int) -> Callable[[np.ndarray], np.ndarray]:
        index.nprobe = nprobe
        return lambda query: index.search(query, 10)[1][0]

    _until(0.99, [32, 64, 128, 256, 512, 1024], make, asked, exact, part="faiss IVF4096,Flat", build_s=build)


def _hnsw(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    import faiss

    started = time.perf_counter()
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    _add(index, vectors)
    build = time.perf_counter() - started

    def make(width: int) -> Callable[[np.ndarray], np.ndarray]:
        index.hnsw.efSearch = width
        return lambda query: index.search(query, 10)[1][0]

    _until(0.99, [32, 64, 128, 256, 512, 1024], make, asked, exact, part="faiss HNSW32", build_s=build)


def _usearch(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    from usearch.index import Index

    started = time.perf_counter()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=32, expansion_add=80)
    for start in range(0, len(vectors), 50_000):
        block = np.ascontiguousarray(vectors[start : start + 50_000])
        index.add(np.arange(start, start + len(block)), block, threads=2)
    build = time.perf_counter() - started

    def make(width: int) -> Callable[[np.ndarray], np.ndarray]:
        index.expansion_search = width
        return lambda query: index.search(query[0], 10).keys

    _until(0.99, [32, 64, 128, 256, 512, 1024], make, asked, exact, part="usearch f32, 32 links", build_s=build)


def _honed(vectors: Any, settings: IndexSettings, place: Path) -> tuple[ComposedIndex, float]:
    """Build as a store does: in blocks, the codes on disk, a bounded sample."""
    started = time.perf_counter()
    source = StoredVectors(vectors)
    tensors = code_vectors(source, settings, scratch=place)
    built = time.perf_counter() - started
    tell(part=f"honed {settings.codes} {settings.bits}, built", build_s=built, **_peak())
    return ComposedIndex.from_tensors(source, settings, tensors), time.perf_counter() - started


def _honed_fast(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    for nlist in (4096, 8192):
        settings = IndexSettings(backend="composed", codes="fastscan", bits=2, nlist=nlist)
        _searched(vectors, asked, exact, settings, 0.99, (64, 128, 192, 256, 320, 384, 448, 512, 768))


def _honed_small(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    _searched(vectors, asked, exact, IndexSettings(backend="composed", codes="rabitq", bits=2, nlist=4096), 0.97)


def _honed_scalar(vectors: Any, asked: np.ndarray, exact: np.ndarray) -> None:
    _searched(vectors, asked, exact, IndexSettings(backend="composed", codes="scalar", bits=8, nlist=4096), 0.99)


def _searched(
    vectors: Any,
    asked: np.ndarray,
    exact: np.ndarray,
    settings: IndexSettings,
    target: float,
    probes: tuple[int, ...] = (32, 64, 128, 256, 512, 1024),
) -> None:
    with tempfile.TemporaryDirectory(prefix="honed-index-") as place:
        index, build = _honed(vectors, replace(settings, sample=160_000), Path(place))
        less = 4 * vectors.shape[0] * vectors.shape[1] / index.memory_bytes
        facts = {"part": f"honed {settings.codes} {settings.bits}, to {target}", "build_s": build, "times_less": less}
        steps = [(nprobe, rescore) for nprobe in probes for rescore in (50, 200)]

        def make(step: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
            search = partial(index.search, nprobe=step[0], rescore=step[1])
            return lambda query: search(query, 10)[1][0]

        _until(target, steps, make, asked, exact, code_mb=index.memory_bytes / 1e6, **facts)


# -- the tuner against the grid ------------------------------------------------------------------


def tuner(folders: list[str]) -> None:
    for folder in folders:
        data = project_data(Project(folder), N_TUNED)
        benchmark = IndexBenchmark(data.source, data.queries, data.relevant, width=data.width)
        space = replace(SearchSpace.of(*data.source.shape), rescore=(0, 20, 50, 100, 200, 500))
        options = TuneOptions(graph=False)
        budgets = {
            "index recall 0.97": Budget(index_recall=0.97),
            "index recall 0.99, an eighth of the memory": Budget(
                index_recall=0.99, mb=4e-6 * data.source.values.size / 8
            ),
        }
        chosen = {}
        for name, budget in budgets.items():
            started = time.perf_counter()
            chosen[name] = (tune(benchmark, budget, space, options).chosen, time.perf_counter() - started)
        started = time.perf_counter()
        every = grid(benchmark, space, options)
        took = time.perf_counter() - started
        tell(data=folder, n=data.source.shape[0], grid_points=len(every), grid_s=took)
        for name, budget in budgets.items():
            ours, own_s = chosen[name]
            best = budget.best(every)
            if ours is None or best is None:
                tell(data=folder, budget=name, found=ours is not None, grid_found=best is not None)
                continue
            times = _again(benchmark, [ours.settings, best.settings])
            tell(
                data=folder,
                budget=name,
                tune_s=own_s,
                share_of_grid=own_s / took,
                chosen=ours.settings.without_defaults(),
                best=best.settings.without_defaults(),
                chosen_recall=ours.index_recall,
                best_recall=best.index_recall,
                chosen_ms=times[0],
                best_ms=times[1],
                ratio=times[0] / times[1],
                chosen_mb=ours.mb,
                best_mb=best.mb,
            )


def _again(benchmark: IndexBenchmark, settings: list[IndexSettings]) -> list[float]:
    """Time configurations side by side, in turns; the best round of each counts."""
    indexes = [ComposedIndex.build(benchmark.source, each) for each in settings]
    times = [[float(np.median(benchmark.run(index.search).ms)) for index in indexes] for _ in range(7)]
    return [min(round_[at] for round_ in times) for at in range(len(indexes))]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("part", choices=("curves", "million", "tuner"))
    arguments.add_argument("projects", nargs="+")
    arguments.add_argument("--n", type=int, default=1_000_000)
    arguments.add_argument("--only", nargs="+", default=[], help="of million: flat ivf honed_fast honed_small hnsw ...")
    given = arguments.parse_args()
    if given.part == "curves":
        curves(given.projects[0])
    elif given.part == "million":
        million(given.projects[0], given.n, given.only)
    else:
        tuner(given.projects)


if __name__ == "__main__":
    main()
