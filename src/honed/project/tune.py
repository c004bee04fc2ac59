"""``honed tune``: the best index for a budget, measured on a project's own vectors and dev queries, or on files."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from honed.core.errors import ConfigError
from honed.core.optional import is_installed, require
from honed.core.sections import limits, toml_string
from honed.core.writing import write_bytes, write_json, write_text
from honed.evaluate.tuning import draw, pareto, render_tuning, shown_name
from honed.index.backends import build_index
from honed.index.benchmark import IndexBenchmark, OperatingPoint
from honed.index.budget import Budget
from honed.index.codes import FULL
from honed.index.exact import exact_among
from honed.index.scaling import estimate_sizes
from honed.index.search_space import SearchSpace
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.tune import TuneOptions, TuningResult, grid, tune
from honed.project.tune_data import TuneData

CORPORA = (14_000_000, 100_000_000)
FILTERS = (0.5, 0.1, 0.01)
_HEAT_SHARE = 0.05
_DEFAULT_RECALL = 0.99


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneRequest:
    """The budget, and how it is measured.

    With no bound at all an index recall of 0.99 is asked for. ``depth`` is that of the task recall (R@depth);
    ``queries`` bounds how many are asked; ``dims`` are more widths to cut vectors to; ``exhaustive`` measures every
    combination, without a time limit.
    """

    recall: float | None = field(default=None, metadata=limits(low=0, high=1))
    task_recall: float | None = field(default=None, metadata=limits(low=0, high=1))
    ms: float | None = None
    mb: float | None = None
    limit_s: float = 600.0
    depth: int = 1
    queries: int = 300
    dims: tuple[int, ...] = ()
    graph: bool = True
    exhaustive: bool = False

    def budget(self) -> Budget:
        """Return the bounds that the index must keep; `ConfigError` for one that no index can."""
        for name, value in (("--ms", self.ms), ("--mb", self.mb)):
            if value is not None and value <= 0:
                raise ConfigError("E_RANGE", f"{name}: {value:g}; more than 0 is needed")
        bounds = (self.recall, self.task_recall, self.ms, self.mb)
        recall = _DEFAULT_RECALL if all(bound is None for bound in bounds) else self.recall
        return Budget(index_recall=recall, task_recall=self.task_recall, ms=self.ms, mb=self.mb)


def tune_index(data: TuneData, request: TuneRequest, out: Path) -> dict[str, Any]:
    """Tune, and write ``tune.json``, ``tune.html`` and pictures into a folder; return what ``tune.json`` holds."""
    require("vector index")
    budget = request.budget()
    dim = data.source.shape[1]
    if not all(1 <= width < dim for width in request.dims):
        raise ConfigError("E_RANGE", f"--dims: allowed are 1 to {dim - 1}, fewer than the vectors have")
    benchmark = IndexBenchmark(data.source, data.queries, data.relevant, depth=request.depth, width=data.width)
    space = SearchSpace.of(*data.source.shape, dims=(0, *request.dims))
    options = TuneOptions(limit_s=request.limit_s, graph=request.graph, seed=data.seed)
    if request.exhaustive:
        points = grid(benchmark, space, options)
        tuned = TuningResult(chosen=budget.best(points), points=points, nearest=min(points, key=budget.lack))
    else:
        tuned = tune(benchmark, budget, space, options)
    report = _report(data, benchmark, budget, space, tuned)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "tune.json", report)
    write_text(out / "tune.html", render_tuning(report))
    if is_installed("pictures"):
        for name, content in draw(report, "png").items():
            write_bytes(out / f"tune-{name}.png", content)
    return report


def write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Put settings into the section [index] of a honed.toml; other lines stay as they are.

    Raises `ConfigError`, and changes nothing, where the section is not found, or where other sections would change.
    """
    before = file.read_bytes().decode("utf-8")
    lines = before.split("\n")
    starts = [number for number, line in enumerate(lines) if line.split("#")[0].strip() == "[index]"]
    if not starts:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: no section [index] to write to")
    start = starts[0] + 1
    end = next((number for number in range(start, len(lines)) if lines[number].lstrip().startswith("[")), len(lines))
    ours = set(IndexSettings.__dataclass_fields__)
    kept = [line for line in lines[start:end] if line.partition("=")[0].strip().strip("\"'") not in ours]
    ending = "\r" if lines[starts[0]].endswith("\r") else ""
    after = "\n".join([*lines[:start], *(line + ending for line in _toml_lines(settings)), *kept, *lines[end:]])
    old = tomllib.loads(before)
    wanted = {**old, "index": {**{k: v for k, v in old["index"].items() if k not in ours}, **settings}}
    try:
        sound = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        sound = False
    if not sound:
        shown = "; ".join(_toml_lines(settings))
        raise ConfigError("E_CONFIG", f"{file}: cannot be edited without changing more; write into [index]: {shown}")
    write_text(file, after)


