"""A bundle that is being served: the searcher of the moment, and how it is replaced."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from honed.bundle.encoder import BundleEncoder
from honed.bundle.manifest import Manifest
from honed.core.errors import HonedError
from honed.core.json import Json
from honed.core.version import __version__
from honed.match.single import SingleMatcher
from honed.search.overview import CatalogueOverview, catalogue_overview
from honed.search.searcher import Searcher
from honed.serve import memory
from honed.serve.batching import MicroBatcher, Runner, SearcherRunner
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.metrics import Metrics
from honed.serve.query_log import LogOptions, QueryLog
from honed.serve.workers import WorkerOptions, start_workers

log = logging.getLogger("honed.server")
_SHARE_OF_DEADLINE = 0.8  # what waits longer at the pace of the moment is not let in


class Service:
    """A served bundle.

    ``ready`` is set when the fast engine is loaded; ``fault`` says why it cannot be, or is empty. ``log`` is where
    searches and events are kept, None where they are not.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        engine: str = "auto",
        threads: int = 0,
        public_key: Path | None = None,
        log_options: LogOptions | None = None,
        workers: int = 0,
    ) -> None:
        """Load the bundle; ``workers`` are processes that answer, 0 answers in this one.

        Raises `honed.core.errors.ArtifactError` when the bundle is unfit, `StorageError` for a log that is.
        """
        self.path, self.limits, self.metrics = path, limits, Metrics()
        self._engine, self._threads, self._public_key = engine, threads, public_key
        self._workers = WorkerOptions(
            n=workers,
            engine=engine,
            threads=threads,
            public_key=public_key,
            most_seconds=max(60.0, 2 * limits.deadline),
        )
        self.engine = ""  # of the workers
        self.searcher = self._load()
        self.log = QueryLog(log_options, self.metrics.count_log_lines) if log_options else None
        self.batcher = MicroBatcher(
            [SearcherRunner(self.searcher)],
            max_waiting=limits.max_waiting,
            max_seconds=min(limits.max_wait, _SHARE_OF_DEADLINE * limits.deadline),
            on_batch=self.metrics.count_batch,
            check=self._check_tokens,
        )
        self.ready = threading.Event()
        self.fault = ""
        self._reloading = threading.Lock()
        self._matcher: SingleMatcher | None = None
        self._overview: tuple[Searcher, CatalogueOverview] | None = None
        threading.Thread(target=self._warm).start()  # no daemon: compiled code must not outlive the interpreter

    def _load(self) -> Searcher:
        return Searcher.load(self.path, engine=self._engine, threads=self._threads, public_key=self._public_key)

    def _check_tokens(self, texts: Sequence[str]) -> None:
        """Refuse texts that have more tokens in all than one request may; few characters cannot."""
        limit = self.limits.max_tokens
        if sum(map(len, texts)) > limit and (total := self.searcher.count_tokens(texts)) > limit:
            raise RequestError(413, "E_TOO_MANY_TOKENS", f"the texts have {total} tokens; max_tokens is {limit}")

    def _warm(self) -> None:
        """Load the fast engine, unless numpy alone is to answer, or start the processes that answer from now on."""
        try:
            if self._workers.n:
                with self._reloading:
                    self.batcher.replace(self._runners(self.searcher))
            elif self._engine != "numpy":
                self.searcher.warm()
                memory.trim_heap()
            self.ready.set()
        except Exception as error:  # whatever it is, the server must say that it is not ready
            log.error("the fast engine cannot be used: %s", error)
            self.fault = "the bundle is unfit"

    def _runners(self, searcher: Searcher) -> list[Runner]:
        """Return what does the work of batches with a searcher: ready to answer."""
        if not self._workers.n:
            if self._engine != "numpy":
                searcher.warm()
            return [SearcherRunner(searcher)]
        workers = start_workers(searcher, self._workers)
        self.engine = workers[0].engine
        return list(workers)

    def reload(self) -> str:
        """Load the bundle again and answer from it; returns its fingerprint. The old one goes on when it is unfit.

        Blocks for as long as loading takes; requests are answered meanwhile. Raises `RequestError` while another one
        runs, and what loading raises.
        """
        if not self._reloading.acquire(blocking=False):
            raise RequestError(429, "E_BUSY", "a reload is under way", {"retry-after": "1"})
        try:
            try:
                searcher = self._load()
                runners = self._runners(searcher)
            except (HonedError, OSError):
                self.metrics.reloads.labels("refused").inc()
                raise
            self.searcher = searcher
            self.batcher.replace(runners)
            memory.trim_heap()
            self.metrics.reloads.labels("done").inc()
            self.fault = ""
            self.ready.set()
            return str(searcher.manifest["self"])
        finally:
            self._reloading.release()

    def about(self) -> dict[str, Json]:
        """Return what the page and scripts may know: the manifest with the sizes of files, the engine, the version."""
        manifest = self.searcher.manifest
        public = {name: value for name, value in manifest.items() if name not in ("model", "files")}
        sizes = {name: entry.size for name, entry in Manifest(manifest).files.items()}
        encoder = self.searcher.encoder
        counted: dict[str, Json] = {}
        if isinstance(encoder, BundleEncoder) and encoder.replaces_teacher:
            counted["documents_by_student"] = encoder.n_documents
        return {
            **public,
            **counted,
            "files": sizes,
            "parts": parts_of(self.searcher),
            "engine": self.engine or getattr(self.searcher.encoder, "engine", ""),
            "honed": __version__,
        }

    def overview(self) -> CatalogueOverview:
        """Return what the page offers before anything is typed; a bundle is read for it once."""
        searcher = self.searcher
        if self._overview is None or self._overview[0] is not searcher:
            self._overview = searcher, catalogue_overview(searcher.catalogue)
        return self._overview[1]

    def matcher(self, searcher: Searcher) -> SingleMatcher:
        """Return what matches rows by a searcher; what it learns of a catalogue is kept."""
        matcher = self._matcher
        if matcher is None or matcher.searcher is not searcher:
            self._matcher = matcher = SingleMatcher(searcher)
        return matcher

    def state(self) -> str:
        """Return "ready", "loading", or why the fast engine cannot be used."""
        return self.fault or ("ready" if self.ready.is_set() else "loading")


def parts_of(searcher: Searcher) -> dict[str, Json]:
    """Return what a search can be asked for, see `honed.serve.answers.BundleParts`."""
    answers = searcher.answers
    return {
        "hybrid": searcher.hybrid is not None,
        "reranker": searcher.hybrid is not None and searcher.reranker is not None,
        "risk": answers.risk if answers else None,
        "promise": answers.promise_sentence() if answers else None,
        "coverage": answers.coverage if answers else None,
    }
