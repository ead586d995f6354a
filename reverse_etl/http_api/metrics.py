"""Counts and seconds for Prometheus: by sync, by what happened, by status; never by key."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from reverse_etl.serving.metrics import Event

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class ApiMetrics:
    """The metrics of one API. Each reader is given its own `listen`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "reverse_etl_http_requests",
            "Requests answered.",
            ("route", "status"),
            registry=self._registry,
        )
        self._events = Counter(
            "reverse_etl_reader_events",
            "What happened in the reader.",
            ("sync", "event"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "reverse_etl_reader_seconds",
            "How long it took.",
            ("sync", "event"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count_request(self, route: str, status: int) -> None:
        """One request of a route was answered."""
        self._requests.labels(route, status).inc()

    def listen(self, sync: str) -> "ReaderMetrics":
        """The metrics of one sync's reader."""
        return ReaderMetrics(
            events={event: self._events.labels(sync, event.value) for event in Event},
            seconds={
                event: self._seconds.labels(sync, event.value)
                for event in (Event.READ, Event.STORE_GET, Event.HEAD_REFRESH)
            },
        )

    def render(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class ReaderMetrics:
    """`serving.metrics.Metrics` of one sync: what is counted was looked up once."""

    def __init__(self, *, events: dict[Event, Counter], seconds: dict[Event, Histogram]) -> None:
        self._events = events
        self._seconds = seconds

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        """Something happened `count` times, and took so long where that is told."""
        self._events[event].inc(count)
        if seconds is not None and event in self._seconds:
            self._seconds[event].observe(seconds)
