"""Runs commands of honed in forked children of a process that has imported everything; see `tests.faults.harness`.

It reads a request a line (JSON: arguments, cwd, folder, mode, nth, out, err), and answers with the status and
the number of points and of failed calls.
"""

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

IN_PLACE = "test-write-in-place"
_LIMIT = 120  # seconds that a command may take
_IMPORTED = (
    "torch", "sentence_transformers", "faiss", "onnx", "onnxruntime", "openpyxl", "pyarrow.parquet",
    "sklearn.linear_model", "bm25s", "jinja2", "honed.api.project", "honed.project.export", "honed.project.hub",
    "honed.match.dedupe", "honed.project.store", "honed.stages.hybrid", "honed.bundle.load", "honed.train.fine_tune",
    "honed.encode.torch_encoder", "honed.encode.onnx_export", "honed.project.update",
)  # fmt: skip


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name in _IMPORTED:
        import_module(name)
    from honed.cli.main import COMMANDS

    for name in set(COMMANDS.values()):
        import_module(f"honed.cli.{name}")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _answer(request: dict[str, Any]) -> dict[str, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(request, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        counts = json.loads(pipe.read() or b"[0, 0]")
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "points": counts[0], "failed": counts[1]}


def _write_in_place(arguments: list[str]) -> int:
    """Do what no command should do, so that a test sees that it is noticed."""
    with Path(arguments[1]).open("w") as file:
        file.write("new " * 100)
    return 0


def _run(request: dict[str, Any], pipe: int) -> None:
    """Be the child: run the command with its faults, and end."""
    signal.alarm(_LIMIT)
    shim = ctypes.CDLL(None)
    for number, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(request["cwd"])
    from honed.cli.main import run_command

    run = _write_in_place if request["arguments"][0] == IN_PLACE else run_command
    shim.fault_arm(os.fsencode(request["folder"]), request["mode"], request["nth"])
    status = run(request["arguments"])
    points, failed = shim.fault_points(), shim.fault_failed()
    shim.fault_arm(b"", 0, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(pipe, json.dumps([points, failed]).encode())
    os._exit(status)


if __name__ == "__main__":
    main()
