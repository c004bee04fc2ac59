"""Scripts in the audit, on its page, and in what ``honed init`` proposes."""

import shutil
from pathlib import Path

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.encode.base_models import resolve
from honed.encode.wordpieces import script_counts
from honed.shapes.scripts import audit_scripts, lost_letters, sampled_texts, script_findings

NAMES = [
    ("МГУ", "Московский государственный университет"),
    ("НГУ", "Новосибирский государственный университет"),
    ("КФУ", "Казанский федеральный университет"),
    ("UdeG", "Universidad de Guadalajara"),
]


def write(folder: Path, names: list[tuple[str, str]]) -> Path:
    file = folder / "names.csv"
    file.write_text("alias,label\n" + "".join(f"{alias},{label}\n" for alias, label in names), encoding="utf-8")
    return file


def test_the_sample_is_bounded_and_takes_both_names_of_a_record() -> None:
    texts = [role for _ in range(50_000) for role in ("label", "alias")]
    sample = sampled_texts(texts, 50_000)
    assert len(sample) == 4000
    assert set(sample) == {"label", "alias"}
    assert sampled_texts(["a", "b"], 1) == ["a", "b"]


def test_a_script_that_is_lost_is_a_finding() -> None:
    audit = audit_scripts("minilm", resolve("minilm").folder, [label for _, label in NAMES])
    assert audit is not None
    finding = script_findings(audit)["W_SCRIPT_UNKNOWN"]
    assert finding.count > 80
    assert "cyrillic: of" in finding.samples[0]
    assert "e5-multilingual" in finding.samples[0]
    latin = audit_scripts("minilm", resolve("minilm").folder, ["Universidad de Guadalajara", "UNAM", "Å b c"])
    assert latin is not None
    assert script_findings(latin) == {}


def test_a_rare_script_is_no_finding() -> None:
    texts = ["Universidad de Guadalajara"] * 100 + ["МГУ"]
    audit = audit_scripts("minilm", resolve("minilm").folder, texts)
    assert audit is not None
    assert audit.scripts["cyrillic"].unknown + audit.scripts["cyrillic"].spelled == pytest.approx(1)
    assert script_findings(audit) == {}


def test_lost_letters_are_a_share_of_all() -> None:
    counts = script_counts(resolve("minilm").folder, ["abcdefg", "МГУ"])
    assert counts is not None
    assert lost_letters(counts) == pytest.approx(0.3)
    assert lost_letters({}) == 0


@pytest.mark.parametrize("is_here", [True, False])
def test_init_proposes_a_multilingual_model_where_letters_are_lost(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_here: bool
) -> None:
    if is_here:
        shutil.copytree(tiny_model, tmp_path / "models" / "multilingual-e5-small")
        monkeypatch.setenv("HONED_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", str(write(tmp_path, NAMES))]) == 0
    text = (tmp_path / "honed.toml").read_text(encoding="utf-8")
    base = 'base = "e5-multilingual"  # minilm does not know'
    assert (f"\n{base}" in text) == is_here
    assert (f"\n# {base}" in text) != is_here
    assert Project(tmp_path).config.model.base == ("e5-multilingual" if is_here else "minilm")
    assert "minilm does not know" in "".join(capsys.readouterr())


def test_init_keeps_the_usual_model_for_latin_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", str(write(tmp_path, NAMES[3:] * 3))]) == 0
    assert "e5-multilingual" not in (tmp_path / "honed.toml").read_text(encoding="utf-8")


def test_the_audit_and_the_page_tell_of_scripts(small_project: Path) -> None:
    project = Project(small_project, settings={"train": None, "gate": None})
    audit = project.check()
    assert audit.data["scripts"]["scripts"]["latin"]["letters"] > 1000
    (line,) = [line for line in audit.lines if "as model reads them: latin" in line]
    assert "pieces a letter" in line
    project.run()
    assert line in project.runner.latest_of("evaluate").path("report.html").read_text(encoding="utf-8")
