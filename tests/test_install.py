"""The wheel: everything of the package is in it, and it works in an environment that holds nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import honed
from tests.conftest import ROOT
from tests.test_package import PYTHONS

NO_NETWORK = ("NewConnectionError", "NameResolutionError", "Network is unreachable", "ConnectTimeoutError")
# what a plain `pip install honed` is for: to look around; runs in the new environment
BASE = """
import json, pathlib, subprocess, sys, sysconfig
import honed

assert pathlib.Path(honed.__file__).is_relative_to(sysconfig.get_path("purelib")), honed.__file__
assert (pathlib.Path(honed.__file__).parent / "py.typed").is_file()

def run(*arguments, code=0):
    done = subprocess.run([sys.executable, "-m", "honed", *arguments], capture_output=True, text=True)
    assert done.returncode == code, (arguments, done.stderr)
    return done.stdout + done.stderr

assert run("--version").strip() == honed.__version__ == sys.argv[1]
assert "doctor" in run("--help")
assert json.loads(run("doctor", "--json"))["parts"]["HTTP server"] == "no (honed[serve])"
assert "honed[train]" in run("train", code=2)
assert "honed[serve]" in run("serve", "bundle", code=2)
"""
# what honed[serve] is for; runs in the same environment, where no PyTorch and no pyarrow is
SERVE = """
import json, pathlib, sys, urllib.request
from importlib.util import find_spec
import honed
from honed.api.server import BackgroundServer

assert not [name for name in ("torch", "pyarrow", "transformers", "pandas") if find_spec(name)]
hits = honed.Searcher.load(sys.argv[1]).search("UdeG", k=2)
with BackgroundServer(pathlib.Path(sys.argv[1])) as server:
    answer = json.load(urllib.request.urlopen(f"{server.url}/v1/search?query=UdeG&k=2"))
    page = urllib.request.urlopen(server.url).read().decode()
assert [hit["doc_id"] for hit in answer["hits"]] == [hit.doc_id for hit in hits], answer
assert len(hits) == 2 and "<html" in page
"""


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``python -m build`` fills: the source archive, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


def interpreter(version: str) -> str:
    """The interpreter of a version of Python; the test is skipped where there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(versions.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"no Python {version} here")


def install(python: Path, requirement: str) -> None:
    """Install with pip, at the versions that are tested; the test is skipped where there is no network."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    done = subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), requirement], capture_output=True, text=True)
    if done.returncode and any(word in done.stderr for word in NO_NETWORK):
        pytest.skip("no network: nothing can be installed")
    assert done.returncode == 0, done.stderr


def test_all_files_of_the_package_are_in_the_wheel(wheel: Path) -> None:
    files = {path for path in (ROOT / "src" / "honed").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    compiled = {name for name in packed if name.endswith(".so")}  # where there is a compiler
    sources = {path.relative_to(ROOT / "src").as_posix() for path in files if path.suffix != ".so"}
    assert packed - compiled == sources
    assert wheel.name.startswith(f"honed-{honed.__version__}-cp311-abi3-")
    assert len(compiled) == bool(shutil.which("cc") or shutil.which("gcc"))


def test_the_source_archive_is_there_too(dist: Path) -> None:
    assert (dist / f"honed-{honed.__version__}.tar.gz").stat().st_size < 8e6


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_works_in_an_empty_environment(version: str, wheel: Path, made: Path, tmp_path: Path) -> None:
    subprocess.run([interpreter(version), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HONED_"))}
    for requirement, script, argument in (("", BASE, honed.__version__), ("[serve]", SERVE, str(made))):
        install(python, f"{wheel}{requirement}")
        done = subprocess.run([python, "-c", script, argument], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
