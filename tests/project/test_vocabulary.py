"""A model that is exported with the pieces that its catalogue needs answers as the whole one."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from honed import Project
from honed.bundle.load import read_manifest
from honed.cli.main import make_app
from honed.core.errors import ConfigError
from honed.project.export import ExportOptions, export_bundle
from honed.search.searcher import Searcher
from tests.shipped import exact_project


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory, worded_model: Path, institutions: list[dict[str, str]]) -> Project:
    made = exact_project(tmp_path_factory.mktemp("worded"), worded_model, institutions)
    made.run(until="index")
    return made


def test_the_known_vocabulary_is_smaller_and_answers_the_same(worded: Project, tmp_path: Path) -> None:
    whole = Searcher.load(export_bundle(worded, tmp_path / "whole"))
    known = Searcher.load(export_bundle(worded, tmp_path / "known", ExportOptions(vocabulary="known")))
    names = [known.names.text(row) for row in range(known.names.n_texts)]
    for role in ("query", "document"):
        assert np.allclose(known.encoder.encode(names, role), whole.encoder.encode(names, role), atol=1e-5)
    facts = read_manifest(tmp_path / "known").vocabulary
    assert facts is not None
    assert facts.pieces < facts.of
    assert facts.pieces == len(known.encoder._files.tokenizer.get_vocab())
    assert facts.unseen > 0
    assert 0 < facts.changed < 1
    model = "model/model.onnx"
    assert (tmp_path / "known" / model).stat().st_size < (tmp_path / "whole" / model).stat().st_size
    assert read_manifest(tmp_path / "whole").vocabulary is None


def test_the_command_tells_what_was_left_out(worded: Project, tmp_path: Path) -> None:
    command = ["export", str(tmp_path / "b"), "--project", str(worded.root), "--vocabulary", "known"]
    ran = CliRunner().invoke(make_app(), command)
    assert ran.exit_code == 0, ran.output
    assert "pieces kept" in ran.stderr
    told = json.loads(CliRunner().invoke(make_app(), [*command, "--json"]).stdout)
    assert set(told["vocabulary"]) == {"pieces", "of", "unseen", "changed"}


def test_another_word_is_refused(worded: Project, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vocabulary 'half' is not one of whole, known"):
        export_bundle(worded, tmp_path / "b", ExportOptions(vocabulary="half"))
