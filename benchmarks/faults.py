"""Every fault at every point of the commands that write: a table of how often it was injected, and what came of it.

    python benchmarks/faults.py [--points 20] [--only 'store add' ...] [--out faults.json]

A point is one change on disk: a file made, a write, an fsync, a rename, a removal. Of a command with more than
``--points`` points so many are taken, evenly spread, the first and the last with them. Needs a C compiler and Linux.
"""

import argparse
import contextlib
import csv
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.conftest import ROOT, save_tiny_bert, write_project
from tests.encode.tiny_models import wordpiece
from tests.faults.harness import WORDS, Fault, Forker, check, expected, points
from tests.faults.scenarios import Kit, scenarios

from honed import Project
from honed.core.errors import GateError
from honed.project.export import export_bundle


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--points", type=int, default=1_000_000)
    arguments.add_argument("--only", nargs="+", default=[])
    arguments.add_argument("--faults", nargs="+", default=[])
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    rows = []
    with TemporaryDirectory() as folder:
        place = Path(folder)
        kit = make_kit(place)
        with Forker(place) as forker:
            for scenario in scenarios(kit):
                if given.only and scenario.name not in given.only:
                    continue
                known = expected(forker, scenario, place)
                for fault in WORDS:
                    if not given.faults or fault.name in given.faults:
                        rows.append(count(forker, known, fault, given.points, place))
                        print(json.dumps(rows[-1]), flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


def make_kit(place: Path) -> Kit:
    """Make the tiny model, a project that ran with it, and its bundle."""
    model = save_tiny_bert(place, wordpiece(), width=32)
    with (ROOT / "examples" / "institutions" / "institutions.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    (place / "project").mkdir()
    project = Project(write_project(place / "project", table, f'{model.as_posix()}"\nprecision = "fp32', n_entities=60))
    with contextlib.suppress(GateError):
        project.run()
    return Kit(model=model, project=project.root, bundle=export_bundle(project, place / "bundle"), rows=table)


def count(forker: Forker, known, fault: Fault, most: int, place: Path) -> dict[str, object]:
    """Inject a fault at the points of a scenario; returns how often, and how often each outcome came."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    started = time.monotonic()
    places = [0] if fault is Fault.SHORT else points(known.points, most)
    for nth in places:
        try:
            outcomes[check(forker, known, fault, nth, place)] += 1
        except AssertionError as error:
            failures.append(str(error))
    for failure in failures:
        print("   FAILED", failure, file=sys.stderr, flush=True)
    return {
        "command": known.scenario.name, "fault": fault.name, "points": known.points, "injected": len(places),
        **outcomes, "failed": len(failures), "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


if __name__ == "__main__":
    main()
