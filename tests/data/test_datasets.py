import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from honed.core.errors import ConfigError, DataError, StorageError
from honed.core.fingerprint import sha256_file
from honed.data.datasets import REGISTRY, DataFile, DataSet, fetch, find

CONTENT = bytes(range(256)) * 800


class Server(ThreadingHTTPServer):
    """Serves CONTENT; may cut answers short, ignore ranges, or send wrong bytes."""

    cut_after = 0
    ranges = True
    body = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_after:
            body, self.server.cut_after = body[: self.server.cut_after], 0
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def dataset(server: Server) -> DataSet:
    file = DataFile(
        name="f.bin",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        columns="",
        url=f"http://127.0.0.1:{server.server_port}/f.bin",
    )
    return DataSet(name="d", title="", shape="", licence="", origin="", files=(file,))


def test_a_file_is_fetched_and_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    assert fetch(dataset(server), tmp_path)[0].read_bytes() == CONTENT
    fetch(dataset(server), tmp_path)
    assert server.asked == [""]


def test_a_cut_download_is_continued_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.cut_after = 70_000
    assert fetch(dataset(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.asked == ["", "bytes=70000-"]


def test_a_server_without_ranges_is_asked_for_everything_again(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.ranges = 70_000, False
    assert fetch(dataset(server), tmp_path)[0].read_bytes() == CONTENT


def test_wrong_bytes_are_never_used(server: Server, tmp_path: Path) -> None:
    server.body = b"x" + CONTENT[1:]
    with pytest.raises(DataError, match=r"sha256 is .* expected .*; not used"):
        fetch(dataset(server), tmp_path)
    assert list((tmp_path / "d").iterdir()) == []


def test_a_stale_part_of_wrong_bytes_does_not_survive(server: Server, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f.bin.part").write_bytes(b"?" * len(CONTENT))
    assert fetch(dataset(server), tmp_path)[0].read_bytes() == CONTENT


def test_a_server_that_always_breaks_off_is_an_error_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.body = CONTENT[:1000]
    with pytest.raises(StorageError, match="broke off"):
        fetch(dataset(server), tmp_path)
    assert not (tmp_path / "d" / "f.bin").exists()


def test_a_mirror_folder_is_copied_with_the_same_check(tmp_path: Path, server: Server) -> None:
    mirror = tmp_path / "mirror" / "d"
    mirror.mkdir(parents=True)
    (mirror / "f.bin").write_bytes(CONTENT)
    found = fetch(dataset(server), tmp_path / "out", mirror=str(tmp_path / "mirror"))
    assert found[0].read_bytes() == CONTENT
    (mirror / "f.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="not used"):
        fetch(dataset(server), tmp_path / "other", mirror=str(tmp_path / "mirror"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean dbpedia_schools"):
        find("dbpedia_school")


def test_a_prepared_set_says_that_it_needs_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name a mirror that holds it with --from DIR"):
        fetch(find("mtop"), tmp_path)


def test_the_registry_describes_the_real_files(real_data: Path) -> None:
    import pyarrow.parquet as pq

    for each in REGISTRY:
        assert each.licence
        assert each.origin.startswith("https://")
        for file in each.files:
            path = real_data / each.name / file.name
            assert path.stat().st_size == file.size
            assert sha256_file(path) == file.sha256
            if path.suffix == ".parquet":
                columns = pq.read_schema(path).names
            else:
                columns = path.read_text(encoding="utf-8").split("\n", 1)[0].split(",")
            assert file.columns == ", ".join(columns)
