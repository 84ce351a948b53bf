"""One MySQL session: routes a statement to DDL, SHOW, SET, accounts, DML or SELECT, and asks who may do it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import duckdb
from mysql_mimic.results import AllowedResult, ResultColumn, ResultSet
from mysql_mimic.types import ColumnType

from dbmazz_sandbox.starrocks.catalog import SYSTEM_DATABASES, Catalog, Table
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LoadError, SqlError
from dbmazz_sandbox.starrocks.mysql import accounts, dml, grants, select, show
from dbmazz_sandbox.starrocks.mysql.ddl import build_table, parse_create_table
from dbmazz_sandbox.starrocks.mysql.failures import refusal
from dbmazz_sandbox.starrocks.mysql.information import Source, default_text
from dbmazz_sandbox.starrocks.mysql.render import result_column
from dbmazz_sandbox.starrocks.mysql.setting import run_set
from dbmazz_sandbox.starrocks.mysql.variables import session_variables
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens, first_word

Rows = tuple[list[Sequence[Any]], list[str]]
_NO_OPS = (("BEGIN",), ("COMMIT",), ("ROLLBACK",), ("START", "TRANSACTION"), ("SYNC",), ("UNLOCK", "TABLES"))
_NOT_EMULATED = frozenset({
    "EXPLAIN", "KILL", "ANALYZE", "BACKUP", "RESTORE", "EXPORT", "LOAD", "PAUSE", "RESUME", "STOP", "RECOVER",
    "REFRESH", "SUBMIT", "CALL", "EXECUTE", "PREPARE", "DEALLOCATE", "HELP", "LOCK", "REPLACE", "VALUES", "TABLE",
    "INSTALL", "UNINSTALL", "TRACE", "ADD", "CLEAN",
})  # fmt: skip
_DB_NAME = re.compile(r"[a-zA-Z][\w\-~!@#$%^&<>=+]{0,255}|_[a-zA-Z0-9][\w\-~!@#$%^&<>=+]{0,254}", re.ASCII)


class StarRocksSession:
    """`affected` is the row count of the last statement without a result; `roles` are the activated ones."""

    def __init__(self, cluster: Cluster, addresses: Callable[[], tuple[str, int, int]], connection_id: int) -> None:
        self.cluster, self.addresses, self.connection_id = cluster, addresses, connection_id
        self.variables = session_variables(cluster.version)
        self.username = ""
        self.roles: set[str] = set()
        self.database: str | None = None
        self.affected = 0

    async def become(self, user: str, database: str) -> None:
        """A login: the user's default roles, and the database it asks for. Nothing changes when that is refused."""
        before = (self.username, self.roles, self.database)
        self.username, self.roles = user, set(self.cluster.users.users[user].defaults)
        try:
            if database:
                await self.use(database)
        except SqlError:
            self.username, self.roles, self.database = before
            raise

    async def use(self, database: str) -> None:
        """Raises 5501, or 5203 without any privilege there."""
        name = database.removeprefix("default_catalog.")
        if name not in self.cluster.catalog.names():
            raise SqlError(f"Unknown database '{name}'", 5501, "3F000")
        if not self.cluster.users.may_use(self.username, name, roles=self.roles):
            raise self.denied("ANY", "DATABASE", name)
        self.database = name

    async def reset(self) -> None:
        self.variables = session_variables(self.cluster.version)

    # -- names and privileges -----------------------------------------------------------------------------------------

    def qualify(self, parts: list[str]) -> tuple[str, str]:
        if len(parts) > 2:
            raise SqlError.not_emulated(f"catalog {parts[0]}")
        if len(parts) == 2:
            return parts[0], parts[1]
        if not self.database:
            raise SqlError.no_database()
        return self.database, parts[0]

    def table(self, parts: list[str], privilege: str | None = None) -> Table:
        """The table a qualified name means in this session; with a privilege, the user must have it. Any privilege at
        all is asked when none is named."""
        database, name = self.qualify(parts)
        table = self.cluster.catalog.table(database, name)
        if privilege is None:
            if not self.cluster.users.may_use(self.username, database, name, roles=self.roles):
                raise self.denied("ANY", "TABLE", name)
        else:
            self.require(privilege, database, name)
        return table

    def require(self, privilege: str, database: str | None = None, table: str | None = None) -> None:
        """Raises 5203 unless the user has the privilege on the table, the database or the cluster."""
        if not self.cluster.users.may(self.username, privilege, database, table, roles=self.roles):
            kind = "TABLE" if table else "DATABASE" if database else _cluster_wide(privilege)
            name = table or database or ("default_catalog" if kind == "CATALOG" else None)
            raise self.denied(privilege, kind, name)

    def denied(self, privilege: str, kind: str, name: str | None) -> SqlError:
        return self.cluster.users.denied(self.username, privilege, kind, name, self.roles)

    def visible(self) -> Catalog:
        """The catalogue as this user sees it in SHOW and information_schema."""
        users, whole = self.cluster.users, self.cluster.catalog
        if self.username == users.administrator:
            return whole
        seen = Catalog()
        for database, tables in whole.databases.items():
            if users.may_use(self.username, database, roles=self.roles):
                seen.databases[database] = {
                    name: table for name, table in tables.items()
                    if users.may_use(self.username, database, name, roles=self.roles)
                }  # fmt: skip
        return seen

    def information(self) -> Source:
        """What information_schema is made from for this user."""
        cluster = self.cluster
        return Source(self.visible(), cluster.labels, cluster.version, cluster.tracking())

    def fields(self, name: str) -> list[tuple[ResultColumn, str | None]]:
        """COM_FIELD_LIST: the columns of a table of the current database, with their defaults."""
        if not self.database:
            raise SqlError("Unknown database(null)")
        table = self.cluster.catalog.get(self.database, name)
        if table is None or not self.cluster.users.may_use(self.username, self.database, name, roles=self.roles):
            raise SqlError(f"Unknown table({name})")
        return [(result_column(c.name, c.type.physical, c.type.kind), default_text(c)) for c in table.columns]

    # -- statements ---------------------------------------------------------------------------------------------------

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> AllowedResult:
        """Raises SqlError, whatever goes wrong: nothing of the engine below reaches a client."""
        self.affected = 0
        await self.cluster.settle()
        try:
            return await self._run(sql)
        except duckdb.Error as error:
            raise refusal(error) from error
        except LoadError as error:
            raise SqlError.analysis(error.message) from error
        except RecursionError as error:
            raise SqlError.not_emulated("a statement nested this deep") from error

    async def _run(self, sql: str) -> AllowedResult:
        word = first_word(sql)
        if word in ("", ";"):
            raise SqlError.syntax(0, "Query was empty")
        if word in _HANDLERS:
            tokens = Tokens(sql, wide_decimals=self.cluster.version.numbers >= (4, 0))
            return _result(await _HANDLERS[word](self, tokens))
        if word in ("SELECT", "WITH", "("):
            return await select.run(self, sql)
        if word in ("INSERT", "UPDATE", "DELETE"):
            self.affected = await dml.run(self, sql, word)
            return None
        tokens = Tokens(sql)
        if any(tokens.at(*words) for words in _NO_OPS):
            return None
        if word in _NOT_EMULATED:
            raise SqlError.not_emulated(f"statement {word}")
        raise tokens.unexpected("a statement")


