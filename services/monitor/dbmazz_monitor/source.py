"""Counts rows in PostgreSQL: by the planner's estimate, exactly where a table is small."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
from dbmazz.errors import ConfigError, DbmazzError, SourceError, SourceUnavailable
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dbmazz_monitor.protocol.sample import SourceCount, Table

# A sequential scan of this much is cheap enough to be repeated every ten seconds.
SMALL_BYTES = 32 << 20
QUERY_TIMEOUT_S = 2
ROUND_TIMEOUT_S = 10.0

# reltuples is as of the last VACUUM or ANALYZE, so it is scaled by the growth of the file since, as the planner does;
# without one (-1) the statistics collector's count stands in. Partitions count for their parent.
_ESTIMATES = """
SELECT want.name,
       sum(pg_relation_size(leaf.oid))::bigint AS bytes,
       sum(CASE WHEN leaf.reltuples >= 0 AND leaf.relpages > 0
                THEN leaf.reltuples / leaf.relpages
                     * (pg_relation_size(leaf.oid) / current_setting('block_size')::int)
                ELSE pg_stat_get_live_tuples(leaf.oid) END)::bigint AS rows
FROM unnest(%(names)s::text[], %(schemas)s::text[], %(tables)s::text[]) AS want (name, schema, "table")
JOIN pg_namespace AS space ON space.nspname = want.schema
JOIN pg_class AS root ON root.relnamespace = space.oid AND root.relname = want."table"
CROSS JOIN LATERAL (
  SELECT root.oid WHERE root.relkind <> 'p'
  UNION ALL
  SELECT tree.relid FROM pg_partition_tree(root.oid) AS tree WHERE root.relkind = 'p' AND tree.isleaf
) AS part
JOIN pg_class AS leaf ON leaf.oid = part.oid
GROUP BY want.name
"""


class SourceCounter:
    """A connection per round: rounds are rare, and a source that went away needs no care."""

    def __init__(self, source_url: str, *, small_bytes: int = SMALL_BYTES) -> None:
        """ConfigError when the URL cannot be read; it is never shown, since it holds a password."""
        try:
            self._password = str(conninfo_to_dict(source_url).get("password") or "")
            self._conninfo = make_conninfo(
                source_url,
                application_name="dbmazz-monitor",
                connect_timeout=5,
                options=f"-c statement_timeout={QUERY_TIMEOUT_S}s -c default_transaction_read_only=on",
            )
        except psycopg.Error:
            raise ConfigError(
                "SOURCE_URL is not a libpq URL", "It looks like postgresql://user:password@host:5432/database"
            ) from None
        self._small_bytes = small_bytes

    async def count(self, tables: Sequence[Table]) -> dict[str, SourceCount]:
        """Rows by table: exact up to `small_bytes` of heap, else estimated."""
        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S):
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    return await self._counts(connection, tables)
        except TimeoutError:
            raise SourceUnavailable(f"PostgreSQL does not count within {ROUND_TIMEOUT_S:g} s") from None
        except psycopg.Error as error:
            raise self._shown(error) from None

    async def close(self) -> None:
        """Nothing is kept between rounds."""

    async def _counts(self, connection: psycopg.AsyncConnection, tables: Sequence[Table]) -> dict[str, SourceCount]:
        names = [table.name for table in tables]
        wanted = {
            "names": names,
            "schemas": [table.schema for table in tables],
            "tables": [table.table for table in tables],
        }
        found = await (await connection.execute(_ESTIMATES, wanted)).fetchall()
        estimates = {name: (size, rows) for name, size, rows in found}
        counts = {name: SourceCount(None, note="not in the source") for name in names}
        for table in sorted(tables, key=lambda t: estimates.get(t.name, (0, 0))[0]):
            if table.name in estimates:
                size, rows = estimates[table.name]
                counts[table.name] = await self._one(connection, table, size, rows)
        return counts

    async def _one(self, connection: psycopg.AsyncConnection, table: Table, size: int, estimate: int) -> SourceCount:
        if size > self._small_bytes:
            return SourceCount(estimate)
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.schema, table.table))
        try:
            row = await (await connection.execute(query)).fetchone()
        except psycopg.OperationalError as error:
            if not isinstance(error, psycopg.errors.QueryCanceled):
                raise
            return SourceCount(estimate, note=f"counting took more than {QUERY_TIMEOUT_S} s: estimated")
        except psycopg.Error as error:
            return SourceCount(estimate, note=f"cannot be counted ({error.diag.message_primary}): estimated")
        return SourceCount(row[0], exact=True)

    def _shown(self, error: psycopg.Error) -> DbmazzError:
        """The server's own words, or libpq's first line, which names host and port; never the password."""
        lines = (error.diag.message_primary or str(error)).strip().splitlines()
        line = lines[0] if lines else type(error).__name__
        if self._password:
            line = line.replace(self._password, "***")
        kind = SourceUnavailable if isinstance(error, psycopg.OperationalError) else SourceError
        return kind(f"PostgreSQL: {line}")
