"""Folded batches that wait in the file: of prepared transactions, and of committed ones that are not published yet.

A batch becomes one or two tables in the schema `staged`, with a line in `sandbox.staged` that says what to do with them.
Columns are named by ident, so that a table may get, lose and rename columns in between.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

import duckdb

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.protocol.fold import FRESH, GONE, Batch
from dbmazz_sandbox.starrocks.protocol.upsert import Write, default_value, statements


def stage(cursor: duckdb.DuckDBPyConnection, txn: int, position: int, write: Write, batch: Batch) -> None:
    """Keep one batch of transaction `txn`, to be published in the order of `position`."""
    counts = {FRESH: batch.upsert_count, GONE: batch.delete_count}
    for name, columns in batch.relations():
        cursor.register(name, columns)
        cursor.execute(f"CREATE TABLE {_table(txn, position, name)} AS SELECT * FROM {name}")
        cursor.unregister(name)
    body = {
        "written": [column.to_dict() for column in batch.upserts],
        "nulls": [column.ident for column in batch.nulls],
        "fills": [[column.ident, value] for column, value in write.fills],
        "partial": write.partial,
        "condition": write.condition.ident if write.condition is not None else None,
        "counts": counts,
    }
    cursor.execute(
        "INSERT INTO sandbox.staged VALUES (?, ?, ?, ?)", [txn, position, write.table.ident, json.dumps(body)]
    )


def publish(cursor: duckdb.DuckDBPyConnection, txn: int, tables: Mapping[int, Table]) -> None:
    """Apply what is kept of `txn` to the `tables` that are still there, and let go of it all."""
    rows = cursor.execute("SELECT position, tablet, body FROM sandbox.staged WHERE txn = ? ORDER BY position", [txn])
    for position, ident, text in rows.fetchall():
        body = json.loads(text)
        present = [name for name, count in body["counts"].items() if count]
        if ident in tables:
            write, batch = _restored(tables[ident], body)
            for name in present:
                cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {_table(txn, position, name)}")
            for sql in statements(write, batch):
                cursor.execute(sql)
            for name in present:
                cursor.execute(f"DROP VIEW temp.{name}")
        _drop(cursor, txn, position, present)


def forget_table(cursor: duckdb.DuckDBPyConnection, ident: int) -> None:
    """Let go of everything that waits for a table which is dropped or truncated."""
    rows = cursor.execute("SELECT txn, position, body FROM sandbox.staged WHERE tablet = ?", [ident]).fetchall()
    for txn, position, text in rows:
        _drop(cursor, txn, position, [name for name, count in json.loads(text)["counts"].items() if count])


def _drop(cursor: duckdb.DuckDBPyConnection, txn: int, position: int, names: list[str]) -> None:
    for name in names:
        cursor.execute(f"DROP TABLE {_table(txn, position, name)}")
    cursor.execute("DELETE FROM sandbox.staged WHERE txn = ? AND position = ?", [txn, position])


def _table(txn: int, position: int, name: str) -> str:
    return f"staged.s{txn}_{position}_{name}"


def _restored(table: Table, body: dict) -> tuple[Write, Batch]:
    """A write against the table as it is now: a column that came later gets its default."""
    now = {column.ident: column for column in table.columns}
    written = [now.get(saved["ident"]) or Column.from_dict(saved) for saved in body["written"]]
    fills = [(now[ident], value) for ident, value in body["fills"] if ident in now]
    known = {column.ident for column in written} | {ident for ident, _ in body["fills"]}
    at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    fills += [(column, default_value(column, at)) for column in table.columns if column.ident not in known]
    condition = now.get(body["condition"]) if body["condition"] is not None else None
    fresh, gone = body["counts"][FRESH], body["counts"][GONE]
    batch = Batch(
        {column: range(fresh) for column in written} if fresh else {},
        {key: range(gone) for key in table.key_columns} if gone else {},
        {column for column in written if column.ident in body["nulls"]},
    )
    return Write(table, tuple(fills), body["partial"], condition), batch
