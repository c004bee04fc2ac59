"""A server whose work is done by processes of their own."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed import Searcher
from honed.core.errors import ArtifactError, ConfigError
from honed.core.records import Answer, Hit
from honed.serve.batching import EncodeWork, SearchWork
from honed.serve.frames import Reply
from honed.serve.workers import WorkerOptions, WorkerProcess, start_workers
from tests.shipped import Server, running

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc")


@pytest.fixture(scope="module")
def workers(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(Server(made, "--workers", "2", log=tmp_path_factory.mktemp("workers") / "log"))


def processes(pid: int) -> list[int]:
    """The processes that one has started."""
    return sorted({int(n) for file in Path(f"/proc/{pid}/task").glob("*/children") for n in file.read_text().split()})


def gone(pid: int) -> bool:
    """Whether a process has ended, and nobody but its parent knows of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_answers_are_those_of_the_searcher(workers: Server, made: Path) -> None:
    asked = {"query": "university", "k": 4, "candidates": False, "explain": False}
    status, found, _ = workers.ask("POST", "/v1/search", asked)
    assert status == 200
    wanted = Searcher.load(made).search("university", 4)
    assert [hit["doc_id"] for hit in found["hits"]] == [hit.doc_id for hit in wanted]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit.score for hit in wanted], abs=1e-4)
    vectors = workers.ask("POST", "/v1/encode", {"texts": ["a", "b c"], "role": "document"})[1]["vectors"]
    assert np.abs(Searcher.load(made).encoder.encode(["a", "b c"], "document") - vectors).max() < 1e-4
    assert workers.ask("GET", "/v1/bundle")[1]["engine"]
    assert len(processes(workers.process.pid)) == 2


def test_what_cannot_be_answered_is_said_by_the_server(workers: Server) -> None:
    status, found, _ = workers.ask("POST", "/v1/search", {"query": "x", "filter": {"no such field": "y"}})
    assert (status, found["error"]["code"]) == (422, "E_FILTER")
    assert "no such field" in found["error"]["message"]


def test_a_worker_that_dies_is_started_again_and_nobody_notices(workers: Server) -> None:
    before = processes(workers.process.pid)
    stop = time.monotonic() + 3

    def ask() -> set[int]:
        statuses = set()
        while time.monotonic() < stop:
            statuses.add(workers.ask("POST", "/v1/search", {"query": "college", "k": 2})[0])
        return statuses

    with ThreadPoolExecutor(4) as pool:
        asks = [pool.submit(ask) for _ in range(4)]
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        assert set().union(*(asked.result() for asked in asks)) == {200}
    assert all(map(gone, before))
    # one that was idle all the time is noticed when it is asked
    assert any(not gone(worker) and worker not in before for worker in processes(workers.process.pid))


def test_a_reload_brings_new_workers_and_a_stop_ends_all(made: Path, serve: Callable[..., Server]) -> None:
    server = serve(made, "--workers", "1")
    server.wait_ready()
    first = processes(server.process.pid)
    fingerprint = server.ask("GET", "/v1/bundle")[1]["self"]
    assert server.ask("POST", "/v1/reload")[1]["self"] == fingerprint
    until(lambda: all(map(gone, first)))
    second = processes(server.process.pid)
    assert len(second) == 1
    assert server.ask("POST", "/v1/search", {"query": "college", "k": 2})[0] == 200
    for worker in second:  # as a supervisor does that signals the whole group
        os.kill(worker, signal.SIGTERM)
    assert server.stop() == 0
    until(lambda: all(map(gone, second)))
    assert "Traceback" not in server.log.read_text()


def test_workers_end_when_the_server_is_killed(made: Path, serve: Callable[..., Server]) -> None:
    server = serve(made, "--workers", "1")
    server.wait_ready()
    (worker,) = processes(server.process.pid)
    server.process.kill()
    until(lambda: gone(worker))


def test_a_worker_of_another_bundle_is_refused(made: Path) -> None:
    opening = WorkerOptions(n=1).opening(Searcher.load(made))
    worker = WorkerProcess(msgspec.structs.replace(opening, fingerprint="of another"), 60)
    with pytest.raises(ArtifactError, match="another bundle"):
        worker.wait()
    worker.close()


def test_errors_keep_their_kind_and_a_bug_stops_nothing(made: Path) -> None:
    (worker,) = start_workers(Searcher.load(made), WorkerOptions(n=1))
    try:
        with pytest.raises(ConfigError, match="E_FILTER"):
            worker.run(SearchWork("alias-to-label", '{"no field": 1}'), ["a"], 3)
        with pytest.raises(RuntimeError):
            worker.run(EncodeWork("no role"), ["a"], 0)  # type: ignore[arg-type]
        assert worker.run(EncodeWork("query"), ["a", "b"], 0).shape == (2, 32)
    finally:
        worker.close()


def test_a_result_comes_back_as_it_was() -> None:
    hit = Hit(doc_id="1", text="é", score=0.5, cosine=0.25, matched="e", rank=1, fields={"a": "b"}, chance=0.125)
    answers = [Answer(hits=[hit], chance=0.5, match=True, candidates=[hit], absent=0.25), Answer(hits=[])]
    for result in (answers, np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 4), np.float32)):
        back = msgspec.msgpack.decode(msgspec.msgpack.encode(Reply.of(result)), type=Reply).result()
        if isinstance(result, np.ndarray):
            assert np.array_equal(back, result)
            assert np.shape(back) == result.shape
        else:
            assert back == result
