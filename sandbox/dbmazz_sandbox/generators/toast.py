"""Rows with large values, and updates that leave them alone: what unchanged TOAST is about."""

from __future__ import annotations

import asyncio
import random

import psycopg
import structlog
from psycopg.types.json import Jsonb

from dbmazz_sandbox.generators.counters import ToastCounters
from dbmazz_sandbox.generators.pace import stopped_within
from dbmazz_sandbox.generators.values import incompressible_text, large_document, text

log = structlog.get_logger("dbmazz.sandbox")

DOCUMENT_CHARACTERS = 100_000
BODY_CHARACTERS = 20_000
BLOB_BYTES = 10_000
ROWS_PER_TRANSACTION = 5
LARGE_COLUMNS = ("document", "body", "blob")

INSERT = """
INSERT INTO public.toast_test (name, counter, document, body, blob, updated_at)
VALUES (%s, 0, %s, %s, %s, clock_timestamp()) RETURNING id
"""
UPDATE_SMALL = """
UPDATE public.toast_test SET counter = counter + 1, name = %s, updated_at = clock_timestamp() WHERE id = ANY(%s)
"""


class ToastGenerator:
    """Keeps `rows` rows of about 130 KB in toast_test and changes them every `interval_s` seconds.

    Each round updates counter and name of all rows, which leaves the large values out of the WAL, and then does one
    of three things in turn: replaces a large value, sets one to NULL, or deletes a row and inserts another that it
    updates in the same transaction. It touches only rows that it inserted itself.
    """

    def __init__(self, url: str, interval_s: float = 10.0, *, rows: int = 20, seed: int | None = None) -> None:
        self.counters = ToastCounters()
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._url = url
        self._interval = interval_s
        self._rows = rows
        self._rng = random.Random(f"{self.seed} toast")
        self._ids: list[int] = []
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask run() to end after the transaction it is in; from the event loop's thread."""
        self._stop.set()

    async def run(self) -> None:
        log.info("toast_generator_started", interval_s=self._interval, rows=self._rows, seed=self.seed)
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, application_name="dbmazz-sandbox-toast"
        ) as connection:
            while len(self._ids) < self._rows and not self._stop.is_set():
                async with connection.transaction():
                    ids = [
                        await self._insert(connection)
                        for _ in range(min(ROWS_PER_TRANSACTION, self._rows - len(self._ids)))
                    ]
                self._ids += ids
                self.counters.inserts += len(ids)
                self.counters.transactions += 1
            special = (self._replace, self._set_null, self._renew)
            turn = 0
            while not await stopped_within(self._stop, self._interval):
                await self._update_small(connection)
                if not self._stop.is_set():
                    await special[turn % len(special)](connection, LARGE_COLUMNS[turn // 3 % len(LARGE_COLUMNS)])
                turn += 1

    async def _insert(self, connection: psycopg.AsyncConnection) -> int:
        row = (text(self._rng), *(self._large_value(column) for column in LARGE_COLUMNS))
        answer = await (await connection.execute(INSERT, row)).fetchone()
        assert answer is not None
        return answer[0]

    async def _update_small(self, connection: psycopg.AsyncConnection) -> None:
        cursor = await connection.execute(UPDATE_SMALL, (text(self._rng), self._ids))
        self.counters.updates += cursor.rowcount
        self.counters.unchanged_updates += cursor.rowcount
        self.counters.transactions += 1

    async def _replace(self, connection: psycopg.AsyncConnection, column: str) -> None:
        count = await self._set(connection, column, self._large_value(column))
        self.counters.large_updates += count

    async def _set_null(self, connection: psycopg.AsyncConnection, column: str) -> None:
        self.counters.nulled_updates += await self._set(connection, column, None)

    async def _set(self, connection: psycopg.AsyncConnection, column: str, value: object) -> int:
        name = psycopg.sql.Identifier(column)
        statement = psycopg.sql.SQL(
            "UPDATE public.toast_test SET {} = %s, updated_at = clock_timestamp() WHERE id = %s"
        ).format(name)
        cursor = await connection.execute(statement, (value, self._rng.choice(self._ids)))
        self.counters.updates += cursor.rowcount
        self.counters.transactions += 1
        return cursor.rowcount

    async def _renew(self, connection: psycopg.AsyncConnection, _column: str) -> None:
        index = self._rng.randrange(len(self._ids))
        async with connection.transaction():
            deleted = await connection.execute("DELETE FROM public.toast_test WHERE id = %s", (self._ids[index],))
            new_id = await self._insert(connection)
            # Within one transaction: the update carries the marker, and its value is in the insert just before it.
            updated = await connection.execute(UPDATE_SMALL, (text(self._rng), [new_id]))
        self._ids[index] = new_id
        self.counters.deletes += deleted.rowcount
        self.counters.inserts += 1
        self.counters.updates += updated.rowcount
        self.counters.unchanged_updates += updated.rowcount
        self.counters.transactions += 1

    def _large_value(self, column: str) -> Jsonb | str | bytes:
        if column == "document":
            return Jsonb(large_document(self._rng, DOCUMENT_CHARACTERS))
        if column == "body":
            return text(self._rng) + incompressible_text(self._rng, BODY_CHARACTERS)
        return self._rng.randbytes(BLOB_BYTES)
