"""The log of searches: what is kept, whole lines, a bounded size, and answers that go on whatever the disk does."""

import errno
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honed.core.errors import StorageError
from honed.serve import query_log as module
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.query_log import LogOptions, QueryLog
from honed.serve.ubi import decode_events, event_lines
from tests.shipped import Server

Serve = Callable[..., Server]
LIMITS = Limits(max_batch=3)


def lines_of(path: Path) -> list[Any]:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content
    return [json.loads(line) for line in content.splitlines()]


def wait_for_lines(path: Path, n_lines: int) -> list[Any]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if path.is_file() and path.read_bytes().count(b"\n") >= n_lines:
            break
        time.sleep(0.02)
    lines = lines_of(path)
    assert len(lines) == n_lines
    return lines


class Counts:
    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, result: str, n_lines: int) -> None:
        with self._lock:
            self.lines[result] += n_lines


def event(**changes: Any) -> dict[str, Any]:
    position = {"object": {"object_id": "Q1", "object_id_field": "doc_id"}, "position": {"ordinal": 2}}
    return {
        "action_name": "click",
        "query_id": "s1",
        "timestamp": "2026-01-01T00:00:00Z",
        "event_attributes": position,
        **changes,
    }


class TestServer:
    def test_a_search_and_its_events_are_kept_in_the_schema(self, made: Path, serve: Serve, tmp_path: Path) -> None:
        log = tmp_path / "ubi.jsonl"
        server = serve(made, "--log", str(log))
        answer = server.ask("POST", "/v1/search", {"query": "university", "k": 3, "ubi": {"client_id": "me"}})[1]
        many = server.ask("POST", "/v1/search", {"queries": ["college", "UM"], "target": "aliases"})[1]
        by_url = server.ask("GET", "/v1/search?query=UM")[1]
        given = {"query": "UM", "ubi": {"query_id": "mine", "application": "shop"}}
        assert server.ask("POST", "/v1/search", given)[1]["query_id"] == "mine"
        sent = [event(query_id=answer["query_id"], user_id="u7", message="text", session_id="x"), event()]
        assert server.ask("POST", "/ubi/events", sent)[0] == 204
        assert server.ask("POST", "/ubi/events", event(action_name="impression"))[0] == 204
        kept = wait_for_lines(log, 8)
        first = kept[0]
        hits = [hit["doc_id"] for hit in answer["hits"]]
        assert first.pop("timestamp").endswith("Z") and len(first.pop("query_response_id")) == 36
        assert first == {
            "query_id": answer["query_id"],
            "user_query": "university",
            "query_response_hit_ids": hits,
            "object_id_field": "doc_id",
            "query_attributes": {"target": "entities"},
            "application": "honed",
            "client_id": "me",
        }
        assert [line["user_query"] for line in kept[1:5]] == ["college", "UM", "UM", "UM"]
        assert [line["query_attributes"]["target"] for line in kept[1:4]] == ["aliases", "aliases", "entities"]
        assert [result["query_id"] for result in many["results"]] == [line["query_id"] for line in kept[1:3]]
        assert (by_url["query_id"], kept[4]["application"]) == (kept[3]["query_id"], "shop")
        assert all("client_id" not in line for line in kept[1:])
        click = kept[5]
        assert click.pop("timestamp") > "2026-06" and click == {
            "action_name": "click",
            "query_id": answer["query_id"],
            "event_attributes": event()["event_attributes"],
        }
        assert "127.0.0.1" not in log.read_text()
        assert log.stat().st_mode & 0o077 == 0
        assert 'honed_log_lines_total{result="written"} 8.0' in server.ask("GET", "/metrics")[1]
        assert server.stop() == 0

    def test_without_the_option_nothing_is_kept(self, server: Server) -> None:
        answer = server.ask("POST", "/v1/search", {"query": "university", "ubi": {"client_id": "me"}})[1]
        assert "query_id" not in answer
        status, found, _ = server.ask("POST", "/ubi/events", event())
        assert (status, found["error"]["code"]) == (404, "E_NO_LOG")

    def test_a_full_disk_takes_no_answer(self, made: Path, serve: Serve) -> None:
        server = serve(made, "--log", "/dev/full")
        for _ in range(3):
            assert server.ask("POST", "/v1/search", {"query": "university"})[0] == 200
        end = time.monotonic() + 20
        lost = 'honed_log_lines_total{result="lost"} 3.0'
        while lost not in server.ask("GET", "/metrics")[1] and time.monotonic() < end:
            time.sleep(0.05)
        assert lost in server.ask("GET", "/metrics")[1]
        assert server.log.read_text().count("lines are lost: No space left on device; answers go on") == 1

    def test_a_log_that_cannot_be_opened_stops_the_start(self, made: Path, serve: Serve, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match=r"E_LOG: .*no/ubi.jsonl: cannot be written: No such file"):
            serve(made, "--log", str(tmp_path / "no" / "ubi.jsonl"))


