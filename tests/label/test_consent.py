"""Rules of a project run when someone on this machine has agreed to them as they are."""

import os
import py_compile
import shutil
from pathlib import Path

import pytest

from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.label.consent import agree, programs, require_consent
from honed.label.run import run_rules
from tests.conftest import ROOT

RECORDS = [{"id": "a", "text": "some text"}]


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules that leave a trace when they run, on a machine where nothing was agreed to."""
    monkeypatch.delenv("HONED_ALLOW_RULES")
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "words.py").write_text("WORDS = {'text'}\n")
    trace = tmp_path / "ran"
    (folder / "rules.py").write_text(
        "from pathlib import Path\nimport words\n"
        f"Path({str(trace)!r}).write_text('ran')\n"
        "def lf_one(row):\n    return 'A' if words.WORDS & set(row.text.split()) else None\n"
    )
    return folder / "rules.py"


def votes(rules: Path) -> list[list[int]]:
    return run_rules(RECORDS, ["A"], [rules], [], time_limit=30).votes.tolist()


def test_nothing_of_foreign_rules_runs_without_consent(rules: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rules\.py: rules are programs .* and the 1 other programs"):
        votes(rules)
    assert not (tmp_path / "ran").exists()
    agree([rules])
    assert votes(rules) == [[0]]
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["rules.py", "words.py", "more.py", "package/inner.py", "words.pyc"])
def test_a_changed_or_a_new_program_is_asked_about_again(rules: Path, name: str) -> None:
    agree([rules])
    require_consent([rules])
    file = rules.parent / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((file.read_bytes() if file.exists() else b"") + b"\n# more\n")
    with pytest.raises(ConfigError, match="E_LF_CONSENT"):
        require_consent([rules])


def test_consent_is_to_what_the_files_hold_and_not_to_where_they_lie(rules: Path, tmp_path: Path) -> None:
    agree([rules])
    shutil.copytree(rules.parent, tmp_path / "copy")
    require_consent([tmp_path / "copy" / "rules.py"])


def test_what_was_compiled_beside_the_rules_is_not_run(rules: Path) -> None:
    """A file of bytes in __pycache__ that claims to be of words.py, and says something else."""
    other = rules.parent.parent / "words.py"
    source = rules.parent / "words.py"
    other.write_text("WORDS = {'never'}"[: source.stat().st_size].ljust(source.stat().st_size))
    os.utime(other, (source.stat().st_atime, source.stat().st_mtime))
    cached = Path(py_compile.compile(str(other)) or "")
    (rules.parent / "__pycache__").mkdir()
    shutil.copy(cached, rules.parent / "__pycache__" / cached.name)
    agree([rules])
    assert votes(rules) == [[0]]
    assert sorted(path.name for path in programs(rules)) == ["rules.py", "words.py"]


def test_a_machine_where_every_project_is_ones_own_is_not_asked(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_ALLOW_RULES", "1")
    assert votes(rules) == [[0]]


def test_the_command_tells_what_may_run_and_the_labeling_tells_of_the_command(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(ROOT / "examples" / "news", tmp_path / "news", ignore=shutil.ignore_patterns("work")))
    assert run_command(["label", "--project", str(folder)]) == 2
    assert "honed label allow" in " ".join(capsys.readouterr().err.split())
    assert run_command(["label", "allow", "--project", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"may run: {folder / 'rules.py'}"]
    require_consent([folder / "rules.py"])
