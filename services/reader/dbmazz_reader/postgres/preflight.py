"""What must be true of the source before anything is touched; each failure is one line with the statement that fixes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from dbmazz.errors import ConfigError, SourceError
from dbmazz.printable import printable
from dbmazz.relation import ReplicaIdentity
from dbmazz.target import impossible, target_table_name

from dbmazz_reader.postgres.catalogue import ServerInfo, UserTable
from dbmazz_reader.postgres.names import is_pattern, matches, quote_table
from dbmazz_reader.protocol.relations import Table, no_key

OLDEST_MAJOR = 14


def check_server(info: ServerInfo) -> None:
    """Version, wal_level and the right to replicate."""
    if info.major < OLDEST_MAJOR:
        raise SourceError(f"PostgreSQL {info.major} is too old", "dbmazz reads PostgreSQL 14 to 18")
    if info.wal_level != "logical":
        raise SourceError(
            f"wal_level is {info.wal_level}, so the WAL lacks what logical replication needs",
            "Run ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL",
        )
    if not info.may_replicate:
        raise SourceError(
            f"role {info.role} has no right to replicate", f'As a superuser, run: ALTER ROLE "{info.role}" REPLICATION;'
        )


def select_tables(existing: Sequence[UserTable], words: Sequence[str]) -> tuple[list[UserTable], list[str]]:
    """(tables that TABLES means, warnings). A table that is named must be usable; one that only a wildcard or nothing
    at all brings in is left out with a warning, because publishing it would make its updates fail on the source."""
    chosen: dict[int, UserTable] = {}
    warnings = []
    for word in words or ("*.*",):
        found = [table for table in existing if matches(table.qualified_name, word)]
        if not found and words:
            raise ConfigError(
                f"TABLES names {word}, which no table of the database matches",
                "It takes schema.table, with * as wildcard; a partition is replicated through its root",
            )
        for table in found:
            if table.relation_id in chosen:
                continue
            problem = _unusable(table)
            if problem is None:
                chosen[table.relation_id] = table
            elif is_pattern(word) or not words:
                warnings.append(f"{problem.message}; the table is left out. {problem.way_out}")
            else:
                raise problem
    return list(chosen.values()), warnings


def _unusable(table: UserTable) -> SourceError | None:
    if impossible(table.qualified_name):
        return _no_name(table.qualified_name, "table")
    if table.persistence == "u":
        return SourceError(
            f"table {table.qualified_name} is UNLOGGED, so its changes are not in the WAL",
            f"Run ALTER TABLE {quote_table(table.schema, table.name)} SET LOGGED;",
        )
    if not table.keyed:
        identity = ReplicaIdentity.from_relreplident(table.replica_identity)
        return no_key(Table(table.relation_id, table.schema, table.name, identity, (), (), ()))
    return None


def without_identity(tables: Iterable[Table]) -> list[Table]:
    """Tables whose updates and deletes PostgreSQL refuses to publish."""
    return [table for table in tables if table.replica_identity is ReplicaIdentity.NOTHING]


def check_identities(tables: Iterable[UserTable]) -> None:
    """To be looked at before a table is published: from then on PostgreSQL refuses its updates when there is no identity."""
    for table in tables:
        if ReplicaIdentity.from_relreplident(table.replica_identity) is ReplicaIdentity.NOTHING:
            raise _no_identity(table)


def check_readable(unreadable: Sequence[Table | UserTable], role: str) -> None:
    """The right to read back what a change does not carry, known before the first such change comes."""
    if unreadable:
        names = ", ".join(table.qualified_name for table in unreadable)
        listed = ", ".join(quote_table(table.schema, table.name) for table in unreadable)
        raise SourceError(
            f"role {role} may not read {names}, which unchanged TOAST values may have to be read back from",
            f'Run GRANT SELECT ON {listed} TO "{role}"; (and GRANT USAGE ON the schema), or set TOAST_READBACK=false',
        )


def check_target_names(tables: Iterable[Table | UserTable]) -> None:
    """Two source tables must not become one target table."""
    targets = defaultdict(list)
    for table in tables:
        targets[target_table_name(table.schema, table.name)].append(table.qualified_name)
    for target, sources in targets.items():
        if len(sources) > 1:
            raise SourceError(
                f"tables {' and '.join(sources)} would both become {target} in the target",
                "Rename one, or take one out of the publication and TABLES",
            )


def check_tables(tables: Sequence[Table], publication: str) -> None:
    """Keys, replica identities and names in the target."""
    if not tables:
        raise SourceError(
            f"publication {publication} has no table to replicate",
            f'Set TABLES, or run ALTER PUBLICATION "{publication}" ADD TABLE ...;',
        )
    problems = [problem for table in tables if (problem := _table_problem(table)) is not None]
    if problems:
        more = f" (and {len(problems) - 1} more tables have a problem)" if len(problems) > 1 else ""
        raise SourceError(problems[0].message + more, problems[0].way_out)
    check_target_names(tables)


def _table_problem(table: Table) -> SourceError | None:
    if table.replica_identity is ReplicaIdentity.NOTHING:
        return _no_identity(table)
    if impossible(table.qualified_name):
        return _no_name(table.qualified_name, "table")
    for column in table.columns:
        if impossible(column.name):
            return _no_name(f"{column.name} of {table.qualified_name}", "column")
    key = table.key(table.replica_identity)
    if not key:
        return no_key(table)
    if not set(key) <= {column.name for column in table.columns}:
        return SourceError(
            f"the publication's column list for {table.qualified_name} leaves out its key ({', '.join(key)})",
            "Add the key columns to the column list with ALTER PUBLICATION ... SET TABLE",
        )
    return None


def _no_name(name: str, what: str) -> SourceError:
    return SourceError(
        f"{what} {printable(name)} holds a backtick or a control character, which StarRocks cannot have in a name",
        "Rename it in the source, or leave it out of TABLES and the publication",
    )


def _no_identity(table: Table | UserTable) -> SourceError:
    quoted = quote_table(table.schema, table.name)
    return SourceError(
        f"table {table.qualified_name} has REPLICA IDENTITY NOTHING, so its updates and deletes cannot be replicated",
        f"Run ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT;, or set SOURCE_SET_REPLICA_IDENTITY=true",
    )
