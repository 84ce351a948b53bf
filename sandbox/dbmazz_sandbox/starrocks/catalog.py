"""The declared catalogue: databases, tables and columns as StarRocks knows them. Values only; the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.types import Type

SYSTEM_DATABASES = ("_statistics_", "information_schema", "sys")


@dataclass(frozen=True, slots=True)
class Column:
    """`ident` names the physical column (`c7`) and never changes; `default` is the declared text, or the
    word CURRENT_TIMESTAMP with `default_now` set."""

    ident: int
    name: str
    type: Type
    nullable: bool
    default: str | None = None
    default_now: bool = False
    comment: str = ""
    auto_increment: bool = False

    @property
    def physical(self) -> str:
        return f"c{self.ident}"

    @property
    def has_default(self) -> bool:
        return self.default is not None or self.default_now

    def to_dict(self) -> dict[str, object]:
        return {"ident": self.ident, "name": self.name, "type": self.type.to_dict(), "nullable": self.nullable,
                "default": self.default, "default_now": self.default_now, "comment": self.comment,
                "auto_increment": self.auto_increment}  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict) -> Column:
        return cls(**{**data, "type": Type.from_dict(data["type"])})


@dataclass(frozen=True, slots=True)
class AlterJob:
    """One finished job of SHOW ALTER TABLE COLUMN; those under way are in `alters`."""

    ident: int
    created: str
    finished: str
    version: int

    def to_dict(self) -> dict[str, object]:
        return {"ident": self.ident, "created": self.created, "finished": self.finished, "version": self.version}


@dataclass(frozen=True, slots=True)
class Table:
    """`ident` names the physical table (`t12`). `keys` are the leading key columns; `primary` tells a Primary Key
    table from a Duplicate Key one."""

    ident: int
    database: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    primary: bool
    distribution: tuple[str, ...]
    buckets: int = 0
    sort_key: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    comment: str = ""
    next_column: int = 0
    jobs: tuple[AlterJob, ...] = ()
    created: str = ""
    partition: str = ""
    partition_columns: tuple[str, ...] = ()

    @property
    def physical(self) -> str:
        return f"t{self.ident}"

    @property
    def key_columns(self) -> tuple[Column, ...]:
        return self.columns[: len(self.keys)]

    def find(self, name: str) -> Column | None:
        """Column by name, case-insensitively, as SQL and the `columns` header resolve names."""
        wanted = name.lower()
        return next((column for column in self.columns if column.name.lower() == wanted), None)

    def is_key(self, column: Column) -> bool:
        return any(column is key for key in self.key_columns)

    def to_dict(self) -> dict[str, object]:
        return {
            "ident": self.ident, "database": self.database, "name": self.name,
            "columns": [column.to_dict() for column in self.columns], "keys": self.keys, "primary": self.primary,
            "distribution": self.distribution, "buckets": self.buckets, "sort_key": self.sort_key,
            "properties": self.properties, "comment": self.comment, "next_column": self.next_column,
            "jobs": [job.to_dict() for job in self.jobs], "created": self.created,
            "partition": self.partition, "partition_columns": self.partition_columns,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict) -> Table:
        tuples = {name: tuple(data[name]) for name in ("keys", "distribution", "sort_key")}
        tuples["partition_columns"] = tuple(data.get("partition_columns", ()))
        columns = tuple(Column.from_dict(column) for column in data["columns"])
        jobs = tuple(AlterJob(**job) for job in data["jobs"])
        return cls(**{**data, **tuples, "columns": columns, "jobs": jobs})


class Catalog:
    """Databases by name. Table values are immutable: a query keeps the one it looked up."""

    def __init__(self) -> None:
        self.databases: dict[str, dict[str, Table]] = {}

    def database(self, name: str) -> dict[str, Table]:
        """The tables of a database; `default_catalog.` is taken off. Raises 5501."""
        name = name.removeprefix("default_catalog.")
        if name in SYSTEM_DATABASES:
            return {}
        if name not in self.databases:
            raise SqlError.unknown_database(name)
        return self.databases[name]

    def table(self, database: str, name: str) -> Table:
        """Raises 5501 or 5502."""
        tables = self.database(database)
        if name not in tables:
            raise SqlError.unknown_table(f"{database}.{name}")
        return tables[name]

    def get(self, database: str, name: str) -> Table | None:
        return self.databases.get(database, {}).get(name)

    def by_ident(self, ident: int) -> Table | None:
        """The table that a transaction remembers, as it is declared now."""
        tables = (table for tables in self.databases.values() for table in tables.values())
        return next((table for table in tables if table.ident == ident), None)

    def names(self) -> list[str]:
        return sorted([*self.databases, *SYSTEM_DATABASES])


def with_job(table: Table, ident: int, created: str, finished: str) -> Table:
    job = AlterJob(ident, created, finished, len(table.jobs) + 1)
    return replace(table, jobs=(*table.jobs, job)[-100:])
