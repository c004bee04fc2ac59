import os
from pathlib import Path

import pytest

from honed.core import cpus
from honed.core.cpus import cgroup_quota, cpu_count


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of control groups, whose own is set by `own`; eight cores and no wish of the user."""
    monkeypatch.setattr(cpus, "_CGROUPS", tmp_path)
    monkeypatch.setattr(cpus, "_OWN", tmp_path / "own")
    monkeypatch.setattr(cpus, "affinity", lambda: 8)
    monkeypatch.delenv("HONED_THREADS", raising=False)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.mark.parametrize(
    ("stated", "quota", "cores"), [("max 100000", None, 8), ("150000 100000", 1.5, 2), ("50000 100000", 0.5, 1)]
)
def test_the_quota_of_a_container_counts(groups: Path, stated: str, quota: float | None, cores: int) -> None:
    write(groups / "own", "0::/")
    write(groups / "cpu.max", stated)
    assert (cgroup_quota(), cpu_count()) == (quota, cores)


def test_the_least_quota_of_all_groups_above_counts(groups: Path) -> None:
    write(groups / "own", "0::/a/b")
    write(groups / "a" / "cpu.max", "200000 100000")
    write(groups / "a" / "b" / "cpu.max", "400000 100000")
    assert cgroup_quota() == 2


def test_the_first_version_of_control_groups_counts(groups: Path) -> None:
    write(groups / "own", "4:memory:/x\n2:cpuacct,cpu:/x\n0::/")
    write(groups / "cpu" / "x" / "cpu.cfs_quota_us", "300000")
    write(groups / "cpu" / "x" / "cpu.cfs_period_us", "100000")
    write(groups / "cpu" / "cpu.cfs_quota_us", "-1")
    write(groups / "cpu" / "cpu.cfs_period_us", "100000")
    assert cpu_count() == 3


@pytest.mark.parametrize("stated", ["", "words", "100000 0", "many few"])
def test_what_is_no_quota_is_none(groups: Path, stated: str) -> None:
    assert cgroup_quota() is None
    write(groups / "own", "0::/")
    write(groups / "cpu.max", stated)
    assert (cgroup_quota(), cpu_count()) == (None, 8)


def test_what_the_user_asked_for_comes_first(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_THREADS", "3")
    assert cpu_count() == 3
    monkeypatch.setenv("HONED_THREADS", "none")
    assert cpu_count() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5})
    assert cpus.affinity() == 2
