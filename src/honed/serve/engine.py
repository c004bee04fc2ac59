"""One worker thread that answers what waits, in batches, while the event loop stays free."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from honed.search.searcher import Searcher

# ("search", direction, filter as JSON), ("candidates", ...), ("rerank", ...) or ("encode", role, "")
Work = tuple[str, str, str]
MAX_TEXTS = 32


class Busy(Exception):  # noqa: N818  an answer, not a failure
    """The queue is full."""


class _Job:
    """Texts that wait for an answer; ``k`` is 0 for encoding."""

    __slots__ = ("future", "k", "loop", "since", "texts", "work")

    def __init__(self, work: Work, texts: Sequence[str], k: int) -> None:
        self.work, self.texts, self.k = work, list(texts), k
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.since = time.monotonic()

    def finish(self, result: Any, error: BaseException | None = None) -> None:
        """Hand the result over to the event loop; nobody may be waiting any more."""

        def settle() -> None:
            if not self.future.done():
                if error is None:
                    self.future.set_result(result)
                else:
                    self.future.set_exception(error)

        self.loop.call_soon_threadsafe(settle)


class Engine:
    """A bounded queue before a searcher; ``on_batch(n_texts, seconds)`` hears of each batch.

    ``check(searcher, texts)`` may raise for a job that is too much; the others of its batch are answered.

    A batch may take ``rerank_ms`` for its cross-encoder. Jobs of one kind that wait at the same time share one pass
    through the model: the first that waits is never held back for others.
    """

    def __init__(
        self,
        searcher: Searcher,
        *,
        max_waiting: int,
        on_batch: Callable[[int, float], None] | None = None,
        check: Callable[[Searcher, Sequence[str]], None] | None = None,
        rerank_ms: float = 300.0,
    ) -> None:
        self.searcher = searcher
        self.max_waiting, self._rerank_ms = max_waiting, rerank_ms
        self._on_batch = on_batch or (lambda *_: None)
        self._check = check or (lambda *_: None)
        self._waiting: deque[_Job] = deque()
        self._running = self._batches = 0
        self._change = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="honed-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests hold a place: waiting or being answered."""
        return len(self._waiting) + self._running

    async def ask(self, work: Work, texts: Sequence[str], k: int = 0) -> Any:
        """Return an answer to each text, or vectors; `Busy` at once when every place is taken.

        Cancelling it frees the place.
        """
        job = _Job(work, texts, k)
        with self._change:
            if len(self._waiting) >= self.max_waiting:
                raise Busy
            self._waiting.append(job)
            self._change.notify_all()
        try:
            return await job.future
        except asyncio.CancelledError:
            with self._change:
                if job in self._waiting:
                    self._waiting.remove(job)
            raise

    def replace(self, searcher: Searcher) -> None:
        """Answer from another searcher from the next batch on."""
        self.searcher = searcher

    def settle(self) -> None:
        """Return when no batch is under way that began before; what it held is then free."""
        with self._change:
            number = self._batches
            self._change.wait_for(lambda: self._running == 0 or self._batches > number, timeout=30)

    def stop(self) -> None:
        """End the thread after what waits is answered."""
        with self._change:
            self._stopped = True
            self._change.notify()
        self._thread.join()

    def _take(self) -> list[_Job]:
        """Wait for a job, and return it with the others of its kind, up to `MAX_TEXTS` texts."""
        with self._change:
            self._running = 0
            self._change.notify_all()
            while not self._waiting and not self._stopped:
                self._change.wait()
            if not self._waiting:
                return []
            first = self._waiting.popleft()
            jobs, n_texts = [first], len(first.texts)
            for job in list(self._waiting):
                if job.work == first.work and n_texts + len(job.texts) <= MAX_TEXTS:
                    self._waiting.remove(job)
                    jobs.append(job)
                    n_texts += len(job.texts)
            self._running = len(jobs)
            self._batches += 1
            return jobs

    def _work(self) -> None:
        while taken := self._take():
            started = time.monotonic()
            jobs = [job for job in taken if self._passes(job)]
            if not jobs:
                continue
            texts = [text for job in jobs for text in job.texts]
            try:
                found = self._answer(jobs[0].work, texts, max(job.k for job in jobs))
            except BaseException as error:
                for job in jobs:
                    job.finish(None, error)
                continue
            at = 0
            for job in jobs:
                part = found[at : at + len(job.texts)]
                at += len(job.texts)
                job.finish([replace(answer, hits=answer.hits[: job.k]) for answer in part] if job.k else part)
            self._on_batch(len(texts), time.monotonic() - started)

    def _passes(self, job: _Job) -> bool:
        try:
            self._check(self.searcher, job.texts)
        except Exception as error:
            job.finish(None, error)
            return False
        return True

    def _answer(self, work: Work, texts: Sequence[str], k: int) -> Any:
        searcher, (kind, how, where) = self.searcher, work
        if kind != "encode":
            return searcher.answer_many(
                texts,
                k,
                direction=how,
                where=json.loads(where),
                candidates=kind == "candidates",
                rerank=kind == "rerank",
                budget_ms=self._rerank_ms,
            )
        return searcher.encoder.encode(texts, "document" if how == "document" else "query")
