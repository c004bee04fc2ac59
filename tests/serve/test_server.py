import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from honed import Searcher
from honed.core.errors import ConfigError
from honed.core.records import Answer
from honed.serve.batching import EncodeWork, MicroBatcher, QueueFull, SearcherRunner, SearchWork
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.server import ServeOptions, listen
from honed.serve.server import serve as serve_bundle
from honed.serve.service import Service
from tests.shipped import Server, reseal

Serve = Callable[..., Server]


class TestAnswers:
    @pytest.mark.parametrize("direction", ["alias-to-label", "label-to-alias"])
    def test_a_search_is_answered_as_by_the_searcher(self, server: Server, made: Path, direction: str) -> None:
        status, found, _ = server.ask("POST", "/v1/search", {"query": "university", "k": 4, "direction": direction})
        assert status == 200
        wanted = Searcher.load(made).search("university", 4, direction=direction)
        target = "entities" if direction == "alias-to-label" else "aliases"
        assert server.ask("POST", "/v1/search", {"query": "university", "k": 4, "target": target})[1] == found
        assert [hit["text"] for hit in found["hits"]] == [hit.text for hit in wanted]
        assert found["truncated"] is False

    def test_many_queries_are_answered_in_their_order(self, server: Server) -> None:
        status, found, _ = server.ask("POST", "/v1/search", {"queries": ["college", "UM"], "k": 2})
        assert status == 200
        assert [result["query"] for result in found["results"]] == ["college", "UM"]
        single = server.ask("POST", "/v1/search", {"query": "UM", "k": 2})[1]
        ids = [[hit["doc_id"] for hit in result["hits"]] for result in (found["results"][1], single)]
        assert ids[0] == ids[1]

    def test_a_search_by_url_is_the_same(self, server: Server) -> None:
        by_url = server.ask("GET", "/v1/search?query=college%20of&k=3")[1]
        assert by_url["hits"] == server.ask("POST", "/v1/search", {"query": "college of", "k": 3})[1]["hits"]
        assert server.ask("GET", "/v1/search?query=x&k=three")[0] == 422

    def test_vectors_are_those_of_the_bundle(self, server: Server, made: Path) -> None:
        found = server.ask("POST", "/v1/encode", {"texts": ["a", "b c"], "role": "document"})[1]
        wanted = Searcher.load(made).encoder.encode(["a", "b c"], "document")
        assert found["dim"] == wanted.shape[1]
        assert abs(wanted - found["vectors"]).max() < 1e-5

    def test_an_entity_is_found_by_id(self, server: Server) -> None:
        hit = server.ask("POST", "/v1/search", {"query": "university", "k": 1})[1]["hits"][0]
        status, found, _ = server.ask("GET", f"/v1/entities/{hit['doc_id']}")
        assert (status, found["label"]) == (200, hit["text"])
        assert found["aliases"]
        assert server.ask("GET", "/v1/entities/nobody%2Fhere")[0] == 404

    def test_a_text_beyond_the_models_length_says_so(self, server: Server) -> None:
        assert server.ask("POST", "/v1/search", {"query": "a b " * 60})[1]["truncated"] is True

    def test_health_metrics_and_description(self, server: Server) -> None:
        assert server.ask("GET", "/healthz")[1] == {"status": "ok"}
        text = server.ask("GET", "/metrics")[1]
        assert 'honed_requests_total{route="/v1/search",status="200"}' in text
        assert "process_resident_memory_bytes" in text
        paths = server.ask("GET", "/openapi.json")[1]["paths"]
        assert {"/v1/search", "/v1/encode", "/v1/entities/{entity_id}", "/v1/bundle", "/v1/reload"} <= set(paths)
        assert "requestBody" in paths["/v1/search"]["post"]

    def test_about_tells_the_manifest_and_the_engine(self, server: Server) -> None:
        found = server.ask("GET", "/v1/bundle")[1]
        assert found["engine"] == "onnxruntime"
        assert found["measures"]["protocol"] == "held-out"

    def test_each_request_is_one_clean_line_of_the_log(self, server: Server) -> None:
        server.ask("GET", "/v1/entities/x%0d%0a2026%20INFO%20login%1b[31m")
        time.sleep(0.1)
        line = server.log.read_text().splitlines()[-1]
        assert "GET /v1/entities/x%0d%0a2026%20INFO%20login%1b[31m 404" in line

    def test_one_url_more_is_not_a_file(self, server: Server) -> None:
        for path in ("/static/..%2f..%2fetc/passwd", "/static/../app.py", "/static/%2e%2e/x", "/docs", "/static/"):
            assert server.ask("GET", path)[0] == 404


