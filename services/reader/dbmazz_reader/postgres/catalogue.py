"""What PostgreSQL's catalogue says about published tables and the slot."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from dbmazz.errors import SourceUnavailable
from dbmazz.lsn import Lsn
from dbmazz.relation import ReplicaIdentity, TypeFamily

from dbmazz_reader.postgres import queries
from dbmazz_reader.postgres.connecting import connect
from dbmazz_reader.postgres.errors import source_error
from dbmazz_reader.protocol.relations import Table, TableColumn, TypeInfo
from dbmazz_reader.protocol.resume import Slot

T = TypeVar("T")

QUERY_S = 30.0
_FAMILIES = {"e": TypeFamily.ENUM, "c": TypeFamily.COMPOSITE, "r": TypeFamily.RANGE, "m": TypeFamily.RANGE}
# int2vector and oidvector are arrays to the catalogue, but their text is `1 2`, not `{1,2}`.
_VECTORS = (22, 30)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Version number (160014), wal_level, role, database, right to replicate, wal_sender_timeout in ms (0: none)."""

    version: int
    wal_level: str
    role: str
    database: str
    may_replicate: bool
    wal_sender_timeout_ms: int

    @property
    def major(self) -> int:
        """14 to 18."""
        return self.version // 10_000


@dataclass(frozen=True, slots=True)
class UserTable:
    """A table that could be replicated; `keyed` when its rows can be told apart."""

    relation_id: int
    schema: str
    name: str
    persistence: str
    replica_identity: str
    keyed: bool

    @property
    def qualified_name(self) -> str:
        """schema.table, not quoted."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """The slot as the server shows it, with the WAL kept for it, the end of the WAL, and how much may still be written before
    it is in danger (None: no limit)."""

    slot: Slot
    retained_wal_bytes: int
    wal_end: int
    safe_wal_bytes: int | None = None


AnyTable = TypeVar("AnyTable", Table, UserTable)


class Catalogue:
    """One connection for questions, dialled when first needed and again when it broke.

    A question that meets a lock waits for at most `lock_timeout_ms` (0: as long as the server says).
    """

    def __init__(self, source_url: str, lock_timeout_ms: int = 0) -> None:
        self._source_url = source_url
        self._lock_timeout_ms = lock_timeout_ms
        self._connection: psycopg.AsyncConnection | None = None
        self._dialling = asyncio.Lock()
        self.major = 0

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def snapshot(self) -> tuple[int, frozenset[int]]:
        """(xmax, ids that are in progress) of a query that runs now; see protocol/visibility.py."""
        ((xmax, running),) = await self.rows(queries.SNAPSHOT, "looking at running transactions")
        return int(xmax), frozenset(map(int, running))

    async def flush_lsn(self) -> int:
        """How far the WAL is flushed."""
        ((lsn,),) = await self.rows("SELECT pg_current_wal_flush_lsn()::text", "asking for the end of the WAL")
        return Lsn.parse(lsn)

    async def system_identifier(self) -> str:
        """Of the cluster, in decimal, as IDENTIFY_SYSTEM gives it."""
        statement = "SELECT system_identifier FROM pg_control_system()"
        ((identifier,),) = await self.rows(statement, "asking for the system identifier")
        return str(identifier)

    async def rehearse(self, statement: str, doing: str, fix: str = "") -> None:
        """Runs a statement and takes it back. Not beside other questions on the same connection: they would be part of it."""

        async def ask(cursor: psycopg.AsyncCursor) -> None:
            async with cursor.connection.transaction(force_rollback=True):
                await cursor.execute(statement)

        await self.run(ask, doing, fix)

    async def unreadable(self, tables: Sequence[AnyTable]) -> list[AnyTable]:
        """Those that the role may not SELECT from."""
        relations = [table.relation_id for table in tables]
        found = await self.rows(queries.UNREADABLE, "looking at privileges", relations=relations)
        oids = {oid for (oid,) in found}
        return [table for table in tables if table.relation_id in oids]

    async def rows(self, statement: str, doing: str, *, fix: str = "", **parameters: object) -> list[tuple]:
        """All rows of a statement; [] for one that has none. Errors are those of errors.py."""

        async def ask(cursor: psycopg.AsyncCursor) -> list[tuple]:
            await cursor.execute(statement, parameters or None)
            return await cursor.fetchall() if cursor.description else []

        return await self.run(ask, doing, fix)

    async def run(self, ask: Callable[[psycopg.AsyncCursor], Awaitable[T]], doing: str, fix: str = "") -> T:
        """What `ask` makes of a cursor, under a deadline."""
        connection, fresh = await self._connected()
        try:
            async with asyncio.timeout(QUERY_S), connection.cursor() as cursor:
                return await ask(cursor)
        except psycopg.Error as error:
            # A connection that broke while it was idle says so at its next use only.
            if fresh or not connection.closed:
                raise source_error(error, doing, fix) from None
        except TimeoutError:
            raise SourceUnavailable(f"{doing}: no answer within {QUERY_S:.0f} s", "It is tried again") from None
        return await self.run(ask, doing, fix)

    async def _connected(self) -> tuple[psycopg.AsyncConnection, bool]:
        """(connection, True when it was dialled for this)."""
        async with self._dialling:
            fresh = self._connection is None or self._connection.closed
            if fresh:
                self._connection = await connect(self._source_url)
                if self._lock_timeout_ms:
                    await self._connection.execute(f"SET lock_timeout = {self._lock_timeout_ms}")
            return self._connection, fresh

    async def server(self) -> ServerInfo:
        """Who answers."""
        (row,) = await self.rows(queries.SERVER, "asking the server for its settings")
        info = ServerInfo(*row)
        self.major = info.major
        return info

    async def publication_exists(self, name: str) -> bool:
        """True when there is a publication of this name in the database."""
        doing = "looking for the publication"
        return bool(await self.rows("SELECT 1 FROM pg_publication WHERE pubname = %(name)s", doing, name=name))

    async def publishes_all(self, name: str) -> bool:
        """True for a publication FOR ALL TABLES: a table is in it from its beginning."""
        found = await self.rows(
            "SELECT puballtables FROM pg_publication WHERE pubname = %(name)s", "looking at the publication", name=name
        )
        return bool(found and found[0][0])

    async def user_tables(self) -> list[UserTable]:
        """All tables that could be replicated, by name."""
        return [UserTable(*row) for row in await self.rows(queries.USER_TABLES, "listing the tables")]

    async def tables(self, publication: str, relation_id: int | None = None) -> list[Table]:
        """The published tables by name, or the one asked for when it is published."""
        statement = queries.TABLES.format(attnames="p.attnames" if self.major >= 15 else "NULL")
        doing = "reading the tables of the publication"
        only = None if relation_id is None else [relation_id]
        found = await self.rows(statement, doing, publication=publication, relations=only)
        relations = [row[0] for row in found]
        columns = defaultdict(list)
        generated = self.major >= 18
        for row in await self.rows(queries.COLUMNS, doing, relations=relations, generated=generated):
            columns[row[0]].append(TableColumn(*row[1:]))
        primary, identity = defaultdict(list), defaultdict(list)
        for oid, is_primary, is_identity, name in await self.rows(queries.KEYS, doing, relations=relations):
            if is_primary:
                primary[oid].append(name)
            if is_identity:
                identity[oid].append(name)
        return [
            Table(
                relation_id=oid,
                schema=schema,
                name=name,
                replica_identity=ReplicaIdentity.from_relreplident(letter),
                columns=tuple(c for c in columns[oid] if published is None or c.name in published),
                primary_key=tuple(primary[oid]),
                identity_key=tuple(identity[oid]),
                persistence=persistence,
                row_estimate=int(estimate or 0),
            )
            for oid, schema, name, letter, persistence, published, estimate in found
        ]

    async def types(self, oids: Iterable[int]) -> dict[int, TypeInfo]:
        """Types by OID, below their domains; a type that no longer exists is missing."""
        found = await self.rows(queries.TYPES, "reading types", types=sorted(set(oids)))
        return {row[0]: _type_info(*row) for row in found}

    async def slot(self, name: str) -> SlotHealth | None:
        """The slot; None when it does not exist."""
        trouble = "''"
        if self.major >= 17:
            trouble = "coalesce(invalidation_reason, '')"
        elif self.major == 16:
            trouble = "CASE WHEN conflicting THEN 'conflict with recovery' ELSE '' END"
        statement = queries.SLOT.format(trouble=trouble, wal_end=queries.WAL_END)
        found = await self.rows(statement, "looking at the replication slot", slot=name)
        if not found:
            return None
        plugin, database, confirmed, restart, wal_status, why, retained, wal_end, safe = found[0]
        slot = Slot(
            name, plugin or "", database or "", _lsn(confirmed), _lsn(restart), wal_status or "", trouble=why or ""
        )
        return SlotHealth(slot, max(retained or 0, 0), _lsn(wal_end), safe)


def _lsn(text: str | None) -> int:
    return Lsn.parse(text) if text else 0


def _type_info(
    declared: int, name: str, base: int, kind: str, category: str, delimiter: str, modifier: int, element: int
) -> TypeInfo:
    family = _FAMILIES.get(kind, TypeFamily.SCALAR)
    # box[] separates its elements by `;`: it travels as text.
    if category == "A" and element and base not in _VECTORS and delimiter == ",":
        family = TypeFamily.ARRAY
    else:
        element = 0
    return TypeInfo(declared, name, family, base, element, modifier if declared != base else -1)
