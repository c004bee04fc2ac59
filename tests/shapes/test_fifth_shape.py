"""A shape of data comes from outside: in a script by `register`, from an installed package by entry point."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from honed import Project
from honed.artifacts.report import JudgedReport
from honed.project.init import propose
from honed.shapes import registry
from tests.plugins import install, write_wheel
from tests.shapes import duplicates

STREETS = ("Mill Lane", "High Street", "Station Road", "Church Street", "Park Avenue", "Bridge Road", "King Street")
FIRMS = ("Miller", "Baker", "Weaver", "Potter", "Cooper", "Mason", "Fisher", "Hunter", "Shepherd", "Turner")


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A list of customers, most of them entered twice: with and without abbreviations."""
    path = tmp_path / "customers.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "group"])
        for row in range(70):
            name, street = FIRMS[row % 10], STREETS[row % 7]
            writer.writerow([f"{row}a", f"{name} and Sons Limited, {row} {street}", f"g{row}"])
            if row % 5:
                writer.writerow([f"{row}b", f"{name.upper()} & SONS LTD {row} {street[:6]}.", f"g{row}"])
        writer.writerow(["alone", "Nobody else, 1 Far Away", ""])
    return path


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape, known while a test runs."""
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(duplicates.SHAPE)


@pytest.mark.usefixtures("registered")
def test_a_registered_shape_goes_all_the_way_to_search(customers: Path, tiny_model: Path, tmp_path: Path) -> None:
    proposal = propose([customers], tmp_path, given={}, shape=None, encoding="utf-8")
    (tmp_path / "honed.toml").write_text(proposal.text)
    project = Project(tmp_path, settings={"model.base": str(tiny_model), "train.epochs": 1})
    assert project.config.data.shape == "duplicates"
    project.run()
    assert duplicates.SHAPE.describe_audit(project.audit().data) == ["records: 127 of 71 groups"]
    report = project.report()
    assert isinstance(report, JudgedReport)
    assert report.direction == "record-to-group"
    assert {"base model", "fine-tuned", "BM25, stemmed words"} <= {system.name for system in report.systems}
    assert report.n_candidates == 71
    (hit,) = project.search("miller and sons limited 0 mill lane", k=1)
    assert hit.doc_id == "g0"


def test_a_shape_of_an_installed_package_is_found(customers: Path, tmp_path: Path) -> None:
    source = Path(duplicates.__file__).read_text(encoding="utf-8")
    wheel = write_wheel(
        tmp_path, "honed_duplicates", source, {"honed.shapes": {"duplicates": "honed_duplicates:SHAPE"}}
    )
    site = install(wheel, tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(site)}

    def honed(*arguments: str) -> str:
        command = [sys.executable, "-m", "honed", *arguments, "--project", str(tmp_path)]
        return subprocess.run(command, env=environment, check=True, stdout=-1, stderr=-2, text=True).stdout

    assert "shape: duplicates" in honed("init", str(customers))
    assert "records: 127 of 71 groups" in honed("check")


def test_names_of_built_in_shapes_are_taken() -> None:
    class Copy(duplicates.DuplicateShape):
        name = "aliases"

    with pytest.raises(Exception, match="E_SHAPE"):
        registry.register(Copy())
