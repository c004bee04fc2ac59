"""A queue of texts that wait, answered in small batches by threads, while the event loop stays free."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from honed.core.protocols import Role, Vectors
from honed.core.records import Answer
from honed.search.searcher import Searcher

MAX_TEXTS = 32
Result = TypeVar("Result")


class QueueFull(Exception):  # noqa: N818  an answer, not a failure
    """The queue before the searcher is full."""


class Work(Protocol[Result]):
    """What is to be done with texts; work that is equal is done together."""

    def run(self, searcher: Searcher, texts: Sequence[str], k: int) -> Result:
        """Return the result for all texts, with up to ``k`` hits for each."""
        ...

    def part(self, result: Result, rows: slice, k: int) -> Result:
        """Return the result of some of the texts, with up to ``k`` hits for each."""
        ...


@dataclass(frozen=True, slots=True)
class SearchWork:
    """Search in a direction with a filter, as canonical JSON; ``budget_ms`` is what a batch may take for reranking."""

    direction: str
    filter: str = "{}"
    candidates: bool = False
    rerank: bool = False
    explain: bool = False
    budget_ms: float = 0.0

    def run(self, searcher: Searcher, texts: Sequence[str], k: int) -> list[Answer]:
        """Return the answer to each text."""
        return searcher.answer_many(
            texts,
            k,
            direction=self.direction,
            where=json.loads(self.filter),
            candidates=self.candidates,
            rerank=self.rerank,
            explain=self.explain,
            budget_ms=self.budget_ms,
        )

    def part(self, result: list[Answer], rows: slice, k: int) -> list[Answer]:
        """Return some of the answers, cut to ``k`` hits."""
        return [replace(answer, hits=answer.hits[:k]) for answer in result[rows]]


@dataclass(frozen=True, slots=True)
class EncodeWork:
    """Encode texts in a role."""

    role: Role

    def run(self, searcher: Searcher, texts: Sequence[str], k: int) -> Vectors:
        """Return the unit vectors ``(n_texts, dim)``."""
        return searcher.encoder.encode(texts, self.role)

    def part(self, result: Vectors, rows: slice, k: int) -> Vectors:
        """Return some of the vectors."""
        return result[rows]


class _Job(Generic[Result]):
    """Texts that wait for the result of their work."""

    def __init__(self, work: Work[Result], texts: Sequence[str], k: int) -> None:
        self.work, self.texts, self.k = work, list(texts), k
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Result] = self._loop.create_future()

    def finish(self, result: Result) -> None:
        """Hand the result over to the event loop; nobody may be waiting any more."""
        self._loop.call_soon_threadsafe(self._settle, lambda: self.future.set_result(result))

    def fail(self, error: BaseException) -> None:
        """Hand an error over to the event loop; nobody may be waiting any more."""
        self._loop.call_soon_threadsafe(self._settle, lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        if not self.future.done():
            settle()


_AnyJob: TypeAlias = _Job[Any]  # jobs of several kinds of work wait in one queue
BatchListener = Callable[[int, float], None]
BatchCheck = Callable[[Sequence[str]], None]


class Runner(Protocol):
    """What does the work of batches, one at a time: a searcher in this process, or another process."""

    def run(self, work: Work[Result], texts: Sequence[str], k: int) -> Result:
        """Return the result of a work for all texts, with up to ``k`` hits for each."""
        ...

    def close(self) -> None:
        """Free what it holds; nothing is run after that."""
        ...


class SearcherRunner:
    """Does the work in this process."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    def run(self, work: Work[Result], texts: Sequence[str], k: int) -> Result:
        """Return the result of a work."""
        return work.run(self._searcher, texts, k)

    def close(self) -> None:
        """Nothing is held that the searcher does not free."""


