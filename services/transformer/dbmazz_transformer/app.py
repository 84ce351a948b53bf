"""The transformer as a process: its one task group, and the order in which it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from dbmazz.config import Settings
from dbmazz.process import announce, run_service, stop_on_signals
from dbmazz.serving import Server
from dbmazz.v1 import transformer_pb2_grpc

from dbmazz_transformer.lanes import Lanes
from dbmazz_transformer.loaders import Loaders
from dbmazz_transformer.measuring import measure
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.service import TransformerService
from dbmazz_transformer.source import Source

log = structlog.get_logger("dbmazz.transformer")

# Of SIGTERM to exit, which must stay under 10 s: flushing and waiting for loads, then for the reader to hang up.
DRAIN_S = 5.0
FAREWELL_S = 1.0


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    on_bound: Callable[[str], None],
    options: LaneOptions | None = None,
    drain_s: float = DRAIN_S,
) -> None:
    """Serves until `stop` is set, then drains for at most `drain_s` seconds and what the farewell takes.

    `on_bound` gets host:port as soon as the service can be called.
    """
    server = Server("transformer", settings)
    loaders = Loaders(settings)
    try:
        async with asyncio.TaskGroup() as tasks:
            lanes = Lanes(tasks, options or LaneOptions.from_settings(settings), loaders)
            source = Source(settings, lanes, server.set_ready)
            service = TransformerService(settings, lanes, source)
            register = transformer_pb2_grpc.add_TransformerServiceServicer_to_server
            server.add(register, service, "dbmazz.v1.TransformerService")
            server.measure(lambda: measure(service.state(), lanes, source))
            on_bound(await server.start())
            streaming = tasks.create_task(source.run(), name="source")
            await stop.wait()
            service.draining = True
            drained = await source.drain(drain_s)
            await asyncio.wait([streaming], timeout=FAREWELL_S)
            streaming.cancel()
            lanes.cancel()
            log.info("drained", complete=drained)
    finally:
        await server.stop()
        await loaders.close()


async def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    await serve(settings, stop, lambda address: announce("transformer", address))
    return 0


def main() -> int:
    """`dbmazz transformer`."""
    return run_service("transformer", run)
