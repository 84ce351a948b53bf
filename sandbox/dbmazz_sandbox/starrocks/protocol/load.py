"""The steps of a load after its transaction began, each a call of its own (starrocks.md 10, steps 9 to 15).

A Stream Load takes them one after the other; a transaction of `/api/transaction` plans at its first load, feeds once
per load, and checks and publishes at prepare or commit. Blocking calls, no I/O: run `feed` and `finish` in a thread.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.fold import Batch, fold, key_too_long
from dbmazz_sandbox.starrocks.protocol.headers import Early, LoadHeaders, check_memory_limit, read_headers
from dbmazz_sandbox.starrocks.protocol.plan import Plan, make_plan
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows, merged, read_rows
from dbmazz_sandbox.starrocks.protocol.upsert import Write, default_value
from dbmazz_sandbox.starrocks.version import Version


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one load does to one table; it stays the same over all loads of a transaction to that table."""

    headers: LoadHeaders
    plan: Plan
    version: Version

    @property
    def table(self) -> Table:
        return self.plan.table

    @property
    def tablet(self) -> int:
        """The id that messages name."""
        return self.plan.table.ident + 1


def plan_load(table: Table, headers: Mapping[str, str], early: Early, version: Version) -> LoadPlan:
    """Steps 9 and 10. Raises LoadError, in the BE's and then the FE's order."""
    parsed = read_headers(headers, early)
    negative = headers.get("negative", "").lower() == "true"
    plan = make_plan(table, parsed, negative=negative)
    check_memory_limit(headers)
    return LoadPlan(parsed, plan, version)


class Scan:
    """Step 13: bodies in, rows out. `feed` may be called several times; `finish` once."""

    def __init__(self, load: LoadPlan, now: dt.datetime, reject: int = 0) -> None:
        """`now` (UTC) is what now() gives, in the time zone of the load; `reject` filters that many rows on purpose."""
        self._load, self._now, self._reject = load, now, reject
        self._rows: list[LoadedRows] = []
        self._chunks: list[bytes] = []

    def feed(self, body: bytes) -> None:
        """One body as received. A JSON body is complete by itself, CSV is cut where the chunks say and read at the
        end. Raises LoadError."""
        if self._load.headers.csv is not None:
            self._chunks.append(body)
        else:
            self._rows.append(self._read(body))

    def finish(self) -> LoadedRows:
        """The rows of all bodies, in order. Raises LoadError."""
        if self._load.headers.csv is not None:
            self._rows.append(self._read(b"".join(self._chunks)))
        return merged(self._rows)

    def _read(self, body: bytes) -> LoadedRows:
        load = self._load
        return read_rows(load.plan, load.headers, body, prefix=load.version.parse_prefix, now=self._now,
                         reject=self._reject)  # fmt: skip


def check_rows(load: LoadPlan, rows: LoadedRows, *, empty_is_error: bool) -> None:
    """What fails a load once its rows are known: the sink's checks, then the filter ratio. Raises LoadError."""
    plan = load.plan
    if rows.deleted is not None and plan.condition is not None:
        raise LoadError(f"memtable of tablet {load.tablet} delete with condition column {plan.condition.name}")
    if rows.loaded and plan.table.primary and key_too_long(plan.table.key_columns, rows.columns):
        raise LoadError("primary key size exceed the limit.")
    if plan.column_mode and rows.deleted is not None:
        raise LoadError("Mixed upsert/delete transactions not supported in column mode partial updates")
    if _misses_sort_key(plan) and not (rows.deleted and all(rows.deleted)):
        raise LoadError("partial update on table with sort key must provide all sort key columns")
    selected = rows.total - rows.unselected
    if selected and rows.filtered / selected > load.headers.max_filter_ratio:
        raise LoadError("too many filtered rows")
    if not rows.loaded and empty_is_error:
        raise LoadError(load.version.empty_load)


def _misses_sort_key(plan: Plan) -> bool:
    """Row mode must write all columns of the sort key; column mode cannot write any that is no key."""
    if not plan.partial or not plan.missing or not plan.table.sort_key:
        return False
    given = plan.table.keys if plan.column_mode else [column.name for column in plan.written]
    return not {name.lower() for name in given}.issuperset(name.lower() for name in plan.table.sort_key)


def change_of(load: LoadPlan, rows: LoadedRows, now: dt.datetime) -> tuple[Write, Batch]:
    """The checked rows folded to one per key, ready for Store.apply_all. `now` (UTC) fills CURRENT_TIMESTAMP."""
    plan = load.plan
    fills = tuple((column, default_value(column, now)) for column in plan.missing)
    keys = plan.table.key_columns if plan.table.primary else ()
    batch = fold(rows.columns, keys, rows.deleted, plan.condition) if rows.loaded else Batch({}, {})
    return Write(plan.table, fills, plan.partial, plan.condition), batch
