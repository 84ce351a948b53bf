"""ALTER TABLE: clauses in, changed catalogue values out (starrocks.md 6; SchemaChangeHandler, ColumnType)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.columns import ColumnSpec, check_name, make_column, parse_column
from dbmazz_sandbox.starrocks.mysql.ddl import check_properties, parse_properties
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import Kind, Type


@dataclass(frozen=True, slots=True)
class Altered:
    """The new table value, and how the physical table follows: columns to add, and (old, new) columns to rewrite.
    `job` tells whether StarRocks lists it in SHOW ALTER TABLE COLUMN (renames and properties are not)."""

    before: Table
    table: Table
    added: tuple[Column, ...] = ()
    rewritten: tuple[tuple[Column, Column], ...] = ()
    job: bool = False


def alter_table(table: Table, tokens: Tokens, *, renames_columns: bool) -> Altered:
    """After `ALTER TABLE name`: comma-separated ADD, DROP and MODIFY COLUMN, or one RENAME or SET."""
    altered = Altered(table, table)
    if tokens.accept("SET"):
        return _set(altered, tokens)
    if tokens.accept("RENAME"):
        return _rename(altered, tokens, renames_columns=renames_columns)
    if tokens.accept("COMMENT"):
        tokens.expect("=")
        comment = tokens.string()
        tokens.end()
        return replace(altered, table=replace(table, comment=comment))
    while True:
        if tokens.accept("ADD", "COLUMN"):
            altered = _add(altered, tokens)
        elif tokens.accept("DROP", "COLUMN"):
            altered = _drop(altered, tokens.name())
        elif tokens.accept("MODIFY", "COLUMN"):
            if tokens.peek(1).text.upper() in ("ADD", "DROP") and tokens.peek(2).text.upper() == "FIELD":
                raise SqlError.not_emulated(f"ALTER TABLE … MODIFY COLUMN … {tokens.peek(1).text.upper()} FIELD")
            altered = _modify(altered, parse_column(tokens))
            if _position(tokens) is not None:
                raise SqlError.not_emulated("ALTER TABLE … MODIFY COLUMN with a position")
        else:
            raise SqlError.not_emulated(f"ALTER TABLE … {tokens.peek().text.upper()} {tokens.peek(1).text.upper()}")
        if not tokens.accept(","):
            break
    tokens.end()
    return replace(altered, job=True)


def _set(altered: Altered, tokens: Tokens) -> Altered:
    properties = parse_properties(tokens)
    tokens.end()
    if not properties:
        raise SqlError.analyzed("Properties is not set", 5064, "42000")
    if len(properties) > 1:
        raise SqlError.analyzed("Can only set one table property at a time", 5064, "42000")
    check_properties(properties)
    table = altered.table
    return replace(altered, table=replace(table, properties=table.properties | properties))


def _position(tokens: Tokens) -> str | None:
    """A column's name after AFTER; "" for FIRST; None for nothing said."""
    if tokens.accept("FIRST"):
        return ""
    return tokens.name() if tokens.accept("AFTER") else None


def _add(altered: Altered, tokens: Tokens) -> Altered:
    specs: list[tuple[ColumnSpec, str | None]] = []
    if tokens.accept("("):
        while True:
            specs.append((parse_column(tokens), None))
            if not tokens.accept(","):
                break
        tokens.expect(")")
    else:
        specs.append((parse_column(tokens), _position(tokens)))
    table, added = altered.table, altered.added
    for spec, after in specs:
        _check_new(altered, spec)
        column = make_column(spec, table.next_column, False)
        at = _place(table, after)
        columns = (*table.columns[:at], column, *table.columns[at:])
        table = replace(table, columns=columns, next_column=table.next_column + 1)
        added = (*added, column)
        altered = replace(altered, table=table, added=added)
    return altered


