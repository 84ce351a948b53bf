"""information_schema, made from the catalogue and the labels (starrocks.md 6.1; the *SystemTable classes of the FE)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbmazz_sandbox.starrocks.alters import moment
from dbmazz_sandbox.starrocks.catalog import Catalog, Column, Table
from dbmazz_sandbox.starrocks.labels import Labels, State
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind
from dbmazz_sandbox.starrocks.version import Version

Row = Sequence[Any]
ROWS_OF = "rows of "  # followed by a physical table: DuckDB's own count fills it in when the query runs


@dataclass(frozen=True, slots=True)
class Source:
    """What the tables are made from: what the user may see of the catalogue, and the load transactions."""

    catalog: Catalog
    labels: Labels
    version: Version
    tracking: Sequence[tuple[int, str, str, str]] = ()  # job, label, database, text of an error log

    def tables(self) -> Iterator[Table]:
        for name in sorted(self.catalog.databases):
            yield from (self.catalog.databases[name][table] for table in sorted(self.catalog.databases[name]))


def _names(text: str) -> tuple[tuple[str, str], ...]:
    """`NAME:type` words; no type is VARCHAR."""
    return tuple((name, kind or "VARCHAR") for name, _, kind in (word.partition(":") for word in text.split()))


_TABLES = _names(
    "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION:BIGINT ROW_FORMAT TABLE_ROWS:BIGINT "
    "AVG_ROW_LENGTH:BIGINT DATA_LENGTH:BIGINT MAX_DATA_LENGTH:BIGINT INDEX_LENGTH:BIGINT DATA_FREE:BIGINT "
    "AUTO_INCREMENT:BIGINT CREATE_TIME:TIMESTAMP UPDATE_TIME:TIMESTAMP CHECK_TIME:TIMESTAMP TABLE_COLLATION "
    "CHECKSUM:BIGINT CREATE_OPTIONS TABLE_COMMENT"
)


def _tables(source: Source) -> Iterator[Row]:
    for t in source.tables():
        yield ("def", t.database, t.name, "BASE TABLE", "StarRocks", None, "", ROWS_OF + t.physical, None, None, None,
               None, None, None, t.created, None, None, "utf8_general_ci", None, "", t.comment)  # fmt: skip
    for name in sorted(TABLES):
        yield ("def", "information_schema", name, "SYSTEM VIEW", "", None, "", None, None, None, None, None, None,
               None, None, None, None, "utf8_general_ci", None, "", "")  # fmt: skip


_COLUMNS = _names(
    "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:BIGINT COLUMN_DEFAULT IS_NULLABLE DATA_TYPE "
    "CHARACTER_MAXIMUM_LENGTH:BIGINT CHARACTER_OCTET_LENGTH:BIGINT NUMERIC_PRECISION:BIGINT NUMERIC_SCALE:BIGINT "
    "DATETIME_PRECISION:BIGINT CHARACTER_SET_NAME COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA PRIVILEGES "
    "COLUMN_COMMENT COLUMN_SIZE:BIGINT DECIMAL_DIGITS:BIGINT GENERATION_EXPRESSION SRS_ID:BIGINT"
)
_DIGITS = {Kind.TINYINT: 3, Kind.SMALLINT: 5, Kind.INT: 10, Kind.BIGINT: 19, Kind.LARGEINT: 39, Kind.FLOAT: 7,
           Kind.DOUBLE: 15}  # fmt: skip


def default_text(column: Column) -> str | None:
    return "CURRENT_TIMESTAMP" if column.default_now else column.default


def key_mark(table: Table, column: Column) -> str:
    return ("PRI" if table.primary else "DUP") if table.is_key(column) else ""


def _columns(source: Source) -> Iterator[Row]:
    for t in source.tables():
        for position, c in enumerate(t.columns, 1):
            kind = c.type.kind
            text = c.type.length if kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY) else None
            digits = c.type.precision if kind is Kind.DECIMAL else _DIGITS.get(kind)
            scale = c.type.scale if kind is Kind.DECIMAL else 0 if kind in INTEGER_BITS else None
            extra = "auto_increment" if c.auto_increment else ""
            yield ("def", t.database, t.name, c.name, position, default_text(c), "YES" if c.nullable else "NO",
                   c.type.data_type, text, text, digits, scale, None, None, None, c.type.column_type,
                   key_mark(t, c), extra, "", c.comment, text or digits, scale, None, None)  # fmt: skip


_CONFIG = _names(
    "TABLE_SCHEMA TABLE_NAME TABLE_ENGINE TABLE_MODEL PRIMARY_KEY PARTITION_KEY DISTRIBUTE_KEY DISTRIBUTE_TYPE "
    "DISTRIBUTE_BUCKET:INTEGER SORT_KEY PROPERTIES TABLE_ID:BIGINT"
)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def properties(table: Table) -> dict[str, str]:
    defaults = {"compression": "LZ4", "fast_schema_evolution": "true", "replicated_storage": "true",
                "replication_num": "1"}  # fmt: skip
    if table.primary:
        defaults["enable_persistent_index"] = "true"
    return dict(sorted((defaults | table.properties).items()))


def _config(source: Source) -> Iterator[Row]:
    for t in source.tables():
        keys = _quoted(t.keys)
        yield (t.database, t.name, "OLAP", "PRIMARY_KEYS" if t.primary else "DUP_KEYS", keys,
               _quoted(t.partition_columns), _quoted(t.distribution), "HASH" if t.distribution else "RANDOM",
               t.buckets, _quoted(t.sort_key) or keys, json.dumps(properties(t), separators=(",", ":")),
               t.ident)  # fmt: skip


_SCHEMATA = _names("CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH")


def _schemata(source: Source) -> Iterator[Row]:
    return (("def", name, "utf8", "utf8_general_ci", None) for name in source.catalog.names())


_TABLETS = _names(
    "BE_ID:BIGINT TABLE_ID:BIGINT PARTITION_ID:BIGINT TABLET_ID:BIGINT NUM_VERSION:BIGINT MAX_VERSION:BIGINT "
    "MIN_VERSION:BIGINT NUM_ROWSET:BIGINT NUM_ROW:BIGINT DATA_SIZE:BIGINT INDEX_MEM:BIGINT CREATE_TIME:BIGINT STATE "
    "TYPE DATA_DIR SHARD_ID:BIGINT SCHEMA_HASH:BIGINT INDEX_DISK:BIGINT MEDIUM_TYPE NUM_SEGMENT:BIGINT"
)


def _tablets(source: Source) -> Iterator[Row]:
    for t in source.tables():
        kind = "PRIMARY" if t.primary else "DUP"
        yield (10001, t.ident, t.ident, t.ident + 1, 2, 2, 2, 1, ROWS_OF + t.physical, 0, 0, 0, "RUNNING", kind,
               "", 0, t.ident, 0, "HDD", 1)  # fmt: skip


_PARTITIONS = _names(
    "DB_NAME TABLE_NAME PARTITION_NAME PARTITION_ID:BIGINT COMPACT_VERSION:BIGINT VISIBLE_VERSION:BIGINT "
    "VISIBLE_VERSION_TIME:TIMESTAMP NEXT_VERSION:BIGINT DATA_VERSION:BIGINT VERSION_EPOCH:BIGINT VERSION_TXN_TYPE "
    "PARTITION_KEY PARTITION_VALUE DISTRIBUTION_KEY BUCKETS:INTEGER REPLICATION_NUM:INTEGER STORAGE_MEDIUM "
    "COOLDOWN_TIME:TIMESTAMP LAST_CONSISTENCY_CHECK_TIME:TIMESTAMP IS_IN_MEMORY:BOOLEAN IS_TEMP:BOOLEAN DATA_SIZE "
    "ROW_COUNT:BIGINT ENABLE_DATACACHE:BOOLEAN AVG_CS:DOUBLE MAX_CS:DOUBLE STORAGE_PATH"
)


def _partitions(source: Source) -> Iterator[Row]:
    for t in source.tables():
        replicas = int(properties(t)["replication_num"])
        yield (t.database, t.name, t.name, t.ident, 0, 2, t.created, 3, 2, 0, "TXN_NORMAL", ", ".join(t.partition_columns),
               "", ", ".join(t.distribution), t.buckets or 1, replicas, "HDD", "9999-12-31 23:59:59", None, False, False,
               "0B", ROWS_OF + t.physical, True, 0.0, 0.0, "")  # fmt: skip


_VIEWS = _names(
    "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION CHECK_OPTION IS_UPDATABLE DEFINER SECURITY_TYPE "
    "CHARACTER_SET_CLIENT COLLATION_CONNECTION"
)
_MATERIALIZED = _names(
    "MATERIALIZED_VIEW_ID TABLE_SCHEMA TABLE_NAME REFRESH_TYPE IS_ACTIVE INACTIVE_REASON PARTITION_TYPE TASK_ID "
    "TASK_NAME LAST_REFRESH_START_TIME LAST_REFRESH_FINISHED_TIME LAST_REFRESH_DURATION LAST_REFRESH_STATE "
    "LAST_REFRESH_FORCE_REFRESH LAST_REFRESH_START_PARTITION LAST_REFRESH_END_PARTITION "
    "LAST_REFRESH_BASE_REFRESH_PARTITIONS LAST_REFRESH_MV_REFRESH_PARTITIONS LAST_REFRESH_ERROR_CODE "
    "LAST_REFRESH_ERROR_MESSAGE TABLE_ROWS MATERIALIZED_VIEW_DEFINITION EXTRA_MESSAGE QUERY_REWRITE_STATUS CREATOR"
)


def _nothing(source: Source) -> Iterator[Row]:
    return iter(())


_LOADS = _names(
    "ID:BIGINT LABEL PROFILE_ID DB_NAME TABLE_NAME USER WAREHOUSE STATE PROGRESS TYPE PRIORITY SCAN_ROWS:BIGINT "
    "SCAN_BYTES:BIGINT FILTERED_ROWS:BIGINT UNSELECTED_ROWS:BIGINT SINK_ROWS:BIGINT RUNTIME_DETAILS:JSON "
    "CREATE_TIME:TIMESTAMP LOAD_START_TIME:TIMESTAMP LOAD_COMMIT_TIME:TIMESTAMP LOAD_FINISH_TIME:TIMESTAMP "
    "PROPERTIES:JSON ERROR_MSG TRACKING_SQL REJECTED_RECORD_PATH JOB_ID:BIGINT"
)
_LOAD_STATES = {State.VISIBLE: "FINISHED", State.ABORTED: "CANCELLED", State.COMMITTED: "COMMITTED"}


def _loads(source: Source) -> Iterator[Row]:
    tracked = {job for job, *_ in source.tracking}
    for t in source.labels.transactions():
        if t.database not in source.catalog.databases:
            continue
        state = _LOAD_STATES.get(t.state, "LOADING")
        ended = moment(t.finished) if t.finished else None
        progress = "ETL:100%; LOAD:100%" if state == "FINISHED" else "ETL:N/A; LOAD:0%"
        sql = f"select tracking_log from information_schema.load_tracking_logs where job_id={t.ident}"
        scanned = t.rows + t.filtered + t.unselected
        started = moment(t.started) if t.started else None
        yield (t.ident, t.label, None, t.database, ",".join(t.table_names), None, "default_warehouse", state, progress,
               "STREAM_LOAD", "NORMAL", scanned, t.bytes, t.filtered, t.unselected, t.rows, "{}", started, started, ended,
               ended, "{}", t.reason or None, sql if t.ident in tracked else None, None, t.ident)  # fmt: skip


_LOGS = _names("ID:BIGINT JOB_ID:BIGINT LABEL DATABASE_NAME TRACKING_LOG TYPE")


def _logs(source: Source) -> Iterator[Row]:
    for job, label, database, text in source.tracking:
        if database in source.catalog.databases:
            yield (job, job, label, database, text, "STREAM_LOAD")


TABLES: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[Source], Iterator[Row]]]] = {
    "tables": (_TABLES, _tables),
    "columns": (_COLUMNS, _columns),
    "tables_config": (_CONFIG, _config),
    "schemata": (_SCHEMATA, _schemata),
    "be_tablets": (_TABLETS, _tablets),
    "partitions_meta": (_PARTITIONS, _partitions),
    "views": (_VIEWS, _nothing),
    "materialized_views": (_MATERIALIZED, _nothing),
    "loads": (_LOADS, _loads),
    "load_tracking_logs": (_LOGS, _logs),
}
_ADDED_40 = {
    "partitions_meta": _names("STORAGE_SIZE:BIGINT TABLET_BALANCED:BOOLEAN METADATA_SWITCH_VERSION:BIGINT"),
    "materialized_views": _names("LAST_REFRESH_PROCESS_TIME:TIMESTAMP LAST_REFRESH_JOB_ID"),
}  # as of the upstream snapshot; which 4.0 patch has them is not recorded


def relation(name: str, source: Source) -> tuple[dict[str, np.ndarray], str]:
    """Columns to register with DuckDB as `{name}_rows`, and the SELECT over them that is the information_schema table;
    raises KeyError for a table there is not."""
    names, make = TABLES[name.lower()]
    rows = list(make(source))
    if source.version.numbers >= (4, 0):
        added = _ADDED_40.get(name.lower(), ())
        names, rows = names + added, [(*row, *[None] * len(added)) for row in rows]
    data: dict[str, np.ndarray] = {}
    for position, (column, _kind) in enumerate(names):
        # All as text, never NULL inside: DuckDB guesses the type of an object column from a sample.
        texts = ["" if row[position] is None else str(row[position]) for row in rows] or [""]
        data[column] = np.array(texts, dtype=object)
        data[column + "_null"] = np.array([row[position] is None for row in rows] or [True])
    items = ", ".join(f"{_typed(column, kind)} AS {column}" for column, kind in names)
    return data, f"SELECT {items} FROM {name}_rows" + ("" if rows else " WHERE false")


def _typed(column: str, kind: str) -> str:
    value = f"TRY_CAST({column} AS {kind})"
    if column in ("TABLE_ROWS", "NUM_ROW", "ROW_COUNT") and kind == "BIGINT":
        physical = f"substr({column}, {len(ROWS_OF) + 1})"
        value = f"(SELECT max(d.estimated_size) FROM duckdb_tables() d WHERE d.table_name = {physical})"
    return f"CASE WHEN {column}_null THEN NULL ELSE {value} END"
