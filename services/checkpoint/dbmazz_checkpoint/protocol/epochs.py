"""Epochs: one incarnation of a reader each. Issued here, and fenced here.

Fencing is what keeps a reader that was taken for dead, and the transformers and loaders behind it, from moving the
position of its successor.
"""

from __future__ import annotations

from dbmazz.errors import SYSTEM_IDENTIFIER_MISMATCH, DbmazzError, FencedError


class SystemIdentifierError(DbmazzError):
    """The source is not the cluster that the stored position belongs to."""

    reason = SYSTEM_IDENTIFIER_MISMATCH


def next_epoch(last: int, clock_s: float) -> int:
    """The epoch after `last` (0 for none), at a clock in seconds since 1970.

    The clock makes it larger than all before it even when the store was lost; `last` when the clock went back or two
    readers begin within one second. Labels of Stream Loads hold it, so a number must never come twice.
    """
    return max(last + 1, int(clock_s))


def check_epoch(slot: str, current: int | None, epoch: int) -> None:
    """FencedError unless `epoch` is the slot's current one; `current` is None when this process issued none.

    An epoch that another process issued is refused as well: the ledger is in memory, and what its reports had
    completed is gone with that process. The reader begins a new epoch and sends again from the stored position.
    """
    if current is None:
        raise FencedError(
            f"epoch {epoch} of slot {slot} was not issued by this checkpoint process", "Begin a new epoch"
        )
    if epoch < current:
        raise FencedError(f"epoch {epoch} of slot {slot} is closed: a newer reader has epoch {current}")
    if epoch > current:
        raise FencedError(f"epoch {epoch} of slot {slot} was never issued; the current one is {current}")


def check_system_identifier(slot: str, stored: str, given: str) -> None:
    """SystemIdentifierError when the slot's stored position belongs to another PostgreSQL cluster.

    initdb draws system_identifier, and a physical copy keeps it; so another number means that the LSNs of the stored
    position mean nothing in this cluster.
    """
    if stored != given:
        raise SystemIdentifierError(
            f"the stored position of slot {slot} belongs to the PostgreSQL cluster with system_identifier {stored}, "
            f"but SOURCE_URL leads to {given}",
            "Correct SOURCE_URL; or, to replicate the new cluster from its slot's own position, set another "
            "SOURCE_SLOT_NAME, or point CHECKPOINT_URL at a new file",
        )
