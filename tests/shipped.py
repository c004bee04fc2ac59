"""A small project with a bundle of each kind, shared by the tests of what is shipped."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from honed import Project
from honed.bundle.seal import manifest_bytes, self_hash
from honed.core.errors import GateError
from honed.project.export import ExportOptions, export_bundle
from tests.conftest import write_project


def exact_project(folder: Path, model: Path, institutions: list[dict[str, str]]) -> Project:
    """A small project in fp32, so that answers can be compared exactly."""
    base = f'{model.as_posix()}"\nprecision = "fp32'
    return Project(write_project(folder, institutions, base, n_entities=150))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    found = exact_project(tmp_path_factory.mktemp("ship"), tiny_model, institutions)
    found.run(until="evaluate")
    return found


@pytest.fixture(scope="session")
def made(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in fp32; not to be changed."""
    return export_bundle(project, tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="session")
def made_int8(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in int8; not to be changed. Three dozen dimensions of noise have near ties: more flips are allowed."""
    options = ExportOptions(precision="int8", most_flips=0.3)
    return export_bundle(project, tmp_path_factory.mktemp("bundle") / "i", options)


def with_sections(project: Project, sections: str) -> Project:
    text = project.file.read_text()
    project.file.write_text(text.replace("[evaluate]", f"{sections}[evaluate]"))
    return Project(project.file.parent)


@pytest.fixture(scope="session")
def fused(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    found = exact_project(tmp_path_factory.mktemp("fused"), tiny_model, institutions)
    found = with_sections(found, "[hybrid]\n[answers]\ncoverage = 0.5\nrisk = 0.4\n")
    found.run(until="hybrid")
    return found


@pytest.fixture(scope="session")
def whole(fused: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(fused, tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="session")
def judging(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    """A project with a cross-encoder that judges the hybrid's first hits."""
    found = exact_project(tmp_path_factory.mktemp("judging"), tiny_model, institutions)
    found = with_sections(found, '[mine]\nencoder = "base"\n[cross_encoder]\nepochs = 1\ndepth = 12\n[hybrid]\n')
    with contextlib.suppress(GateError):
        found.run()
    return found


@pytest.fixture(scope="session")
def reranking(judging: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a cross-encoder; not to be changed."""
    return export_bundle(judging, tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "b"))


def reseal(folder: Path, **changes: Any) -> None:
    """Make the manifest fit the folder again, as someone would who forges a bundle."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", "manifest.sig")
    ]
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in files
    }
    manifest["self"] = self_hash(manifest)
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))


@pytest.fixture
def forge(bundle: Path) -> Callable[..., Path]:
    """Reseal the copy after a change."""

    def resealed(**changes: Any) -> Path:
        reseal(bundle, **changes)
        return bundle

    return resealed


class Server:
    """``honed serve``, or another command that serves, as a process of its own."""

    def __init__(self, folder: Path, *options: str, log: Path, command: Sequence[str] = ()) -> None:
        self.log = log
        asked = command or ("serve", str(folder), "--port", "0", "--access-log", *options)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "honed", *asked],
                stderr=out,
                stdout=out,
                env={**os.environ, "HONED_API_KEY": ""},
            )
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if found := re.search(r"serving .* at http://\S+:(\d+)", self.log.read_text()):
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Return (status, JSON or text, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        is_json = found.get("content-type", "").startswith("application/json")
        return answer.status, json.loads(text) if is_json and text else text, found

    def announce(self, path: str, n_bytes: int) -> tuple[int, Any]:
        """Announce a body, and return the answer (status, JSON) that comes before any of it is sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(n_bytes))
        connection.endheaders()
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def wait_ready(self) -> None:
        """Return when the fast engine is loaded."""
        for _ in range(2000):
            if self.ask("GET", "/readyz")[0] == 200:
                return
            time.sleep(0.05)
        raise AssertionError("not ready")

    def rss(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6  # type: ignore[index]

    def stop(self) -> int:
        """Stop it as a supervisor would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def running(server: Server, *, ready: bool = True) -> Iterator[Server]:
    """Yield a server, once its fast engine is loaded where that matters, and end it after the tests."""
    if ready:
        server.wait_ready()
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that are gone after the test."""
    started: list[Server] = []

    def start(folder: Path, *options: str) -> Server:
        started.append(Server(folder, *options, log=tmp_path / f"server-{len(started)}.log"))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of a module."""
    found = Server(made, log=tmp_path_factory.mktemp("server") / "log")
    found.wait_ready()
    yield found
    found.process.kill()
    found.process.wait()
