"""Reads the large values of rows that the target does not have yet, by their key, in one statement for many rows.

An UPDATE that changes the key and leaves a TOAST value alone carries neither the value nor, under REPLICA IDENTITY
DEFAULT, the old row; but in the target the new key is a new row. So is any row of a table that held rows before its
changes were recorded.
"""

from __future__ import annotations

import psycopg
import structlog

from dbmazz_reader.postgres.catalogue import Catalogue
from dbmazz_reader.postgres.errors import SourceMoved
from dbmazz_reader.postgres.names import quote, quote_table
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.readbacks import Readback

log = structlog.get_logger("dbmazz.reader")

# Keys per statement: bounds what the large values of one answer take in memory.
KEYS_PER_QUERY = 50

Found = dict[tuple[bytes, ...], dict[int, bytes | None]]


async def read_back(catalogue: Catalogue, lane: LaneBuilder) -> tuple[int, int]:
    """Completes the lane's rows that wait for it; (rows completed, rows that are gone meanwhile).

    The changes' transactions are visible by now (the caller has seen to it). The value may be newer than the change; then
    the change that wrote it is still to come. A row that is gone stays partial: its next change is still to come, too.
    """
    completions = []
    asked, lane.readbacks = lane.readbacks, []
    for start in range(0, len(asked), KEYS_PER_QUERY):
        part = asked[start : start + KEYS_PER_QUERY]
        columns = sorted({column for readback in part for column in readback.columns})
        try:
            found = await _fetch(catalogue, lane, columns, part)
        except SourceMoved as error:
            # Dropped or renamed since the row was written: to this change its rows are gone.
            log.warning("readback_impossible", table=lane.relation.qualified_name, error=error.message)
            found = {}
        for readback in part:
            cells = found.get(readback.key)
            if cells is not None:
                completions.append((readback.row, {column: cells[column] for column in readback.columns}))
    lane.complete(completions)
    return len(completions), len(asked) - len(completions)


async def _fetch(catalogue: Catalogue, lane: LaneBuilder, columns: list[int], part: list[Readback]) -> Found:
    """Texts of `columns` by key, as the output functions write them, which is what the stream carries."""
    relation = lane.relation
    table = quote_table(relation.schema, relation.name)
    key = [quote(relation.columns[index].name) for index in lane.key_indices]
    wanted = [quote(relation.columns[index].name) for index in columns]
    names = f"SELECT {', '.join(key + wanted)} FROM {table} WHERE ({', '.join(key)}) IN "
    one = f"({', '.join(['%s'] * len(key))})"
    statement = f"{names.replace('%', '%%')}({', '.join([one] * len(part))})"
    # Strings go out with no type, so that each takes that of its column.
    parameters = [text.decode() for readback in part for text in readback.key]

    async def ask(cursor: psycopg.AsyncCursor) -> Found:
        await cursor.execute(statement, parameters)
        # The raw texts, not Python values: those would lose what the output functions wrote.
        result = cursor.pgresult
        found: Found = {}
        for row in range(result.ntuples):
            cells = [result.get_value(row, column) for column in range(result.nfields)]
            found[tuple(cells[: len(key)])] = dict(zip(columns, cells[len(key) :], strict=True))
        return found

    return await catalogue.run(
        ask, f"reading values of {relation.qualified_name} back", f"GRANT SELECT ON {table} TO ...;"
    )
