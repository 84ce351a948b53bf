"""From headers and table to what a load reads and writes: the FE's plan (starrocks.md 2.2 to 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated
from dbmazz_sandbox.starrocks.protocol.columns_header import parse_columns, parse_where
from dbmazz_sandbox.starrocks.protocol.expression import Expression, Literal, is_condition, references, sql
from dbmazz_sandbox.starrocks.protocol.headers import LoadHeaders
from dbmazz_sandbox.starrocks.types import DECIMAL128_DIGITS, MERGE_TYPES, Kind

OP = "__op"


@dataclass(frozen=True, slots=True)
class Plan:
    """`names`: the source columns in order (fields of a CSV row, targets of jsonpaths; JSON keys). `direct`: (name,
    column) read as the column's type, or as text and then cast where `texts` holds the name. `computed`: (column,
    expression). `missing`: columns the load does not mention. `op`: the source of the operation, an expression of it,
    or None for tables without one. `where` chooses rows."""

    table: Table
    names: tuple[str, ...]
    direct: tuple[tuple[str, Column], ...]
    texts: tuple[str, ...]
    computed: tuple[tuple[Column, Expression], ...]
    missing: tuple[Column, ...]
    op: str | Expression | None
    partial: bool
    column_mode: bool
    condition: Column | None
    where: Expression | None

    @property
    def written(self) -> tuple[Column, ...]:
        return tuple(column for _, column in self.direct) + tuple(column for column, _ in self.computed)

    @property
    def json_keys(self) -> list[str]:
        keys = [key for key, _ in self.direct] + [text for text in self.texts if text not in dict(self.direct)]
        return [*keys, self.op] if isinstance(self.op, str) else keys


def make_plan(table: Table, headers: LoadHeaders, *, negative: bool = False) -> Plan:
    """Raises LoadError with the FE's messages, in the FE's order."""
    names, mappings = parse_columns(headers.columns)
    where = parse_where(headers.where)
    _check_model(table, headers, names, mappings, negative)
    _check_names(table, names, mappings)
    if not names:
        names = [column.name for column in table.columns if not column.auto_increment]
    computed = {name.lower(): expression for name, expression in mappings}
    op = _operation(table, names, computed.get(OP), headers.csv is None)
    used = list(dict.fromkeys(name for _, expression in mappings for name in references(expression)))
    direct = tuple(
        (name, column) for name in names if (column := table.find(name)) is not None and name.lower() not in computed
    )
    targets = tuple((_column(table, name), computed[name.lower()]) for name, _ in mappings if name.lower() != OP)
    mentioned = {column.name for _, column in direct} | {column.name for column, _ in targets}
    missing = tuple(column for column in table.columns if column.name not in mentioned)
    if not headers.partial:
        _check_missing(missing)
    _check_references(names, mappings)
    _check_where(table, where, mentioned if headers.partial else None)
    condition = _condition(table, headers, mentioned)
    return Plan(table, tuple(names), direct, tuple(used), targets, missing, op, headers.partial, headers.column_mode,
                None if headers.column_mode else condition, where)  # fmt: skip


def _check_model(
    table: Table,
    headers: LoadHeaders,
    names: Sequence[str],
    mappings: Sequence[tuple[str, Expression]],
    negative: bool,
) -> None:
    if negative and table.primary:
        raise LoadError("Primary key table does not support negative load")
    if not headers.partial:
        if negative:
            raise not_emulated("header negative")
        return
    if not table.primary:
        raise LoadError("Only primary key table support partial update")
    listed = {name.lower() for name in names} | {name.lower() for name, _ in mappings}
    for key in table.keys:
        if key.lower() not in listed:
            raise LoadError(f"key column {key} not in partial update columns")


def _check_names(table: Table, names: Sequence[str], mappings: Sequence[tuple[str, Expression]]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise LoadError(f"Duplicate column: {name}")
        seen.add(name.lower())
    mapped: set[str] = set()
    for name, _ in mappings:
        if name.lower() in mapped:
            raise LoadError(f"Duplicate column mapping: {name}")
        mapped.add(name.lower())
        if table.find(name) is None and not (table.primary and name.lower() == OP):
            raise LoadError(f"Mapping column is not in table. column: {name}")


def _check_references(names: Sequence[str], mappings: Sequence[tuple[str, Expression]]) -> None:
    for name, expression in mappings:
        for reference in references(expression):
            if reference not in names:
                raise LoadError(
                    f"Referenced column '{reference}' in expr '{sql(expression)}' can't be found in column list, "
                    f"derived column is '{name}'"
                )


def _check_where(table: Table, where: Expression | None, written: set[str] | None) -> None:
    """`where` is about the table's columns, after the mapping; of a partial update, those it writes."""
    for name in references(where) if where is not None else ():
        column = table.find(name)
        if column is None or (written is not None and column.name not in written):
            raise LoadError(
                f"unknown column in where statement. the column '{name}' in where clause must be in the target table."
            )
    if where is not None and not is_condition(where):
        raise LoadError("where statement is not a valid statement return bool")


def _column(table: Table, name: str) -> Column:
    column = table.find(name)
    assert column is not None
    return column


def _operation(
    table: Table, names: Sequence[str], expression: Expression | None, json: bool
) -> str | Expression | None:
    """JSON loads read the key `__op` whether or not `columns` names it (Load.initColumns); CSV only where it does."""
    if not table.primary:
        return None
    if expression is None:
        return OP if json or OP in names else Literal(0)
    if isinstance(expression, Literal):
        return _constant_operation(expression.value)
    return expression


def _constant_operation(value: object) -> Literal:
    if isinstance(value, str):
        if value.lower() not in ("upsert", "delete"):
            raise LoadError(f"load op type string not supported: {value.lower()}")
        return Literal(int(value.lower() == "delete"))
    if isinstance(value, bool) or value not in (0, 1):
        raise LoadError("const load op type column should only be upsert(0)/delete(1)")
    return Literal(int(value))


def _check_missing(missing: Sequence[Column]) -> None:
    for column in missing:
        if not column.nullable and not column.has_default and not column.auto_increment:
            raise LoadError(f"Column has no default value. column: {column.name}")


def _condition(table: Table, headers: LoadHeaders, mentioned: set[str]) -> Column | None:
    return condition_column(table, headers.merge_condition, mentioned, partial=headers.partial)


def condition_column(table: Table, name: str, mentioned: set[str], *, partial: bool) -> Column | None:
    """The column a merge condition names; None for no condition. `mentioned` are the declared names that are written.
    Raises LoadError."""
    if not name:
        return None
    if not table.primary:
        raise LoadError(f"Conditional update only support primary key table {table.name}")
    # The BE compares the spelling exactly when it applies the condition: only the declared one works.
    column = next((column for column in table.columns if column.name == name), None)
    if column is not None and table.is_key(column):
        raise LoadError(f"Merge condition column {name} should not be primary key!")
    if column is not None and partial and column.auto_increment and name not in mentioned:
        raise LoadError("Merge condition column can not be auto increment column in partial update")
    if column is None or (partial and column.name not in mentioned):
        raise LoadError(
            f"Merge condition column {name} does not exist. If you are doing partial update with condition update, "
            "please check condition column is in the given update columns. Otherwise please check condition column "
            f"is in table {table.name}"
        )
    if column.type.kind not in MERGE_TYPES:
        raise LoadError("Merge condition column has invalid type maybe bitmap/hll/percentile/json/varchar!")
    if column.type.kind is Kind.DECIMAL and column.type.precision > DECIMAL128_DIGITS:
        raise not_emulated("merge_condition on a DECIMAL of more than 38 digits")
    return column
