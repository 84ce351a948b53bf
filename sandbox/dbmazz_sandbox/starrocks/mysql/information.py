"""information_schema, made from the catalogue (starrocks.md 6.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dbmazz_sandbox.starrocks.catalog import Catalog, Column, Table
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind

Row = Sequence[Any]


ROWS_OF = "rows of "  # followed by a physical table: DuckDB's own count fills it in when the query runs


def _all_tables(catalog: Catalog) -> Iterator[Table]:
    for name in sorted(catalog.databases):
        yield from (catalog.databases[name][table] for table in sorted(catalog.databases[name]))


_TABLES = ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME", "TABLE_TYPE", "ENGINE", "VERSION", "ROW_FORMAT",
           "TABLE_ROWS", "AVG_ROW_LENGTH", "DATA_LENGTH", "MAX_DATA_LENGTH", "INDEX_LENGTH", "DATA_FREE",
           "AUTO_INCREMENT", "CREATE_TIME", "UPDATE_TIME", "CHECK_TIME", "TABLE_COLLATION", "CHECKSUM",
           "CREATE_OPTIONS", "TABLE_COMMENT")  # fmt: skip


def _tables(catalog: Catalog) -> Iterator[Row]:
    for t in _all_tables(catalog):
        rows = ROWS_OF + t.physical
        yield ("def", t.database, t.name, "BASE TABLE", "StarRocks", None, "", rows, None, None, None, None, None,
               None, t.created, None, None, "utf8_general_ci", None, "", t.comment)  # fmt: skip


_COLUMNS = ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "COLUMN_DEFAULT",
            "IS_NULLABLE", "DATA_TYPE", "CHARACTER_MAXIMUM_LENGTH", "CHARACTER_OCTET_LENGTH", "NUMERIC_PRECISION",
            "NUMERIC_SCALE", "DATETIME_PRECISION", "CHARACTER_SET_NAME", "COLLATION_NAME", "COLUMN_TYPE",
            "COLUMN_KEY", "EXTRA", "PRIVILEGES", "COLUMN_COMMENT", "COLUMN_SIZE", "DECIMAL_DIGITS",
            "GENERATION_EXPRESSION", "SRS_ID")  # fmt: skip
_DIGITS = {Kind.TINYINT: 3, Kind.SMALLINT: 5, Kind.INT: 10, Kind.BIGINT: 19, Kind.LARGEINT: 39, Kind.FLOAT: 7,
           Kind.DOUBLE: 15}  # fmt: skip


def default_text(column: Column) -> str | None:
    return "CURRENT_TIMESTAMP" if column.default_now else column.default


def key_mark(table: Table, column: Column) -> str:
    return ("PRI" if table.primary else "DUP") if table.is_key(column) else ""


def _columns(catalog: Catalog) -> Iterator[Row]:
    for t in _all_tables(catalog):
        for position, c in enumerate(t.columns, 1):
            kind = c.type.kind
            text = c.type.length if kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY) else None
            digits = c.type.precision if kind is Kind.DECIMAL else _DIGITS.get(kind)
            scale = c.type.scale if kind is Kind.DECIMAL else 0 if kind in INTEGER_BITS else None
            yield ("def", t.database, t.name, c.name, position, default_text(c), "YES" if c.nullable else "NO",
                   c.type.data_type, text, text, digits, scale, None, None, None, c.type.column_type,
                   key_mark(t, c), "", "", c.comment, text or digits, scale, None, None)  # fmt: skip


_CONFIG = ("TABLE_SCHEMA", "TABLE_NAME", "TABLE_ENGINE", "TABLE_MODEL", "PRIMARY_KEY", "PARTITION_KEY",
           "DISTRIBUTE_KEY", "DISTRIBUTE_TYPE", "DISTRIBUTE_BUCKET", "SORT_KEY", "PROPERTIES", "TABLE_ID")  # fmt: skip


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def properties(table: Table) -> dict[str, str]:
    defaults = {"compression": "LZ4", "fast_schema_evolution": "true", "replicated_storage": "true",
                "replication_num": "3"}  # fmt: skip
    if table.primary:
        defaults["enable_persistent_index"] = "true"
    return dict(sorted((defaults | table.properties).items()))


def _config(catalog: Catalog) -> Iterator[Row]:
    for t in _all_tables(catalog):
        keys = _quoted(t.keys)
        yield (t.database, t.name, "OLAP", "PRIMARY_KEYS" if t.primary else "DUP_KEYS", keys, "",
               _quoted(t.distribution), "HASH" if t.distribution else "RANDOM", t.buckets,
               _quoted(t.sort_key) or keys, json.dumps(properties(t)), t.ident)  # fmt: skip


_SCHEMATA = ("CATALOG_NAME", "SCHEMA_NAME", "DEFAULT_CHARACTER_SET_NAME", "DEFAULT_COLLATION_NAME", "SQL_PATH")


def _schemata(catalog: Catalog) -> Iterator[Row]:
    return (("def", name, "utf8", "utf8_general_ci", None) for name in catalog.names())


_TABLETS = ("BE_ID", "TABLE_ID", "PARTITION_ID", "TABLET_ID", "NUM_VERSION", "NUM_ROWSET", "NUM_ROW", "DATA_SIZE",
            "NUM_SEGMENT", "CREATE_TIME", "STATE", "TYPE")  # fmt: skip


def _tablets(catalog: Catalog) -> Iterator[Row]:
    for t in _all_tables(catalog):
        rows = ROWS_OF + t.physical
        yield (10001, t.ident, t.ident, t.ident + 1, 2, 1, rows, 0, 1, 0, "RUNNING", "PRIMARY" if t.primary else "DUP")


_VIEWS = ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME", "VIEW_DEFINITION", "CHECK_OPTION", "IS_UPDATABLE", "DEFINER",
          "SECURITY_TYPE", "CHARACTER_SET_CLIENT", "COLLATION_CONNECTION")  # fmt: skip
_MATERIALIZED = ("MATERIALIZED_VIEW_ID", "TABLE_SCHEMA", "TABLE_NAME", "REFRESH_TYPE", "IS_ACTIVE", "TABLE_ROWS",
                 "MATERIALIZED_VIEW_DEFINITION")  # fmt: skip


def _nothing(catalog: Catalog) -> Iterator[Row]:
    return iter(())


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Catalog], Iterator[Row]]]] = {
    "tables": (_TABLES, _tables),
    "columns": (_COLUMNS, _columns),
    "tables_config": (_CONFIG, _config),
    "schemata": (_SCHEMATA, _schemata),
    "be_tablets": (_TABLETS, _tablets),
    "views": (_VIEWS, _nothing),
    "materialized_views": (_MATERIALIZED, _nothing),
}
_NUMBERS = frozenset({"VERSION", "AVG_ROW_LENGTH", "DATA_LENGTH", "MAX_DATA_LENGTH", "INDEX_LENGTH", "DATA_FREE",
                      "AUTO_INCREMENT", "CHECKSUM", "CHARACTER_MAXIMUM_LENGTH", "CHARACTER_OCTET_LENGTH",
                      "NUMERIC_PRECISION", "NUMERIC_SCALE", "DATETIME_PRECISION", "COLUMN_SIZE", "DECIMAL_DIGITS",
                      "SRS_ID", "ORDINAL_POSITION", "TABLE_ROWS", "TABLE_ID", "DISTRIBUTE_BUCKET", "BE_ID",
                      "PARTITION_ID", "TABLET_ID", "NUM_VERSION", "NUM_ROWSET", "NUM_ROW", "DATA_SIZE",
                      "NUM_SEGMENT"})  # fmt: skip
_MOMENTS = frozenset({"CREATE_TIME", "UPDATE_TIME", "CHECK_TIME"})


def relation(name: str, catalog: Catalog) -> tuple[dict[str, np.ndarray], str]:
    """Columns to register with DuckDB as `{name}_rows`, and the SELECT over them that is the information_schema table;
    raises KeyError for a table there is not."""
    names, make = TABLES[name.lower()]
    rows = list(make(catalog))
    data: dict[str, np.ndarray] = {}
    for position, column in enumerate(names):
        # All as text, never NULL inside: DuckDB guesses the type of an object column from a sample.
        texts = ["" if row[position] is None else str(row[position]) for row in rows] or [""]
        data[column] = np.array(texts, dtype=object)
        data[column + "_null"] = np.array([row[position] is None for row in rows] or [True])
    items = ", ".join(f"{_typed(column)} AS {column}" for column in names)
    return data, f"SELECT {items} FROM {name}_rows" + ("" if rows else " WHERE false")


def _typed(column: str) -> str:
    kind = "BIGINT" if column in _NUMBERS else "TIMESTAMP" if column in _MOMENTS else "VARCHAR"
    value = f"TRY_CAST({column} AS {kind})"
    if column in ("TABLE_ROWS", "NUM_ROW"):
        physical = f"substr({column}, {len(ROWS_OF) + 1})"
        value = f"(SELECT max(d.estimated_size) FROM duckdb_tables() d WHERE d.table_name = {physical})"
    return f"CASE WHEN {column}_null THEN NULL ELSE {value} END"
