"""What the machine at hand can do: cores, memory, bf16, GPUs."""

import os
from dataclasses import dataclass
from pathlib import Path

_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One CUDA device; ``total`` and ``free`` memory in bytes, and whether it multiplies in bf16."""

    name: str
    total: int
    free: int
    bf16: bool


def cpu_flags() -> frozenset[str]:
    """Return the CPU's feature flags; empty where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def cpu_name() -> str:
    """Return what the CPU calls itself; empty where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def cpu_has_bf16() -> bool:
    """Tell whether matrix products in bf16 run in hardware; ``HONED_BF16=off`` in the environment says that none do."""
    if os.environ.get("HONED_BF16", "").lower() in ("off", "0", "no"):
        return False
    flags = cpu_flags()
    return any(flag in flags for flag in _BF16_FLAGS)


def memory_bytes() -> tuple[int, int]:
    """Return (total, available) main memory in bytes; zeros where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return values.get("MemTotal", 0), values.get("MemAvailable", 0)


def resident_bytes() -> int:
    """Return the memory that this process holds, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def gpus() -> list[Gpu]:
    """Return the CUDA devices; imports torch."""
    import torch

    devices = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        devices.append(Gpu(name=name, total=total, free=free, bf16=torch.cuda.is_bf16_supported()))
    return devices