def _check_new(altered: Altered, spec: ColumnSpec) -> None:
    if spec.key:
        if altered.table.primary:
            raise SqlError.ddl(f"Can not add key column: {spec.name} for primary key table")
        raise SqlError.not_emulated("ALTER TABLE … ADD COLUMN of a key column")
    if spec.auto_increment:
        raise SqlError.not_emulated("ALTER TABLE … ADD COLUMN AUTO_INCREMENT")
    if spec.nullable is False and spec.default is None and not spec.default_now:
        raise SqlError.analysis(f"'{spec.name}' must have a default value, as it is not nullable")
    if altered.before.find(spec.name) is not None:
        raise SqlError.ddl(f"Can not add column which already exists in base table: {spec.name}")
    if altered.table.find(spec.name) is not None:
        raise SqlError.ddl(f"Repeatedly add same column with different definition: {spec.name}")


def _place(table: Table, after: str | None) -> int:
    if after is None:
        return len(table.columns)
    position = next((i + 1 for i, c in enumerate(table.columns) if c.name.lower() == after.lower()), 0)
    if after and not position:
        raise SqlError.ddl(f"Column[{after}] does not found")
    if position < len(table.keys):
        raise SqlError.ddl(f"Invalid column order. value should be after key. index[{table.name}]")
    return position


def _drop(altered: Altered, name: str) -> Altered:
    table = altered.table
    column = table.find(name)
    if column is None:
        raise SqlError.ddl(f"Column does not exists: {name}")
    lowered = column.name.lower()
    if table.is_key(column):
        if table.primary:
            raise SqlError.ddl("Can not drop key column in primary data model table")
        raise SqlError.not_emulated("ALTER TABLE … DROP COLUMN of a key column")
    if lowered in [key.lower() for key in table.sort_key]:
        raise SqlError.ddl("Can not drop sort column in primary data model table")
    for names, word in ((table.partition_columns, "Partition"), (table.distribution, "Distribution")):
        if lowered in [n.lower() for n in names]:
            raise SqlError.ddl(f"{word} column[{column.name}] cannot be dropped. index[{table.name}]")
    columns = tuple(c for c in table.columns if c is not column)
    added = tuple(c for c in altered.added if c is not column)
    return replace(altered, table=replace(table, columns=columns), added=added)


# Conversions StarRocks offers besides the same type: ColumnType.schemaChangeMatrix.
_MATRIX: dict[Kind, frozenset[Kind]] = {
    Kind.TINYINT: frozenset({Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT, Kind.DOUBLE, Kind.VARCHAR}),
    Kind.SMALLINT: frozenset({Kind.INT, Kind.BIGINT, Kind.LARGEINT, Kind.DOUBLE, Kind.VARCHAR}),
    Kind.INT: frozenset({Kind.BIGINT, Kind.LARGEINT, Kind.DOUBLE, Kind.DATE, Kind.VARCHAR}),
    Kind.BIGINT: frozenset({Kind.LARGEINT, Kind.DOUBLE, Kind.VARCHAR}),
    Kind.LARGEINT: frozenset({Kind.VARCHAR}),
    Kind.FLOAT: frozenset({Kind.DOUBLE, Kind.VARCHAR}),
    Kind.DOUBLE: frozenset({Kind.VARCHAR}),
    Kind.CHAR: frozenset({Kind.VARCHAR}),
    Kind.JSON: frozenset({Kind.VARCHAR}),
    Kind.VARCHAR: frozenset({Kind.JSON, Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT, Kind.FLOAT,
                             Kind.DOUBLE, Kind.DATE, Kind.DECIMAL}),
    Kind.DATETIME: frozenset({Kind.DATE}),
    Kind.DATE: frozenset({Kind.DATETIME}),
}  # fmt: skip
# Conversions whose treatment of bad values is not recorded.
_UNSURE = {(Kind.VARCHAR, kind) for kind in _MATRIX[Kind.VARCHAR]} | {(Kind.INT, Kind.DATE)}
_JSON_LENGTH = 16  # PrimitiveType.JSON's size, which a VARCHAR must be longer than


def _can_become(old: Type, new: Type) -> bool:
    if old.kind is Kind.DECIMAL:
        if new.kind is Kind.VARCHAR:
            return old.precision + (1 if old.scale else 0) + 3 <= new.length
        wide = new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale
        return new.kind is Kind.DECIMAL and wide
    if old.kind is new.kind:
        return old.item == new.item
    return new.kind in _MATRIX.get(old.kind, frozenset())


