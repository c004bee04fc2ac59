"""What Prometheus reads of a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TEXTS = (1, 2, 4, 8, 16, 32, 128)


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("honed_requests", "Answered requests.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "honed_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge("honed_in_flight", "Requests that are being answered.", registry=registry)
        self.waiting = Gauge("honed_waiting", "Requests that hold a place before the encoder.", registry=registry)
        self.cancelled = Counter("honed_cancelled", "Requests whose client left before the answer.", registry=registry)
        self.batch = Histogram("honed_batch_texts", "Texts in one pass.", buckets=_TEXTS, registry=registry)
        self.batch_seconds = Histogram("honed_batch_seconds", "Time of one pass.", buckets=_SECONDS, registry=registry)
        self.reloads = Counter("honed_reloads", "Reloads of the bundle.", ["result"], registry=registry)
        self.log_lines = Counter("honed_log_lines", "Lines of the log of searches.", ["result"], registry=registry)

    def count_log_lines(self, result: str, n_lines: int) -> None:
        """Count lines of the log of searches that were "written" or "lost"."""
        self.log_lines.labels(result).inc(n_lines)

    def count_batch(self, n_texts: int, seconds: float) -> None:
        """Count one pass through the model."""
        self.batch.observe(n_texts)
        self.batch_seconds.observe(seconds)