class TestEvents:
    def test_an_object_and_a_list_are_taken_and_ids_become_texts(self) -> None:
        assert decode_events(event(), LIMITS) == decode_events([event()], LIMITS)
        number = event(event_attributes={"object": {"object_id": 10**30}, "position": {"xy": {"x": 1, "y": 2}}})
        (line,) = event_lines(decode_events(number, LIMITS))
        assert json.loads(line)["event_attributes"] == {"object": {"object_id": str(10**30)}, "position": {}}

    @pytest.mark.parametrize(
        ("content", "status", "code", "message"),
        [
            ([], 422, "E_MISSING", "the list holds no event"),
            ("click", 422, "E_TYPE", "an event is an object"),
            ([event(), 3], 422, "E_TYPE", "an event is an object"),
            ([event()] * 4, 413, "E_BATCH_TOO_BIG", "4 events; max_batch is 3"),
            ({"query_id": "s1"}, 422, "E_MISSING", "action_name is missing"),
            (event(action_name=3), 422, "E_TYPE", "action_name is a number; expected a text"),
            (event(action_name=""), 422, "E_RANGE", "action_name has 0 characters; allowed: 1..100"),
            (event(client_id="x" * 101), 422, "E_RANGE", "client_id has 101 characters; allowed: 1..100"),
            (event(query_id="\ud800"), 422, "E_ENCODING", "query_id holds a lone surrogate, which is no text"),
            (
                event(event_attributes={"position": {"ordinal": 0}}),
                422,
                "E_RANGE",
                "event_attributes.position.ordinal is not in 1..1000000",
            ),
            (
                event(event_attributes={"object": {"object_id": "x" * 257}}),
                422,
                "E_RANGE",
                "event_attributes.object.object_id has 257 characters; allowed: 1..256",
            ),
        ],
    )
    def test_what_is_no_event_is_refused(self, content: Any, status: int, code: str, message: str) -> None:
        with pytest.raises(RequestError) as caught:
            decode_events(content, LIMITS)
        assert (caught.value.status, caught.value.code, caught.value.message) == (status, code, message)


class TestLog:
    def test_lines_of_many_threads_stay_whole(self, tmp_path: Path) -> None:
        counts, path = Counts(), tmp_path / "log"
        log = QueryLog(LogOptions(path=path), counts)

        def write(thread: int) -> None:
            for number in range(200):
                log.add([json.dumps([thread, number]).encode() + b"\n"])

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.close()
        assert sorted(map(tuple, lines_of(path))) == [(thread, number) for thread in range(4) for number in range(200)]
        assert counts.lines == {"written": 800}

    def test_the_size_is_bounded_and_the_newest_lines_stay(self, tmp_path: Path) -> None:
        counts, path, most = Counts(), tmp_path / "log", 4000
        log = QueryLog(LogOptions(path=path, max_bytes=most), counts)
        for number in range(1000):
            log.add([b'{"n": %06d}\n' % (number + 100_000)])
        log.close()
        parts = [module.older_file(path, number) for number in (3, 2, 1)] + [path]
        assert {file.name for file in tmp_path.iterdir()} == {part.name for part in parts}
        assert sum(part.stat().st_size for part in parts) <= most
        kept = [line["n"] for part in parts for line in lines_of(part)]
        assert kept == list(range(101_000 - len(kept), 101_000)) and len(kept) > 200
        assert counts.lines == {"written": 1000}

    def test_a_line_longer_than_the_file_is_lost_alone(self, tmp_path: Path) -> None:
        counts, path = Counts(), tmp_path / "log"
        log = QueryLog(LogOptions(path=path, max_bytes=400), counts)
        log.add([b'"' + b"x" * 200 + b'"\n'])
        log.add([b"1\n"])
        log.close()
        assert (lines_of(path), counts.lines) == ([1], {"lost": 1, "written": 1})

    def test_a_line_that_a_crash_cut_short_is_taken_off(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(b'{"a": 1}\n{"b": "' + b"x" * 200_000)
        log = QueryLog(LogOptions(path=path), Counts())
        log.add([b"2\n"])
        log.close()
        assert lines_of(path) == [{"a": 1}, 2]

    def test_a_second_writer_is_refused(self, tmp_path: Path) -> None:
        log = QueryLog(LogOptions(path=tmp_path / "log"), Counts())
        with pytest.raises(StorageError, match="another server writes to it"):
            QueryLog(LogOptions(path=tmp_path / "log"), Counts())
        log.close()
        QueryLog(LogOptions(path=tmp_path / "log"), Counts()).close()

    def test_half_a_line_is_taken_back_and_the_next_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        counts, path, real = Counts(), tmp_path / "log", os.write
        log = QueryLog(LogOptions(path=path), counts)
        log.add([b"1\n"])
        wait_for_lines(path, 1)
        monkeypatch.setattr(module.os, "write", lambda file, block: real(file, block[:3]))
        with caplog.at_level(logging.WARNING, "honed.server"):
            for _ in range(5):
                log.add([b'"lost"\n'])
            end = time.monotonic() + 20
            while counts.lines["lost"] < 5 and time.monotonic() < end:
                time.sleep(0.01)
        monkeypatch.setattr(module.os, "write", real)
        log.add([b"2\n"])
        log.close()
        assert (lines_of(path), counts.lines) == ([1, 2], {"written": 2, "lost": 5})
        assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
            f"lines are lost: {os.strerror(errno.ENOSPC)}; answers go on"
        ]

    def test_a_disk_that_hangs_holds_nobody_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counts, path, real, goes_on = Counts(), tmp_path / "log", os.write, threading.Event()

        def slow(file: int, block: bytes) -> int:
            goes_on.wait(30)
            return real(file, block)

        log = QueryLog(LogOptions(path=path), counts)
        monkeypatch.setattr(module.os, "write", slow)
        line = b'"' + b"x" * (1 << 20) + b'"\n'
        started = time.monotonic()
        for _ in range(20):
            log.add([line])
        assert time.monotonic() - started < 5
        assert counts.lines["lost"] == 13  # eight MB wait, less their quotes
        goes_on.set()
        log.close()
        assert counts.lines == {"written": 7, "lost": 13}
