"""A relation of the source as DDL for StarRocks, and what an existing table lacks.

Source: CREATE TABLE and ALTER TABLE pages. Key columns come first, in key order, NOT NULL; every other column is NULLable,
because a soft delete of a row that was never seen carries its key alone. Defaults are left to the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbmazz.column_types import SqlType, fits, parse_type, widened
from dbmazz.errors import TargetError
from dbmazz.relation import Relation
from dbmazz.target import (
    AUDIT_COLUMNS,
    CDC_VERSION,
    IS_DELETED,
    OP_TYPE,
    SYNCED_AT,
    ordered_columns,
    target_table_name,
    target_type,
)

from dbmazz_loader.protocol.identifiers import check_relation, quoted, quoted_list


class Misfit(TargetError):
    """An existing table cannot take the rows of its source, and only a person can change that."""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column as information_schema shows it."""

    name: str
    type: str
    key: bool
    nullable: bool = True
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ExistingTable:
    """A table as information_schema shows it; `model` is PRIMARY_KEYS, DUP_KEYS, ... or empty for a view."""

    name: str
    model: str
    columns: tuple[TargetColumn, ...]


def qualified(database: str, table: str) -> str:
    """`database`.`table`, quoted."""
    return f"{quoted(database)}.{quoted(table)}"


def create_database(database: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS {quoted(database)}"


def create_table(database: str, relation: Relation, replication_num: int | None) -> str:
    """CREATE TABLE for a relation; `replication_num` None leaves it to the cluster."""
    check_relation(relation)
    columns = ordered_columns(relation)
    keys = quoted_list(column.name for column in columns if column.key_position)
    lines = [
        f"{quoted(column.name)} {target_type(column).sql} {'NOT NULL' if column.key_position else 'NULL'}"
        for column in columns
    ]
    lines += [f"{quoted(name)} {sql} NULL" for name, sql in AUDIT_COLUMNS]
    table = qualified(database, target_table_name(relation.schema, relation.name))
    statement = (
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(lines)}) PRIMARY KEY ({keys}) DISTRIBUTED BY HASH ({keys})"
    )
    return statement if replication_num is None else f'{statement} PROPERTIES ("replication_num" = "{replication_num}")'


def alterations(database: str, relation: Relation, existing: ExistingTable) -> list[str]:
    """The ALTER TABLE statements that make an existing table fit, in order; empty when it does.

    Misfit, with the way out, when none can. Columns that the source no longer has are left alone.
    """
    check_relation(relation)
    _check_key(database, relation, existing)
    table = qualified(database, existing.name)
    present = {column.name.casefold(): column for column in existing.columns}
    wanted = [(column.name, target_type(column).sql) for column in ordered_columns(relation)]
    additions, modifications = [], []
    for name, sql in [*wanted, *AUDIT_COLUMNS]:
        column = present.get(name.casefold())
        if column is None:
            additions.append(f"ADD COLUMN {quoted(name)} {sql} NULL")
        elif change := _change(table, column, parse_type(sql)):
            modifications.append(change)
    _check_audit_spelling(table, present)
    # One ALTER for all additions is one schema change; modifications may each be a rewrite job.
    return ([f"ALTER TABLE {table} {', '.join(additions)}"] if additions else []) + modifications


def _check_key(database: str, relation: Relation, existing: ExistingTable) -> None:
    table = qualified(database, existing.name)
    rename = f"ALTER TABLE {table} RENAME {quoted(existing.name + '_old')}"
    out = f"Drop it, or move it away: {rename}; dbmazz then creates the table"
    if not existing.model.startswith("PRI"):
        raise Misfit(f"{table} exists and is no Primary Key table", out)
    keys = [column.name for column in existing.columns if column.key]
    wanted = [relation.columns[index].name for index in relation.key_indices]
    if {key.casefold() for key in keys} != {key.casefold() for key in wanted}:
        raise Misfit(f"{table} has the primary key ({', '.join(keys)}), its source has ({', '.join(wanted)})", out)


def _check_audit_spelling(table: str, present: dict[str, TargetColumn]) -> None:
    for name, _ in AUDIT_COLUMNS:
        column = present.get(name)
        if column and column.name != name:
            raise Misfit(
                f"{table} spells {name} as {column.name}, and merge_condition heeds case",
                f"ALTER TABLE {table} RENAME COLUMN {quoted(column.name)} TO {quoted(name)}",
            )


def _change(table: str, column: TargetColumn, wanted: SqlType) -> str | None:
    """The MODIFY for one column, None when it fits as it is; Misfit when StarRocks cannot widen it."""
    existing = parse_type(column.type)
    # A key of any VARCHAR length will do: StarRocks bounds the whole key at 128 bytes by itself, and tells.
    if fits(wanted, existing) or (column.key and wanted.base == existing.base == "VARCHAR"):
        return None
    if column.key:
        raise Misfit(
            f"key column {column.name} of {table} is {existing}, its source needs {wanted}",
            "StarRocks cannot alter key columns: drop the table or rename it; dbmazz then creates it anew",
        )
    target = widened(wanted, existing)
    if target is None:
        raise Misfit(
            f"column {column.name} of {table} is {existing}, its source needs {wanted}, and StarRocks cannot widen it so",
            f"If no value is lost by it, run: {_modify(table, column, wanted)}; or re-create the table",
        )
    return _modify(table, column, target)


def _modify(table: str, column: TargetColumn, target: SqlType) -> str:
    """Nullability and default are repeated, as MODIFY takes what it does not read for a wish to change it."""
    default = ""
    if column.default == "CURRENT_TIMESTAMP":
        default = " DEFAULT CURRENT_TIMESTAMP"
    elif column.default is not None:
        escaped = column.default.replace("\\", "\\\\").replace('"', '\\"')
        default = f' DEFAULT "{escaped}"'
    null = "NULL" if column.nullable else "NOT NULL"
    return f"ALTER TABLE {table} MODIFY COLUMN {quoted(column.name)} {target} {null}{default}"


def truncation(database: str, table: str, barrier: int, soft_delete: bool, now: str) -> str:
    """Removes, or marks, the rows that were there before the truncate; repeating it changes nothing.

    Rows without a version were there before dbmazz. `now`: UTC, as DATETIME text.
    """
    name, version = qualified(database, table), quoted(CDC_VERSION)
    older = f"({version} < {barrier} OR {version} IS NULL)"
    if not soft_delete:
        return f"DELETE FROM {name} WHERE {older}"
    deleted = quoted(IS_DELETED)
    return (
        f"UPDATE {name} SET {deleted} = true, {quoted(OP_TYPE)} = 2, {quoted(SYNCED_AT)} = '{now}', {version} = {barrier}"
        f" WHERE {older} AND ({deleted} = false OR {deleted} IS NULL)"
    )
