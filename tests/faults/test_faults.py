"""Whatever happens while a command writes, a reader sees the old state or the new one; see `tests.faults.harness`.

A point for each kind of fault; `benchmarks/faults.py` goes through all of them, and more commands.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from honed import Project
from tests.faults.forker import IN_PLACE
from tests.faults.harness import Fault, Forker, check, compiler, expected
from tests.faults.scenarios import Kit, Scenario, scenarios

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and /proc are of Linux"),
    pytest.mark.skipif(compiler() is None, reason="no C compiler to make the shim with: install gcc"),
]
# where the fault happens, as a share of the points: late for kills, since a change is made near the end
PLACES = {Fault.KILL: 0.95, Fault.REBOOT: 1.0, Fault.FULL: 0.6, Fault.BAD: 0.3, Fault.SHORT: 0.0}
NAMES = (
    "store create", "store add", "store compact", "match csv", "match xlsx", "encode safetensors", "export old",
    "export --to hf", "run check anew", "label import",
)  # fmt: skip


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("forker")) as running:
        yield running


@pytest.fixture(scope="module")
def known(project: Project, made: Path, tiny_model: Path, institutions: list[dict[str, str]]) -> dict[str, Scenario]:
    kit = Kit(model=tiny_model, project=project.root, bundle=made, rows=institutions)
    return {scenario.name: scenario for scenario in scenarios(kit)}


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_leaves_the_old_state_or_the_new_one(
    name: str, forker: Forker, known: dict[str, Scenario], tmp_path: Path
) -> None:
    whole = expected(forker, known[name], tmp_path)
    for fault, share in PLACES.items():
        check(forker, whole, fault, max(1, round(share * whole.points)), tmp_path)


def test_a_broken_writer_is_noticed(forker: Forker, tmp_path: Path) -> None:
    """The harness itself: a command that writes in place is caught, half of its file being written."""
    scenario = Scenario(
        name="in place",
        build=lambda folder: (folder / "f").write_text("old") and None,
        arguments=(IN_PLACE, "f"),
        state=lambda folder: (folder / "f").read_text(),
    )
    whole = expected(forker, scenario, tmp_path)
    with pytest.raises(AssertionError, match="neither old nor new"):
        check(forker, whole, Fault.KILL, whole.points, tmp_path)
    with pytest.raises(AssertionError, match="neither old nor new"):
        check(forker, whole, Fault.REBOOT, whole.points, tmp_path)
