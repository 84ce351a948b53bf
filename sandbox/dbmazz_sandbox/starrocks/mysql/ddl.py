"""CREATE TABLE and ALTER TABLE: statement text in, changed catalogue values out (starrocks.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.columns import ColumnSpec, check_name, parse_column
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import KEY_TYPES, Kind, Type


@dataclass(frozen=True, slots=True)
class CreateTable:
    name: list[str]
    if_not_exists: bool
    columns: list[ColumnSpec]
    primary: bool
    keys: tuple[str, ...]
    distribution: tuple[str, ...]
    buckets: int
    sort_key: tuple[str, ...]
    properties: dict[str, str]
    comment: str


def parse_create_table(tokens: Tokens) -> CreateTable:
    """After `CREATE TABLE`."""
    if_not_exists = tokens.accept("IF", "NOT", "EXISTS")
    name = tokens.qualified()
    if tokens.at("LIKE") or tokens.at("AS"):
        raise SqlError.not_emulated(f"CREATE TABLE … {tokens.peek().text.upper()}")
    tokens.expect("(")
    columns: list[ColumnSpec] = []
    while True:
        if tokens.at("INDEX") and tokens.peek(2).text.upper() != "NULL":
            raise SqlError.not_emulated("INDEX in CREATE TABLE")
        columns.append(parse_column(tokens))
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return _create_tail(tokens, name, if_not_exists, columns)


def _create_tail(tokens: Tokens, name: list[str], if_not_exists: bool, columns: list[ColumnSpec]) -> CreateTable:
    model, keys, distribution, buckets = "", (), (), 0
    sort_key: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    comment = ""
    while not tokens.done:
        if tokens.accept("ENGINE"):
            tokens.expect("=")
            if (engine := tokens.name().upper()) != "OLAP":
                raise SqlError.not_emulated(f"ENGINE={engine}")
        elif tokens.accept("PRIMARY", "KEY") or tokens.at("DUPLICATE", "KEY"):
            model = "DUPLICATE" if tokens.accept("DUPLICATE", "KEY") else "PRIMARY"
            keys = tokens.names()
        elif tokens.at("AGGREGATE", "KEY") or tokens.at("UNIQUE", "KEY") or tokens.at("PARTITION", "BY"):
            raise SqlError.not_emulated(f"{tokens.next().text.upper()} {tokens.next().text.upper()}")
        elif tokens.accept("COMMENT"):
            comment = tokens.string()
        elif tokens.accept("DISTRIBUTED", "BY"):
            distribution, buckets = _distribution(tokens, model == "PRIMARY")
        elif tokens.accept("ORDER", "BY"):
            sort_key = tokens.names()
        elif tokens.accept("PROPERTIES"):
            properties = _properties(tokens)
        else:
            raise tokens.unexpected("PRIMARY, DISTRIBUTED, ORDER, PROPERTIES, COMMENT")
    if not model:
        keys = (columns[0].name,)
    return CreateTable(name, if_not_exists, columns, model == "PRIMARY", keys, distribution, buckets, sort_key,
                       properties, comment)  # fmt: skip


def _distribution(tokens: Tokens, primary: bool) -> tuple[tuple[str, ...], int]:
    columns: tuple[str, ...] = ()
    if tokens.accept("RANDOM"):
        if primary:
            raise SqlError.analysis("PRIMARY KEY cannot use random distribution")
    else:
        tokens.expect("HASH")
        columns = tokens.names()
    buckets = tokens.number() if tokens.accept("BUCKETS") else 0
    return columns, buckets


def _properties(tokens: Tokens) -> dict[str, str]:
    out: dict[str, str] = {}
    tokens.expect("(")
    while True:
        name = tokens.string()
        tokens.expect("=")
        out[name] = tokens.string()
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return out


def build_table(create: CreateTable, ident: int, database: str, now: str) -> Table:
    """Validate as CreateTableAnalyzer does and make the table."""
    names = [spec.name.lower() for spec in create.columns]
    for name in names:
        if names.count(name) > 1:
            raise SqlError.analysis(f"Duplicate column name '{name}'")
    keys = [key.lower() for key in create.keys]
    for key in keys:
        if key not in names:
            raise SqlError.analysis(f"Key column(s) {key} doesn't exist")
    if names[: len(keys)] != keys:
        raise SqlError.analysis(
            "Key columns must be the first few columns of the schema and the order of the key columns must be "
            "consistent with the order of the schema"
        )
    columns = tuple(_column(spec, i + 1, create.primary and i < len(keys)) for i, spec in enumerate(create.columns))
    _check_distribution(create, names, keys)
    distribution = create.distribution or (tuple(c.name for c in columns[: len(keys)]) if create.primary else ())
    return Table(ident, database, create.name[-1], columns, tuple(c.name for c in columns[: len(keys)]),
                 create.primary, distribution, create.buckets, create.sort_key, dict(create.properties),
                 create.comment, next_column=len(columns) + 1, created=now)  # fmt: skip


def _check_distribution(create: CreateTable, names: Sequence[str], keys: Sequence[str]) -> None:
    for name in create.distribution:
        if name.lower() not in names:
            raise SqlError.analysis(f"Distribution column({name}) doesn't exist")
        if create.primary and name.lower() not in keys:
            raise SqlError.analysis(f"The distribution column[{name}] must be a primary key column")
    for name in create.sort_key:
        if name.lower() not in names:
            raise SqlError.analysis(f"Unknown column '{name}' does not exist")
    if (number := create.properties.get("replication_num")) is not None and not number.isdigit():
        raise SqlError.analysis(f"Invalid replication_num: {number}")


def _column(spec: ColumnSpec, ident: int, primary_key: bool) -> Column:
    if primary_key:
        if spec.nullable is True:
            raise SqlError.analysis(f"primary key column[{spec.name}] cannot be nullable")
        if spec.type.kind not in KEY_TYPES:
            raise SqlError.analysis(f"primary key column[{spec.name}] type not supported: {spec.type}")
    nullable = spec.nullable is not False and not primary_key
    return Column(ident, spec.name, spec.type, nullable, spec.default, spec.default_now, spec.comment)


@dataclass(frozen=True, slots=True)
class Altered:
    """The new table value, and how the physical table follows: columns to add, and (old, new) columns to rewrite."""

    table: Table
    added: tuple[Column, ...] = ()
    rewritten: tuple[tuple[Column, Column], ...] = ()


def alter_table(table: Table, tokens: Tokens, *, renames_columns: bool) -> Altered:
    """After `ALTER TABLE name`: one or more comma-separated ADD, DROP, MODIFY, or one RENAME COLUMN."""
    altered = Altered(table)
    while True:
        if tokens.accept("ADD", "COLUMN"):
            altered = _add(altered, tokens)
        elif tokens.accept("DROP", "COLUMN"):
            altered = _drop(altered, tokens.name())
        elif tokens.accept("MODIFY", "COLUMN"):
            altered = _modify(altered, parse_column(tokens))
            _position(tokens)
        elif tokens.at("RENAME", "COLUMN") and renames_columns:
            tokens.accept("RENAME", "COLUMN")
            altered = _rename(altered, tokens)
        else:
            raise SqlError.not_emulated(f"ALTER TABLE … {tokens.peek().text.upper()} {tokens.peek(1).text.upper()}")
        if not tokens.accept(","):
            break
    tokens.end()
    return altered


def _position(tokens: Tokens) -> str | None:
    if tokens.accept("FIRST"):
        raise SqlError.not_emulated("ALTER TABLE … FIRST")
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
        if table.find(spec.name) is not None:
            raise SqlError.analysis(f"Duplicate column name '{spec.name}'")
        if spec.nullable is False and spec.default is None and not spec.default_now:
            raise SqlError.analysis(f"Column {spec.name} is not nullable and has no default value")
        column = _column(spec, table.next_column, False)
        at = len(table.columns)
        if after is not None:
            at = table.columns.index(_existing(table, after)) + 1
            if at < len(table.keys):
                raise SqlError.analysis("Can not add value column before a key column")
        columns = (*table.columns[:at], column, *table.columns[at:])
        table = replace(table, columns=columns, next_column=table.next_column + 1)
        added = (*added, column)
    return replace(altered, table=table, added=added)


def _existing(table: Table, name: str) -> Column:
    column = table.find(name)
    if column is None:
        raise SqlError.analysis(f"Column does not exists: {name}")
    return column


def _drop(altered: Altered, name: str) -> Altered:
    table = altered.table
    column = _existing(table, name)
    if table.is_key(column):
        raise SqlError.analysis(
            f"Can not drop key column in {'primary' if table.primary else 'duplicate'} data model table"
        )
    if name.lower() in [key.lower() for key in table.sort_key]:
        raise SqlError.analysis(f"Can not drop sort key column: {name}")
    return replace(altered, table=replace(table, columns=tuple(c for c in table.columns if c is not column)))


# Conversions StarRocks offers (the rewrite job): to a wider type of the same family, or to text.
_WIDER = [
    [Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT],
    [Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.FLOAT, Kind.DOUBLE],
    [Kind.INT, Kind.DOUBLE],
    [Kind.DATE, Kind.DATETIME],
    [Kind.CHAR, Kind.VARCHAR, Kind.JSON],
]
_TO_TEXT = {Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT, Kind.FLOAT, Kind.DOUBLE, Kind.DECIMAL,
            Kind.DATE, Kind.DATETIME, Kind.CHAR, Kind.JSON}  # fmt: skip


def _can_become(old: Type, new: Type) -> bool:
    if old.kind is new.kind:
        if old.kind is Kind.DECIMAL:
            return new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale
        return old.item == new.item and new.length >= old.length
    if new.kind is Kind.VARCHAR and old.kind in _TO_TEXT:
        return old.length <= new.length
    families = (family for family in _WIDER if old.kind in family and new.kind in family)
    return any(family.index(old.kind) < family.index(new.kind) for family in families)


def _modify(altered: Altered, spec: ColumnSpec) -> Altered:
    table = altered.table
    old = _existing(table, spec.name)
    if table.primary and table.is_key(old):
        raise SqlError.analysis("Can not modify key column: " + old.name + " for primary key table")
    if not _can_become(old.type, spec.type):
        raise SqlError.analysis(f"Can not change {old.type} to {spec.type}")
    if spec.nullable is False and old.nullable:
        raise SqlError.analysis("Can not change from nullable to non-nullable")
    new = Column(
        old.ident, old.name, spec.type, spec.nullable is not False, spec.default, spec.default_now, spec.comment
    )
    rewritten = altered.rewritten
    if new.type.physical != old.type.physical:
        new = replace(new, ident=table.next_column)
        table = replace(table, next_column=table.next_column + 1)
        rewritten = (*rewritten, (old, new))
    table = replace(table, columns=tuple(new if c is old else c for c in table.columns))
    return replace(altered, table=table, rewritten=rewritten)


def _rename(altered: Altered, tokens: Tokens) -> Altered:
    table = altered.table
    old = _existing(table, tokens.name())
    tokens.expect("TO")
    name = check_name(tokens.name())
    if (other := table.find(name)) is not None and other is not old:
        raise SqlError.analysis(f"Column name[{name}] already used")

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if n.lower() == old.name.lower() else n for n in names)

    columns = tuple(replace(c, name=name) if c is old else c for c in table.columns)
    return replace(altered, table=replace(table, columns=columns, keys=renamed(table.keys),
                                          distribution=renamed(table.distribution),
                                          sort_key=renamed(table.sort_key)))  # fmt: skip
