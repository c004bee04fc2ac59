"""What a run has begun and not ended: a file that is gone when the run has ended, and stays when it was killed."""

import json
from collections.abc import Collection
from pathlib import Path

from honed.core.writing import write_json

FILE = "unfinished.json"


class UnfinishedRun:
    """The names of the stages that were begun in a folder of results, by runs that did not get to their end."""

    def __init__(self, output: Path) -> None:
        self.file = output / FILE

    def stages(self) -> list[str]:
        """Return the stages, the last one last; none when the last run has ended."""
        try:
            return [str(name) for name in json.loads(self.file.read_text(encoding="utf-8"))]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def begin(self, stage: str) -> None:
        """Note a stage before anything of it is done."""
        write_json(self.file, [*(name for name in self.stages() if name != stage), stage])

    def end(self, stages: Collection[str], *, all_of_them: bool) -> None:
        """Forget the stages of a run that has ended; with ``all_of_them`` everything, since none was left out."""
        left = [] if all_of_them else [name for name in self.stages() if name not in stages]
        if left:
            write_json(self.file, left)
        else:
            self.file.unlink(missing_ok=True)
