"""How many cores this process may use: what the system lets it run on, what its container is given, what was asked."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

THREADS = "HONED_THREADS"  # in the environment: the number of threads that the user asked for
_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def cpu_count() -> int:
    """Return the number of cores that this process may use: HONED_THREADS, or else what affinity and quotas allow."""
    asked = os.environ.get(THREADS, "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    quota = cgroup_quota()
    return affinity() if quota is None else max(1, min(affinity(), math.ceil(quota)))


def affinity() -> int:
    """Return the number of cores that the system may run this process on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cgroup_quota() -> float | None:
    """Return the cores' worth of time that this process's control groups may use, such as 1.5; None for no bound."""
    try:
        own = _OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in own:  # number:controllers:path
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += [_unified(folder) for folder in _upwards(_CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_legacy(folder) for folder in _upwards(_CGROUPS / "cpu", path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a control group and those above it; in a container the own group is the root."""
    folder = root / path.strip("/")
    while folder != root:
        yield folder
        folder = folder.parent
    yield root


def _unified(folder: Path) -> float | None:
    """Return the quota that cpu.max states (version 2): "max 100000", or "150000 100000"."""
    stated = _words(folder / "cpu.max")
    return _share(*stated) if len(stated) == 2 else None


def _legacy(folder: Path) -> float | None:
    """Return the quota of version 1, where -1 is none."""
    stated = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
    return _share(*stated) if len(stated) == 2 else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _share(quota: str, period: str) -> float | None:
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None