def _toml_lines(settings: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {toml_string(value) if isinstance(value, str) else value}" for name, value in settings.items()]


def _report(
    data: TuneData, benchmark: IndexBenchmark, budget: Budget, space: SearchSpace, tuned: TuningResult
) -> dict[str, Any]:
    n, dim = data.source.shape
    measure = "task_recall" if benchmark.relevant else "index_recall"
    points = [point.as_dict() for point in tuned.points]
    chosen = tuned.chosen
    edge = pareto(points, "ms", measure)
    shown = chosen.as_dict() if chosen else None
    if shown and shown not in edge:
        edge = sorted([*edge, shown], key=lambda point: point["ms"])
    needs, parts, needs_of_what = _needs(data, tuned, budget)
    return {
        "title": data.title,
        "n": n,
        "dim": dim,
        "n_queries": len(data.queries),
        "asked": data.asked,
        "k": benchmark.k,
        "depth": benchmark.depth,
        "task": bool(benchmark.relevant),
        "budget": {name: getattr(budget, name) for name in budget.__dataclass_fields__},
        "said": _said(budget, tuned, points[0]),
        "chosen": shown,
        "settings": chosen.settings.without_defaults() if chosen else None,
        "toml": "\n".join(["[index]", *_toml_lines(chosen.settings.without_defaults())]) if chosen else "",
        "points": points,
        "computed": len(tuned.computed),
        "pruned": tuned.pruned,
        "took_s": round(tuned.seconds, 1),
        "stopped": tuned.stopped,
        "frontier": [{**point, "name": shown_name(point["settings"])} for point in edge],
        "full_mb": 4 * n * dim / 1e6,
        "map": heat_map(tuned, space, chosen),
        "filtered": _filtered(data, benchmark, chosen, stopped=tuned.stopped),
        "needs": [point.as_dict() for point in needs],
        "needs_of": needs_of_what,
        "parts": parts,
    }


def _said(budget: Budget, tuned: TuningResult, flat: Mapping[str, Any]) -> str:
    wanted = ", ".join(
        f"{name.replace('_', ' ')} {'at least' if name.endswith('recall') else 'at most'} {value:g}"
        for name in budget.__dataclass_fields__
        if (value := getattr(budget, name)) is not None
    )
    point = tuned.chosen or tuned.nearest
    task_part = f", task recall {point.task_recall:.4f}" if point.task_recall is not None else ""
    facts = (
        f"{shown_name(point.settings.as_dict())}: index recall {point.index_recall:.4f}{task_part}, {point.ms:.3f} ms, "
        f"{point.mb:.1f} MB; exact search {flat['ms']:.3f} ms, {flat['mb']:.1f} MB"
    )
    if tuned.chosen is None:
        return f"Asked for: {wanted}. Nothing that was measured keeps within it; the nearest is {facts}."
    ended = " The time limit ended the search." if tuned.stopped else ""
    return f"Asked for: {wanted}. Chosen: {facts}.{ended}"


def heat_map(tuned: TuningResult, space: SearchSpace, chosen: OperatingPoint | None) -> dict[str, Any] | None:
    """Return recall by clusters and bits at equal scan cost; None where there are no clusters to compare."""
    points = [point for point in (tuned.computed or tuned.points) if point.settings.backend == "composed"]
    nlists = sorted({point.settings.nlist for point in points})
    if len(nlists) < 2:
        return None
    wanted = chosen.settings.rescore if chosen and chosen.settings.backend == "composed" else 100
    n = max(point.scanned for point in points if point.settings.nprobe == point.settings.nlist)
    kinds = [code for code in space.codes if any((p.settings.codes, p.settings.bits) == code for p in points)]
    cells = []
    for codes, bits in kinds:
        of_code = [p for p in points if (p.settings.codes, p.settings.bits) == (codes, bits) and not p.settings.dims]
        rescore = (
            0 if codes == FULL else min({p.settings.rescore for p in of_code}, key=lambda width: abs(width - wanted))
        )
        line = []
        for nlist in nlists:
            beside = [p for p in of_code if p.settings.nlist == nlist and p.settings.rescore == rescore]
            line.append(_at_cost(beside, _HEAT_SHARE * n))
        cells.append(line)
    return {
        "nlist": nlists,
        "codes": [codes if codes == FULL else f"{codes} {bits}" for codes, bits in kinds],
        "share": _HEAT_SHARE,
        "rescore": wanted,
        "cells": cells,
        "measured": not tuned.computed,
    }


def _at_cost(points: Sequence[OperatingPoint], scanned: float) -> dict[str, float]:
    """Return recall where so many vectors are compared, between the two points beside it."""
    ordered = sorted(points, key=lambda point: point.scanned)
    at = [point.scanned for point in ordered]
    index = float(np.interp(np.log(scanned), np.log(at), [point.index_recall for point in ordered]))
    task_recall = float(np.interp(np.log(scanned), np.log(at), [point.task_recall or 0.0 for point in ordered]))
    return {"index_recall": round(index, 5), "task_recall": round(task_recall, 5)}


def _needs(data: TuneData, tuned: TuningResult, budget: Budget) -> tuple[list[Any], list[Any], str]:
    """Return time and memory that larger corpora need, the measurements behind that, and the name of the index."""
    point = tuned.chosen or tuned.nearest
    settings = point.settings
    if settings.backend != "composed":  # a graph or all vectors in memory: what a large corpus needs is codes
        settings = IndexSettings(backend="composed", codes="rabitq", bits=2)
    recall = budget.index_recall or min(0.99, max(point.index_recall, 0.9))
    source = data.source
    if not isinstance(source, StoredVectors) or source.shape[0] > 2_000_000 or tuned.stopped:
        return [], [], ""
    needs, parts = estimate_sizes(source, data.queries, settings, recall, CORPORA)
    return needs, parts, f"{settings.codes} codes of {settings.bits} bits, index recall {recall:.3g}"


def _filtered(
    data: TuneData, benchmark: IndexBenchmark, chosen: OperatingPoint | None, *, stopped: bool
) -> list[dict[str, float]]:
    """Return the index recall of the chosen index where only a share of the documents may be a hit."""
    n = data.source.shape[0]
    if chosen is None or chosen.settings.backend in ("flat", "exact") or stopped:
        return []
    index = build_index(data.source, chosen.settings)
    rng = np.random.default_rng(data.seed)
    like = data.source.take(slice(None)) @ data.source.take(rng.integers(n, size=1))[0]
    measured = []
    for share in FILTERS:
        count = max(1, round(share * n))
        masks = {"random": rng.permutation(n) < count, "alike": np.zeros(n, dtype=np.bool_)}
        masks["alike"][np.argsort(-like, kind="stable")[:count]] = True
        line = {"share": share}
        for name, mask in masks.items():
            wanted = exact_among(data.source, np.flatnonzero(mask), data.queries, benchmark.k)[1]
            rows = index.search(data.queries, benchmark.k, allowed=mask)[1]
            line[name] = float(np.mean([np.isin(a, b).mean() for a, b in zip(wanted, rows, strict=True)]))
        measured.append(line)
    return measured
