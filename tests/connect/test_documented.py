"""What docs/protocols.md says to copy and paste works."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from honed.connect.protocols import PROTOCOLS
from tests.conftest import ROOT
from tests.shipped import Server, running
from tests.test_documents import blocks

DOCUMENT = "docs/protocols.md"
COMMANDS = [
    line.removeprefix("$ ")
    for block in blocks(DOCUMENT, "console")
    for line in block.splitlines()
    if not line.startswith("$ pip")
]
CURLS = [command for command in COMMANDS if command.startswith("curl ")]
SCRIPTS = blocks(DOCUMENT, "python")
NEEDS = {
    "openai": "openai",
    "honed.connect.langchain": "langchain_core",
    "honed.connect.llama_index": "llama_index",
    "honed.connect.haystack": "haystack",
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the frameworks' own parts
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of the document, with the options of all its commands."""
    served = [shlex.split(command)[3:] for command in COMMANDS if command.startswith("honed serve bundle ")]
    options = [word for command in served for word in command]
    assert {option for option in options if not option.startswith("--")} == {*PROTOCOLS.built_in, "country"}
    yield from running(Server(whole, *options, log=tmp_path_factory.mktemp("server") / "log"))


def test_every_protocol_is_documented() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    assert [name for name in PROTOCOLS.built_in if f"honed serve --protocol {name}" not in text] == []
    assert len(CURLS) == 4
    assert len(SCRIPTS) == 4


@pytest.mark.parametrize("command", CURLS)
def test_a_request_of_the_document_is_answered(command: str, server: Server) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    words = shlex.split(command.replace("localhost:8080", f"127.0.0.1:{server.port}"))
    done = subprocess.run([*words, "--silent", "--fail"], capture_output=True, text=True, check=True)
    answer: Any = json.loads(done.stdout)
    shown = {
        "queries": lambda: len(answer["q0"]["result"]) == 3,
        "extend": lambda: next(iter(answer["rows"].values())).keys() == {"city"},
        "embeddings": lambda: len(answer["data"][0]["embedding"]) == 32,
        "rerank": lambda: answer["results"][0]["document"]["text"] in ("UNAM", "College of Arts"),
    }
    assert next(check for name, check in shown.items() if name in command)()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.split()[1])
def test_a_script_of_the_document_runs(
    script: str, server: Server, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = NEEDS[script.split()[1]]
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    (tmp_path / "bundle").symlink_to(whole)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")
    made: dict[str, Any] = {}
    exec(script.replace("localhost:8080", f"127.0.0.1:{server.port}"), made)
    if "client" in made:
        made["client"].close()
    assert made.get("vectors") or made.get("documents") or made.get("nodes")
