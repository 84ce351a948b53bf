"""The workloads of the reader's bench, written into a database of their own: one slot before each, one mark behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from dbmazz.lsn import Lsn
from dbmazz_sandbox.postgres import EmbeddedPostgres

PUBLICATION = "bench"
BASE_SLOT = "base"
_WIDE = """CREATE TABLE wide (id bigint PRIMARY KEY, customer int, status text, amount numeric(12,2), quantity int,
  active bool, created timestamptz, updated timestamp, note text, payload jsonb)"""
_WIDE_ROW = """i, i % 1000, 'status-' || i % 7, (i % 100000) / 100.0, i % 50, i % 2 = 0, now(), now(), 'note of row ' || i,
  jsonb_build_object('row', i, 'tags', jsonb_build_array('red', 'green'), 'score', i % 100)"""
_ORDERS = """CREATE TABLE orders (id bigint PRIMARY KEY, customer int, status text, amount numeric(12,2),
  created timestamptz DEFAULT now(), note text, address text, priority int, active bool DEFAULT true, payload jsonb)"""
_ITEMS = (
    "CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint, sku text, quantity int, price numeric(10,2))"
)
_LARGE = """CREATE PROCEDURE run(transactions int) LANGUAGE plpgsql AS $$ DECLARE base bigint; BEGIN
  FOR t IN 0..transactions - 1 LOOP base := t * 500;
    INSERT INTO wide SELECT {row} FROM generate_series(base + 1, base + 500) AS i;
    COMMIT; END LOOP; END $$"""
_MIXED = """CREATE PROCEDURE run(transactions int) LANGUAGE plpgsql AS $$ DECLARE base bigint; BEGIN
  FOR t IN 0..transactions - 1 LOOP base := t * 5;
    INSERT INTO orders SELECT i, i % 1000, 'new', (i % 100000) / 100.0, now(), 'note of order ' || i,
      'street ' || i || ', 12345 somewhere', i % 5, true, jsonb_build_object('order', i, 'channel', 'web')
      FROM generate_series(base + 1, base + 5) AS i;
    INSERT INTO order_items VALUES (t, base + 1, 'sku-' || t % 100, t % 9, 12.5);
    UPDATE orders SET status = 'paid', amount = amount + 1 WHERE id BETWEEN base + 2 AND base + 4;
    DELETE FROM orders WHERE id = base + 1;
    COMMIT; END LOOP; END $$"""


@dataclass(frozen=True)
class Workload:
    """`rows` row events in transactions of `size`."""

    name: str
    what: str
    statements: tuple[str, ...]
    size: int


WORKLOADS = (
    Workload("W1", "500-row insert transactions", (_WIDE, _LARGE.format(row=_WIDE_ROW)), 500),
    Workload("W2", "10-row transactions, 60/30/10", (_ORDERS, _ITEMS, _MIXED), 10),
    Workload(
        "W3",
        "the same, REPLICA IDENTITY FULL",
        (
            _ORDERS,
            _ITEMS,
            *(f"ALTER TABLE {table} REPLICA IDENTITY FULL" for table in ("orders", "order_items")),
            _MIXED,
        ),
        10,
    ),
)


@dataclass
class Backlog:
    """A written workload. The stream from `start` on holds `rows` row events; all are sent when `end` is."""

    url: str
    start: int
    end: int
    rows: int
    system_identifier: str
    timeline: int
    copies: int = 0


def start_server(directory: Path) -> EmbeddedPostgres:
    """A server as the figures of the reference were taken on: nothing of its own runs beside the walsender."""
    settings = {
        "autovacuum": "off",
        "shared_buffers": "512MB",
        "max_wal_size": "8GB",
        "logical_decoding_work_mem": "256MB",
    }
    settings |= {"synchronous_commit": "on", "max_connections": "40"}
    server = EmbeddedPostgres(directory / "data", settings=settings, fast=True)
    server.start()
    return server


def write_backlog(server: EmbeddedPostgres, workload: Workload, rows: int) -> Backlog:
    """Makes the database, the slot, then the workload."""
    url = server.create_database(workload.name.lower())
    with psycopg.connect(url, autocommit=True) as sql:
        for statement in workload.statements:
            sql.execute(statement)
        sql.execute(f"CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES")
        slot = f"{BASE_SLOT}_{workload.name.lower()}"
        sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        transactions = rows // workload.size
        sql.execute(f"CALL run({transactions})")
        end = Lsn.parse(sql.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0])
        # What a consumer waits for: one more commit, behind all that counts.
        sql.execute("SELECT pg_logical_emit_message(true, 'end', 'mark')")
        sql.execute("CHECKPOINT")
        confirmed, identifier, timeline = sql.execute(
            "SELECT confirmed_flush_lsn, s.system_identifier::text, c.timeline_id FROM pg_replication_slots,"
            " pg_control_system() s, pg_control_checkpoint() c WHERE slot_name = %s",
            (slot,),
        ).fetchone()
    return Backlog(url, Lsn.parse(confirmed), end, transactions * workload.size, identifier, timeline)


def copy_slot(backlog: Backlog, name: str) -> str:
    """A slot that begins where the backlog does."""
    backlog.copies += 1
    slot = f"copy_{name.lower()}_{backlog.copies}"
    with psycopg.connect(backlog.url, autocommit=True) as sql:
        sql.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (f"{BASE_SLOT}_{name.lower()}", slot))
    return slot


def drop_slot(backlog: Backlog, slot: str) -> None:
    """The walsender may still be about to notice that its client is gone."""
    with psycopg.connect(backlog.url, autocommit=True) as sql:
        for _ in range(500):
            if not sql.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)).fetchone()[0]:
                break
            sql.execute("SELECT pg_sleep(0.01)")
        sql.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


def walsender(backlog: Backlog, slot: str) -> int:
    """Process id of the walsender of a slot; 0 when there is none."""
    with psycopg.connect(backlog.url, autocommit=True) as sql:
        row = sql.execute("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (slot,)).fetchone()
    return (row and row[0]) or 0