class TestWhoMayAsk:
    def test_a_public_address_needs_a_key(self, made: Path) -> None:
        with pytest.raises(ConfigError, match="give --api-key-file"):
            serve_bundle(made, ServeOptions(host="0.0.0.0", port=0))

    def test_another_host_name_is_refused(self, server: Server) -> None:
        status, found, _ = server.ask("GET", "/healthz", headers={"Host": "evil.example"})
        assert (status, found["error"]["code"]) == (421, "E_HOST")

    @pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1"])
    def test_another_origin_is_refused(self, server: Server, origin: str) -> None:
        status, found, _ = server.ask("POST", "/v1/search", {"query": "a"}, {"Origin": origin})
        assert (status, found["error"]["code"]) == (403, "E_ORIGIN")

    def test_the_own_origin_is_answered(self, server: Server) -> None:
        origin = f"http://127.0.0.1:{server.port}"
        assert server.ask("POST", "/v1/search", {"query": "a"}, {"Origin": origin})[0] == 200

    def test_a_key_opens_and_nothing_else_does(self, made: Path, serve: Serve, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("s3cret\n")
        server = serve(made, "--api-key-file", str(tmp_path / "key"), "--host", "0.0.0.0", "--allow-host", "names.test")
        body = {"query": "college"}
        missing = server.ask("POST", "/v1/search", body)
        wrong = server.ask("POST", "/v1/search", body, {"Authorization": "Bearer nope"})
        assert missing[:2] == wrong[:2]
        assert missing[0] == 401
        for headers in ({"Authorization": "Bearer s3cret"}, {"X-API-Key": "s3cret"}):
            assert server.ask("POST", "/v1/search", body, {"Host": "names.test", **headers})[0] == 200
        for path in ("/report", "/metrics", "/v1/bundle", "/openapi.json", "/v1/entities/x"):
            assert server.ask("GET", path)[0] == 401
        for path in ("/", "/static/search.js", "/healthz"):
            assert server.ask("GET", path)[0] == 200
        assert server.ask("POST", "/v1/session", {"key": "nope"})[0] == 401
        cookie = server.ask("POST", "/v1/session", {"key": "s3cret"})[2]["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert server.ask("GET", "/report", headers={"Cookie": cookie.split(";")[0]})[0] == 200
        assert "s3cret" not in server.log.read_text()


class TestOddClients:
    def test_an_origin_that_is_no_address_is_refused(self, server: Server) -> None:
        assert server.ask("GET", "/healthz", headers={"Origin": "http://["})[0] == 403

    def test_a_request_may_arrive_in_pieces(self, server: Server) -> None:
        body = json.dumps({"texts": ["x" * 400] * 60}).encode()  # more than all headers may have
        head = b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head)
            time.sleep(0.2)
            connection.sendall(b"\r\n" + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")

    def test_one_who_leaves_is_counted_as_such(self, made: Path, serve: Serve) -> None:
        server = serve(made)
        server.wait_ready()
        body = json.dumps({"texts": ["a long name of something " * 4] * 60}).encode()
        for sent in (body, body[:100]):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(
                    b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(body) + sent
                )
        for _ in range(1000):
            text = server.ask("GET", "/metrics")[1]
            if "honed_cancelled_total 2.0" in text:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(text)
        assert 'status="500"' not in text
        assert "Traceback" not in server.log.read_text()

    def test_brackets_in_names_are_no_nesting(self, server: Server) -> None:
        names = ["University of X [formerly"] * 17
        assert server.ask("POST", "/v1/search", {"queries": names})[0] == 200

    def test_too_many_tokens_are_told_while_others_are_answered(self, made: Path) -> None:
        service = Service(made, Limits(max_tokens=100))

        async def main() -> list[object]:
            asks = [service.batcher.submit(EncodeWork("query"), texts) for texts in (["a"], ["long " * 40] * 3, ["b"])]
            return await asyncio.gather(*asks, return_exceptions=True)

        first, long, last = asyncio.run(main())
        assert isinstance(long, RequestError)
        assert (long.status, long.code) == (413, "E_TOO_MANY_TOKENS")
        assert np.shape(first) == np.shape(last) == (1, 32)
        service.batcher.stop()

    def test_more_connections_than_files_leave_the_server_alive(self, made: Path, tmp_path: Path) -> None:
        script = "ulimit -n 300; exec " + " ".join([sys.executable, "-m", "honed", "serve", str(made), "--port", "0"])
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(["bash", "-c", script], stderr=out, stdout=out)
        try:
            for _ in range(200):
                if "serving" in log.read_text():
                    break
                time.sleep(0.05)
            port = int(log.read_text().strip().rpartition(":")[2])
            idle = []
            for _ in range(400):
                client = socket.socket()
                client.settimeout(5)
                client.connect(("127.0.0.1", port))
                idle.append(client)
            time.sleep(0.5)
            for client in idle:
                client.close()
            time.sleep(0.5)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
            assert len(log.read_text().splitlines()) < 10
        finally:
            process.kill()
            process.wait()


class TestReload:
    def test_a_new_bundle_takes_over_and_an_unfit_one_does_not(
        self, made: Path, made_int8: Path, serve: Serve, tmp_path: Path
    ) -> None:
        current = tmp_path / "current"
        current.symlink_to(made)
        server = serve(current)
        assert server.ask("GET", "/v1/bundle")[1]["precision"] == "fp32"
        current.unlink()
        current.symlink_to(made_int8)
        assert server.ask("POST", "/v1/reload")[0] == 200
        assert server.ask("GET", "/v1/bundle")[1]["precision"] == "int8"
        broken = Path(shutil.copytree(made, tmp_path / "broken"))
        (broken / "records.parquet").write_bytes(b"x")
        current.unlink()
        current.symlink_to(broken)
        status, found, _ = server.ask("POST", "/v1/reload")
        assert (status, found["error"]["code"]) == (409, "E_BUNDLE_SIZE")
        assert server.ask("GET", "/v1/bundle")[1]["precision"] == "int8"
        assert server.ask("POST", "/v1/search", {"query": "college"})[0] == 200
        assert 'honed_reloads_total{result="refused"} 1.0' in server.ask("GET", "/metrics")[1]

    def test_sighup_loads_again(self, bundle: Path, serve: Serve) -> None:
        server = serve(bundle)
        reseal(bundle, title="second")
        server.process.send_signal(signal.SIGHUP)
        for _ in range(1000):
            if server.ask("GET", "/v1/bundle")[1]["title"] == "second":
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the new title was never served")

    def test_no_request_fails_while_bundles_change(self, made: Path, serve: Serve) -> None:
        server = serve(made)
        server.wait_ready()
        statuses: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                statuses.append(server.ask("POST", "/v1/search", {"query": "college"})[0])

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        assert [server.ask("POST", "/v1/reload")[0] for _ in range(5)] == [200] * 5
        done.set()
        for client in clients:
            client.join()
        assert set(statuses) == {200}
        assert len(statuses) > 5


class TestStop:
    def test_every_accepted_request_is_answered(self, made: Path, serve: Serve) -> None:
        server = serve(made)
        server.wait_ready()
        outcomes: list[str] = []

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            while True:
                try:
                    connection.request(
                        "POST", "/v1/search", json.dumps({"query": "college"}), {"Content-Type": "application/json"}
                    )
                    answer = connection.getresponse()
                    answer.read()
                    outcomes.append(str(answer.status))
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    outcomes.append(type(error).__name__)
                    connection.close()

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        assert server.stop() == 0
        for client in clients:
            client.join()
        assert set(outcomes) == {"200"}

    def test_a_bundle_that_is_unfit_is_not_served(self, bundle: Path) -> None:
        (bundle / "records.parquet").unlink()
        done = subprocess.run(
            [sys.executable, "-m", "honed", "serve", str(bundle), "--port", "0"], capture_output=True, text=True
        )
        assert done.returncode == 3
        assert "E_BUNDLE_INCOMPLETE" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_taken_port_is_an_error_of_one_line(self, made: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            done = subprocess.run(
                [sys.executable, "-m", "honed", "serve", str(made), "--port", str(taken.getsockname()[1])],
                capture_output=True,
                text=True,
            )
        assert done.returncode == 74
        assert "E_ADDRESS" in done.stderr


def test_answers_are_sent_at_once() -> None:
    """A connection that waits until its last packet was acknowledged makes every answer 40 ms late."""

    async def main() -> int:
        accepted = asyncio.get_running_loop().create_future()

        class Accepts(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(
                    transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                )

        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.get_running_loop().create_server(Accepts, sock=listener)
            with socket.create_connection(listener.getsockname()):
                found: int = await asyncio.wait_for(accepted, 60)
            server.close()
        return found

    assert asyncio.run(main()) == 1


class _Slow:
    """A searcher that waits for a signal; for the queue alone."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[str]] = []

    def answer_many(self, texts: list[str], k: int, *, direction: str, **_: object) -> list[Answer]:
        self.go.wait(10)
        self.batches.append(list(texts))
        return [Answer(hits=[f"{text}{rank}" for rank in range(k)]) for text in texts]  # type: ignore[misc]


class TestQueue:
    def test_what_waits_is_answered_together_and_each_gets_its_own(self) -> None:
        slow = _Slow()
        batcher = MicroBatcher([SearcherRunner(slow)], max_waiting=10)  # type: ignore[arg-type]

        async def main() -> list[list[Answer]]:
            asks = [asyncio.ensure_future(batcher.submit(SearchWork("x"), ["0"], 1))]
            await asyncio.sleep(0.1)
            asks += [asyncio.ensure_future(batcher.submit(SearchWork("x"), [str(n)], n + 1)) for n in range(1, 4)]
            await asyncio.sleep(0.1)
            slow.go.set()
            return await asyncio.gather(*asks)

        found = asyncio.run(main())
        assert [answers[0].hits for answers in found] == [
            ["00"],
            ["10", "11"],
            ["20", "21", "22"],
            ["30", "31", "32", "33"],
        ]
        assert slow.batches == [["0"], ["1", "2", "3"]]
        batcher.stop()

    def test_a_full_queue_refuses_at_once_and_a_cancelled_request_frees_its_place(self) -> None:
        slow = _Slow()
        batcher = MicroBatcher([SearcherRunner(slow)], max_waiting=2)  # type: ignore[arg-type]

        async def main() -> None:
            first = asyncio.ensure_future(batcher.submit(SearchWork("x"), ["running"], 1))
            await asyncio.sleep(0.1)
            second, third = (asyncio.ensure_future(batcher.submit(SearchWork("x"), ["waiting"], 1)) for _ in range(2))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull):
                await batcher.submit(SearchWork("x"), ["too many"], 1)
            second.cancel()
            await asyncio.sleep(0)
            fourth = asyncio.ensure_future(batcher.submit(SearchWork("x"), ["in its place"], 1))
            await asyncio.sleep(0)
            slow.go.set()
            await asyncio.gather(first, third, fourth)

        asyncio.run(main())
        assert slow.batches == [["running"], ["waiting", "in its place"]]
        batcher.stop()

    def test_what_cannot_be_answered_in_time_is_refused_at_once(self) -> None:
        slow = _Slow()
        batcher = MicroBatcher([SearcherRunner(slow)], max_waiting=100, max_seconds=1.0)  # type: ignore[arg-type]

        async def main() -> None:
            batcher._pace.seconds = 0.3  # of a text, as if batches had shown it
            asks = [asyncio.ensure_future(batcher.submit(SearchWork("x"), ["long", "text"] * 5, 1))]
            await asyncio.sleep(0.1)  # whatever stands first is let in: nothing would ever be answered otherwise
            with pytest.raises(QueueFull):
                await batcher.submit(SearchWork("x"), ["too late"], 1)
            batcher._pace.seconds = 0.08
            asks.append(asyncio.ensure_future(batcher.submit(SearchWork("x"), ["in time"], 1)))
            await asyncio.sleep(0)
            slow.go.set()
            assert [len(answers) for answers in await asyncio.gather(*asks)] == [10, 1]

        asyncio.run(main())
        batcher.stop()
        assert batcher.waiting == 0

    def test_an_error_reaches_every_one_who_waits_and_the_engine_goes_on(self) -> None:
        slow = _Slow()
        slow.go.set()
        batcher = MicroBatcher([SearcherRunner(slow)], max_waiting=2)  # type: ignore[arg-type]

        async def main() -> None:
            with pytest.raises(TypeError):
                await batcher.submit(SearchWork("x"), ["a"], "no number")  # type: ignore[arg-type]
            assert [answer.hits for answer in await batcher.submit(SearchWork("x"), ["a"], 1)] == [["a0"]]

        asyncio.run(main())
        batcher.stop()


def test_more_than_the_queue_holds_is_429_and_a_late_answer_503(made: Path, serve: Serve) -> None:
    server = serve(made, "--max-waiting", "2")
    server.wait_ready()
    statuses: list[int] = []
    names = [f"name number {number} of a long batch" for number in range(128)]

    def ask() -> None:
        statuses.append(server.ask("POST", "/v1/search", {"queries": names})[0])

    clients = [threading.Thread(target=ask) for _ in range(24)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert set(statuses) == {200, 429}
    late = serve(made, "--deadline", "0.01")
    late.wait_ready()
    longer = [f"{name} {name}"[:58] for name in names]  # no machine makes these within 10 ms
    status, found, _ = late.ask("POST", "/v1/search", {"queries": longer})
    assert (status, found["error"]["code"]) == (503, "E_DEADLINE")


def test_installing_serve_alone_is_enough() -> None:
    """The extra names all that the runtime imports outside the standard library."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = {name.split(">")[0].lower() for name in project["dependencies"] + project["optional-dependencies"]["serve"]}
    assert {
        "numpy",
        "tokenizers",
        "onnxruntime",
        "faiss-cpu",
        "starlette",
        "msgspec",
        "uvicorn",
        "prometheus-client",
    } <= named
    assert "torch" not in named
    assert os.environ.get("HONED_API_KEY", "") == ""
