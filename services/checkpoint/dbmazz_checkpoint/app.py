"""The checkpoint process: opens the store, serves, commits in groups, drains."""

from __future__ import annotations

import asyncio

import structlog
from dbmazz.config import Settings
from dbmazz.process import announce, run_service, stop_on_signals
from dbmazz.serving import Server
from dbmazz.v1 import checkpoint_pb2_grpc

from dbmazz_checkpoint.measuring import measure
from dbmazz_checkpoint.positions import Positions
from dbmazz_checkpoint.service import FULL_NAME, CheckpointService
from dbmazz_checkpoint.store.interface import Store
from dbmazz_checkpoint.store.sqlite import SqliteStore
from dbmazz_checkpoint.store.url import sqlite_path

log = structlog.get_logger("dbmazz.checkpoint")


async def run(settings: Settings) -> int:
    """Serves until SIGTERM; 0 when everything that was reported by then is stored."""
    stop = stop_on_signals()
    store = await SqliteStore.open(sqlite_path(settings.checkpoint_url))
    try:
        await serve(settings, store, stop)
    finally:
        await store.close()
    log.info("checkpoint_stopped")
    return 0


async def serve(settings: Settings, store: Store, stop: asyncio.Event) -> None:
    """Serves from an open store until `stop` is set.

    Drain order: the last reports are stored and announced, then watchers are sent to the successor, then calls that
    still run get their grace. A report that comes in after the last round is acknowledged without being stored: its
    rows come again in the next epoch, from the stored position.
    """
    positions = Positions(store)
    await positions.load()
    server = Server("checkpoint", settings)
    server.add(
        checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server,
        CheckpointService(positions, settings, store.description),
        FULL_NAME,
    )
    server.measure(lambda: measure(positions))
    address = await server.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(positions.commit_until_drained())
            await server.set_ready(True)
            announce("checkpoint", address)
            log.info("checkpoint_serving", address=address, store=store.description, slots=len(positions.stored()))
            await stop.wait()
            log.info("checkpoint_draining")
            await server.set_ready(False)
            positions.drain()
    finally:
        await server.stop()


def main() -> int:
    """The exit code of the process."""
    return run_service("checkpoint", run)
