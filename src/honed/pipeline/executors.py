"""Where the work of stages runs: this process, and others on this machine for training."""

from honed.core.stage import Work
from honed.pipeline.launch import launch
from honed.pipeline.local import InProcess


class LocalExecutor(InProcess):
    """Does everything in this process, but for training in several, which it starts."""

    def in_processes(self, stage: str, work: object, processes: int) -> None:
        """Do the work of a stage in several processes of this machine that train one model together."""
        assert isinstance(work, Work)
        launch(stage, work, processes)
