"""A server of a bundle in a process of its own, for notebooks and scripts."""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from honed.core.errors import StorageError

_PATIENCE = 60.0  # seconds that a server may take to answer for the first time


class BackgroundServer:
    """A running ``honed serve``; it ends with `stop`, at the end of a ``with`` block, and with this process."""

    def __init__(self, bundle: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        """Start a server of a bundle and wait until it answers; port 0 takes a free one.

        Raises `honed.core.errors.StorageError` with what it said when it does not start.
        """
        self.bundle, self.url = bundle, f"http://{host}:{port or _free_port(host)}"
        command = [sys.executable, "-m", "honed", "serve", str(bundle), "--host", host, "--port"]
        command.append(self.url.rpartition(":")[2])
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the server may write to it
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)  # noqa: S603 - our own
        self._await_answer()

    def _await_answer(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urlopen(f"{self.url}/healthz", timeout=1):  # noqa: S310 - our own address
                    return
            except (URLError, OSError):
                time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        self._log.seek(0)
        reason = self._log.read().strip()[-300:]
        self._log.close()
        raise StorageError("E_SERVER", f"{self.bundle}: the server does not answer: {reason}")

    def stop(self) -> None:
        """End the server; requests that are being answered are answered."""
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None and not self._log.closed:
            self.stop()

    def _repr_html_(self) -> str:
        return f'{self.bundle} at <a href="{self.url}" target="_blank">{self.url}</a>'


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port
