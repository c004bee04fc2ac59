"""How many texts each stage of a run encodes, and what it takes: by the clock, and of the processor.

    python benchmarks/twice.py PROJECT [PROJECT ...]

Each project runs from the beginning, in a folder that is removed. A text that two stages encode counts twice.
"""

import argparse
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from honed import Project
from honed.core.errors import GateError
from honed.core.protocols import Role, Vectors
from honed.encode.torch_encoder import TorchEncoder


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("projects", type=Path, nargs="+")
    encoded: Counter[str] = Counter()
    began = {"stage": "", "cpu": 0.0}
    encode = TorchEncoder.encode

    def counted(self: TorchEncoder, texts: Sequence[str], role: Role) -> Vectors:
        encoded[str(began["stage"])] += len(texts)
        return encode(self, texts, role)

    def listen(stage: str, state: str, seconds: float) -> None:
        if state == "runs":
            began.update(stage=stage, cpu=time.process_time())
        elif state == "done":
            cpu = time.process_time() - float(began["cpu"])
            print(f"{stage:<14} {encoded[stage]:7,} texts {seconds:8.1f} s, CPU {cpu:7.1f} s", flush=True)

    TorchEncoder.encode = counted  # type: ignore[method-assign]
    for folder in arguments.parse_args().projects:
        encoded.clear()
        print(folder)
        with TemporaryDirectory() as output, contextlib.suppress(GateError):  # the count does not hang on a gain
            Project(folder, settings={"paths.output": output}, listener=listen).run()
        print(f"{'together':<14} {encoded.total():7,} texts")


if __name__ == "__main__":
    main()
