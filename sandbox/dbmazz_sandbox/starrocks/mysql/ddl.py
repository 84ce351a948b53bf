"""CREATE TABLE: statement text in, catalogue values out (starrocks.md 6; CreateTableAnalyzer, OlapTableFactory)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.columns import ColumnSpec, make_column, parse_column
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import KEY_TYPES, Kind, Type
from dbmazz_sandbox.starrocks.version import Version

# What CREATE TABLE and ALTER TABLE SET take; any other property is unknown to StarRocks or to the sandbox.
PROPERTIES = frozenset({
    "replication_num", "enable_persistent_index", "persistent_index_type", "replicated_storage",
    "fast_schema_evolution", "compression", "storage_medium", "storage_volume", "bucket_size", "write_quorum",
    "in_memory", "storage_format", "light_schema_change", "primary_index_cache_expire_sec", "colocate_with",
    "bloom_filter_columns", "datacache.enable", "labels.location", "mutable_bucket_num", "enable_load_profile",
})  # fmt: skip
_BOOLEANS = frozenset({"enable_persistent_index", "replicated_storage", "fast_schema_evolution"})
_MAX_COLUMNS = 10000  # max_column_number_per_table
_SHORT_KEY_COLUMNS, _SHORT_KEY_BYTES = 3, 36
_INDEX_SIZE = {Kind.BOOLEAN: 1, Kind.TINYINT: 1, Kind.SMALLINT: 2, Kind.INT: 4, Kind.BIGINT: 8, Kind.LARGEINT: 16,
               Kind.DATE: 4, Kind.DATETIME: 8, Kind.DECIMAL: 16, Kind.VARCHAR: 20, Kind.CHAR: 20}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CreateTable:
    """`model` is PRIMARY, DUPLICATE or "" for none given; `partition` the text after PARTITION BY."""

    name: list[str]
    if_not_exists: bool
    columns: list[ColumnSpec]
    model: str = ""
    keys: tuple[str, ...] = ()
    distribution: tuple[str, ...] = ()
    random: bool = False
    buckets: int = 0
    sort_key: tuple[str, ...] = ()
    properties: dict[str, str] | None = None
    comment: str = ""
    partition: str = ""
    partition_columns: tuple[str, ...] = ()

    @property
    def primary(self) -> bool:
        return self.model == "PRIMARY"


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
    return CreateTable(name, if_not_exists, columns, **_tail(tokens))


def _tail(tokens: Tokens) -> dict:
    out: dict = {}
    while not tokens.done:
        if tokens.accept("ENGINE"):
            tokens.expect("=")
            _engine(tokens.name())
        elif tokens.accept("PRIMARY", "KEY"):
            out |= {"model": "PRIMARY", "keys": tokens.names()}
        elif tokens.accept("DUPLICATE", "KEY"):
            out |= {"model": "DUPLICATE", "keys": tokens.names()}
        elif tokens.at("AGGREGATE", "KEY") or tokens.at("UNIQUE", "KEY"):
            raise SqlError.not_emulated(f"{tokens.next().text.upper()} KEY")
        elif tokens.accept("PARTITION", "BY"):
            out |= _partition(tokens)
        elif tokens.accept("COMMENT"):
            out["comment"] = tokens.string()
        elif tokens.accept("DISTRIBUTED", "BY"):
            out |= _distribution(tokens)
        elif tokens.accept("ORDER", "BY"):
            out["sort_key"] = tokens.names()
        elif tokens.accept("PROPERTIES"):
            out["properties"] = parse_properties(tokens)
        elif tokens.accept("DEFAULT", "CHARSET") or tokens.accept("CHARSET"):
            tokens.accept("=")
            _charset(tokens.name())
        else:
            raise tokens.unexpected("PRIMARY, DISTRIBUTED, ORDER, PROPERTIES, COMMENT")
    return out


def _engine(name: str) -> None:
    if name.upper() == "OLAP":
        return
    if name.upper() in ("MYSQL", "HIVE", "ICEBERG", "HUDI", "JDBC", "ELASTICSEARCH", "FILE", "BROKER"):
        raise SqlError.not_emulated(f"ENGINE={name.upper()}")
    raise SqlError.analysis(f"Unknown engine name: {name}")


def _charset(name: str) -> None:
    if name.lower() != "utf8":
        raise SqlError.analysis(f"charset name {name} is not supported yet")


def _partition(tokens: Tokens) -> dict:
    """Expression partitions: columns or functions of them. Where rows land makes no difference to what queries see;
    listed ranges, which refuse rows, are not emulated."""
    if tokens.at("RANGE") or tokens.at("LIST"):
        raise SqlError.not_emulated(f"PARTITION BY {tokens.next().text.upper()}")
    start, depth, columns = tokens.peek().start, 0, []
    while not tokens.done:
        token = tokens.peek()
        if depth == 0 and token.kind == "word" and token.text.upper() in _CLAUSES:
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "symbol" else 0
        is_name = token.kind == "quoted" or (token.kind == "word" and tokens.peek(1).text != "(")
        columns += [token.text] if is_name else []
        tokens.next()
    if not columns:
        raise tokens.unexpected("a partition column")
    text = tokens.sql[start : tokens.peek(-1).end].strip()
    return {"partition": text, "partition_columns": tuple(columns)}


_CLAUSES = frozenset({"DISTRIBUTED", "ORDER", "PROPERTIES", "COMMENT"})


def _distribution(tokens: Tokens) -> dict:
    columns: tuple[str, ...] = ()
    random = tokens.accept("RANDOM")
    if not random:
        tokens.expect("HASH")
        columns = tokens.names()
    buckets = tokens.number() if tokens.accept("BUCKETS") else None
    if buckets == 0:
        raise SqlError.analysis(f"Number of {'random' if random else 'hash'} distribution is zero.")
    return {"distribution": columns, "random": random, "buckets": buckets or 0}


def parse_properties(tokens: Tokens) -> dict[str, str]:
    out: dict[str, str] = {}
    tokens.expect("(")
    while not tokens.at(")"):
        name = tokens.string()
        tokens.expect("=")
        out[name] = tokens.string()
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return out


def check_properties(properties: dict[str, str]) -> None:
    for name, value in properties.items():
        if name not in PROPERTIES:
            raise SqlError.ddl(f"Unknown properties: {{{name}={value}}}")
        if name in _BOOLEANS and value.lower() not in ("true", "false"):
            raise SqlError.analysis(f"Property {name} must be bool type(false/true)")
    if (text := properties.get("replication_num")) is not None:
        if not text.lstrip("-").isdigit():
            raise SqlError.ddl(f'For input string: "{text}"')
        if int(text) <= 0:
            raise SqlError.analysis("Replication num should larger than 0")


def build_table(create: CreateTable, ident: int, database: str, now: str, version: Version) -> Table:
    """Validate as CreateTableAnalyzer does, in its order, and make the table."""
    names = [spec.name.lower() for spec in create.columns]
    if len(names) > _MAX_COLUMNS:
        raise SqlError.analyzed(
            f"The number of columns in a table must be less than or equal to {_MAX_COLUMNS}, Please decrease the "
            "number of columns or increase frontend config 'max_column_number_per_table'.", 1117, "42000")  # fmt: skip
    seen: set[str] = set()
    for spec in create.columns:
        if spec.name.lower() in seen:
            raise SqlError.analyzed(f"Duplicate column name '{spec.name}'", 1060, "42S21")
        seen.add(spec.name.lower())
    keys = [key.lower() for key in create.keys] or _default_keys(create.columns)
    _check_keys(create, names, keys)
    _check_sort_key(create, names)
    _check_distribution(create, names, keys, version)
    columns = tuple(make_column(spec, i + 1, create.primary and i < len(keys)) for i, spec in enumerate(create.columns))
    _check_columns(create, columns)
    check_properties(create.properties or {})
    leading = tuple(c.name for c in columns[: len(keys)])
    distribution = create.distribution or (leading if create.primary else ())
    return Table(ident, database, create.name[-1], columns, leading, create.primary, distribution, create.buckets,
                 create.sort_key, dict(create.properties or {}), create.comment, next_column=len(columns) + 1,
                 created=now, partition=create.partition, partition_columns=create.partition_columns)  # fmt: skip


def _default_keys(columns: Sequence[ColumnSpec]) -> list[str]:
    """The key of a table that names none: the short key of a Duplicate Key table."""
    keys: list[str] = []
    size = 0
    for spec in columns:
        size += _INDEX_SIZE.get(spec.type.kind, 0)
        if len(keys) >= _SHORT_KEY_COLUMNS or size > _SHORT_KEY_BYTES:
            break
        if spec.type.kind not in _INDEX_SIZE:
            break
        keys.append(spec.name.lower())
        if spec.type.kind is Kind.VARCHAR:
            break
    if not keys:
        raise SqlError.analysis(f"Data type of first column cannot be {columns[0].type.upper}")
    return keys


def _check_keys(create: CreateTable, names: Sequence[str], keys: Sequence[str]) -> None:
    if len(keys) > len(names):
        raise SqlError.analysis("The number of key columns should be less than the number of columns.")
    for position, key in enumerate(keys):
        if names[position] != key:
            if key not in names:
                raise SqlError.analysis(f"Key column({create.keys[position]}) doesn't exist.")
            raise SqlError.analysis(
                "Key columns must be the first few columns of the schema and the order  of the key columns must be "
                "consistent with the order of the schema"
            )
        spec = create.columns[position]
        if create.primary and spec.nullable is True:
            raise SqlError.analysis(f"primary key column[{spec.name}] cannot be nullable")
        if create.primary and spec.type.kind not in KEY_TYPES:
            raise SqlError.analysis(f"primary key column[{spec.name}] type not supported: {spec.type}")
        if spec.type.kind in (Kind.FLOAT, Kind.DOUBLE):
            raise SqlError.analysis(
                f"Invalid data type of key column '{spec.name}': '{spec.type.upper}', use decimal instead"
            )
        if spec.type.kind in _NO_KEYS:
            raise SqlError.analysis(f"Invalid data type of key column '{spec.name}': '{spec.type.upper}'")


_NO_KEYS = frozenset(kind for kind in Kind if kind in ("JSON", "ARRAY", "MAP", "STRUCT", "VARBINARY"))


def _check_sort_key(create: CreateTable, names: Sequence[str]) -> None:
    for name in create.sort_key:
        if name.lower() not in names:
            raise SqlError.analysis(f"Unknown column '{name}' does not exist")
        kind = create.columns[names.index(name.lower())].type
        if create.primary and kind.kind not in KEY_TYPES:
            raise SqlError.analysis(f"sort key column[{name}] type not supported: {kind}")


def _check_distribution(create: CreateTable, names: Sequence[str], keys: Sequence[str], version: Version) -> None:
    for name in create.partition_columns:
        if name.lower() not in names:
            raise SqlError.analysis(f"Partition column[{name}] does not exist in column list.")
        if create.primary and name.lower() not in keys:
            raise SqlError.ddl("The partition column could not be aggregated column, unless it is a key column")
    if create.random and create.primary:
        raise SqlError.analysis(f"PRIMARY KEY {version.random_refused}")
    for name in create.distribution:
        if name.lower() not in names:
            raise SqlError.analysis(f"Distribution column({name}) doesn't exist.")
        if create.primary and name.lower() not in keys:
            raise SqlError.ddl(f"Distribution column[{name}] is not key column")
        kind = create.columns[names.index(name.lower())].type
        if not _distributes(kind):
            raise SqlError.ddl(f"{kind.upper} column can not be distribution column")


def _distributes(kind: Type) -> bool:
    return kind.kind not in _NO_KEYS and kind.kind not in (Kind.FLOAT, Kind.DOUBLE)


def _check_columns(create: CreateTable, columns: Sequence) -> None:
    if sum(column.auto_increment for column in columns) > 1:
        raise SqlError.analysis("More than one AUTO_INCREMENT column defined in CREATE TABLE Statement")
    for column in columns:
        if column.auto_increment and column.type.kind is not Kind.BIGINT:
            raise SqlError.analysis("The AUTO_INCREMENT column must be BIGINT")
