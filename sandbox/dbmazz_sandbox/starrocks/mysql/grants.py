"""SHOW GRANTS: what a user or role was given, as statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.mysql.accounts import check_role, known_user, parse_user, role_name
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.users import ANY_NAME, Grant

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]


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
