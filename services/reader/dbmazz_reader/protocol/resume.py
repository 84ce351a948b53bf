"""Where to start reading: decided from the slot, the checkpoint and the server's identity, before anything is touched.

The rule is that no change may be skipped in silence. Whatever would skip one is refused with the gap and the choices; the
slot is never dropped or made again to get around it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbmazz.errors import SourceError
from dbmazz.lsn import Lsn

PLUGIN = "pgoutput"


@dataclass(frozen=True, slots=True)
class Server:
    """Who the server is (IDENTIFY_SYSTEM), and the end of its WAL."""

    system_identifier: str
    timeline: int
    wal_end: int
    database: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of pg_replication_slots. `trouble` is conflict or invalidation_reason, "" when there is none."""

    name: str
    plugin: str
    database: str
    confirmed_flush_lsn: int
    restart_lsn: int
    wal_status: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the checkpoint has stored for the slot."""

    confirmed_lsn: int
    system_identifier: str
    timeline: int
    # The relations that the last epoch replicated; empty when it has not told.
    streamed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Start:
    """Read from here; the slot must be created first when `create`."""

    lsn: int
    create: bool = False
    adopted: bool = False


class GapError(SourceError):
    """Changes between two positions cannot be had any more, or it cannot be known."""

    reason = "GAP"


def decide(name: str, server: Server, slot: Slot | None, checkpoint: Checkpoint | None) -> Start:
    """Where to start; GapError or SourceError when going on would lose changes."""
    if checkpoint is not None:
        _same_server(name, server, checkpoint)
    if slot is None:
        if checkpoint is None:
            return Start(0, create=True)
        raise GapError(
            f"replication slot {name} does not exist, but the checkpoint has confirmed {Lsn(checkpoint.confirmed_lsn)}:"
            f" the changes from there on ({_size(server.wal_end - checkpoint.confirmed_lsn)} of WAL) cannot be read",
            _CHOICES,
        )
    _usable(slot, server, checkpoint)
    if checkpoint is None:
        # Nothing was ever confirmed that was not durable, so what the slot has confirmed is the position.
        return Start(slot.confirmed_flush_lsn, adopted=True)
    if slot.confirmed_flush_lsn > checkpoint.confirmed_lsn:
        raise GapError(
            f"replication slot {name} has confirmed {Lsn(slot.confirmed_flush_lsn)}, beyond the checkpoint at"
            f" {Lsn(checkpoint.confirmed_lsn)}: {_size(slot.confirmed_flush_lsn - checkpoint.confirmed_lsn)} of WAL"
            " between them would be skipped",
            "Was the slot made again, advanced by something else, or the checkpoint store put back? " + _CHOICES,
        )
    if checkpoint.confirmed_lsn > server.wal_end:
        raise GapError(
            f"the checkpoint has confirmed {Lsn(checkpoint.confirmed_lsn)}, but the server's WAL ends at"
            f" {Lsn(server.wal_end)}: the server has gone back in time",
            "Was it restored from a backup, or failed over to a standby that was behind? " + _CHOICES,
        )
    return Start(checkpoint.confirmed_lsn)


_CHOICES = (
    "Choices: bring the slot back (from a failover slot or a standby); or set another SOURCE_SLOT_NAME and load the tables"
    " again; or, to accept the gap, remove this slot's position from the checkpoint store"
)


def same_system(name: str, system_identifier: str, checkpoint: Checkpoint) -> None:
    """GapError when the checkpoint belongs to another cluster."""
    if checkpoint.system_identifier != system_identifier:
        raise GapError(
            f"the checkpoint of slot {name} belongs to PostgreSQL system {checkpoint.system_identifier}, but SOURCE_URL"
            f" leads to system {system_identifier}",
            "Choices: correct SOURCE_URL; or set another SOURCE_SLOT_NAME for this server and load the tables again",
        )


def _same_server(name: str, server: Server, checkpoint: Checkpoint) -> None:
    same_system(name, server.system_identifier, checkpoint)
    if checkpoint.timeline != server.timeline:
        raise GapError(
            f"the checkpoint of slot {name} is on timeline {checkpoint.timeline} at {Lsn(checkpoint.confirmed_lsn)}, but"
            f" the server is on timeline {server.timeline}: after a failover or a restore the WAL may differ from what"
            " was read",
            _CHOICES,
        )


def _usable(slot: Slot, server: Server, checkpoint: Checkpoint | None) -> None:
    if slot.plugin != PLUGIN:
        kind = f"uses the plugin {slot.plugin}" if slot.plugin else "is a physical slot"
        raise SourceError(
            f"replication slot {slot.name} {kind}, not {PLUGIN}",
            "Set SOURCE_SLOT_NAME to a name of its own; dbmazz creates that slot",
        )
    if slot.database != server.database:
        raise SourceError(
            f"replication slot {slot.name} belongs to database {slot.database}, SOURCE_URL names {server.database}",
            "Correct SOURCE_URL, or set SOURCE_SLOT_NAME to a name of its own",
        )
    if slot.wal_status == "lost" or slot.trouble:
        why = slot.trouble or "its WAL was removed"
        known = checkpoint.confirmed_lsn if checkpoint else slot.confirmed_flush_lsn
        raise GapError(
            f"replication slot {slot.name} is lost ({why}): the changes from {Lsn(known)} on"
            f" ({_size(server.wal_end - known)} of WAL) cannot be read",
            "Set another SOURCE_SLOT_NAME and load the tables again; raise max_slot_wal_keep_size (or"
            " idle_replication_slot_timeout) so that it does not happen again. The old slot can be dropped with"
            f" SELECT pg_drop_replication_slot('{slot.name}')",
        )


def _size(count: int) -> str:
    """Bytes for people."""
    size = float(max(count, 0))
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
