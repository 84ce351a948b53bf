"""One MySQL session: routes a statement to DDL, SHOW, SET, DML or SELECT."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from mysql_mimic.results import AllowedResult, ResultColumn, ResultSet
from mysql_mimic.session import BaseSession
from mysql_mimic.types import ColumnType

from dbmazz_sandbox.starrocks.catalog import SYSTEM_DATABASES, Table
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError, SqlError
from dbmazz_sandbox.starrocks.mysql import dml, select, show
from dbmazz_sandbox.starrocks.mysql.ddl import alter_table, build_table, parse_create_table
from dbmazz_sandbox.starrocks.mysql.setting import run_set
from dbmazz_sandbox.starrocks.mysql.variables import session_variables
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens, first_word

log = structlog.get_logger("dbmazz.sandbox.starrocks")
Rows = tuple[list[Sequence[Any]], list[str]]
_NO_OPS = (("BEGIN",), ("COMMIT",), ("ROLLBACK",), ("START", "TRANSACTION"), ("SYNC",), ("UNLOCK", "TABLES"))
_NOT_EMULATED = frozenset({
    "EXPLAIN", "KILL", "GRANT", "REVOKE", "ANALYZE", "BACKUP", "RESTORE", "CANCEL", "EXPORT", "LOAD", "PAUSE",
    "RESUME", "STOP", "RECOVER", "REFRESH", "SUBMIT", "CALL", "EXECUTE", "PREPARE", "DEALLOCATE", "HELP", "LOCK",
    "REPLACE", "VALUES", "TABLE",
})  # fmt: skip


class StarRocksSession(BaseSession):
    """`affected` is the row count of the last statement without a result."""

    def __init__(self, cluster: Cluster, addresses: Callable[[], tuple[str, int, int]]) -> None:
        self.cluster, self.addresses = cluster, addresses
        self.variables = session_variables(cluster.version)
        self.username: str | None = None
        self.database: str | None = None
        self.affected = 0
        self.connection_id = 0

    async def init(self, connection: Any) -> None:
        self.connection_id = connection.connection_id

    async def use(self, database: str) -> None:
        name = database.removeprefix("default_catalog.")
        self.cluster.catalog.database(name)
        self.database = name

    async def reset(self) -> None:
        self.variables = session_variables(self.cluster.version)

    def table(self, parts: list[str]) -> Table:
        """The table a qualified name means in this session."""
        database, name = self.qualify(parts)
        return self.cluster.catalog.table(database, name)

    def qualify(self, parts: list[str]) -> tuple[str, str]:
        if len(parts) > 2:
            raise SqlError.not_emulated(f"catalog {parts[0]}")
        if len(parts) == 2:
            return parts[0], parts[1]
        if not self.database:
            raise SqlError.no_database()
        return self.database, parts[0]

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> AllowedResult:
        self.affected = 0
        word = first_word(sql)
        if word in ("", ";"):
            raise SqlError.syntax(0, "Query was empty")
        if word in _HANDLERS:
            tokens = Tokens(sql, wide_decimals=self.cluster.version.numbers >= (4, 0))
            return _result(await _HANDLERS[word](self, tokens))
        if word in ("SELECT", "WITH", "("):
            return await select.run(self, sql)
        if word in ("INSERT", "UPDATE", "DELETE"):
            try:
                self.affected = await dml.run(self, sql, word)
            except LoadError as error:
                raise SqlError.analysis(error.message) from error
            return None
        tokens = Tokens(sql)
        if any(tokens.at(*words) for words in _NO_OPS):
            return None
        if word in _NOT_EMULATED:
            raise SqlError.not_emulated(f"statement {word}")
        raise tokens.unexpected("a statement")


def _result(rows: Rows | None) -> AllowedResult:
    if rows is None:
        return None
    values, names = rows
    columns = [ResultColumn(name=name, type=ColumnType.VAR_STRING) for name in names]
    return ResultSet(rows=values, columns=columns)


async def _create(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("CREATE")
    if tokens.accept("DATABASE") or tokens.accept("SCHEMA"):
        if_not_exists = tokens.accept("IF", "NOT", "EXISTS")
        name = tokens.qualified()[-1]
        tokens.end()
        if len(name) > 256:
            raise SqlError.analysis(f"Incorrect database name '{name}'")
        await session.cluster.create_database(name, if_not_exists=if_not_exists)
        return
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"CREATE {tokens.peek().text.upper()}")
    create = parse_create_table(tokens)
    database, name = session.qualify(create.name)
    if database in SYSTEM_DATABASES:
        raise SqlError(f"Access denied; cannot create a table in {database}", 5203)
    if len(name) > 1024:
        raise SqlError.analysis(f"Incorrect table name '{name}'")
    await session.cluster.create_table(
        database, name, lambda ident, now: build_table(create, ident, database, now), if_not_exists=create.if_not_exists
    )


async def _drop(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("DROP")
    if tokens.accept("DATABASE") or tokens.accept("SCHEMA"):
        if_exists = tokens.accept("IF", "EXISTS")
        name = tokens.qualified()[-1]
        tokens.accept("FORCE")
        tokens.end()
        await session.cluster.drop_database(name, if_exists=if_exists)
        return
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"DROP {tokens.peek().text.upper()}")
    if_exists = tokens.accept("IF", "EXISTS")
    database, name = session.qualify(tokens.qualified())
    tokens.accept("FORCE")
    tokens.end()
    await session.cluster.drop_table(database, name, if_exists=if_exists)


async def _truncate(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("TRUNCATE", "TABLE")
    table = session.table(tokens.qualified())
    if tokens.at("PARTITION"):
        raise SqlError.not_emulated("TRUNCATE TABLE … PARTITION")
    tokens.end()
    await session.cluster.truncate_table(table)


async def _alter(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("ALTER")
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"ALTER {tokens.peek().text.upper()}")
    database, name = session.qualify(tokens.qualified())
    renames = session.cluster.version.renames_columns
    await session.cluster.alter_table(database, name, lambda table: alter_table(table, tokens, renames_columns=renames))


async def _use(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("USE")
    await session.use(tokens.qualified()[-1])
    tokens.end()


async def _set(session: StarRocksSession, tokens: Tokens) -> None:
    run_set(session.variables, tokens)


async def _show(session: StarRocksSession, tokens: Tokens) -> Rows:
    return show.run(session, tokens)


_HANDLERS: dict[str, Callable[[StarRocksSession, Tokens], Awaitable[Rows | None]]] = {
    "CREATE": _create, "DROP": _drop, "TRUNCATE": _truncate, "ALTER": _alter, "USE": _use, "SET": _set,
    "SHOW": _show, "DESC": _show, "DESCRIBE": _show, "ADMIN": _show,
}  # fmt: skip
