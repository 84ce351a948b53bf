"""Whether a transaction that the stream has delivered is visible to queries yet.

A walsender sends a commit as soon as its record is flushed. The committing backend makes the transaction visible a little
later, and with synchronous replication only when a standby has answered. Until then a query sees the world before it: a
value read back by key would be that of the key's former row, and a new table would not exist.
"""

from __future__ import annotations

from collections.abc import Collection

_EPOCH = 1 << 32


def still_running(xid: int, xmax: int, running: Collection[int]) -> bool:
    """True while a snapshot treats a transaction as in progress.

    `xid` is the stream's 32-bit id; `xmax` and `running` are pg_snapshot_xmax() and pg_snapshot_xip() of
    pg_current_snapshot(), 64-bit ids: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """
    # The transaction is at most half a cycle of ids away from the snapshot.
    full = xmax - xmax % _EPOCH + xid
    if full - xmax > _EPOCH // 2:
        full -= _EPOCH
    elif xmax - full > _EPOCH // 2:
        full += _EPOCH
    return full >= xmax or full in running
