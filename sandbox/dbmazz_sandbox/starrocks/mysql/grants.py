"""GRANT, REVOKE and SHOW GRANTS (PrivilegeStmtAnalyzer's texts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.accounts import check_role, known_user, parse_user, role_list, role_name
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.users import ANY_NAME, BUILTIN_ROLES, PRIVILEGES, Grant, User

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]


_EVERY_PRIVILEGE = {privilege for names in PRIVILEGES.values() for privilege in names} | {
    "REFRESH", "IMPERSONATE", "USAGE", "EXPORT",
}  # fmt: skip


async def grant(session: StarRocksSession, tokens: Tokens) -> None:
    """GRANT and REVOKE of privileges or roles."""
    gives = tokens.accept("GRANT")
    if not gives:
        tokens.expect("REVOKE")
    if tokens.at("IMPERSONATE"):
        raise SqlError.not_emulated("GRANT IMPERSONATE")
    names = _privilege_names(tokens)
    if tokens.accept("ON"):
        grants = _objects(session, tokens, names)
        target, what = _grantee(session, tokens, gives)
        if tokens.accept("WITH", "GRANT", "OPTION"):
            raise SqlError.not_emulated("WITH GRANT OPTION")
        tokens.end()
        session.require("GRANT")
        owned = target.grants if isinstance(target, User) else session.cluster.users.roles[what]
        owned.update(grants) if gives else owned.difference_update(grants)
    else:
        target, _ = _grantee(session, tokens, gives)
        tokens.end()
        if not isinstance(target, User):
            raise SqlError.not_emulated("roles of roles")
        for role in names:
            check_role(session, role.lower() if role.lower() in BUILTIN_ROLES else role, "Can not grant/revoke role")
        session.require("GRANT")
        for role in names:
            (target.roles.add if gives else target.roles.discard)(role)
            if not gives:
                target.defaults.discard(role)
    await session.cluster.keep_users()


def _privilege_names(tokens: Tokens) -> list[str]:
    """Privileges of one or two words, or role names, up to ON, TO or FROM."""
    out = []
    while True:
        words = [role_name(tokens)]
        while tokens.peek().kind == "word" and tokens.peek().text.upper() not in ("ON", "TO", "FROM"):
            words.append(tokens.name())
        out.append(" ".join(words))
        if not tokens.accept(","):
            return out


def _grantee(session: StarRocksSession, tokens: Tokens, gives: bool) -> tuple[User | None, str]:
    tokens.expect("TO" if gives else "FROM")
    if tokens.accept("ROLE"):
        name = role_name(tokens)
        if name in BUILTIN_ROLES:
            raise SqlError.analysis(f"role {name} is not mutable!")
        check_role(session, name, "Can not grant/revoke to role")
        return None, name
    tokens.accept("USER")
    user = known_user(session, parse_user(tokens))
    return user, user.name


def _objects(session: StarRocksSession, tokens: Tokens, names: list[str]) -> set[Grant]:
    kind, places = _places(session, tokens)
    if kind not in PRIVILEGES:
        raise SqlError.not_emulated(f"privileges on {kind}")
    wanted = [name.upper() for name in names]
    if wanted in (["ALL"], ["ALL PRIVILEGES"]):
        wanted = list(PRIVILEGES[kind])
    for name in wanted:
        if name not in _EVERY_PRIVILEGE:
            raise SqlError.analysis(f"cannot find privilege type {name}")
        if name not in PRIVILEGES[kind]:
            raise SqlError.analysis(f"Cannot grant or revoke {name} on '{kind}' type object")
    return {Grant(name, kind, *place) for name in wanted for place in places}


def _places(session: StarRocksSession, tokens: Tokens) -> tuple[str, list[tuple[str, str]]]:
    """What follows ON: the kind of object, and (database, table) pairs with `*` for all."""
    if tokens.accept("SYSTEM"):
        return "SYSTEM", [(ANY_NAME, ANY_NAME)]
    if tokens.accept("CATALOG"):
        if (name := tokens.name()) != "default_catalog":
            raise SqlError.analysis(f"cannot find catalog: {name}")
        return "CATALOG", [(ANY_NAME, ANY_NAME)]
    if tokens.accept("ALL"):
        return _all_of(session, tokens)
    if tokens.accept("DATABASE"):
        return "DATABASE", [(_database(session, name), ANY_NAME) for name in role_list(tokens)]
    if tokens.peek().kind == "word" and tokens.peek(1).kind == "word" and not tokens.accept("TABLE"):
        return tokens.peek().text.upper(), []
    places = [_table(session, tokens)]
    while tokens.accept(","):
        places.append(_table(session, tokens))
    return "TABLE", places


def _all_of(session: StarRocksSession, tokens: Tokens) -> tuple[str, list[tuple[str, str]]]:
    if tokens.accept("DATABASES"):
        return "DATABASE", [(ANY_NAME, ANY_NAME)]
    if not tokens.accept("TABLES"):
        return tokens.next().text.upper(), []
    tokens.expect("IN")
    if tokens.accept("ALL", "DATABASES"):
        return "TABLE", [(ANY_NAME, ANY_NAME)]
    tokens.expect("DATABASE")
    return "TABLE", [(_database(session, tokens.name()), ANY_NAME)]


def _database(session: StarRocksSession, name: str) -> str:
    if name not in session.cluster.catalog.names():
        raise SqlError.analysis(f"cannot find db: {name}")
    return name


def _table(session: StarRocksSession, tokens: Tokens) -> tuple[str, str]:
    parts = [ANY_NAME if tokens.accept("*") else tokens.name()]
    if tokens.accept("."):
        parts.append(ANY_NAME if tokens.accept("*") else tokens.name())
    database, table = session.qualify(parts)
    if database == ANY_NAME:
        return ANY_NAME, ANY_NAME
    _database(session, database)
    if table != ANY_NAME and session.cluster.catalog.get(database, table) is None:
        raise SqlError.analysis(f"cannot find table {table} in db {database}")
    return database, table


def show_grants(session: StarRocksSession, tokens: Tokens) -> Rows:
    """SHOW GRANTS [FOR user | FOR ROLE role]."""
    users = session.cluster.users
    names = ["UserIdentity", "Catalog", "Grants"]
    if tokens.accept("FOR", "ROLE"):
        role = role_name(tokens)
        tokens.end()
        check_role(session, role, "There is no role")
        return _described(role, f"ROLE '{role}'", users.roles.get(role, set())), names
    user = users.users[session.username]
    if tokens.accept("FOR"):
        user = known_user(session, parse_user(tokens))
        if user.name != session.username:
            session.require("GRANT")
    tokens.end()
    rows: list[Sequence[Any]] = []
    if user.roles:
        rows.append((str(user), None, f"GRANT {', '.join(repr(r) for r in sorted(user.roles))} TO {user}"))
    return rows + _described(str(user), f"USER {user}", user.grants), names


def _described(who: str, to: str, grants: set[Grant]) -> list[Sequence[Any]]:
    by_place: dict[tuple[str, str, str], list[str]] = {}
    for grant in sorted(grants, key=lambda g: (g.kind, g.database, g.table, g.privilege)):
        by_place.setdefault((grant.kind, grant.database, grant.table), []).append(grant.privilege)
    return [
        (who, None if kind == "SYSTEM" else "default_catalog",
         f"GRANT {', '.join(privileges)} ON {_place(kind, database, table)} TO {to}")
        for (kind, database, table), privileges in by_place.items()
    ]  # fmt: skip


def _place(kind: str, database: str, table: str) -> str:
    if kind == "SYSTEM":
        return "SYSTEM"
    if kind == "CATALOG":
        return "CATALOG default_catalog"
    if kind == "DATABASE":
        return "ALL DATABASES" if database == ANY_NAME else f"DATABASE {database}"
    if table != ANY_NAME:
        return f"TABLE {database}.{table}"
    return f"ALL TABLES IN {'ALL DATABASES' if database == ANY_NAME else f'DATABASE {database}'}"
