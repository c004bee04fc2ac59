"""What stages were estimated to take beside what they took.

    python benchmarks/estimates.py PROJECT [PROJECT ...] [--cpu]

Each project runs in a folder that is removed, the machine's speeds measured anew and nothing learned from earlier runs.
With --cpu both are seconds of the processor in place of the clock, for a machine that others use too (one thread:
OMP_NUM_THREADS=1).
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from honed import Project
from honed.core.errors import GateError
from honed.project.estimate import data_facts, estimate_run
from honed.project.speeds import measure_speeds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("projects", type=Path, nargs="+")
    arguments.add_argument("--cpu", action="store_true")
    given = arguments.parse_args()
    clock = time.process_time if given.cpu else time.perf_counter
    if given.cpu:
        time.perf_counter = time.process_time
    for folder in given.projects:
        with TemporaryDirectory() as output:
            compare(folder, output, clock)


def compare(folder: Path, output: str, clock: object) -> None:
    started: dict[str, float] = {}
    took: dict[str, float] = {}

    def listen(stage: str, state: str, _: float) -> None:
        if state == "runs":
            started[stage] = clock()
        elif state == "done":
            took[stage] = clock() - started[stage]

    project = Project(folder, settings={"paths.output": output}, listener=listen)
    before = clock()
    speeds = measure_speeds(project.config)
    print(f"{folder.name}: probe {clock() - before:.1f} s; {speeds}", flush=True)
    estimated = estimate_run(project.plan(), project.config, data_facts(project), speeds)
    try:
        project.run()
    except GateError as error:
        print(error)
    print("stage          estimated  took  ratio")
    for stage in estimated.stages:
        name = stage.plan.stage.name
        if stage.seconds is not None:
            print(f"{name:<14} {stage.seconds:9.1f} {took[name]:6.1f} {took[name] / stage.seconds:6.2f}", flush=True)
    measured = sum(took[name] for name in estimated.by_stage())
    print(f"{'together':<14} {estimated.seconds:9.1f} {measured:6.1f} {measured / estimated.seconds:6.2f}")


if __name__ == "__main__":
    main()
