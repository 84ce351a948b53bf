"""Reports to the checkpoint: what is durable in the target."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from enum import Enum

import grpc
import structlog
from dbmazz.backoff import Backoff
from dbmazz.calling import QUICK_S
from dbmazz.errors import EPOCH_FENCED, reason_of
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc, load_pb2

from dbmazz_loader.protocol.verdicts import Peer
from dbmazz_loader.standing import Standing

log = structlog.get_logger("dbmazz.loader")

# A call that failed so was not refused: the checkpoint is away, busy, or restarting.
_AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


PATIENCE_S = 30.0


class Reported(Enum):
    """What became of a report."""

    TAKEN = "taken"
    # A newer reader has taken over.
    FENCED = "fenced"
    # The checkpoint did not take it in time, or refuses it.
    NOT_TAKEN = "not_taken"


@dataclass(frozen=True, slots=True)
class Report:
    """`reason` says why it was not taken."""

    outcome: Reported
    reason: str = ""


class Reporter:
    """Sends reports until they are taken, refused, or the deadline has come."""

    def __init__(self, stub: checkpoint_pb2_grpc.CheckpointServiceStub, standing: Standing) -> None:
        self._stub = stub
        self._standing = standing

    async def report(
        self, progress: load_pb2.LoadProgress, loaded: int, table: str, deadline: float = math.inf
    ) -> Report:
        """For at most 30 s, or until `deadline` on the event loop's clock: then the sender hears why it is stuck.
        Repeating a report is harmless."""
        clock = asyncio.get_running_loop().time
        deadline = min(deadline, clock() + PATIENCE_S)
        request = checkpoint_pb2.ReportLoadedRequest(progress=progress, loaded_row_count=loaded, table=table)
        pause = Backoff(first_s=0.1, cap_s=2.0)
        while True:
            timeout = min(QUICK_S, max(deadline - clock(), 0.1))
            try:
                await self._stub.ReportLoaded(request, timeout=timeout)
            except grpc.aio.AioRpcError as error:
                if reason_of(error) == EPOCH_FENCED:
                    self._standing.works(Peer.CHECKPOINT)
                    return Report(Reported.FENCED, "a newer reader has taken over")
                reason = f"the checkpoint does not take the report ({error.code().name})"
                if error.code() not in _AWAY:
                    log.error("report_refused", code=error.code().name, details=error.details(), table=table)
                    return Report(Reported.NOT_TAKEN, f"{reason}: {error.details()}")
                self._standing.fails(Peer.CHECKPOINT, reason)
                delay = pause.next_delay()
                if clock() + delay >= deadline:
                    return Report(Reported.NOT_TAKEN, reason)
                await asyncio.sleep(delay)
            else:
                self._standing.works(Peer.CHECKPOINT)
                return Report(Reported.TAKEN)
