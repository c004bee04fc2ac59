"""A loss and a measure of another package: named in honed.toml, learned by, reported and judged by."""

from collections.abc import Callable
from pathlib import Path

import pytest

TOML = """
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
[data.columns]
id = "id"
label = "label"
alias = "alias"
[model]
base = "{base}"
[baselines]
[train]
objective = "distance"
epochs = 1
batch_size = 16
evaluations = 1
track = "none"
[index]
[evaluate]
measures = ["RBP@10", "R@1"]
[gate]
gain_over_base = -1.0
measure = "RBP@10"
"""
RUN = """
import json
from pathlib import Path
from honed import Project

project = Project(Path({folder!r}))
project.run()
evaluated = project.runner.latest_of("evaluate")
report = json.loads(evaluated.path("report.json").read_text(encoding="utf-8"))
(system,) = [system for system in report["systems"] if system["name"] == "fine-tuned"]
print(json.dumps({{
    "objective": report["training"]["objective"],
    "losses": [point["loss"] for point in report["training"]["loss"]],
    "measures": list(system["measures"]),
    "interval": system["measures"]["RBP@10"],
    "first": system["measures"]["R@1"],
    "reverse": list(report["reverse"]["systems"][0]["measures"]),
    "gate": report["gates"][0]["rule"],
    "shown": "<th>RBP@10</th>" in evaluated.path("report.html").read_text(encoding="utf-8"),
    "compared": sum(comparison["measure"] == "RBP@10" for comparison in report["comparisons"]),
}}))
"""
READ = """
import sys
from pathlib import Path
from honed.core.errors import ConfigError
from honed.pipeline.honed_toml import read_config

for change in {changes!r}:
    path = Path({folder!r}) / "other.toml"
    path.write_text({toml!r}.replace(*change), encoding="utf-8")
    try:
        read_config(path)
        print("read")
    except ConfigError as error:
        print(error)
print("torch" in sys.modules)
"""


@pytest.fixture
def project(tiny_model: Path, tmp_path: Path) -> Path:
    names = [(f"e{n}", f"{word}{n} house", f"{word[:3]} {n}") for n in range(20) for word in ("harbour", "kitchen")]
    rows = [f"{key}-{label[:3]},{label},{alias}" for key, label, alias in names]
    (tmp_path / "names.csv").write_text("\n".join(["id,label,alias", *rows]), encoding="utf-8")
    (tmp_path / "honed.toml").write_text(TOML.format(base=tiny_model), encoding="utf-8")
    return tmp_path


def test_a_loss_trains_and_a_measure_is_reported(project: Path, with_plugins: Callable[[str], str]) -> None:
    import json

    result = json.loads(with_plugins(RUN.format(folder=str(project))).splitlines()[-1])
    assert result["objective"] == "distance"
    assert result["losses"] and all(0 < loss < 10 for loss in result["losses"])
    assert result["measures"] == ["R@1", "R@3", "R@10", "MRR@10", "nDCG@10", "RBP@10"]
    assert result["reverse"] == ["Hit@1", "Hit@3", "Hit@10", "MRR@10", "nDCG@10", "RBP@10", "R@1"]
    interval, first = result["interval"], result["first"]
    assert 0 < interval["low"] <= interval["mean"] <= interval["high"] <= 0.2  # one right document a query
    assert interval["mean"] >= 0.2 * first["mean"]
    assert result["gate"] == "low bound of paired RBP@10 of fine-tuned over base model > -1"
    assert result["shown"] and result["compared"] >= 1


def test_settings_are_checked(project: Path, with_plugins: Callable[[str], str]) -> None:
    toml = (project / "honed.toml").read_text(encoding="utf-8")
    changes = [
        ("", ""),
        ('"distance"', '"distant"'),
        ('"distance"', '"taught"'),
        ('"RBP@10"', '"RPB@10"'),
        ('measure = "RBP@10"', 'measure = "RBP"'),
    ]
    lines = with_plugins(READ.format(folder=str(project), toml=toml, changes=changes)).splitlines()
    assert lines[0] == "read"
    assert "train.objective: 'distant' is not one of auto, ranking, " in lines[1]
    assert lines[1].endswith("kl, distance, taught, mse; did you mean distance?")
    assert "train.objective taught needs the section [cross_encoder]" in lines[2]
    assert "evaluate.measures: unknown measure 'RPB@10'; known: R@k, " in lines[3]
    assert lines[3].endswith("nDCG_judged@k, Double@k, RBP@k")
    assert "gate.measure: unknown measure 'RBP'" in lines[4]
    assert lines[5] == "False"  # reading settings imports no torch


def test_a_measure_of_texts_in_classes_is_scored_one_by_one(with_plugins: Callable[[str], str]) -> None:
    code = """
import numpy as np
from honed.core.errors import ConfigError
from honed.evaluate.classes import Ranking, class_scores
from honed.evaluate.measures import Measure

rankings = [Ranking(np.array([[0, 1, 2], [2, 1, 0]]), np.zeros((2, 3), dtype=np.float32))]
measures = [Measure.parse(name) for name in ("Hit@1", "RBP@2")]
scores = class_scores(rankings, np.array([0, 0]), np.array([0, 1, 0]), measures)
assert [values.tolist() for values in scores.values()] == [[1.0, 1.0], [0.2, 0.2]]
try:
    Measure.parse("Double@3").score(["a"], {"a": 1})
except ConfigError as error:
    print(error)
"""
    assert with_plugins(code) == "E_PLUGIN: measure Double@3: 2.0 is not between 0 and 1"