def _cluster_wide(privilege: str) -> str:
    return "CATALOG" if privilege == "CREATE DATABASE" else "SYSTEM"


def _result(rows: Rows | None) -> AllowedResult:
    if rows is None:
        return None
    values, names = rows
    columns = [ResultColumn(name=name, type=ColumnType.VAR_STRING) for name in names]
    return ResultSet(rows=values, columns=columns)


def _database_name(tokens: Tokens) -> str:
    parts = tokens.qualified()
    if len(parts) > 1:
        raise SqlError.not_emulated(f"catalog {parts[0]}")
    return parts[0]


async def _create(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("CREATE")
    if tokens.at("USER") or tokens.at("ROLE"):
        await accounts.create(session, tokens)
        return
    if tokens.accept("DATABASE") or tokens.accept("SCHEMA"):
        if_not_exists = tokens.accept("IF", "NOT", "EXISTS")
        name = _database_name(tokens)
        tokens.end()
        if _DB_NAME.fullmatch(name) is None:
            raise SqlError.analyzed(f"Incorrect database name '{name}'", 1102, "42000")
        session.require("CREATE DATABASE")
        await session.cluster.create_database(name, if_not_exists=if_not_exists)
        return
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"CREATE {tokens.peek().text.upper()}")
    create = parse_create_table(tokens)
    database, name = session.qualify(create.name)
    if database in SYSTEM_DATABASES:
        raise session.denied("CREATE TABLE", "DATABASE", database)
    if not 1 <= len(name) <= 1024 or "\0" in name:
        raise SqlError.analyzed(f"Incorrect table name '{name}'", 1104, "42000")
    session.cluster.catalog.database(database)
    session.require("CREATE TABLE", database)
    version = session.cluster.version
    await session.cluster.create_table(
        database, name, lambda ident, now: build_table(create, ident, database, now, version),
        if_not_exists=create.if_not_exists,
    )  # fmt: skip


