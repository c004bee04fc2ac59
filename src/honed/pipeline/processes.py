"""The work of a stage in one of several processes that train together; it ends when its parent does."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from honed.config.config import Config
from honed.core.artifacts import Artifact
from honed.core.json import JsonObject
from honed.core.stage import Inputs, Stage, Work
from honed.pipeline.honed_toml import config_of
from honed.pipeline.local import InProcess


def _watch_parent() -> None:
    """End this process when the one that started it is gone: two must not write the same checkpoints."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work_of(job: Path, stages: Mapping[str, Stage[Config]]) -> Work[Config]:
    """Read the work of a stage from a launch's job file."""
    description = json.loads(job.read_text(encoding="utf-8"))
    inputs: dict[str, Artifact] = {
        name: stages[name].artifact.at(Path(folder)) for name, folder in description["inputs"].items()
    }
    config, root = config_of(description["config"], "honed.toml"), Path(description["root"])
    return Work(
        config=config,
        root=root,
        inputs=Inputs(inputs),
        folder=Path(description["folder"]),
        logs=Path(description["logs"]),
        executor=InProcess(root / config.paths.output),
    )


def do(run: Callable[[Work[Config]], JsonObject], work: Work[Config]) -> None:
    """Do the work of a stage in this process, on the GPU of its number where there are several."""
    import torch

    _watch_parent()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    run(work)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