class _Pace:
    """How long a text takes, as it was of late: an average in which each batch counts a tenth."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def take(self, n_texts: int, seconds: float) -> None:
        of_text = seconds / n_texts
        self.seconds = of_text if not self.seconds else 0.9 * self.seconds + 0.1 * of_text


class MicroBatcher:
    """A bounded queue before runners, each with a thread of its own.

    Jobs of equal work that wait at the same time share one pass through the model: the first that waits is never held
    back for others. A job is let in only where a place is free, and where it can be answered within ``max_seconds`` at
    the pace of the last batches. ``on_batch(n_texts, seconds)`` hears of each batch. ``check(texts)`` may raise for a
    job that is too much; the others of its batch are answered.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        *,
        max_waiting: int,
        max_seconds: float = float("inf"),
        on_batch: BatchListener | None = None,
        check: BatchCheck | None = None,
    ) -> None:
        self.max_waiting, self._max_seconds = max_waiting, max_seconds
        self._on_batch = on_batch or (lambda *_: None)
        self._check = check or (lambda _: None)
        self._waiting: deque[_AnyJob] = deque()
        self._running = self._texts_running = 0
        self._pace = _Pace()
        self._change = threading.Condition()
        self._runners: Sequence[Runner] = ()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._start(runners)

    @property
    def waiting(self) -> int:
        """How many requests hold a place: waiting or being answered."""
        return len(self._waiting) + self._running

    def is_full(self, n_texts: int) -> bool:
        """Tell whether a job of some texts is refused now."""
        if len(self._waiting) >= self.max_waiting:
            return True
        before = sum(len(job.texts) for job in self._waiting) + self._texts_running
        return (before + n_texts) * self._pace.seconds / len(self._runners) > self._max_seconds and before > 0

    async def submit(self, work: Work[Result], texts: Sequence[str], k: int = 0) -> Result:
        """Return the result of a work for some texts; `QueueFull` at once where `is_full`.

        Cancelling it frees the place.
        """
        job = _Job(work, texts, k)
        with self._change:
            if self.is_full(len(texts)):
                raise QueueFull
            self._waiting.append(job)
            self._change.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            with self._change:
                if job in self._waiting:
                    self._waiting.remove(job)
            raise

    def replace(self, runners: Sequence[Runner]) -> None:
        """Let others do the work from the next batch on; returns when those of before are done and closed."""
        before = self._threads
        with self._change:
            self._start(runners)
            self._change.notify_all()
        for thread in before:
            thread.join(timeout=30)

    def stop(self) -> None:
        """End all threads after what waits is answered."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _start(self, runners: Sequence[Runner]) -> None:
        self._runners = runners
        self._threads = [
            threading.Thread(target=self._work, args=(runner,), name="honed-batcher", daemon=True) for runner in runners
        ]
        for thread in self._threads:
            thread.start()

    def _take(self, runner: Runner) -> list[_AnyJob]:
        """Wait for a job, and return it with the others of equal work, up to `MAX_TEXTS` texts.

        Empty when nothing is left and the queue was stopped, or when others have taken the runner's place.
        """
        with self._change:
            while not self._waiting and not self._stopped and runner in self._runners:
                self._change.wait()
            if not self._waiting or runner not in self._runners:
                return []
            first = self._waiting.popleft()
            jobs, n_texts = [first], len(first.texts)
            for job in list(self._waiting):
                if job.work == first.work and n_texts + len(job.texts) <= MAX_TEXTS:
                    self._waiting.remove(job)
                    jobs.append(job)
                    n_texts += len(job.texts)
            self._running += len(jobs)
            self._texts_running += n_texts
            return jobs

    def _work(self, runner: Runner) -> None:
        while taken := self._take(runner):
            started = time.monotonic()
            jobs = [job for job in taken if self._passes(job)]
            texts = [text for job in jobs for text in job.texts]
            seconds = time.monotonic() - started
            if jobs and _answer(runner, jobs, texts):
                seconds = time.monotonic() - started
                self._on_batch(len(texts), seconds)
            with self._change:
                self._running -= len(taken)
                self._texts_running -= sum(len(job.texts) for job in taken)
                if texts:
                    self._pace.take(len(texts), seconds)
        runner.close()

    def _passes(self, job: _AnyJob) -> bool:
        """Check a job; one that is too much fails with what the check raised."""
        try:
            self._check(job.texts)
        except Exception as error:
            job.fail(error)
            return False
        return True


def _answer(runner: Runner, jobs: Sequence[_AnyJob], texts: Sequence[str]) -> bool:
    """Do the work of jobs together and hand its parts to them; tells whether it was done."""
    work = jobs[0].work
    try:
        result = runner.run(work, texts, max(job.k for job in jobs))
    except BaseException as error:
        for job in jobs:
            job.fail(error)
        return False
    start = 0
    for job in jobs:
        rows = slice(start, start + len(job.texts))
        start = rows.stop
        job.finish(work.part(result, rows, job.k))
    return True
