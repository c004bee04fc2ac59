"""Training on several processes: torchrun starts them, each does the same stage, and their batches count as one."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from honed.config.sections import Config
from honed.core.artifacts import Artifact, Manifest, write_json
from honed.core.errors import TrainingError
from honed.encode import hardware
from honed.stages.stage import Work

JOB = "job.json"
_PDEATHSIG = 1


def launch(work: Work, processes: int) -> None:
    """Do the stage of ``work`` in ``processes`` processes; `TrainingError` with what they said when they fail."""
    job = work.folder / JOB
    write_json(
        job,
        {
            "config": _plain(work.config),
            "root": str(work.root.resolve()),
            "inputs": {name: str(artifact.folder.resolve()) for name, artifact in work.inputs.items()},
            "folder": str(work.folder.resolve()),
        },
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    threads = max(1, hardware.cpu_count() // processes)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [*torchrun, "-m", "honed.cli.worker", str(job)]
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


def _watch_parent() -> None:
    """End this process when the one that started it is gone: two must not write the same checkpoints."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_process() -> bool:
    """Tell whether this is one of several processes."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def work_of(job: Path) -> Work:
    """Read what a process of a launch is to do."""
    told = json.loads(job.read_text(encoding="utf-8"))
    inputs = {
        name: Artifact(folder=Path(folder), manifest=Manifest.read(Path(folder)))
        for name, folder in told["inputs"].items()
    }
    config = Config.from_tables(told["config"], "honed.toml")
    return Work(config=config, root=Path(told["root"]), inputs=inputs, folder=Path(told["folder"]))


def do(job: Path, run: Callable[[Work], Mapping[str, Any]]) -> None:
    """Do the stage of a job in this process, on the GPU of its number where there are several."""
    import torch

    _watch_parent()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    run(work_of(job))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _plain(config: Config) -> dict[str, Any]:
    sections = {name: value for name, value in asdict(config).items() if value is not None}
    return {name: {key: each for key, each in value.items() if each is not None} for name, value in sections.items()}
