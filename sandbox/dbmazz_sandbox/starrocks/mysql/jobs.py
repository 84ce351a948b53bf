"""SHOW ALTER TABLE COLUMN: the jobs under way, cancelled and finished."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.alters import moment
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]
ALTER_COLUMNS = ["JobId", "TableName", "CreateTime", "FinishTime", "IndexName", "IndexId", "OriginIndexId",
                 "SchemaVersion", "TransactionId", "State", "Msg", "Progress", "Timeout"]  # fmt: skip
_ALTER = re.compile(
    r"""\A(?:FROM\s+(?P<db>`[^`]+`|[\w.]+)\s*)?(?:WHERE\s+(?P<where>.*?)\s*)?
    (?:ORDER\s+BY\s+(?P<by>CreateTime|JobId|FinishTime)(?:\s+(?P<order>ASC|DESC))?\s*)?
    (?:LIMIT\s+(?P<limit>\d+))?\s*;?\s*\Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_CONDITION = re.compile(r"""(TableName|State)\s*=\s*(['"])(.*?)\2""", re.IGNORECASE | re.DOTALL)


def alter_jobs(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    tokens.expect("TABLE")
    names = [*ALTER_COLUMNS, "Warehouse"] if session.cluster.version.numbers >= (4, 0) else ALTER_COLUMNS
    if tokens.accept("OPTIMIZE") or tokens.accept("ROLLUP"):
        return [], names
    tokens.expect("COLUMN")
    match = _ALTER.match(tokens.sql[tokens.peek().start :])
    wanted = _conditions(match["where"] or "") if match else None
    if match is None or wanted is None:
        raise SqlError.not_emulated("this form of SHOW ALTER TABLE COLUMN")
    database = (match["db"] or session.database or "").strip("`").removeprefix("default_catalog.")
    if not database:
        raise SqlError.no_database()
    session.cluster.catalog.database(database)
    rows = [row for row in _jobs(session, database) if all(row[at] == value for at, value in wanted)]
    at = names.index(next(n for n in names if n.lower() == (match["by"] or "CreateTime").lower()))
    rows.sort(key=lambda row: (str(row[at]), row[0]), reverse=(match["order"] or "").upper() == "DESC")
    rows = rows[: int(match["limit"])] if match["limit"] else rows
    return [(*row, "default_warehouse")[: len(names)] for row in rows], names


def _conditions(text: str) -> list[tuple[int, str]] | None:
    """(position, value) pairs of a WHERE with AND; None for any other."""
    out = []
    for part in re.split(r"\s+AND\s+", text, flags=re.IGNORECASE) if text else []:
        found = _CONDITION.fullmatch(part.strip())
        if found is None:
            return None
        at = ALTER_COLUMNS.index("TableName" if found[1].lower() == "tablename" else "State")
        out.append((at, found[3]))
    return out


def _jobs(session: StarRocksSession, database: str) -> Iterable[Sequence[Any]]:
    now = session.cluster.now()
    tables = session.visible().databases.get(database, {})
    for table in tables.values():
        for job in table.jobs:
            yield (job.ident, table.name, job.created, job.finished, table.name, job.ident, table.ident,
                   f"{job.version}:0", job.ident, "FINISHED", "", None, 86400)  # fmt: skip
    for job in session.cluster.alters.of_database(database, now):
        if job.table not in tables:
            continue
        version = f"{len(tables[job.table].jobs) + 1}:0"
        ended = moment(job.finished) if job.ended else None
        yield (job.ident, job.table, moment(job.created), ended, job.table, job.ident, job.table_ident, version,
               job.ident, job.state.value, job.message, job.progress(now), 86400)  # fmt: skip
