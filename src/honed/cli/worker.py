"""One process of a training on several; started by `honed.pipeline.processes.launch`, not by people."""

import os
import sys
from pathlib import Path

from honed.cli import terminal
from honed.core.errors import HonedError


def main() -> None:
    """Train, telling progress in the first process alone; exit like ``honed``."""
    first = os.environ.get("RANK", "0") == "0"
    terminal.start(quiet=not first)
    from honed.pipeline.processes import do
    from honed.stages.training import train

    try:
        do(Path(sys.argv[1]), train)
    except HonedError as error:
        if first:
            terminal.say(f"error {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
