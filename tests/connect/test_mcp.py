"""``honed mcp`` under the public client of the Model Context Protocol: over stdin and stdout, and over HTTP."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honed import Searcher
from honed.cli.main import run_command
from tests.shipped import Server

pytest.importorskip("mcp", reason="mcp is not installed:  pip install 'honed[mcp]'")

from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

Task = Callable[[Client], Awaitable[Any]]


def over_pipes(bundle: Path, task: Task, log: Path) -> Any:
    """Do something with a client whose server is a process of its own; its stderr goes to a file."""

    async def run() -> Any:
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "honed", "mcp", str(bundle)], env=dict(os.environ)
        )
        with log.open("w") as errors:
            async with Client(stdio_client(command, errlog=errors)) as client:
                return await task(client)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def served(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    server = Server(whole, log=log, command=("mcp", str(whole), "--http", "--port", "0"))
    yield server
    server.process.kill()
    server.process.wait()


def over_http(server: Server, task: Task) -> Any:
    async def run() -> Any:
        async with Client(f"http://127.0.0.1:{server.port}/mcp") as client:
            return await task(client)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """The structured answer of a tool; an error's text as a `RuntimeError`."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        raise RuntimeError(answer.content[0].text)  # type: ignore[union-attr]
    return answer.structured_content


async def everything(client: Client, label: str, entity_id: str) -> dict[str, Any]:
    tools = (await client.list_tools()).tools
    return {
        "tools": {tool.name: tool for tool in tools},
        "search": await call(client, "search", query="universidad nacional", k=3),
        "resolve": await call(client, "resolve", text=label),
        "entity": await call(client, "entity", id=entity_id),
    }


@pytest.fixture(scope="module")
def answers(served: Server, whole: Path, searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the tools answer over either way."""
    label, entity_id = searcher.label_text(3), searcher.names.entity(5).entity_id
    log = tmp_path_factory.mktemp("stdio") / "log"

    def task(client: Client) -> Awaitable[Any]:
        return everything(client, label, entity_id)

    found = [over_pipes(whole, task, log), over_http(served, task)]
    assert "Traceback" not in log.read_text()
    return found


def test_both_ways_answer_the_same(answers: list[Any]) -> None:
    pipes, http = answers
    assert pipes["tools"].keys() == http["tools"].keys() == {"search", "resolve", "entity"}
    for name in ("search", "resolve", "entity"):
        assert pipes[name] == http[name]


def test_tools_say_what_they_take_and_give(answers: list[Any]) -> None:
    for tool in answers[0]["tools"].values():
        assert len(tool.description) > 20
        assert tool.output_schema
    query = answers[0]["tools"]["search"].input_schema["properties"]["query"]
    assert (query["minLength"], query["maxLength"]) == (1, 2000)


def test_a_search_finds_what_the_bundle_finds(answers: list[Any], searcher: Searcher) -> None:
    expected = searcher.search("universidad nacional", 3)
    hits = answers[0]["search"]["hits"]
    assert [hit["id"] for hit in hits] == [hit.doc_id for hit in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-4)


def test_a_name_is_resolved_with_its_chance_and_the_promise(answers: list[Any], searcher: Searcher) -> None:
    found = answers[0]["resolve"]
    assert (found["decision"], found["chance"]) == ("match", 1.0)
    assert found["entity"]["name"] == searcher.label_text(3)
    assert found["candidates"][0] == found["entity"]
    assert searcher.answers is not None
    assert found["promise"] == searcher.answers.promise_sentence()


def test_an_entity_comes_with_all_its_names(answers: list[Any], searcher: Searcher) -> None:
    record = searcher.entity(searcher.names.entity(5).entity_id)
    found = answers[0]["entity"]
    assert (found["id"], found["name"], found["aliases"]) == (record["id"], record["label"], record["aliases"])


def test_what_is_no_name_of_an_entity_is_no_match(served: Server, searcher: Searcher) -> None:
    texts = ["zzzz qqqq", "UNAM", "university of nowhere at all"]

    async def task(client: Client) -> list[Any]:
        return [await call(client, "resolve", text=text) for text in texts]

    for text, found in zip(texts, over_http(served, task), strict=True):
        answer = searcher.answer(text, 10)
        assert found["chance"] == pytest.approx(answer.chance, abs=1e-3)
        assert (found["entity"] is not None) == (found["decision"] == "match")
        if not answer.match:
            assert found["decision"] == "no match"


def test_without_chances_nothing_is_decided(made: Path, tmp_path: Path) -> None:
    found = over_pipes(made, lambda client: call(client, "resolve", text="UNAM"), tmp_path / "log")
    assert (found["decision"], found["entity"], found["chance"]) == ("undecided", None, None)
    assert len(found["candidates"]) == 10


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("search", {"query": ""}, "query"),
    ("search", {"query": "x" * 2001}, "query"),
    ("search", {"query": "x", "k": 0}, "k"),
    ("search", {"query": "x", "k": 101}, "k"),
    ("search", {"query": "x\0"}, "NUL"),
    ("search", {"query": "x", "filter": {"planet": "Mars"}}, "no field 'planet'"),
    ("resolve", {"text": " "}, "is empty"),
    ("resolve", {}, "text"),
    ("entity", {"id": "nobody"}, "no entity"),
    ("dance", {}, "dance"),
]


def test_what_is_refused_is_said_without_a_traceback(served: Server, whole: Path, tmp_path: Path) -> None:
    async def task(client: Client) -> list[str]:
        messages = []
        for tool, arguments, _ in REFUSED:
            with pytest.raises((RuntimeError, MCPError)) as caught:
                await call(client, tool, **arguments)
            messages.append(str(caught.value))
        return messages

    for messages in (over_http(served, task), over_pipes(whole, task, tmp_path / "log")):
        for (_, _, expected), message in zip(REFUSED, messages, strict=True):
            assert expected in message
            assert "Traceback" not in message
            assert 'File "' not in message


def test_a_bug_is_not_shown_to_the_client(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    from honed.connect.mcp import make_server

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("secret of /home/me")

    server = make_server(searcher, "test")
    monkeypatch.setattr(Searcher, "search", broken)

    async def run() -> str:
        async with Client(server) as client:
            with pytest.raises(RuntimeError) as caught:
                await call(client, "search", query="x")
            return str(caught.value)

    assert "secret" not in asyncio.run(run())


def test_stdout_is_for_messages_alone(whole: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    found = subprocess.run(
        [sys.executable, "-m", "honed", "mcp", str(whole)],
        input=json.dumps(hello) + "\nthis is no message\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert lines
    assert all(line["jsonrpc"] == "2.0" for line in lines)
    assert lines[0]["result"]["serverInfo"]["name"] == f"honed: {whole.stem}"
    assert "Traceback" not in found.stdout


def test_other_origins_and_hosts_are_refused_and_a_key_is_asked_for(
    served: Server, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for header, status in (({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 421)):
        assert served.ask("POST", "/mcp", {}, header)[0] == status
    assert served.ask("GET", "/v1/bundle")[0] == 404
    assert run_command(["mcp", str(whole), "--http", "--host", "0.0.0.0"]) == 2
    assert "reachable from outside" in capsys.readouterr().err


def test_it_takes_a_big_body_no_further_than_its_header(served: Server) -> None:
    status, answer = served.announce("/mcp", (1 << 20) + 1)
    assert (status, answer["error"]["code"]) == (413, "E_BODY_TOO_BIG")
