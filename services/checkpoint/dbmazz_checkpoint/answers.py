"""Stored positions and progress as protos, and what a caller's numbers must be."""

from __future__ import annotations

import re

from dbmazz.asking import NotThere, hint
from dbmazz.errors import WireError
from dbmazz.lsn import Lsn
from dbmazz.v1 import checkpoint_pb2 as pb
from dbmazz.v1.load_pb2 import LoadProgress
from google.protobuf.duration_pb2 import Duration

from dbmazz_checkpoint.positions import EpochRequest, Positions
from dbmazz_checkpoint.protocol.ledger import Part
from dbmazz_checkpoint.protocol.slot import Checkpoint, TableLoad

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
DEFAULT_INTERVAL_S, SHORTEST_INTERVAL_S = 1.0, 0.1
# PostgreSQL's rule for slot names (ReplicationSlotValidateName): lower case, digits, underscore, up to NAMEDATALEN - 1.
_SLOT = re.compile(r"[a-z0-9_]{1,255}")
_DECIMAL = re.compile(r"[0-9]{1,20}")


class BadRequest(WireError):
    """A request that no state of this checkpoint could answer."""


def epoch_request(request: pb.BeginEpochRequest) -> EpochRequest:
    """A checked BeginEpochRequest; BadRequest names the first field that does not fit."""
    slot = slot_name(request.slot)
    if not _DECIMAL.fullmatch(request.system_identifier):
        raise BadRequest("system_identifier is not a decimal number", "IDENTIFY_SYSTEM gives it")
    if request.timeline < 0:
        raise BadRequest(f"timeline {request.timeline} is negative")
    unread = {table.relation_id: table.row_estimate for table in request.unread_tables}
    lsn = Lsn(request.start_lsn)
    streamed = frozenset(request.streamed_tables)
    return EpochRequest(slot, request.system_identifier, request.timeline, lsn, request.replica, unread, streamed)


def slot_name(slot: str) -> str:
    """A slot name that PostgreSQL would take."""
    if not _SLOT.fullmatch(slot):
        raise BadRequest("slot is not the name of a replication slot", "It takes lower-case letters, digits and _")
    return slot


def stored_at(positions: Positions, slot: str) -> Checkpoint:
    """The stored position of a slot; NotThere names those that there are."""
    stored = positions.stored_at(slot_name(slot))
    if stored is None:
        raise NotThere(f"nothing is stored for slot {slot}", hint(slot, [known.slot for known in positions.stored()]))
    return stored


def part_of(progress: LoadProgress) -> Part:
    """The part that a load stands for; the ledger checks its numbers."""
    return Part(
        lane=progress.lane,
        generation=progress.generation,
        batch_ids=tuple(progress.batch_ids),
        safe_lsns=tuple(progress.safe_lsns),
        part=progress.part,
        part_count=progress.part_count,
    )


def table_load(load: pb.TableLoad) -> TableLoad:
    """A checked load; BadRequest for one that is of no table, or not in any state."""
    if not load.relation_id:
        raise BadRequest("load has no relation_id")
    if load.state not in (pb.TABLE_LOAD_STATE_RUNNING, pb.TABLE_LOAD_STATE_DONE):
        raise BadRequest("load is neither running nor done")
    done = load.state == pb.TABLE_LOAD_STATE_DONE
    return TableLoad(load.relation_id, load.table, done, load.SerializeToString(), 0)


def table_load_proto(stored: TableLoad) -> pb.TableLoad:
    """The proto of a stored load."""
    proto = pb.TableLoad.FromString(stored.load)
    proto.update_time.FromMicroseconds(stored.update_time_us)
    return proto


def page_size(asked: int) -> int:
    """0 is the default; more than the largest page is the largest page."""
    if asked < 0:
        raise BadRequest(f"page_size {asked} is negative", f"It takes 1 to {LARGEST_PAGE}, or 0 for {DEFAULT_PAGE}")
    return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def interval_s(asked: Duration) -> float:
    """Seconds between two messages; absent or zero is the default."""
    seconds = asked.ToTimedelta().total_seconds() or DEFAULT_INTERVAL_S
    if seconds < SHORTEST_INTERVAL_S:
        raise BadRequest(f"interval {seconds:g} s is too short", f"It takes at least {SHORTEST_INTERVAL_S:g} s")
    return seconds


def sample_limit(asked: int) -> None:
    """BadRequest for a number of messages that cannot be."""
    if asked < 0:
        raise BadRequest(f"sample_limit {asked} is negative", "It takes 1 or more, or 0 for no end")


def checkpoint_proto(checkpoint: Checkpoint) -> pb.Checkpoint:
    """The proto of a stored position."""
    proto = pb.Checkpoint(
        slot=checkpoint.slot,
        epoch=checkpoint.epoch,
        confirmed_lsn=str(checkpoint.confirmed_lsn),
        system_identifier=checkpoint.system_identifier,
        timeline=checkpoint.timeline,
    )
    proto.update_time.FromMicroseconds(checkpoint.update_time_us)
    return proto


def slot_progress(positions: Positions, stored: Checkpoint) -> pb.SlotProgress:
    """How far a slot is: its stored position, and the counters of its epoch when this process issued it."""
    progress = pb.SlotProgress(
        checkpoint=checkpoint_proto(stored), fenced_report_count=positions.fenced_count(stored.slot)
    )
    open_epoch = positions.open_epoch(stored.slot)
    if open_epoch is not None:
        progress.confirmed_batch_id = open_epoch.ledger.confirmed_batch_id
        progress.reported_batch_id = open_epoch.ledger.reported_batch_id
        progress.waiting_batch_count = open_epoch.ledger.waiting_batch_count
        progress.loaded_row_count = open_epoch.loaded_row_count
        progress.part_count = open_epoch.ledger.part_count
    return progress
