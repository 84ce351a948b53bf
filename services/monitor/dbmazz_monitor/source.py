"""Looks at PostgreSQL: which tables it has, how the slot is, and rows by the planner's estimate, exactly where it is cheap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from dbmazz.errors import ConfigError, DbmazzError, SourceError, SourceUnavailable
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dbmazz_monitor import catalogue
from dbmazz_monitor.counts import Round
from dbmazz_monitor.protocol.rota import Rota
from dbmazz_monitor.protocol.sample import Slot, SourceCount, SourceSeen, SourceTable, Table

# A sequential scan of this much takes some ten milliseconds.
SMALL_BYTES = 32 << 20
QUERY_TIMEOUT_S = 1
LOOK_TIMEOUT_S = 5
# Whoever alters a table is not kept waiting, and does not keep us.
LOCK_TIMEOUT_MS = 100
# Of counting in one round; the tables that are left have their turn in the next ones.
BUDGET_S = 1.0
ROUND_TIMEOUT_S = 15.0
# An exact count that nothing seems to have changed is checked this often.
AGAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class _Estimate:
    """One row of catalogue.TABLES. Another `mark` means that rows came or went: by the server's statistics, which sessions
    deliver late, and by the mark that the caller has."""

    size: int
    rows: int
    live: int
    mark: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Exact:
    """An exact count (None: it cannot be counted, `note` says why), and what the statistics said then."""

    rows: int | None
    live: int
    mark: tuple[Hashable, ...]
    note: str = ""


class SourceCounter:
    """A connection per round: rounds are rare, and a source that went away needs no care. Nothing is written there."""

    def __init__(
        self,
        source_url: str,
        *,
        slot: str = "",
        publication: str = "",
        small_bytes: int = SMALL_BYTES,
        budget_s: float = BUDGET_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """ConfigError when the URL cannot be read; it is never shown, since it holds a password."""
        try:
            self._password = str(conninfo_to_dict(source_url).get("password") or "")
            options = (
                f"-c statement_timeout={LOOK_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_MS}ms "
                "-c default_transaction_read_only=on"
            )
            self._conninfo = make_conninfo(
                source_url, application_name="dbmazz-monitor", connect_timeout=5, options=options
            )
        except psycopg.Error:
            raise ConfigError(
                "SOURCE_URL is not a libpq URL", "It looks like postgresql://user:password@host:5432/database"
            ) from None
        self._slot = slot
        self._publication = publication
        self._small_bytes = small_bytes
        self._budget_s = budget_s
        self._rota = Rota(again_s)
        self._exact: dict[str, _Exact] = {}

    async def round(self, tables: Sequence[Table], marks: Mapping[str, Hashable]) -> Round[SourceCount, SourceSeen]:
        """Everything that is there; exact counts of some of `tables`, of those up to `small_bytes` of heap."""
        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S):
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    return await self._round(connection, tables, marks)
        except TimeoutError:
            raise SourceUnavailable(f"PostgreSQL does not answer within {ROUND_TIMEOUT_S:g} s") from None
        except psycopg.Error as error:
            raise self._shown(error) from None

    async def close(self) -> None:
        """Nothing is kept between rounds."""

    async def _round(
        self, connection: psycopg.AsyncConnection, tables: Sequence[Table], marks: Mapping[str, Hashable]
    ) -> Round[SourceCount, SourceSeen]:
        found, estimates = await self._tables(connection, marks)
        slot, ours = await self._look_at_slot(connection)
        wanted = {table.name: table for table in tables}
        self._exact = {name: exact for name, exact in self._exact.items() if name in wanted}
        small = {
            name: estimates[name].mark
            for name in wanted
            if name in estimates and estimates[name].size <= self._small_bytes
        }
        due = self._rota.due(small, time.monotonic())
        counted = await self._count([(wanted[name], estimates[name]) for name in due], connection) if due else 0
        counts = {name: self._known(name, estimates.get(name), small=name in small) for name in wanted}
        return Round(counts, SourceSeen(found, slot, ours), counted)

    async def _tables(
        self, connection: psycopg.AsyncConnection, marks: Mapping[str, Hashable]
    ) -> tuple[dict[str, SourceTable], dict[str, _Estimate]]:
        version = connection.info.server_version
        wanted = {"publication": self._publication}
        try:
            rows = await (await connection.execute(catalogue.tables(version, sizes=True), wanted)).fetchall()
        except psycopg.errors.LockNotAvailable:
            rows = await (await connection.execute(catalogue.tables(version, sizes=False), wanted)).fetchall()
        found, estimates = {}, {}
        for schema, table, partition, published, size, estimate, live, mark in rows:
            name = f"{schema}.{table}"
            found[name] = SourceTable(schema, table, published, partition)
            estimates[name] = _Estimate(size, max(estimate, 0), live, (*mark, marks.get(name)))
        return found, estimates

    async def _look_at_slot(self, connection: psycopg.AsyncConnection) -> tuple[Slot | None, bool]:
        row = await (await connection.execute(catalogue.SLOT, {"slot": self._slot})).fetchone()
        if row is None:
            return None, False
        ours, wal_status, safe, restart, confirmed, retained = row
        slot = Slot(
            wal_status or "", max(retained or 0, 0), restart or "", confirmed or "", safe, time.time(), self._slot
        )
        return slot, bool(ours)

    async def _count(self, due: list[tuple[Table, _Estimate]], connection: psycopg.AsyncConnection) -> int:
        """Counts until the budget is spent, one table at least; how many."""
        await connection.execute(f"SET statement_timeout = '{QUERY_TIMEOUT_S}s'")
        until, counted = time.monotonic() + self._budget_s, 0
        for table, estimate in due:
            exact = await self._one(connection, table, estimate)
            self._exact[table.name] = exact
            self._rota.counted(table.name, estimate.mark, time.monotonic(), held=exact.rows is None)
            counted += 1
            if time.monotonic() >= until:
                break
        return counted

    async def _one(self, connection: psycopg.AsyncConnection, table: Table, estimate: _Estimate) -> _Exact:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.schema, table.table))
        try:
            row = await (await connection.execute(query)).fetchone()
        except psycopg.errors.QueryCanceled:
            return _Exact(None, 0, (), f"counting took more than {QUERY_TIMEOUT_S} s: estimated")
        except psycopg.errors.LockNotAvailable:
            return _Exact(None, 0, (), "locked by somebody who alters it: estimated")
        except psycopg.Error as error:
            if connection.closed:
                raise
            return _Exact(None, 0, (), f"cannot be counted ({error.diag.message_primary}): estimated")
        return _Exact(row[0], estimate.live, estimate.mark)

    def _known(self, name: str, estimate: _Estimate | None, *, small: bool) -> SourceCount:
        """An exact count holds until rows come or go; then it is carried on by what the statistics say of them."""
        if estimate is None:
            return SourceCount(None, note="not in the source")
        exact = self._exact.get(name)
        if exact is None or not small:
            return SourceCount(estimate.rows)
        if exact.rows is None:
            return SourceCount(estimate.rows, note=exact.note)
        if exact.mark == estimate.mark:
            return SourceCount(exact.rows, exact=True)
        return SourceCount(max(exact.rows + estimate.live - exact.live, 0))

    def _shown(self, error: psycopg.Error) -> DbmazzError:
        """The server's own words, or libpq's first line, which names host and port; never the password."""
        lines = (error.diag.message_primary or str(error)).strip().splitlines()
        line = lines[0] if lines else type(error).__name__
        if self._password:
            line = line.replace(self._password, "***")
        kind = SourceUnavailable if isinstance(error, psycopg.OperationalError) else SourceError
        return kind(f"PostgreSQL: {line}")
