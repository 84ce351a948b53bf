"""The monitor: one task that asks the ring, two that count, and the web server that shows it."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable

import structlog
from aiohttp import web
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.process import announce, run_service, stop_on_signals

from dbmazz_monitor.counts import SOURCE_EVERY_S, TARGET_EVERY_S, Counting
from dbmazz_monitor.feed import Feed
from dbmazz_monitor.protocol.history import History
from dbmazz_monitor.protocol.sample import SourceCount, TargetCount
from dbmazz_monitor.protocol.view import view
from dbmazz_monitor.ring import Ring
from dbmazz_monitor.source import SourceCounter
from dbmazz_monitor.target import TargetCounter
from dbmazz_monitor.web import application

log = structlog.get_logger("dbmazz.monitor")

LISTEN = "127.0.0.1:8080"
SAMPLE_EVERY_S = 1.0
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


def source_counting(settings: Settings) -> Counting[SourceCount]:
    """Counts PostgreSQL, or says that SOURCE_URL is missing."""
    counter = SourceCounter(settings.source_url) if settings.source_url else None
    return Counting("source", counter, SOURCE_EVERY_S, "Source: SOURCE_URL is not set")


def target_counting(settings: Settings) -> Counting[TargetCount]:
    """Counts StarRocks, or says that SINK_URL is missing."""
    s = settings
    counter = None
    if s.sink_url:
        counter = TargetCounter(s.sink_url, s.sink_port, s.sink_user, s.sink_password, s.sink_database)
    return Counting("target", counter, TARGET_EVERY_S, "Target: SINK_URL is not set")


class Monitor:
    """Owns the tasks. Drain order: tasks and their channels, then the open pages, the web server."""

    def __init__(
        self,
        settings: Settings,
        source: Counting[SourceCount],
        target: Counting[TargetCount],
        *,
        sample_every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self._listen = settings.listen or LISTEN
        self._ring = Ring(settings)
        self._source = source
        self._target = target
        self._every_s = sample_every_s
        self._history = History()
        self.feed = Feed(time.monotonic())

    async def run(self, stop: asyncio.Event, bound: Callable[[str], None]) -> None:
        """Binds, calls `bound` with host:port, and serves until `stop` is set."""
        runner = web.AppRunner(application(self.feed), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            bound(await _bind(runner, self._listen))
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self.watch())
                await stop.wait()
                watching.cancel()
        finally:
            await runner.cleanup()

    async def watch(self) -> None:
        """Samples and counts until cancelled, for whoever listens to `feed`; binds nothing."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._sample(), self._source.run(), self._target.run()):
                    group.create_task(work)
        finally:
            self.feed.close()
            await self._ring.close()

    async def _sample(self) -> None:
        while True:
            started = time.monotonic()
            sample = await self._ring.sample()
            for counting in (self._source, self._target):
                counting.want(sample.tables)
            state = view(sample, self._history.add(sample), self._source.latest, self._target.latest)
            self.feed.publish(state, self._history.points(), time.monotonic())
            await asyncio.sleep(max(0.0, started + self._every_s - time.monotonic()))


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
