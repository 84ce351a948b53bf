"""The backlogs that are drained: tables, and one transaction after another, written inside the server.

W1 to W4 are those of the measurements that the design is built on: 500-row insert transactions of 10 columns; small mixed
ones (5 + 1 inserts, 3 updates, 1 delete); the same under REPLICA IDENTITY FULL; updates beside an unchanged 100 KB value.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

_ORDERS = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text NOT NULL, amount numeric(12,2) NOT NULL,
    currency char(3), priority smallint, paid boolean, attributes jsonb, note text, created_at timestamptz NOT NULL);
CREATE TABLE order_items (order_id bigint, line_no integer, sku varchar(40) NOT NULL, quantity integer NOT NULL,
    price numeric(12,4), PRIMARY KEY (order_id, line_no));
"""
_ORDER_VALUES = """
    n, n % 5000, (ARRAY['new','paid','shipped'])[1 + n % 3], (n % 100000) / 100.0, 'EUR', n % 7, n % 2 = 0,
    jsonb_build_object('channel', 'web', 'score', n % 97, 'tags', jsonb_build_array('a', 'b')),
    'note for order ' || n || ' with a "quote"', timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second'
"""
_INSERTS = (
    _ORDERS
    + f"""
CREATE PROCEDURE work(first bigint, transactions int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        INSERT INTO orders SELECT {_ORDER_VALUES} FROM generate_series(first + t * 500, first + t * 500 + 499) AS n;
        COMMIT;
    END LOOP;
END $$;
"""
)
_MIXED = (
    _ORDERS
    + f"""
CREATE PROCEDURE work(first bigint, transactions int) LANGUAGE plpgsql AS $$
DECLARE base bigint;
BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        base := first + t * 5;
        INSERT INTO orders SELECT {_ORDER_VALUES} FROM generate_series(base, base + 4) AS n;
        INSERT INTO order_items VALUES (base, 1, 'sku-' || base, 1 + base % 9, base % 1000);
        UPDATE orders SET status = 'paid', amount = amount + 1 WHERE id BETWEEN base AND base + 2;
        DELETE FROM orders WHERE id = base + 4;
        COMMIT;
    END LOOP;
END $$;
"""
)
_FULL = _MIXED + "ALTER TABLE orders REPLICA IDENTITY FULL; ALTER TABLE order_items REPLICA IDENTITY FULL;"
# Incompressible, or PostgreSQL would keep the value in the row: 3,200 hexadecimal digests of 32 characters.
_TOAST = """
CREATE TABLE documents (id bigint PRIMARY KEY, counter integer NOT NULL, name text, document jsonb NOT NULL);
CREATE PROCEDURE work(first bigint, transactions int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        UPDATE documents SET counter = counter + 1 WHERE id BETWEEN 1 + (t % 20) * 10 AND 10 + (t % 20) * 10;
        COMMIT;
    END LOOP;
END $$;
"""
_DOCUMENTS = """
INSERT INTO documents SELECT n, 0, 'document ' || n, (SELECT jsonb_agg(md5(n::text || '-' || k::text))
    FROM generate_series(1, 3200) AS k) FROM generate_series(1, 200) AS n
"""
_WIDE_COLUMNS = ", ".join(f"c{n} {('integer', 'text', 'numeric(10,2)', 'boolean')[n % 4]}" for n in range(1, 100))
_WIDE_VALUES = ", ".join(
    ("(n * {0}) % 100000", "'value ' || (n % {0} + {0})", "(n % 9999) / 4.0", "n % 3 = 0")[n % 4].format(n)
    for n in range(1, 100)
)
_WIDE = f"""
CREATE TABLE wide (id bigint PRIMARY KEY, {_WIDE_COLUMNS});
CREATE PROCEDURE work(first bigint, transactions int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        INSERT INTO wide SELECT n, {_WIDE_VALUES} FROM generate_series(first + t * 100, first + t * 100 + 99) AS n;
        COMMIT;
    END LOOP;
END $$;
"""
_HOT = """
CREATE TABLE hot (id bigint PRIMARY KEY, counter bigint NOT NULL, note text, changed_at timestamptz);
CREATE PROCEDURE work(first bigint, transactions int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        UPDATE hot SET counter = counter + 1, changed_at = changed_at + interval '1 second'
            WHERE id BETWEEN 1 + (t % 10) * 10 AND 10 + (t % 10) * 10;
        COMMIT;
    END LOOP;
END $$;
"""
_HOT_ROWS = "INSERT INTO hot SELECT n, 0, 'hot row ' || n, '2026-01-01' FROM generate_series(1, 100) AS n"


@dataclass(frozen=True)
class Workload:
    """`transactions` of `rows` row events each; `keys` is how far a transaction moves the first key of the next."""

    name: str
    what: str
    schema: str
    tables: tuple[str, ...]
    transactions: int
    rows: int
    keys: int
    rows_at_first: str = ""

    def prepare(self, source: psycopg.Connection) -> None:
        """The tables, empty, and the procedure that writes."""
        source.execute(self.schema)  # type: ignore[arg-type]

    def fill(self, source: psycopg.Connection) -> None:
        """What the updates find. Written while the ring streams: rows from before the slot would be read back one by one."""
        if self.rows_at_first:
            source.execute(self.rows_at_first)  # type: ignore[arg-type]

    def write(self, source: psycopg.Connection, first: int, transactions: int) -> int:
        """Commits `transactions`; returns the next free key."""
        source.execute("CALL work(%s, %s)", [first, transactions])
        return first + transactions * self.keys


_TWO = ("public.orders", "public.order_items")
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "inserts, 500 a transaction", _INSERTS, _TWO, 2_000, 500, 500),
        Workload("W2", "small mixed transactions", _MIXED, _TWO, 100_000, 10, 5),
        Workload("W3", "the same, replica identity full", _FULL, _TWO, 100_000, 10, 5),
        Workload("W4", "100 KB TOAST unchanged", _TOAST, ("public.documents",), 30_000, 10, 0, _DOCUMENTS),
        Workload("W5", "rows of 100 columns", _WIDE, ("public.wide",), 1_000, 100, 100),
        Workload("W6", "100 hot keys", _HOT, ("public.hot",), 50_000, 10, 0, _HOT_ROWS),
    )
}
