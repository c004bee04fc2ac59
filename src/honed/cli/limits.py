"""--threads and --nice: how much of the machine a command takes. They are read before any library counts the cores."""

import inspect
import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from honed.core.cpus import THREADS, affinity, cpu_count

Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Threads to compute with; 0 takes every core that is free to use.")
]
Nice = Annotated[int, typer.Option("--nice", min=0, max=19, help="Give way to other processes, by so much.")]

# Threads that wait for each other sleep soon, instead of taking the core of whoever else has work: GNU's and Intel's
# OpenMP, and OpenBLAS (2^n cycles).
_WAITING = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "1000",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_THREAD_TIMEOUT": "10",
}
_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def with_limits(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options --threads and --nice too; `apply_limits` has done what they say by then."""

    @wraps(command)
    def limited(*arguments: Any, threads: int, nice: int, **options: Any) -> None:
        command(*arguments, **options)

    added = [
        inspect.Parameter("threads", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Threads),
        inspect.Parameter("nice", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Nice),
    ]
    signature = inspect.signature(command)
    limited.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    limited.__annotations__ = {**command.__annotations__, "threads": Threads, "nice": Nice}
    return limited


def apply_limits(arguments: Sequence[str]) -> None:
    """Do what --threads and --nice of a command line say, for this process and those that it starts.

    Without --threads the libraries are told of a quota that they would not see. What the user has set in the
    environment stays. Values that are none are left to the command line to refuse.
    """
    for name, value in _WAITING.items():
        os.environ.setdefault(name, value)
    threads, nice = (_number(arguments, name) for name in ("--threads", "--nice"))
    if threads:
        os.environ.update(dict.fromkeys((THREADS, *_COUNTS), str(threads)))
    elif cpu_count() < affinity():
        for name in _COUNTS:
            os.environ.setdefault(name, str(cpu_count()))
    if 0 < nice <= 19 and hasattr(os, "nice"):
        os.nice(nice)


def _number(arguments: Sequence[str], option: str) -> int:
    """Return the number that follows an option, "--threads 2" or "--threads=2"; 0 without one."""
    for at, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == option:
            value = value or next(iter(arguments[at + 1 :]), "")
            return int(value) if value.isdecimal() else 0
    return 0
