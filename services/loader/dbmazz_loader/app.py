"""The loader process: what runs, and in which order it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.process import announce, run_service, stop_on_signals
from dbmazz.serving import Server
from dbmazz.v1 import checkpoint_pb2_grpc

from dbmazz_loader.book import Book
from dbmazz_loader.incoming import add_service
from dbmazz_loader.inflight import InFlight
from dbmazz_loader.measuring import measure
from dbmazz_loader.peers import watch_checkpoint, watch_target
from dbmazz_loader.protocol.attempt import Bounds
from dbmazz_loader.protocol.compression import compression
from dbmazz_loader.protocol.identifiers import BadName, quoted
from dbmazz_loader.reporting import Reporter
from dbmazz_loader.schema import Schema
from dbmazz_loader.service import LoaderService
from dbmazz_loader.shipping import Shipping
from dbmazz_loader.standing import Standing
from dbmazz_loader.starrocks.frontends import Frontends
from dbmazz_loader.starrocks.mysql import MySql
from dbmazz_loader.starrocks.stream_load import StreamLoad
from dbmazz_loader.starrocks.tables import Tables

log = structlog.get_logger("dbmazz.loader")

# Running calls, then the loads whose callers have gone.
_CALLS_GRACE_S = 5.0
_LOADS_GRACE_S = 2.0
# After `--scale loader=4`, or a restart under a new address, transformers reach every replica within this time.
_CONNECTION_AGE_S = 10.0


async def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    return await serve(settings, stop_on_signals(), lambda address: announce("loader", address))


async def serve(
    settings: Settings, stop: asyncio.Event, serving: Callable[[str], None], bounds: Bounds | None = None
) -> int:
    """Serves until `stop` is set. `serving` hears the address once it is bound; `bounds` is for tests."""
    frontends = Frontends.parse(settings.sink_url, settings.sink_port)
    _check_database(settings.sink_database)
    standing, book = Standing(), Book()
    user, password = settings.sink_user, settings.sink_password
    compressed = compression(settings.load_compression)
    stream_load = StreamLoad(frontends, settings.sink_database, user, password, settings.load_timeout_s, compressed)
    tables = Tables(
        MySql(frontends, user, password),
        settings.sink_database,
        replication_num=settings.sink_replication_num,
        soft_delete=settings.soft_delete,
        truncate_timeout_s=settings.load_timeout_s,
    )
    channel = open_channel(settings.checkpoint_address, settings)
    reporter = Reporter(checkpoint_pb2_grpc.CheckpointServiceStub(channel), standing)
    schema = Schema(tables, reporter, standing, database=settings.sink_database, version_guard=settings.version_guard)
    shipping = Shipping(stream_load, reporter, book, standing, bounds)
    server = Server("loader", settings, connection_age_s=_CONNECTION_AGE_S)
    try:
        await stream_load.open()
        async with asyncio.TaskGroup() as tasks:
            in_flight = InFlight(tasks)
            service = LoaderService(settings, in_flight, shipping, schema, reporter, book, standing)
            server.add(add_service, service, "dbmazz.v1.LoaderService")
            server.measure(lambda: measure(book, standing, len(in_flight)))
            serving(await server.start())
            log.info("serving", address=server.address, target=str(frontends), database=settings.sink_database)
            watchers = [
                tasks.create_task(standing.follow(server.set_ready)),
                tasks.create_task(watch_target(stream_load, schema, standing)),
                tasks.create_task(watch_checkpoint(channel, settings.checkpoint_address, standing)),
            ]
            await stop.wait()
            standing.drain()
            await server.stop(_CALLS_GRACE_S)
            await in_flight.drain(_LOADS_GRACE_S)
            for watcher in watchers:
                watcher.cancel()
    finally:
        await server.server.stop(0)
        await stream_load.close()
        await channel.close()
    log.info("stopped")
    return 0


def _check_database(name: str) -> None:
    try:
        quoted(name)
    except BadName as error:
        raise ConfigError(f"SINK_DATABASE is not a name: {error.message}", "It takes one like dbmazz") from None


def main() -> int:
    """Entry point of the process."""
    return run_service("loader", run)
