"""One of several processes that do a stage together: python -m honed.pipeline.worker JOB."""

import json
import logging
import os
import sys
from pathlib import Path

from honed.core.errors import HonedError
from honed.core.progress import LineBar, log_to_stderr, show_progress_with
from honed.pipeline.processes import do, work_of
from honed.stages.all import all_stages


def main(job: Path) -> int:
    """Do the stage that a job file names; the first process alone tells. Returns the exit code."""
    first = os.environ.get("RANK", "0") == "0"
    if first:
        show_progress_with(LineBar)
        log_to_stderr({"honed.train": logging.INFO}, "            %(message)s")
    stages = {stage.name: stage for stage in all_stages()}
    stage = stages[json.loads(job.read_text(encoding="utf-8"))["stage"]]
    try:
        do(stage.run, work_of(job, stages))
    except HonedError as error:
        if first:
            sys.stderr.write(f"error {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
