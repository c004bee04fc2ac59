"""Fingerprints and reports of one small project of each shape stay what they were: no change here retrains a user.

``fingerprints.json`` and ``reports.json`` were written by the code as it was before; a change that is meant to shape
results anew raises the version of its stage, and writes the pins again with ``python -m tests.pins.test_pins``.
"""

import json
import math
import tempfile
from pathlib import Path

import pytest

from honed import Project
from tests.pins.projects import SHAPES, write
from tests.test_schema import validate

HERE = Path(__file__).parent
# what differs from run to run, or is long and follows from the rest
LEFT_OUT = {"versions", "samples", "picture", "curve", "slices", "confusion", "latency", "bins", "words", "fights"}
TOLERANCE = 0.02  # products of other CPUs rank near ties otherwise; a figure that moves by more has another cause


def planned(shape: str, folder: Path) -> dict[str, str]:
    write(shape, folder, trained=True)
    return {plan.stage.name: plan.key.key for plan in Project(folder).plan()}


def reported(shape: str, folder: Path) -> object:
    write(shape, folder, trained=False)
    project = Project(folder)
    project.run()
    evaluated = project.runner.latest_of("evaluate")
    report = json.loads(evaluated.path("report.json").read_text(encoding="utf-8"))
    validate(report)
    return essence(report)


def essence(value: object) -> object:
    if isinstance(value, dict):
        return {key: essence(inner) for key, inner in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [essence(inner) for inner in value[:12]]
    return value


def differences(now: object, before: object, where: str = "report") -> list[str]:
    """Where two reports differ; what is new does not count."""
    if isinstance(before, dict) and isinstance(now, dict):
        gone = [f"{where}.{key} is gone" for key in before if key not in now]
        shared = [key for key in before if key in now]
        return gone + [line for key in shared for line in differences(now[key], before[key], f"{where}.{key}")]
    if isinstance(before, list) and isinstance(now, list):
        if len(now) != len(before):
            return [f"{where} has {len(now)} entries, not {len(before)}"]
        pairs = enumerate(zip(now, before, strict=True))
        return [line for at, pair in pairs for line in differences(*pair, f"{where}[{at}]")]
    if isinstance(before, float) or (isinstance(before, int) and where.rsplit(".", 1)[-1] in ("wins", "losses")):
        near = math.isclose(float(now), before, abs_tol=TOLERANCE if isinstance(before, float) else 6)
        return [] if near else [f"{where} is {now}, not {before}"]
    return [] if now == before else [f"{where} is {now!r}, not {before!r}"]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_artifact_has_another_name(shape: str, tmp_path: Path) -> None:
    assert planned(shape, tmp_path) == json.loads((HERE / "fingerprints.json").read_text())[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_report_says_what_it_said(shape: str, tmp_path: Path) -> None:
    before = json.loads((HERE / "reports.json").read_text(encoding="utf-8"))[shape]
    assert differences(reported(shape, tmp_path), before) == []


def test_a_difference_is_found() -> None:
    assert differences({"a": [1.0, {"wins": 3}]}, {"a": [1.01, {"wins": 5}]}) == []
    assert differences({"a": [1.0, {"wins": 3}]}, {"a": [1.1, {"wins": 30}]}) == [
        "report.a[0] is 1.0, not 1.1",
        "report.a[1].wins is 3, not 30",
    ]
    assert differences({}, {"a": 1}) == ["report.a is gone"]


def main() -> None:
    pins: dict[str, dict[str, object]] = {"fingerprints": {}, "reports": {}}
    for name, make in (("fingerprints", planned), ("reports", reported)):
        for shape in SHAPES:
            with tempfile.TemporaryDirectory() as folder:
                pins[name][shape] = make(shape, Path(folder))
        text = json.dumps(pins[name], indent=1, ensure_ascii=False) + "\n"
        (HERE / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
