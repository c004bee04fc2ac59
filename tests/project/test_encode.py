"""``honed encode``: what a kill leaves is gone on with, and nothing but the file stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

KILL = """
import os, signal, sys
from honed.encode import vector_store
from honed.encode.torch_encoder import TorchEncoder
vector_store.SHARD_TEXTS = 10
most, calls, encode = int(sys.argv[1]), [], TorchEncoder.encode
def counted(self, texts, role):
    if len(calls) == most:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(len(texts))
    return encode(self, texts, role)
TorchEncoder.encode = counted
from honed.cli.main import main
try:
    main(sys.argv[2:])
finally:
    print(sum(calls))
"""


def encode(most: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", KILL, str(most), "encode", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_a_killed_encode_goes_on_from_its_shard_to_the_same_file(tmp_path: Path, tiny_model: Path, ending: str) -> None:
    texts = [f"name {number % 45}" for number in range(60)]
    (tmp_path / "names.txt").write_text("\n".join(texts), encoding="utf-8")
    straight, out = tmp_path / "straight" / f"v.{ending}", tmp_path / "out" / f"v.{ending}"
    arguments = (str(tmp_path / "names.txt"), "--model", tiny_model.as_posix(), "--out")
    whole = encode(99, *arguments, str(straight))
    assert whole.stdout.split()[-1] == "45", whole.stderr
    assert encode(3, *arguments, str(out)).returncode == -signal.SIGKILL
    assert not out.exists()
    again = encode(99, *arguments, str(out))
    assert again.stdout.split()[-1] == "15"
    assert f"wrote {out}: 60 vectors" in again.stderr.replace("\n", "")
    assert out.read_bytes() == straight.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    if ending == "npy":
        vectors = np.load(out)
        assert np.array_equal(vectors[45:], vectors[:15])  # the texts that stand twice
