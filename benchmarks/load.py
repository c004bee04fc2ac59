"""The server under load: latency, errors, memory, reloads, and a stop that loses nothing.

    python benchmarks/load.py BUNDLE [--seconds 60] [--workers 0] [--json]

The clients are plain asyncio sockets with keep-alive on the same machine, so they take a share of its cores.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PORT = 8765


def rss(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


class Client:
    """One keep-alive connection; counts statuses, failures of a connection, and seconds to an answer."""

    def __init__(self, queries: list[str], seed: int) -> None:
        self.random = random.Random(seed)
        self.queries = queries
        self.found: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, *, path: str = "/v1/search", body: dict[str, object] | None = None) -> int:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", PORT)
        reader, writer = self.streams
        content = json.dumps(body or {"query": self.random.choice(self.queries), "k": 10}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(head.encode() + str(len(content)).encode() + b"\r\n\r\n" + content)
        head_bytes = await reader.readuntil(b"\r\n\r\n")
        lines = head_bytes.decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
            self.streams = None
        return int(lines[0].split()[1])

    async def run(self, until: float, stopping: asyncio.Event | None = None) -> None:
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                status = await self.ask()
                self.found[str(status)] += 1
                self.seconds.append(time.monotonic() - started)
            except ConnectionRefusedError:
                self.found["refused: not accepted"] += 1
                if stopping is not None and stopping.is_set():
                    return
            except (OSError, asyncio.IncompleteReadError) as error:
                self.streams = None
                self.found[f"lost: {type(error).__name__}"] += 1
        if self.streams is not None:
            self.streams[1].close()


async def phase(
    name: str, clients: int, seconds: float, queries: list[str], pid: int, during: object = None
) -> dict[str, object]:
    """Run clients for some seconds; ``during`` is a coroutine beside them."""
    everyone = [Client(queries, seed) for seed in range(clients)]
    until = time.monotonic() + seconds
    jobs = [asyncio.create_task(each.run(until)) for each in everyone]
    beside = asyncio.create_task(during) if during is not None else None  # type: ignore[arg-type]
    await asyncio.gather(*jobs)
    extra = await beside if beside is not None else None
    return summary(name, everyone, seconds, pid, extra)


def summary(name: str, everyone: list[Client], seconds: float, pid: int, extra: object = None) -> dict[str, object]:
    times = sorted(each for client in everyone for each in client.seconds)
    found: Counter[str] = sum((client.found for client in everyone), Counter())

    def at(share: float) -> float:
        return round(1000 * times[min(len(times) - 1, int(share * len(times)))], 1) if times else 0.0

    return {
        "phase": name,
        "answers": dict(found),
        "per_second": round(len(times) / seconds, 1),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1),
        "rss_mb": round(rss(pid), 1),
        **({"extra": extra} if extra is not None else {}),
    }


async def reloads(count: int) -> dict[str, int]:
    client, found = Client(["x"], 0), Counter[str]()
    for _ in range(count):
        found[str(await client.ask(path="/v1/reload", body={}))] += 1
    return dict(found)


async def stop_under_load(server: subprocess.Popen[bytes], queries: list[str]) -> dict[str, object]:
    """SIGTERM while 16 clients ask: every request on a connection that was accepted must be answered."""
    stopping = asyncio.Event()
    everyone = [Client(queries, seed) for seed in range(16)]
    jobs = [asyncio.create_task(each.run(time.monotonic() + 30, stopping)) for each in everyone]
    await asyncio.sleep(3)
    stopping.set()
    server.send_signal(signal.SIGTERM)
    started = time.monotonic()
    await asyncio.gather(*jobs)
    code = await asyncio.to_thread(server.wait, 30)
    return {
        **summary("SIGTERM at c=16", everyone, 3, server.pid if server.poll() is None else 1),
        "rss_mb": None,
        "exit": code,
        "seconds_to_stop": round(time.monotonic() - started, 2),
    }


def start(bundle: Path, workers: int) -> subprocess.Popen[bytes]:
    options = ["--port", str(PORT), "--workers", str(workers)]
    server = subprocess.Popen([sys.executable, "-m", "honed", "serve", str(bundle), *options])
    import urllib.error
    import urllib.request

    for _ in range(300):
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz").status == 200:
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the server did not get ready")


async def measure(bundle: Path, seconds: float, workers: int) -> list[dict[str, object]]:
    from honed import Searcher

    names = Searcher.load(bundle).names
    queries = [names.text(row) for row in range(0, names.n_texts, max(1, names.n_texts // 2000))]
    server = start(bundle, workers)
    pid = server.pid
    found = [await phase("warm-up, c=8", 8, 5, queries, pid)]
    found.append(await phase("c=1", 1, 5, queries, pid))
    found.append(await phase("c=8", 8, seconds, queries, pid))
    found.append(await phase("burst, c=64", 64, 10, queries, pid))
    found.append(await phase("c=256", 256, 10, queries, pid))
    found.append(await phase("20 reloads, c=8", 8, 20, queries, pid, reloads(20)))
    found.append(await phase("after, c=8", 8, 5, queries, pid))
    found.append(await stop_under_load(server, queries))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.bundle, options.seconds, options.workers))
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for each in found:
        print(
            f"{each['phase']:18s} {each['per_second']:>7}/s  p50 {each['p50_ms']:>6} ms  p99 {each['p99_ms']:>6} ms  "
            f"max {each['max_ms']:>6} ms  RSS {each['rss_mb']} MB  {each['answers']} {each.get('extra', '')} "
            f"{each.get('exit', '')}"
        )


if __name__ == "__main__":
    main()
