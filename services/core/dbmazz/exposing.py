"""The Prometheus endpoint of a service. Imported only where METRICS_PORT asks for it.

The event loop accepts, so that an endpoint that nobody scrapes costs nothing; a thread per scrape parses the request,
has the readings taken in the event loop (whose dictionaries must not change meanwhile), and writes the answer.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import accumulate
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

from dbmazz import VERSION
from dbmazz.errors import ConfigError
from dbmazz.metrics import METRICS, Kind
from dbmazz.readings import Reading
from dbmazz.telemetry import LatencyHistogram

log = structlog.get_logger("dbmazz.metrics")

PATH = "/metrics"
# How long a scrape waits for the event loop, and a thread for a client that does not go on.
READ_S = 5.0
CLIENT_S = 10.0
# Scrapes at a time; a connection beyond is closed.
SCRAPES = 8
# One of four bounds of LatencyHistogram is told: they grow by 46 %. The last one is infinity.
_TOLD = [*range(0, len(LatencyHistogram.BOUNDS) - 1, 4), len(LatencyHistogram.BOUNDS) - 1]
_BOUNDS = [floatToGoString(LatencyHistogram.BOUNDS[index] / 1e3) for index in _TOLD]
_FAMILIES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily, Kind.HISTOGRAM: HistogramMetricFamily}

Measure = Callable[[], Iterable[Reading]]


class Unreadable(Exception):
    """The service cannot be asked now: it is busy for too long, or it ends."""


class ServiceCollector:
    """Asks a service for its readings, in its event loop, at every scrape."""

    def __init__(self, service: str, measure: Measure) -> None:
        self._build: Reading = ("dbmazz_build_info", (service, VERSION), 1)
        self._measure = measure
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterator[Family]:
        """Called in the thread of the scrape."""
        return families([self._build, *self._readings()])

    def _readings(self) -> list[Reading]:
        answer: Future[list[Reading]] = Future()
        try:
            self._loop.call_soon_threadsafe(self._take, answer)
            return answer.result(READ_S)
        except (TimeoutError, RuntimeError) as error:  # RuntimeError: the loop is closed
            raise Unreadable(f"the service does not answer ({type(error).__name__})") from error

    def _take(self, answer: Future[list[Reading]]) -> None:
        try:
            answer.set_result([_frozen(reading) for reading in self._measure()])
        except Exception as error:
            answer.set_exception(error)
            raise  # a defect: the loop tells it


def _frozen(reading: Reading) -> Reading:
    """A reading that does not change any more: histograms go on counting while the answer is written."""
    name, labels, value = reading
    return (name, labels, value.copy()) if isinstance(value, LatencyHistogram) else reading


def families(readings: Iterable[Reading]) -> Iterator[Family]:
    """Families of Prometheus' client library. KeyError for a name that is not declared, ValueError for wrong labels."""
    found: dict[str, Family] = {}
    for name, labels, value in readings:
        family = found.get(name)
        if family is None:
            metric = METRICS[name]
            family = found[name] = _FAMILIES[metric.kind](name, metric.help, labels=metric.labels)
        if len(labels) != len(METRICS[name].labels):
            raise ValueError(f"{name} has the labels {METRICS[name].labels}, given were {len(labels)} values")
        if isinstance(value, LatencyHistogram):
            counts = list(accumulate(value.counts))
            buckets = [(bound, counts[index]) for bound, index in zip(_BOUNDS, _TOLD, strict=True)]
            family.add_metric(labels, buckets, value.sum_ms / 1e3)
        else:
            family.add_metric(labels, value)
    return iter(found.values())


class Endpoint:
    """Listens from the start until `close`; to be made and closed in the event loop."""

    def __init__(self, service: str, host: str, port: int, measure: Measure) -> None:
        registry = CollectorRegistry()
        registry.register(ServiceCollector(service, measure))
        ProcessCollector(registry=registry)
        self._scraped = make_wsgi_app(registry)
        try:
            self._server = _Server(host.strip("[]"), port)
        except OSError as error:
            raise ConfigError(
                f"METRICS_PORT={port} cannot be bound on {host} ({error.strerror or error})",
                "Another process has it? Set another port, or 0 for no metrics",
            ) from None
        self._server.set_app(self._answer)
        self.address = f"{host}:{self._server.server_port}"
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._server.fileno(), self._server.handle_request)
        log.info("metrics_served", url=f"http://{self.address}{PATH}")

    def close(self) -> None:
        """Listens no more. Answers that are being written are not waited for."""
        self._loop.remove_reader(self._server.fileno())
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return _say(start_response, "404 Not Found", f"the metrics are at {PATH}")
        try:
            return self._scraped(environ, start_response)
        except Unreadable as error:
            log.warning("scrape_failed", error=str(error))
            return _say(start_response, "503 Service Unavailable", str(error))


def _say(start_response: StartResponse, status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per request, none in between: `handle_request` accepts what is there and returns."""

    daemon_threads = True
    timeout = 0
    request_queue_size = SCRAPES

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = threading.Semaphore(SCRAPES)
        super().__init__((host, port), _Handler)
        self.socket.setblocking(False)

    def server_bind(self) -> None:
        # Not that of HTTPServer, which asks DNS for the host's name and may wait for it.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()

    def verify_request(self, request: object, client_address: object) -> bool:
        """False closes the connection."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: object, client_address: object) -> None:
        """One request, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up or did not go on; anything else has been told by wsgiref."""
        log.debug("scrape_broke", error=type(sys.exception()).__name__)


class _Handler(WSGIRequestHandler):
    """Requests are not logged: there is one every few seconds."""

    timeout = CLIENT_S

    def log_message(self, format: str, *args: object) -> None:
        return
