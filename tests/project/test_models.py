"""``honed models``: the table of base models, and one of them."""

import json
import shutil
from pathlib import Path

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.project.models import list_models


def test_the_table_tells_what_is_here(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_model, tmp_path / "e5-small-v2")
    shutil.copytree(tiny_model, tmp_path / "ours")
    monkeypatch.setenv("HONED_MODELS", str(tmp_path))
    entries = {entry.name: entry for entry in list_models()}
    assert entries["e5-small"].place == entries["ours"].place == "HONED_MODELS"
    assert (entries["ours"].dim, entries["ours"].max_length) == (32, None)
    assert entries["e5-small"].names_prompts == ("query: ", "query: ")
    assert entries["e5-small"].uses == 'search: "query: " and "passage: "; names: "query: " on both sides'
    weights = sum(file.stat().st_size for file in tiny_model.glob("*.safetensors")) / 1e6
    assert entries["ours"].mb == pytest.approx(weights)
    assert entries["bge-large"].place == ""
    assert entries["bge-large"].mb == pytest.approx(1340, abs=1)
    assert all(entry.speed is None for entry in entries.values())


def test_a_measured_speed_is_shown_later(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HONED_CACHE", str(tmp_path))
    assert run_command(["models", str(tiny_model), "--measure"]) == 0
    assert "ms a query" in capsys.readouterr().out
    assert run_command(["models", str(tiny_model), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert Project.models(str(tiny_model))[0].name == entry["name"]
    assert entry["speed"]["query_ms"] > 0
    assert entry["place"] == "local folder"


def test_an_unknown_name_is_an_error_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"e5-smal: no known base model and no folder here; did you mean e5-small\?"):
        list_models("e5-smal")
    assert run_command(["models", "bge-m3"]) == 0
    assert "pickled" in capsys.readouterr().out