async def _drop(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("DROP")
    if tokens.at("USER") or tokens.at("ROLE"):
        await accounts.drop(session, tokens)
        return
    if tokens.accept("DATABASE") or tokens.accept("SCHEMA"):
        if_exists = tokens.accept("IF", "EXISTS")
        name = _database_name(tokens)
        tokens.accept("FORCE")
        tokens.end()
        if name in session.cluster.catalog.databases:
            session.require("DROP", name)
        elif name in SYSTEM_DATABASES:
            raise session.denied("DROP", "DATABASE", name)
        await session.cluster.drop_database(name, if_exists=if_exists)
        return
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"DROP {tokens.peek().text.upper()}")
    if_exists = tokens.accept("IF", "EXISTS")
    database, name = session.qualify(tokens.qualified())
    tokens.accept("FORCE")
    tokens.end()
    if session.cluster.catalog.get(database, name) is not None:
        session.require("DROP", database, name)
    await session.cluster.drop_table(database, name, if_exists=if_exists)


async def _truncate(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("TRUNCATE", "TABLE")
    database, name = session.qualify(tokens.qualified())
    if tokens.at("PARTITION"):
        raise SqlError.not_emulated("TRUNCATE TABLE … PARTITION")
    tokens.end()
    if database not in session.cluster.catalog.databases:
        raise SqlError(f"Unknown database '{database}'", 5501, "3F000")
    table = session.cluster.catalog.get(database, name)
    if table is None:
        raise SqlError(f"Unknown table '{name}'", 5502, "42602")
    session.require("DELETE", database, name)
    if session.cluster.alters.running(table.ident) is not None:
        raise SqlError.ddl(f"Table' state is not NORMAL: {name}")
    await session.cluster.truncate_table(table)


async def _alter(session: StarRocksSession, tokens: Tokens) -> Rows | None:
    tokens.expect("ALTER")
    if tokens.at("USER"):
        await accounts.alter(session, tokens)
        return None
    if not tokens.accept("TABLE"):
        raise SqlError.not_emulated(f"ALTER {tokens.peek().text.upper()}")
    parts = tokens.qualified()
    table = session.table(parts, "ALTER")
    if tokens.done:
        raise tokens.unexpected("ADD, DROP, MODIFY, RENAME, SET, COMMENT")
    clauses = tokens.sql[tokens.peek().start :]
    renames = session.cluster.version.renames_columns
    await session.cluster.alter_table(table.database, table.name, clauses, renames_columns=renames)
    return None


async def _cancel(session: StarRocksSession, tokens: Tokens) -> None:
    """CANCEL ALTER TABLE COLUMN FROM table."""
    tokens.expect("CANCEL")
    if not tokens.accept("ALTER", "TABLE", "COLUMN", "FROM"):
        raise SqlError.not_emulated(f"CANCEL {tokens.peek().text.upper()}")
    table = session.table(tokens.qualified(), "ALTER")
    if tokens.at("("):
        raise SqlError.not_emulated("CANCEL ALTER TABLE … (job ids)")
    tokens.end()
    session.cluster.alters.cancel(table.ident, table.name, session.cluster.now())
    await session.cluster.keep_alters()


async def _use(session: StarRocksSession, tokens: Tokens) -> None:
    tokens.expect("USE")
    name = _database_name(tokens)
    tokens.end()
    await session.use(name)


async def _set(session: StarRocksSession, tokens: Tokens) -> None:
    if await accounts.set_account(session, tokens):
        return
    run_set(session.variables, tokens)


async def _grant(session: StarRocksSession, tokens: Tokens) -> None:
    await grants.grant(session, tokens)


async def _show(session: StarRocksSession, tokens: Tokens) -> Rows:
    return await show.run(session, tokens)


_HANDLERS: dict[str, Callable[[StarRocksSession, Tokens], Awaitable[Rows | None]]] = {
    "CREATE": _create, "DROP": _drop, "TRUNCATE": _truncate, "ALTER": _alter, "USE": _use, "SET": _set,
    "SHOW": _show, "DESC": _show, "DESCRIBE": _show, "ADMIN": _show, "CANCEL": _cancel, "GRANT": _grant,
    "REVOKE": _grant,
}  # fmt: skip
