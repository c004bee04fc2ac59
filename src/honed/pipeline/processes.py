"""Training on several processes: torchrun starts them, each does the same stage, and their batches count as one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from honed.core.artifacts import Artifact, Manifest, write_json
from honed.core.errors import TrainingError
from honed.encode import hardware
from honed.pipeline.config import Config
from honed.pipeline.stage import Work

JOB = "job.json"


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
    done = subprocess.run([*torchrun, "-m", "honed.cli.worker", str(job)], env=environment)  # noqa: S603 - our own
    job.unlink()
    if done.returncode:
        raise TrainingError(
            "E_TRAIN_PROCESSES",
            f"one of {processes} training processes ended with {done.returncode}; what it said stands above, and "
            "honed run  goes on from the last checkpoint",
        )


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

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    run(work_of(job))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _plain(config: Config) -> dict[str, Any]:
    sections = {name: value for name, value in asdict(config).items() if value is not None}
    return {name: {key: each for key, each in value.items() if each is not None} for name, value in sections.items()}
