"""What the case tests do over and over: CSV loads and answers that must be good."""

from typing import Any

from tests.unit.sandbox_starrocks.conftest import Database

Reply = dict[str, Any]


async def csv(db: Database, table: str, *lines: str, **headers: str) -> Reply:
    """A comma-separated load to the BE, one line per row."""
    given = {"format": "csv", "column_separator": ","} | headers
    return await db.load(table, "\n".join(lines).encode(), **given)


def ok(reply: Reply) -> None:
    assert (reply["Status"], reply["Message"]) == ("Success", "OK"), reply


async def csv_loaded(db: Database, table: str, *lines: str, **headers: str) -> None:
    ok(await csv(db, table, *lines, **headers))


async def json_loaded(db: Database, table: str, body: str, **headers: str) -> None:
    ok(await db.load(table, body.encode(), **headers))
