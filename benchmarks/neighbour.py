"""A good neighbour: a fixed job of honed alone and beside busy processes, and what its fair share would be.

    python benchmarks/neighbour.py [--names 2000] [--busy 2] [--repeat 3]

The job is encoding names by the base model (PyTorch), in a process of its own that has loaded it. The ways take turns,
and the median counts. Each is run alone and beside processes that do nothing but count. Were the cores shared by
thread, a job of t threads beside b busy ones on c cores would take (t + b) / c times as long, where that is more than
1: "fair". `CPU` is the time that the job used the cores, in seconds: what it spends spinning is in there.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from honed.core.cpus import affinity

TABLE = Path(__file__).parent.parent / "examples" / "institutions" / "institutions.csv"
LIMITS = (
    "import sys; from honed.cli.limits import apply_limits; apply_limits(sys.argv[1:])\n"  # as every command begins
)
JOB = """
import sys, time
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
names = sys.stdin.read().split("\\n")
encoder = TorchEncoder.load(EncoderConfig())
encoder.encode(names[:64], "document")
started, used = time.perf_counter(), time.process_time()
encoder.encode(names, "document")
print(time.perf_counter() - started, time.process_time() - used)
"""
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
WAYS = {
    "the libraries' own waiting": (JOB, []),
    "honed": (LIMITS + JOB, []),
    "honed --threads 1": (LIMITS + JOB, ["--threads", "1"]),
    "honed --nice 10": (LIMITS + JOB, ["--nice", "10"]),
}


def names(count: int) -> list[str]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = list(dict.fromkeys(name for row in rows for name in (row["label"], row["alias"])))
    return (known * (1 + count // len(known)))[:count]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that count until the block, or this process, ends."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def once(code: str, options: list[str], texts: list[str]) -> tuple[float, float]:
    """The seconds of one job, and the seconds that it used the cores."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, *options]
    done = subprocess.run(command, input="\n".join(texts), check=True, capture_output=True, text=True, env=environment)
    seconds, used = done.stdout.split()
    return float(seconds), float(used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=2000)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    runs: dict[tuple[str, int], list[tuple[float, float]]] = {}
    texts = names(options.names)
    for _ in range(options.repeat):
        for way, (code, more) in WAYS.items():
            for others in (0, options.busy):
                with busy(others):
                    runs.setdefault((way, others), []).append(once(code, more, texts))
    load = os.getloadavg()[0]
    print(f"{options.names} names, {affinity()} cores, medians of {options.repeat}; load at the end {load:.1f}")
    print(f"{'':<28}{'alone s':>9}{'CPU s':>8}{f'beside {options.busy} s':>12}{'CPU s':>8}{'ratio':>8}{'fair':>8}")
    for way, (_, more) in WAYS.items():
        alone, beside = (
            [statistics.median(column) for column in zip(*runs[way, others], strict=True)]
            for others in (0, options.busy)
        )
        threads = int(more[1]) if "--threads" in more else affinity()
        fair = max(1.0, (threads + options.busy) / affinity())
        row = f"{way:<28}{alone[0]:>9.1f}{alone[1]:>8.1f}{beside[0]:>12.1f}{beside[1]:>8.1f}"
        print(f"{row}{beside[0] / alone[0]:>8.2f}{fair:>8.2f}")


if __name__ == "__main__":
    main()
