"""The DuckDB file behind the look-alike: catalogue, physical tables, finished transactions.

Every call is blocking and belongs in a thread. Each opens its own cursor: DuckDB gives each a snapshot, so
queries never wait for loads. What a call committed survives SIGKILL (DuckDB writes its log ahead and syncs it).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from dbmazz_sandbox.starrocks.catalog import Catalog, Column, Table
from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.labels import LABEL_KEEP_MAX_NUM, Labels, State, Transaction
from dbmazz_sandbox.starrocks.ledger import remember, restored
from dbmazz_sandbox.starrocks.mysql.macros import MACROS
from dbmazz_sandbox.starrocks.protocol.fold import Batch
from dbmazz_sandbox.starrocks.protocol.upsert import Write, statements
from dbmazz_sandbox.starrocks.staging import forget_table, publish, stage

_SYSTEM = """
CREATE SCHEMA IF NOT EXISTS sandbox;
CREATE SCHEMA IF NOT EXISTS shown;
CREATE SCHEMA IF NOT EXISTS staged;
CREATE TABLE IF NOT EXISTS sandbox.databases (name VARCHAR PRIMARY KEY);
CREATE TABLE IF NOT EXISTS sandbox.tables (ident BIGINT PRIMARY KEY, body VARCHAR);
CREATE TABLE IF NOT EXISTS sandbox.transactions
  (ident BIGINT PRIMARY KEY, db VARCHAR, label VARCHAR, finished DOUBLE);
ALTER TABLE sandbox.transactions ADD COLUMN IF NOT EXISTS state VARCHAR DEFAULT 'VISIBLE';
ALTER TABLE sandbox.transactions ADD COLUMN IF NOT EXISTS body VARCHAR DEFAULT '{}';
CREATE TABLE IF NOT EXISTS sandbox.staged (txn BIGINT, position INTEGER, tablet BIGINT, body VARCHAR);
CREATE TABLE IF NOT EXISTS sandbox.kept (name VARCHAR PRIMARY KEY, body VARCHAR);
CREATE OR REPLACE MACRO sr_moment(x) AS
  CASE WHEN contains(x, ' (BC)') THEN '0000' || substr(replace(x, ' (BC)', ''), 5) ELSE x END;
CREATE OR REPLACE MACRO sr_text(x) AS CASE typeof(x)
  WHEN 'BOOLEAN' THEN CASE x::VARCHAR WHEN 'true' THEN '1' WHEN 'false' THEN '0' END
  WHEN 'DATE' THEN sr_moment(x::VARCHAR)
  WHEN 'TIMESTAMP' THEN CASE WHEN contains(x::VARCHAR, '.') THEN rpad(sr_moment(x::VARCHAR), 26, '0')
                             ELSE sr_moment(x::VARCHAR) END
  WHEN 'DOUBLE' THEN regexp_replace(x::VARCHAR, '\\.0$', '')
  WHEN 'FLOAT' THEN regexp_replace(x::VARCHAR, '\\.0$', '')
  ELSE x::VARCHAR END;
