"""What a transaction collects for one table: one plan, and the bodies of all its loads. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.headers import read_early, read_headers
from dbmazz_sandbox.starrocks.protocol.load import LoadPlan, Scan, check_rows, plan_load
from dbmazz_sandbox.starrocks.protocol.rows import LoadedRows
from dbmazz_sandbox.starrocks.transactions.reply import Code, Failure
from dbmazz_sandbox.starrocks.version import Version

# What of a load request the plan is made from (TStreamLoadPutRequest): it must not change within a transaction.
_PLANNED = (
    "format", "columns", "where", "column_separator", "row_delimiter", "skip_header", "trim_space", "enclose", "escape",
    "partitions", "temporary_partitions", "negative", "strict_mode", "timezone", "load_mem_limit", "jsonpaths",
    "json_root", "strip_outer_array", "partial_update", "partial_update_mode", "merge_condition",
    "transmission_compression_type", "load_dop", "content-encoding", "compression",
)  # fmt: skip
_NOT_OF_A_LOAD = frozenset(
    {"timeout", "enable_merge_commit"}
)  # a Stream Load checks them, a transaction's load does not


@dataclass(slots=True)
class TableWork:
    """`announced` adds up Content-Length over the loads, as the BE does for its size checks."""

    table: Table
    brief: str
    plan: LoadPlan | None = None
    bodies: list[bytes] = field(default_factory=list)
    announced: int = 0
    _request: tuple[str, ...] | None = None

    def begin_load(self, headers: Mapping[str, str], content_length: int | None, version: Version) -> None:
        """The checks of one `load` before its body. Raises Failure."""
        self.announced += content_length or 0
        given = {name.lower(): value for name, value in headers.items() if name.lower() not in _NOT_OF_A_LOAD}
        try:
            early = read_early(given, self.announced if content_length is not None else None, self.brief)
        except LoadError as error:
            raise Failure(Code.INTERNAL_ERROR, error.message) from error
        try:
            read_headers(given, early)
        except LoadError as error:
            raise Failure(Code.INVALID_ARGUMENT, error.message) from error
        request = tuple(given.get(name, "") for name in _PLANNED)
        if self._request is not None and request != self._request:
            raise Failure(Code.INTERNAL_ERROR, "load request not equal last.")
        self._request = request
        if self.plan is None:
            try:
                self.plan = plan_load(self.table, given, early, version)
            except LoadError as error:
                raise Failure(Code.ANALYSIS_ERROR, error.message) from error

    def read(self, reject: int, *, empty_is_error: bool) -> LoadedRows:
        """All rows of all loads, checked; blocking. Raises LoadError, with the rows as its `rows` if there are any."""
        assert self.plan is not None
        scan = Scan(self.plan, utc_now(), reject)
        for body in self.bodies:
            scan.feed(body)
        rows = scan.finish()
        try:
            check_rows(self.plan, rows, empty_is_error=empty_is_error)
        except LoadError as error:
            raise Rejected(error.message, rows) from error
        return rows


class Rejected(LoadError):
    """The rows were read and are refused."""

    def __init__(self, message: str, rows: LoadedRows) -> None:
        super().__init__(message)
        self.rows = rows
