"""A small package with a plug-in of each kind, installed by pip into a folder of its own.

Plug-ins are found once a process, so what uses them runs in another one.
"""

import base64
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

SOURCE = '''
"""What a package outside of honed brings: an index code, a backend, an engine, an encoder, a loss and a measure."""

import numpy as np

from honed.core.errors import ConfigError
from honed.encode.engines import ENGINES, GraphEngine
from honed.encode.hashing import HashEncoder
from honed.evaluate.measures import RankingMeasure
from honed.index.backends import IndexBackend
from honed.index.exact import ExactIndex, best_first
from honed.index.lists import IndexCode
from honed.train.losses import Objective


class HalfLists:
    """Vectors in half precision, compared with numpy."""

    block_size = 1

    def __init__(self, centroids, bits):
        self.centroids, self.code_size = centroids, 2 * centroids.shape[1]

    def train(self, sample):
        pass

    def encode(self, vectors, clusters):
        return np.ascontiguousarray(vectors, dtype=np.float16).view(np.uint8)

    def fill(self, codes, offsets, rows):
        self.vectors, self.rows = np.ascontiguousarray(codes).view(np.float16).astype(np.float32), np.asarray(rows)

    def search(self, vectors, k, nprobe, allowed):
        passing = np.arange(len(self.rows)) if allowed is None else np.flatnonzero(allowed[self.rows])
        rows = np.broadcast_to(self.rows[passing], (len(vectors), len(passing)))
        return best_first(vectors @ self.vectors[passing].T, rows, k)

    def tensors(self):
        return {}

    def restore(self, tensors):
        pass


class Backwards:
    """Exact search that keeps its own copy of the vectors, to be saved."""

    def __init__(self, vectors):
        self.vectors = vectors

    def search(self, vectors, k, *, allowed=None):
        return ExactIndex(self.vectors[::-1]).search(vectors, k, allowed=allowed)

    def tensors(self):
        return {"backwards": self.vectors}


HALVES = IndexCode(lists=HalfLists, bits=(16,), part="")
BACKWARDS = IndexBackend(
    takes=("seed",),
    build=lambda source, settings: Backwards(source.take(slice(None))),
    restore=lambda source, settings, tensors: Backwards(tensors["backwards"]),
)
MIRROR = GraphEngine(load=lambda model, threads: ENGINES["onnxruntime"].load(model, threads))


def shouting(argument, config):
    """Return a hash encoder that is named by its argument."""
    if not argument:
        raise ConfigError("E_SHOUT", "say how loud")
    return HashEncoder(len(argument), query_prompt=config.query_prompt)


def squared_distance(batch, settings):
    """Return the mean squared distance of the pairs, and of what is not a pair its nearness beyond the margin."""
    near = (batch.anchors - batch.positives).square().sum(dim=1).mean()
    far = (batch.cosines - settings.margin).clamp_min(0).square()[~batch.related]
    return near + far.mean()


def rank_biased_precision(ranking, grades, cut):
    """Return the precision for a reader who goes on to the next document with a chance of 0.8 (Moffat & Zobel 2008)."""
    return sum(0.2 * 0.8**rank for rank, doc_id in enumerate(ranking) if grades.get(doc_id, 0) > 0)


DISTANCE = Objective(loss=squared_distance)
TAUGHT = Objective(loss=squared_distance, learns_from="teacher")
RBP = RankingMeasure(score=rank_biased_precision)
DOUBLE = RankingMeasure(score=lambda ranking, grades, cut: 2.0)
'''
ENTRIES = {
    "honed.codes": {"halves": "honed_example:HALVES"},
    "honed.backends": {"backwards": "honed_example:BACKWARDS"},
    "honed.engines": {"mirror": "honed_example:MIRROR"},
    "honed.encoders": {"shouting": "honed_example:shouting"},
    "honed.losses": {"distance": "honed_example:DISTANCE", "taught": "honed_example:TAUGHT"},
    "honed.measures": {"RBP": "honed_example:RBP", "Double": "honed_example:DOUBLE"},
}


def write_wheel(folder: Path, module: str, source: str, entries: Mapping[str, Mapping[str, str]]) -> Path:
    """Write a package of one module as a wheel, which pip installs without building anything."""
    info = f"{module}-1.0.dist-info"
    groups = [
        [f"[{group}]", *(f"{name} = {place}" for name, place in names.items())] for group, names in entries.items()
    ]
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join(line for group in groups for line in group) + "\n",
    }
    record = [f"{name},sha256={_digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")


def install(wheel: Path, site: Path) -> Path:
    """Install a wheel with pip into a folder."""
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return site


@pytest.fixture(scope="session")
def with_plugins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Run Python code in a process that has the example package installed; returns what it prints."""
    folder = tmp_path_factory.mktemp("plugins")
    site = install(write_wheel(folder, "honed_example", SOURCE, ENTRIES), folder / "site")

    def run(code: str) -> str:
        paths = [str(site), *(path for path in sys.path if path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
