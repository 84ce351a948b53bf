"""From headers and table to what a load reads and writes: the FE's plan (starrocks.md 2.2 to 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.expression import Expression, Literal, Reference, parse_columns, references
from dbmazz_sandbox.starrocks.protocol.headers import LoadHeaders
from dbmazz_sandbox.starrocks.types import MERGE_TYPES

OP = "__op"


@dataclass(frozen=True, slots=True)
class Plan:
    """`direct`: (JSON key, column) read as the column's type. `sources`: JSON keys read as text for expressions.
    `computed`: (column, expression). `missing`: columns the load does not mention. `op`: the JSON key of the
    operation, a Literal, or None for tables without one."""

    table: Table
    direct: tuple[tuple[str, Column], ...]
    sources: tuple[str, ...]
    computed: tuple[tuple[Column, Expression], ...]
    missing: tuple[Column, ...]
    op: str | Literal | None
    partial: bool
    condition: Column | None

    @property
    def written(self) -> tuple[Column, ...]:
        return tuple(column for _, column in self.direct) + tuple(column for column, _ in self.computed)

    @property
    def json_keys(self) -> list[str]:
        keys = [key for key, _ in self.direct] + list(self.sources)
        return [*keys, self.op] if isinstance(self.op, str) else keys


def make_plan(table: Table, headers: LoadHeaders, *, negative: bool = False) -> Plan:
    """Raises LoadError with the FE's messages, in the FE's order."""
    if negative and table.primary:
        raise LoadError("Primary key table does not support negative load")
    if headers.partial and not table.primary:
        raise LoadError("Only primary key table support partial update")
    names, mappings = parse_columns(headers.columns)
    if not names:
        names = [column.name for column in table.columns]
        if headers.partial and not headers.columns.strip():
            raise LoadError(f"key column {table.keys[0]} not in partial update columns")
    _check_names(table, names, mappings)
    computed = {name.lower(): expression for name, expression in mappings}
    used = [name for _, expression in mappings for name in references(expression)]
    _check_references(names, mappings, used)
    op = _operation(table, names, computed)
    direct = tuple(
        (name, column) for name in names if (column := table.find(name)) is not None and name.lower() not in computed
    )
    targets = tuple((_column(table, name), computed[name.lower()]) for name, _ in mappings if name.lower() != OP)
    mentioned = {column.name for _, column in direct} | {column.name for column, _ in targets}
    missing = tuple(column for column in table.columns if column.name not in mentioned)
    _check_missing(table, headers, missing)
    condition = _condition(table, headers, mentioned)
    return Plan(table, direct, tuple(dict.fromkeys(used)), targets, missing, op, headers.partial, condition)


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


def _check_references(names: Sequence[str], mappings: Sequence[tuple[str, Expression]], used: Sequence[str]) -> None:
    for name, expression in mappings:
        for reference in references(expression):
            if reference not in names:
                raise LoadError(
                    f"Referenced column '{reference}' in expr '{name}' can't be found in column list, "
                    f"derived column is '{name}'"
                )


def _column(table: Table, name: str) -> Column:
    column = table.find(name)
    assert column is not None
    return column


def _operation(table: Table, names: Sequence[str], computed: dict[str, Expression]) -> str | Literal | None:
    """JSON loads read the key `__op` whether or not `columns` names it (Load.initColumns)."""
    if not table.primary:
        return None
    expression = computed.get(OP)
    if expression is None:
        return OP
    if isinstance(expression, Literal):
        return _constant_operation(expression.value)
    if not isinstance(expression, Reference):
        raise LoadError("const load op type column should only be upsert(0)/delete(1)")
    return expression.name


def _constant_operation(value: str | int | None) -> Literal:
    if isinstance(value, str):
        if value.lower() not in ("upsert", "delete"):
            raise LoadError(f"load op type string not supported: {value}")
        return Literal(int(value.lower() == "delete"))
    if value not in (0, 1):
        raise LoadError("const load op type column should only be upsert(0)/delete(1)")
    return Literal(value)


def _check_missing(table: Table, headers: LoadHeaders, missing: Sequence[Column]) -> None:
    if headers.partial:
        for column in missing:
            if table.is_key(column):
                raise LoadError(f"key column {column.name} not in partial update columns")
        return
    for column in missing:
        if not column.nullable and not column.has_default:
            raise LoadError(f"Column has no default value. column: {column.name}")


def _condition(table: Table, headers: LoadHeaders, mentioned: set[str]) -> Column | None:
    name = headers.merge_condition
    if not name:
        return None
    if not table.primary:
        raise LoadError(f"Conditional update only support primary key table {table.name}")
    # The BE compares the spelling exactly when it applies the condition: only the declared one works.
    column = next((column for column in table.columns if column.name == name), None)
    if column is not None and table.is_key(column):
        raise LoadError(f"Merge condition column {name} should not be primary key!")
    if column is None or (headers.partial and column.name not in mentioned):
        raise LoadError(
            f"Merge condition column {name} does not exist. If you are doing partial update with condition update, "
            "please check condition column is in the given update columns. Otherwise please check condition column "
            f"is in table {table.name}"
        )
    if column.type.kind not in MERGE_TYPES:
        raise LoadError("Merge condition column has invalid type maybe bitmap/hll/percentile/json/varchar!")
    return column