CREATE OR REPLACE MACRO sr_bytes(x) AS CASE WHEN typeof(x) = 'BLOB' THEN x::BLOB ELSE encode(x::VARCHAR) END;
CREATE SEQUENCE IF NOT EXISTS sandbox.idents START 10001;
ALTER TABLE sandbox.databases ADD COLUMN IF NOT EXISTS ident BIGINT;
UPDATE sandbox.databases SET ident = nextval('sandbox.idents') WHERE ident IS NULL;
"""
# No query reaches a file or the network through DuckDB's own functions.
_CONFIG = {"threads": 2, "memory_limit": "2GB", "enable_external_access": "false"}


class StoreRefused(Exception):
    """The file does not take a change of the schema: values that cannot be converted."""


class Store:
    """`catalog` and `labels` are the in-memory truth of the event loop; the file follows in the same call."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = duckdb.connect(str(path), config=_CONFIG)
        except duckdb.IOException as error:
            raise SandboxError(
                f"cannot open the StarRocks data file {path}: it is in use by another process, or damaged ({error})"
            ) from error
        self._connection.execute(_SYSTEM)
        for macro in MACROS:
            self._connection.execute(macro)
        self.catalog = Catalog()
        self.labels = Labels()
        self._changing = threading.Lock()  # between publishing and what else changes whole tables
        self._restore()

    def _restore(self) -> None:
        with self.cursor() as cursor:
            for name, ident in cursor.execute("SELECT name, ident FROM sandbox.databases").fetchall():
                self.catalog.databases[name] = {}
                self.labels.idents[name] = ident
            for (body,) in cursor.execute("SELECT body FROM sandbox.tables ORDER BY ident").fetchall():
                table = Table.from_dict(json.loads(body))
                self.catalog.databases[table.database][table.name] = table
            for transaction in restored(cursor):
                self.labels.restore(transaction)
            self._trim(cursor)

    def _trim(self, cursor: duckdb.DuckDBPyConnection) -> None:
        cursor.execute(
            "DELETE FROM sandbox.transactions WHERE state IN ('VISIBLE', 'ABORTED') AND ident NOT IN "
            "(SELECT ident FROM sandbox.transactions WHERE state IN ('VISIBLE', 'ABORTED') "
            "QUALIFY row_number() OVER (PARTITION BY db ORDER BY ident DESC) <= ?)",
            [int(self.labels.settings.get("label_keep_max_num", LABEL_KEEP_MAX_NUM))],
        )

    def close(self) -> None:
        self._connection.close()

    def keep(self, name: str, value: object) -> None:
        """Store a JSON value under a name: users, alter jobs."""
        with self.transaction() as cursor:
            cursor.execute("INSERT OR REPLACE INTO sandbox.kept VALUES (?, ?)", [name, json.dumps(value)])

    def kept(self, name: str) -> Any:
        """What `keep` stored, or None."""
        with self.cursor() as cursor:
            rows = cursor.execute("SELECT body FROM sandbox.kept WHERE name = ?", [name]).fetchall()
        return json.loads(rows[0][0]) if rows else None

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor inside BEGIN … COMMIT; any exception rolls everything back."""
        with self.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def next_ident(self) -> int:
        with self.cursor() as cursor:
            return cursor.execute("SELECT nextval('sandbox.idents')").fetchall()[0][0]

    def create_database(self, name: str) -> None:
        with self.transaction() as cursor:
            (ident,) = cursor.execute(
                "INSERT INTO sandbox.databases VALUES (?, nextval('sandbox.idents')) RETURNING ident", [name]
            ).fetchall()[0]
        self.labels.idents[name] = ident

    def drop_database(self, name: str, tables: list[Table]) -> None:
        with self._changing, self.transaction() as cursor:
            for table in tables:
                self._drop(cursor, table)
            cursor.execute("DELETE FROM sandbox.transactions WHERE db = ?", [name])
            cursor.execute("DELETE FROM sandbox.databases WHERE name = ?", [name])

    def create_table(self, table: Table) -> None:
        with self.transaction() as cursor:
            columns = [f"{c.physical} {c.type.physical}" for c in table.columns]
            if table.primary:
                columns.append(f"PRIMARY KEY ({', '.join(c.physical for c in table.key_columns)})")
            cursor.execute(f"CREATE TABLE main.{table.physical} ({', '.join(columns)})")
            cursor.execute("INSERT INTO sandbox.tables VALUES (?, ?)", [table.ident, json.dumps(table.to_dict())])
            cursor.execute(_view(table))

    def drop_table(self, table: Table) -> None:
        with self._changing, self.transaction() as cursor:
            self._drop(cursor, table)

    def _drop(self, cursor: duckdb.DuckDBPyConnection, table: Table) -> None:
        cursor.execute(f"DROP VIEW shown.{table.physical}")
        cursor.execute(f"DROP TABLE main.{table.physical}")
        cursor.execute("DELETE FROM sandbox.tables WHERE ident = ?", [table.ident])
        forget_table(cursor, table.ident)

    def truncate(self, table: Table) -> None:
        with self._changing, self.transaction() as cursor:
            cursor.execute(f"DELETE FROM main.{table.physical}")
            forget_table(cursor, table.ident)

    def alter_table(
        self,
        table: Table,
        added: list[tuple[Column, str]],
        rewritten: list[tuple[Column, Column, str]],
    ) -> None:
        """Store the new declaration; `added` carry the SQL of the value existing rows get, `rewritten` the SQL that
        turns the old physical column into the new one. Dropped and rewritten columns stay, unseen, in the file."""
        try:
            with self._changing, self.transaction() as cursor:
                for column, value in [*added, *((new, value) for _old, new, value in rewritten)]:
                    declared = f"{column.physical} {column.type.physical}"
                    cursor.execute(f"ALTER TABLE main.{table.physical} ADD COLUMN {declared}")
                    if value != "NULL":
                        cursor.execute(f"UPDATE main.{table.physical} SET {column.physical} = {value}")
                body = json.dumps(table.to_dict())
                cursor.execute("UPDATE sandbox.tables SET body = ? WHERE ident = ?", [body, table.ident])
                cursor.execute(_view(table))
        except duckdb.Error as error:
            raise StoreRefused("a value cannot be converted") from error

    def apply(self, write: Write, batch: Batch, transaction: Transaction | None, finished: float) -> int:
        """Publish one load, all or nothing, together with its label. Returns the number of rows written."""
        return self.apply_all([(write, batch)], transaction, finished)

    def apply_all(
        self, changes: Sequence[tuple[Write, Batch]], transaction: Transaction | None, finished: float
    ) -> int:
        """Publish the loads of one transaction, of several tables if need be: all or nothing, with its label."""
        changed = 0
        with self.transaction() as cursor:
            for write, batch in changes:
                for name, columns in batch.relations():
                    cursor.register(name, columns)
                for sql in statements(write, batch):
                    rows = cursor.execute(sql).fetchall()
                    changed += int(rows[0][0]) if rows else 0
            if transaction is not None:
                remember(cursor, transaction, State.VISIBLE, finished, new=True)
        if transaction is not None and transaction.ident % LABEL_KEEP_MAX_NUM == 0:
            with self.transaction() as cursor:
                self._trim(cursor)
        return changed

    def stage(
        self, changes: Sequence[tuple[Write, Batch]], transaction: Transaction, state: State, finished: float
    ) -> None:
        """Keep what a PREPARED or COMMITTED transaction wrote, durable but unseen, until `publish`."""
        with self.transaction() as cursor:
            for position, (write, batch) in enumerate(changes):
                stage(cursor, transaction.ident, position, write, batch)
            remember(cursor, transaction, state, finished)

    def commit_staged(self, transaction: Transaction, finished: float) -> None:
        """From PREPARED to COMMITTED: `publish` is to follow, whatever happens."""
        with self.transaction() as cursor:
            remember(cursor, transaction, State.COMMITTED, finished)

    def publish(self, transaction: Transaction, finished: float) -> None:
        """Make visible what `stage` kept, of the tables that are still there."""
        tables = {table.ident: table for tables in self.catalog.databases.values() for table in tables.values()}
        with self._changing, self.transaction() as cursor:
            publish(cursor, transaction.ident, tables)
            remember(cursor, transaction, State.VISIBLE, finished)

    def discard(self, transaction: Transaction, finished: float) -> None:
        """Throw away what a PREPARED transaction had staged: it was rolled back or is late."""
        with self.transaction() as cursor:
            publish(cursor, transaction.ident, {})
            remember(cursor, transaction, State.ABORTED, finished)

    def open_cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for a result that is fetched over time; close it."""
        return self._connection.cursor()


def _view(table: Table) -> str:
    """What queries see of a table: its declared columns by name, in declared order."""
    columns = ", ".join(f"{c.physical} AS {quoted(c.name)}" for c in table.columns)
    return f"CREATE OR REPLACE VIEW shown.{table.physical} AS SELECT {columns} FROM main.{table.physical}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
