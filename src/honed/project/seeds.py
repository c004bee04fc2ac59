"""The same run under several seeds: how much of a result is luck."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from honed.core.artifacts import write_json
from honed.core.errors import ConfigError
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.score import GROUPS, SCORES
from honed.pipeline.runner import Listener
from honed.project.project import Project
from honed.stages.reports import BASE, TUNED

FILE = "seeds.json"
SEEDED = ("triplets", "mine", "cross_encoder", "train", "distil")  # what is drawn in training; splits stay as they are


def run_seeds(
    folder: Path, seeds: Sequence[int], *, overrides: Mapping[str, Any] | None = None, listener: Listener | None = None
) -> dict[str, Any]:
    """Run a project once for each seed and return every measure over all of them, as plain data.

    Intervals cover both the luck of training and that of the test set; see `Bootstrap.over_seeds`. What is searched and
    shipped stays that of the last plain run. Also written to ``seeds.json``.

    Raises `ConfigError` for fewer than two seeds and without [train] and [evaluate].
    """
    plain = Project(folder, overrides=overrides)
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise ConfigError("E_OPTION", "give at least two different seeds, such as --seeds 0,1,2")
    if plain.config.train is None or plain.config.evaluate is None:
        raise ConfigError("E_CONFIG_MISSING", "several seeds need the sections [train] and [evaluate]")
    found: list[dict[str, Any]] = []
    for seed in seeds:
        given = {f"{name}.seed": seed for name in SEEDED if getattr(plain.config, name) is not None}
        project = Project(folder, overrides={**(overrides or {}), **given}, listener=listener)
        made = project.runner.make(until="evaluate")["evaluate"]
        with np.load(made.path(SCORES), allow_pickle=False) as stored:
            found.append({name: stored[name] for name in stored.files})
    report = _together(found, seeds)
    write_json(plain.runner.output / FILE, report)
    return report


def _together(found: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    bootstrap = Bootstrap([str(group) for group in found[0][GROUPS]])
    values = {name: np.stack([each[name] for each in found]) for name in found[0] if name != GROUPS}
    systems: dict[str, dict[str, Any]] = {}
    for name, each in values.items():
        system, measure = name.rsplit("/", 1)
        systems.setdefault(system, {})[measure] = {
            **bootstrap.over_seeds(each).as_dict(),
            "each": each.mean(axis=1).round(5).tolist(),
        }
    gains = {
        measure: bootstrap.over_seeds(values[f"{TUNED}/{measure}"] - values[f"{BASE}/{measure}"]).as_dict()
        for measure in systems.get(BASE, {})
        if TUNED in systems
    }
    return {
        "seeds": list(seeds),
        "n_queries": len(bootstrap.group),
        "systems": [{"name": name, "measures": measures} for name, measures in systems.items()],
        "gain": gains,
    }
