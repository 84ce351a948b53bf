"""Transactions in the file: those that are prepared, committed, visible, or were given up after they were prepared.

Running ones are not kept, as in StarRocks (DatabaseTransactionMgr.doWriteTxnStateEditLog): after a restart their labels
are UNKNOWN and nothing of them is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb

from dbmazz_sandbox.starrocks.labels import Source, State, Transaction

_BODY = ("reason", "started", "deadline", "prepared_timeout_ms", "rows", "filtered", "unselected", "bytes")


def remember(
    cursor: duckdb.DuckDBPyConnection, transaction: Transaction, state: State, finished: float, *, new: bool = False
) -> None:
    """Write a transaction as it will be once the caller's database transaction is through; `new`: for the first time."""
    body = {name: getattr(transaction, name) for name in _BODY}
    body |= {"source": transaction.source.value, "tables": transaction.tables, "names": transaction.table_names}
    cursor.execute(
        f"INSERT {'' if new else 'OR REPLACE '}INTO sandbox.transactions VALUES (?, ?, ?, ?, ?, ?)",
        [transaction.ident, transaction.database, transaction.label, finished, state.value, json.dumps(body)],
    )


def restored(cursor: duckdb.DuckDBPyConnection) -> Iterator[Transaction]:
    """What an earlier run left, oldest first."""
    rows = cursor.execute("SELECT ident, db, label, finished, state, body FROM sandbox.transactions ORDER BY ident")
    for ident, database, label, finished, state, text in rows.fetchall():
        body = json.loads(text)
        transaction = Transaction(ident, database, label, State(state), finished=finished)
        for name in _BODY:
            setattr(transaction, name, body.get(name, getattr(transaction, name)))
        transaction.source = Source(body.get("source", Source.STREAM_LOAD.value))
        transaction.tables, transaction.table_names = tuple(body.get("tables", ())), tuple(body.get("names", ()))
        yield transaction