def _check_modified(table: Table, old: Column, spec: ColumnSpec) -> None:
    """Column.checkSchemaChangeAllowed and what comes before it."""
    if table.is_key(old):
        if table.primary:
            raise SqlError.ddl(f"Can not modify key column: {old.name} for primary key table")
        raise SqlError.not_emulated("ALTER TABLE … MODIFY COLUMN of a key column")
    if old.name.lower() in [key.lower() for key in table.sort_key]:
        raise SqlError.ddl("Can not modify sort column in primary data model table")
    if old.auto_increment:
        raise SqlError.ddl("Can't not modify a AUTO_INCREMENT column")
    for names, word in ((table.partition_columns, "partition"), (table.distribution, "distribution")):
        if old.name.lower() in [n.lower() for n in names]:
            raise SqlError.ddl(f"Can not modify {word} column[{old.name}]. index[{table.name}]")
    if not _can_become(old.type, spec.type):
        raise SqlError.ddl(f"Can not change {old.type.upper} to {spec.type.upper}")
    if old.type.kind is not spec.type.kind and (old.type.kind, spec.type.kind) in _UNSURE:
        raise SqlError.not_emulated(f"ALTER TABLE … MODIFY COLUMN from {old.type.upper} to {spec.type.upper}")
    if spec.nullable is False and old.nullable:
        raise SqlError.ddl("Can not change from nullable to non-nullable")
    if (old.default, old.default_now) != (spec.default, spec.default_now):
        raise SqlError.ddl("Can not change default value")
    texts = (Kind.CHAR, Kind.VARCHAR)
    if old.type.kind in texts and spec.type.kind in texts and old.type.length > spec.type.length:
        raise SqlError.ddl("Cannot shorten string length")
    if old.type.kind is Kind.JSON and spec.type.kind is Kind.VARCHAR and spec.type.length <= _JSON_LENGTH:
        raise SqlError.ddl(f"JSON needs minimum length of {_JSON_LENGTH}")


def _modify(altered: Altered, spec: ColumnSpec) -> Altered:
    table = altered.table
    old = table.find(spec.name)
    if old is None:
        raise SqlError.ddl(f"Column[{spec.name}] does not exists")
    _check_modified(table, old, spec)
    new = replace(make_column(spec, old.ident, False), name=old.name)
    rewritten = altered.rewritten
    if new.type.physical != old.type.physical:
        new = replace(new, ident=table.next_column)
        table = replace(table, next_column=table.next_column + 1)
        rewritten = (*rewritten, (old, new))
    table = replace(table, columns=tuple(new if c is old else c for c in table.columns))
    return replace(altered, table=table, rewritten=rewritten)


def _rename(altered: Altered, tokens: Tokens, *, renames_columns: bool) -> Altered:
    table = altered.table
    if not tokens.at("COLUMN"):
        if tokens.at("PARTITION") or tokens.at("ROLLUP"):
            raise SqlError.not_emulated(f"ALTER TABLE … RENAME {tokens.peek().text.upper()}")
        name = tokens.name()
        tokens.end()
        if name == table.name:
            raise SqlError.analysis(f"Same table name {name}")
        return replace(altered, table=replace(table, name=name))
    if not renames_columns:
        raise tokens.unexpected("a legal identifier")
    tokens.expect("COLUMN")
    given = tokens.name()
    tokens.expect("TO")
    name = check_name(tokens.name())
    tokens.end()
    old = table.find(given)
    if old is None:
        raise SqlError(f"Unknown column '{given}' in '{table.name}'", 5509, "42S22")
    if table.find(name) is not None:
        raise SqlError(f"Duplicate column name '{name}'", 1060, "42S21")

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if n.lower() == old.name.lower() else n for n in names)

    columns = tuple(replace(c, name=name) if c is old else c for c in table.columns)
    return replace(altered, table=replace(
        table, columns=columns, keys=renamed(table.keys), distribution=renamed(table.distribution),
        sort_key=renamed(table.sort_key), partition_columns=renamed(table.partition_columns),
    ))  # fmt: skip
