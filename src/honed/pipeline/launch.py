"""Training on several processes: torchrun starts them, each does the same stage, and their batches count as one."""

import ctypes
import os
import signal
import subprocess
import sys

from honed.config.config import Config
from honed.core.cpus import cpu_count
from honed.core.errors import TrainingError
from honed.core.stage import Work
from honed.core.writing import write_json

JOB = "job.json"
_PDEATHSIG = 1


def launch(stage: str, work: Work[Config], processes: int) -> None:
    """Do a stage in several processes; `TrainingError` with what they said when they fail."""
    job = work.folder / JOB
    write_json(
        job,
        {
            "stage": stage,
            "config": work.config.tables(),
            "root": str(work.root.resolve()),
            "inputs": {name: str(artifact.folder.resolve()) for name, artifact in work.inputs.by_stage().items()},
            "folder": str(work.folder.resolve()),
            "logs": str(work.logs.resolve()),
        },
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    threads = max(1, cpu_count() // processes)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [*torchrun, "-m", "honed.pipeline.worker", str(job)]
    running = subprocess.Popen(command, env=environment, preexec_fn=_end_with_parent)  # noqa: S603 - our own
    try:
        code = running.wait()
    except BaseException:  # whoever stops honed stops its processes too, and waits until they are gone
        running.terminate()
        running.wait()
        raise
    job.unlink()
    if code:
        raise TrainingError(
            "E_TRAIN_PROCESSES",
            f"one of {processes} training processes ended with {code}; what it said stands above, and  honed run  goes "
            "on from the last checkpoint",
        )


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent dies, however it dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
