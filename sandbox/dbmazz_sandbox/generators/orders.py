"""Orders and their items: many small transactions at a held rate."""

from __future__ import annotations

import asyncio
import random
import time

import psycopg
import structlog

from dbmazz_sandbox.generators.counters import Counters
from dbmazz_sandbox.generators.pace import Pace, stopped_within
from dbmazz_sandbox.generators.transactions import TRANSACTION_ROWS, OrderTransactions
from dbmazz_sandbox.generators.values import OrderValues

log = structlog.get_logger("dbmazz.sandbox")

SEQUENCE_BLOCK = 1000


class OrdersGenerator:
    """Writes row events into orders and order_items at `rate` per second: 70 % insert, 25 % update, 5 % delete.

    Several connections, so that transactions overlap as they do in life; each changes only orders that it made
    itself, so they never wait for each other. `run()` ends after `stop()` with the transaction it was in, or when it
    is cancelled (the server then rolls that transaction back, or has committed it whole).
    """

    def __init__(self, url: str, rate: float = 3000, *, seed: int | None = None, connections: int = 2) -> None:
        self.counters = Counters()
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        # Rendered here and not in run(): it takes a tenth of a second, which is no part of the traffic.
        self._values = OrderValues(random.Random(f"{self.seed} values"))
        self._url = url
        self._rate = rate
        self._connections = connections
        self._stop = asyncio.Event()
        self._started: float | None = None
        self._ended: float | None = None

    @property
    def rate(self) -> float:
        """Row events per second achieved since the start, 0.0 before it."""
        if self._started is None:
            return 0.0
        elapsed = (self._ended or time.monotonic()) - self._started
        return self.counters.events / elapsed if elapsed > 0 else 0.0

    def stop(self) -> None:
        """Ask run() to end after the transactions it is in; from the event loop's thread."""
        self._stop.set()

    async def run(self) -> None:
        log.info("orders_generator_started", rate=self._rate, connections=self._connections, seed=self.seed)
        self._started = time.monotonic()
        pace = Pace(self._rate)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._connections):
                    writer = OrderTransactions(random.Random(f"{self.seed} {number}"), self._values)
                    group.create_task(self._write(writer, pace))
        finally:
            self._ended = time.monotonic()

    async def _write(self, transactions: OrderTransactions, pace: Pace) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, application_name="dbmazz-sandbox-orders"
        ) as connection:
            cursor = connection.cursor()
            while not self._stop.is_set():
                if len(transactions.free_ids) < TRANSACTION_ROWS[1]:
                    await cursor.execute(
                        "SELECT nextval(pg_get_serial_sequence('public.orders', 'id'))"
                        f" FROM generate_series(1, {SEQUENCE_BLOCK})"
                    )
                    transactions.free_ids.extend(row[0] for row in await cursor.fetchall())
                statement, rows = transactions.next_transaction()
                if await stopped_within(self._stop, pace.claim(rows)):
                    return
                await cursor.execute(statement)  # type: ignore[arg-type]
                self.counters.transactions += 1
                more: bool | None = True
                while more:
                    self.counters.count(cursor.statusmessage or "")
                    more = cursor.nextset()
