"""Keeps an eye on StarRocks and the checkpoint while something is wrong with them."""

from __future__ import annotations

import asyncio

import grpc
from dbmazz.backoff import Backoff

from dbmazz_loader.protocol.verdicts import Outcome, Peer
from dbmazz_loader.schema import Schema
from dbmazz_loader.standing import Standing
from dbmazz_loader.starrocks.stream_load import StreamLoad


async def watch_target(stream_load: StreamLoad, schema: Schema, standing: Standing) -> None:
    """Probes both ports of StarRocks with back-off until they answer, and again whenever a load has met a problem there."""
    pause = Backoff(first_s=0.2, cap_s=10.0)
    while True:
        if await _probe(stream_load, schema, standing):
            pause.reset()
            while not (standing.problem(Peer.FRONTEND) or standing.problem(Peer.MYSQL)):
                await standing.wait_change()
        await asyncio.sleep(pause.next_delay())


async def _probe(stream_load: StreamLoad, schema: Schema, standing: Standing) -> bool:
    """The MySQL port only when HTTP works: a host that is down, or a wrong password, is one problem and not two."""
    judgement = await stream_load.probe()
    if judgement.outcome is Outcome.LOADED:
        standing.works(Peer.FRONTEND)
        judgement = await schema.look()
    if judgement.outcome is Outcome.LOADED:
        standing.works(Peer.MYSQL, version=schema.target_version)
        return True
    standing.fails(judgement.peer or Peer.MYSQL, judgement.reason, refuses=judgement.outcome is Outcome.STOP)
    return False


async def watch_checkpoint(channel: grpc.aio.Channel, address: str, standing: Standing) -> None:
    """Follows the connection to the checkpoint, which otherwise would only be made by the first report."""
    while True:
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            standing.works(Peer.CHECKPOINT)
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            standing.fails(Peer.CHECKPOINT, f"the checkpoint at {address} cannot be reached")
        elif state is grpc.ChannelConnectivity.SHUTDOWN:
            return
        await channel.wait_for_state_change(state)
