import os

import pytest

from honed.cli import limits
from honed.cli.limits import apply_limits
from honed.cli.main import run_command

NAMES = ("HONED_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@pytest.fixture(autouse=True)
def niceness(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An environment of its own without any limit; by how much the process made itself nicer."""
    kept = {name: value for name, value in os.environ.items() if name not in (*NAMES, *limits._WAITING)}
    monkeypatch.setattr(os, "environ", kept)
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append)
    return given


@pytest.mark.parametrize("arguments", [["run", "--threads", "3", "--nice", "5"], ["run", "--nice=5", "--threads=3"]])
def test_threads_and_nice_are_set_for_all_libraries(arguments: list[str], niceness: list[int]) -> None:
    os.environ["OMP_NUM_THREADS"] = "7"
    apply_limits(arguments)
    assert {os.environ[name] for name in NAMES} == {"3"}
    assert niceness == [5]


def test_threads_that_wait_do_not_spin_unless_the_user_says_so(niceness: list[int]) -> None:
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    apply_limits(["run"])
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert niceness == []


def test_libraries_are_told_of_a_quota_that_they_do_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "affinity", lambda: 8)
    monkeypatch.setattr(limits, "cpu_count", lambda: 8)
    apply_limits(["run"])
    assert not set(NAMES) & set(os.environ)
    monkeypatch.setattr(limits, "cpu_count", lambda: 2)
    os.environ["MKL_NUM_THREADS"] = "1"
    apply_limits(["run"])
    assert [os.environ.get(name) for name in NAMES] == [None, "2", "2", "1", "2"]


@pytest.mark.parametrize("wrong", [["--threads", "many"], ["--threads", "-1"], ["--nice", "20"], ["--nice"]])
def test_limits_that_are_none_are_refused(
    wrong: list[str], niceness: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    apply_limits(["encode", *wrong])
    assert "HONED_THREADS" not in os.environ
    assert niceness == []
    assert run_command(["encode", "a.txt", "--out", "v.npy", *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_command_with_limits_does_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["encode", "missing.txt", "--out", "v.npy", "--threads", "1", "--model", "minilm"]) != 0
    assert "missing.txt" in capsys.readouterr().err
