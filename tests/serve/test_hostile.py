"""The collection of hostile bundles, queries and requests, where it is at hand: each has its stated outcome."""

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honed.cli.main import run_command
from tests.shipped import Server, reseal, running
from tests.test_bad_inputs import FILE

CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.is_file() else []
needs_cases = pytest.mark.skipif(not CASES, reason=f"no collection of hostile inputs at {FILE}")


def of(area: str) -> Any:
    return pytest.mark.parametrize(
        "case", [case for case in CASES if case["area"] == area], ids=lambda case: case["name"]
    )


# what is damaged after the manifest was made is found by its hash; what the manifest covers must be found otherwise
FORGED = {
    "onnx_external_data_escape",
    "onnx_infinite_loop",
    "onnx_wrong_io",
    "tokenizer_of_other_model",
    "tokenizer_pad_200m",
    "tokenizer_precompiled",
    "tokenizer_replace_bomb",
    "vectors_nan",
    "records_bad_order",
    "pickle_file",
    "object_npy",
    "faiss_ondisk_invlists",
}
# outcomes of ours that differ, and why they are better
BETTER: dict[str, dict[str, Any]] = {
    # a graph within the graph is refused as it is read: nothing runs, so no self-test has to be stopped
    "onnx_infinite_loop": {"code": "E_BUNDLE_FORMAT"},
    # sizes are told as "size expected 1, actual 2"
    "truncated_model_model_onnx": {"names": ["model/model.onnx", "size expected"]},
    # the bundle keeps its graph of neighbours as plain arrays: no FAISS file is ever opened, whatever it is
    "bitflip_index_ann_faiss": {"code": "E_BUNDLE_INDEX_TYPE", "names": ["index/ann.faiss"], "make": "any"},
    "truncated_index_ann_faiss": {"code": "E_BUNDLE_INDEX_TYPE", "names": ["index/ann.faiss"], "make": "any"},
}
WORDS = {"size expected/actual": ["size expected", "actual"], "sha256 expected/actual": ["sha256 expected", "actual"]}


@needs_cases
@of("bundle")
def test_a_hostile_bundle_is_refused(
    case: dict[str, Any], made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cryptography", reason="the extra sign is not installed")
    bundle = Path(shutil.copytree(made, tmp_path / "bundle"))
    expected = {**case["expected"], **BETTER.get(case["name"], {})}
    place, options = bundle, []
    if expected.get("make") == "any":
        (bundle / "index" / "ann.faiss").write_bytes(b"IxFI")
    elif case["name"] == "manifest_bitflip":
        text = (bundle / "manifest.json").read_text()
        (bundle / "manifest.json").write_text(text.replace('"dim": 32', '"dim": 33'))
    else:
        exec(case["generator"], {"path": bundle})  # the collection's own recipe
    if case["name"] in FORGED:
        reseal(bundle)
    if case["name"] == "archive_duplicate_member":
        place = tmp_path / "b.zip"
    if case["name"] == "unsigned_when_required":
        (tmp_path / "key.pem").write_text("")
        options = ["--require-signature", str(tmp_path / "key.pem")]
    code = run_command(["--quiet", "search", "college", "--bundle", str(place), *options])
    printed = "".join(capsys.readouterr())
    assert code == expected["exit"], printed
    assert any(code in printed for code in expected["code"].split(" or ")), printed
    assert "Traceback" not in printed
    for name in expected["names"]:
        for word in WORDS.get(name, [name]):
            assert word in printed, f"{word!r} is not in: {printed}"
    assert len(printed.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def guarded(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(Server(made, log=tmp_path_factory.mktemp("guarded") / "log"))


@needs_cases
@of("query")
def test_a_hostile_query_has_its_outcome(
    case: dict[str, Any], guarded: Server, tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = case["expected"]
    if case["name"] == "cli_dash_query":
        assert run_command(["--quiet", "search", "--bundle", str(made), "--json", "--", "--help"]) == expected["exit"]
        assert json.loads(capsys.readouterr().out)
        return
    payload = case["payload"]
    if payload is None:
        exec(case["generator"], {"path": tmp_path / "body"})
        payload = (tmp_path / "body").read_text()
    payload = payload.replace("<max_length+1 tokens>", "a " * 70)
    time.sleep(0.05)
    lines = len(guarded.log.read_text().splitlines())
    status, found, _ = guarded.ask("POST", "/v1/search", payload.encode())
    assert status == expected["http"], found
    if expected["code"]:
        assert found["error"]["code"] == expected["code"]
    for name in expected["names"]:
        wanted = '"truncated": true' if name == "truncated: true" else name
        assert wanted in json.dumps(found), found
    time.sleep(0.05)
    assert len(guarded.log.read_text().splitlines()) == lines + 1
    if case["name"] == "nfd_query":
        other = guarded.ask("POST", "/v1/search", {"query": "caf\u00e9"})[1]
        assert [(hit["doc_id"], hit["score"]) for hit in other["hits"]] == [
            (hit["doc_id"], hit["score"]) for hit in found["hits"]
        ]
    assert guarded.ask("POST", "/v1/search", {"query": "college"})[0] == 200


@needs_cases
@of("http")
def test_a_hostile_request_has_its_outcome(case: dict[str, Any], guarded: Server, made: Path, tmp_path: Path) -> None:
    expected, server = case["expected"], guarded
    if case["name"] == "wrong_api_key":
        (tmp_path / "key").write_text("right")
        server = Server(made, "--api-key-file", str(tmp_path / "key"), log=tmp_path / "log")
    before = server.rss()
    if case["name"] == "disconnect_before_answer":
        check_disconnect(case, server)
    else:
        status = send(case, server)
        assert status.startswith(b"HTTP/1.1 %d " % expected["http"]), status
        assert b"Traceback" not in status
    started = time.monotonic()
    if server is guarded:
        assert server.ask("POST", "/v1/search", {"query": "college"})[0] == 200
        assert time.monotonic() - started < 1
    assert server.rss() - before < 20
    assert "Traceback" not in server.log.read_text()
    if server is not guarded:
        assert server.stop() == 0


def send(case: dict[str, Any], server: Server) -> bytes:
    made: dict[str, Any] = {}
    exec(case["generator"], made)
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        if "request" in made:
            connection.sendall(made["request"])
            return b"".join(received(connection))
        script: Callable[[socket.socket], bytes | None] = made["script"]
        found = b""
        with contextlib.suppress(OSError):
            found = script(connection) or b""
        return found or b"".join(received(connection))


def received(connection: socket.socket) -> Iterator[bytes]:
    connection.settimeout(10)
    with contextlib.suppress(OSError):
        while block := connection.recv(65536):
            yield block
            if b"\r\n\r\n" in block:
                return


def check_disconnect(case: dict[str, Any], server: Server) -> None:
    made: dict[str, Any] = {}
    exec(case["generator"], made)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        made["script"](connection)
    for _ in range(40):
        text = server.ask("GET", "/metrics")[1]
        flight = next(line for line in text.splitlines() if line.startswith("honed_in_flight "))
        if flight.endswith(" 1.0"):  # the question for the metrics itself
            return
        time.sleep(0.05)
    raise AssertionError("the place was never freed")
