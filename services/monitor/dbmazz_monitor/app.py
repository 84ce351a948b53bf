"""The monitor as a process: what is watched, a web server that shows it, and metrics."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.process import announce, run_service, stop_on_signals

from dbmazz_monitor.measuring import measure
from dbmazz_monitor.watch import (
    SAMPLE_EVERY_S,
    SourceCounting,
    TargetCounting,
    Watch,
    source_counting,
    target_counting,
)
from dbmazz_monitor.web import application

if TYPE_CHECKING:
    from dbmazz.exposing import Endpoint

log = structlog.get_logger("dbmazz.monitor")

LISTEN = "127.0.0.1:8080"
_LOOPBACK = ("127.", "localhost", "::1")


async def run(settings: Settings) -> int:
    """Serves until SIGTERM. Parts of the ring that are away are shown, never waited for."""
    stop = stop_on_signals()
    monitor = Monitor(settings, source_counting(settings), target_counting(settings))
    await monitor.run(stop, lambda address: announce("monitor", address))
    return 0


def main() -> int:
    """The process; returns its exit code."""
    return run_service("monitor", run)


class Monitor:
    """Owns the tasks. Drain order: tasks and open pages, the web server, the metrics."""

    def __init__(
        self,
        settings: Settings,
        source: SourceCounting,
        target: TargetCounting,
        *,
        sample_every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self._listen = settings.listen or LISTEN
        self._metrics_port = settings.metrics_port
        self._watch = Watch(settings, source, target, sample_every_s=sample_every_s)
        self.feed = self._watch.feed

    async def run(self, stop: asyncio.Event, bound: Callable[[str], None]) -> None:
        """Binds, calls `bound` with host:port, and serves until `stop` is set."""
        runner = web.AppRunner(application(self.feed), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        metrics: Endpoint | None = None
        try:
            address = await _bind(runner, self._listen)
            metrics = self._serve_metrics()
            bound(address)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch.run())
                await stop.wait()
                watching.cancel()
        finally:
            self.feed.close()
            await runner.cleanup()
            if metrics is not None:
                metrics.close()

    def _serve_metrics(self) -> Endpoint | None:
        if not self._metrics_port:
            return None
        # Here and not above: who does not ask for metrics does not pay for loading the library.
        from dbmazz.exposing import Endpoint

        host = self._listen.rpartition(":")[0]
        return Endpoint("monitor", host, self._metrics_port, lambda: measure(self._watch))


async def _bind(runner: web.AppRunner, listen: str) -> str:
    """Serves on host:port and returns it with the port that was taken; ConfigError when that cannot be."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"LISTEN={listen} is not an address", "It takes host:port, like 127.0.0.1:8080")
    bare = host.strip("[]")
    if not bare.startswith(_LOOPBACK):
        log.warning("page_is_public", listen=listen, hint="anyone who reaches this address sees tables and counters")
    # SO_REUSEPORT is off, so that two monitors on one port by mistake are an error.
    site = web.TCPSite(runner, bare, int(port), reuse_port=False)
    try:
        await site.start()
    except OSError as error:
        reason = "another process has it" if error.errno == errno.EADDRINUSE else error.strerror
        raise ConfigError(
            f"the monitor cannot bind {listen} ({reason})", "Set LISTEN=host:port; port 0 takes a free one"
        ) from None
    return f"{host}:{runner.addresses[0][1]}"
