"""Users, roles and what they may do: who logs in, over MySQL and HTTP, and which statement is denied (starrocks.md 1.3).

Values and rules only; `Cluster` keeps them in the file. Texts are those of StarRocks' ErrorCode, PrivilegeStmtAnalyzer
and RestBaseAction.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from dbmazz_sandbox.starrocks.errors import SqlError

ANY_NAME = "*"
PRIVILEGES = {
    "TABLE": ("DELETE", "DROP", "INSERT", "SELECT", "ALTER", "EXPORT", "UPDATE"),
    "DATABASE": ("DROP", "ALTER", "CREATE TABLE", "CREATE VIEW", "CREATE FUNCTION", "CREATE MATERIALIZED VIEW"),
    "CATALOG": ("USAGE", "DROP", "CREATE DATABASE"),
    "SYSTEM": ("GRANT", "NODE", "OPERATE"),
}
_HINT = (
    "Please ask the admin to grant permission(s) or try activating existing roles using <set [default] role>. "
    "Current role(s): {active}. Inactivated role(s): {inactive}."
)
BUILTIN_ROLES = ("root", "cluster_admin", "db_admin", "user_admin", "public")
INSERT_DENIED = "Access denied; you need (at least one of) the INSERT privilege(s) for this operation"


@dataclass(frozen=True, slots=True)
class Grant:
    """`kind` is TABLE, DATABASE, CATALOG or SYSTEM; a name of `*` stands for all."""

    privilege: str
    kind: str
    database: str = ANY_NAME
    table: str = ANY_NAME

    def covers(self, privilege: str, kind: str, database: str, table: str) -> bool:
        return (
            self.privilege == privilege and self.kind == kind
            and self.database in (ANY_NAME, database) and self.table in (ANY_NAME, table)
        )  # fmt: skip


_BUILTIN = {
    "root": frozenset(Grant(p, kind) for kind, names in PRIVILEGES.items() for p in names),
    "db_admin": frozenset(Grant(p, kind) for kind in ("TABLE", "DATABASE", "CATALOG") for p in PRIVILEGES[kind]),
    "user_admin": frozenset({Grant("GRANT", "SYSTEM")}),
    "cluster_admin": frozenset({Grant("NODE", "SYSTEM"), Grant("OPERATE", "SYSTEM")}),
    "public": frozenset[Grant](),
}


@dataclass(slots=True)
class User:
    """`secret` is SHA1(SHA1(password)) in hex, or "" for no password. `defaults` are the roles a login activates."""

    name: str
    secret: str = ""
    grants: set[Grant] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"'{self.name}'@'%'"


def secret_of(password: str) -> str:
    """What is stored of a password."""
    if not password:
        return ""
    return hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest()


def identity(name: str) -> str:
    return f"'{name}'@'%'"


class Users:
    """The accounts of one cluster. The administrator given at the start always exists and may do everything."""

    def __init__(self, administrator: str = "root", password: str = "") -> None:
        self.administrator = administrator
        self.users = {administrator: User(administrator, secret_of(password), set(), {"root"}, {"root"})}
        self.roles: dict[str, set[Grant]] = {}

    def authenticate(self, user: str, password: str) -> bool:
        """Whether a plain password, as HTTP Basic brings it, is the user's."""
        found = self.users.get(user)
        given = secret_of(password)
        return hmac.compare_digest(found.secret if found else "-", given) and found is not None

    def accepts(self, user: str, nonce: bytes, response: bytes) -> bool:
        """mysql_native_password: `response` is SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))."""
        found = self.users.get(user)
        if found is None or not found.secret:
            return found is not None and not response
        if len(response) != 20:
            return False
        stored = bytes.fromhex(found.secret)
        mask = hashlib.sha1(nonce + stored).digest()
        once = bytes(a ^ b for a, b in zip(response, mask, strict=True))
        return hmac.compare_digest(hashlib.sha1(once).digest(), stored)

    def grants_of(self, user: str, roles: Iterable[str] | None = None) -> set[Grant]:
        """Direct grants and those of `roles` (None: of all roles the user has)."""
        found = self.users.get(user)
        if found is None:
            return set()
        active = found.roles if roles is None else found.roles & set(roles)
        out = set(found.grants)
        for role in active:
            out |= _BUILTIN.get(role) or self.roles.get(role, set())
        return out

    def may(
        self, user: str, privilege: str, database: str | None = None, table: str | None = None,
        *, roles: Iterable[str] | None = None,
    ) -> bool:  # fmt: skip
        """Whether the user has the privilege on a table, on a database (`table` None) or on the whole cluster.
        `roles` are the activated ones; None counts all the user has, as the FE does when a load begins."""
        kind = "TABLE" if table is not None else "DATABASE" if database is not None else _cluster_kind(privilege)
        where = (database or ANY_NAME, table or ANY_NAME)
        return any(grant.covers(privilege, kind, *where) for grant in self.grants_of(user, roles))

    def may_use(
        self, user: str, database: str, table: str | None = None, *, roles: Iterable[str] | None = None
    ) -> bool:
        """Whether the user has any privilege on the table, or on or in the database (USE, SHOW CREATE TABLE)."""
        if database in ("information_schema", "sys", "_statistics_"):
            return database == "information_schema" or user == self.administrator
        for grant in self.grants_of(user, roles):
            if grant.database not in (ANY_NAME, database) or grant.kind not in ("TABLE", "DATABASE"):
                continue
            if table is None or (grant.kind == "TABLE" and grant.table in (ANY_NAME, table)):
                return True
        return False

    def denied(self, user: str, privilege: str, kind: str, name: str | None, roles: Iterable[str]) -> SqlError:
        """5203, as ErrorCode.ERR_ACCESS_DENIED words it."""
        where = kind if name is None else f"{kind} {name}"
        return SqlError(
            f"Access denied; you need (at least one of) the {privilege} privilege(s) on {where} for this operation. "
            + self.hint(user, roles, "NONE"),
            5203,
        )

    def hint(self, user: str, roles: Iterable[str], nothing: str = "[]") -> str:
        """The advice after a denial. MySQL says NONE for no roles, HTTP prints an empty list."""
        active = sorted(roles)
        inactive = sorted(self.users[user].roles - set(active)) if user in self.users else []
        return _HINT.format(active=_listed(active, nothing), inactive=_listed(inactive, nothing))

    def http_denied(self, user: str) -> str:
        """The FE's 401 message for a user without the INSERT privilege."""
        found = self.users.get(user)
        return f"Access denied for user {identity(user)}. {self.hint(user, found.defaults if found else ())}"

    def load_denied(self, user: str, password: str, peer: str, database: str, table: str) -> str:
        """Why the FE does not begin a load for a BE; "" when it does."""
        if not self.authenticate(user, password):
            return f"Access denied for {user}@{peer}"
        return "" if self.may(user, "INSERT", database, table) else INSERT_DENIED

    def to_dict(self) -> dict[str, object]:
        """What the file keeps."""
        users = [
            {"name": u.name, "secret": u.secret, "grants": _rows(u.grants), "roles": sorted(u.roles),
             "defaults": sorted(u.defaults)}
            for u in self.users.values()
        ]  # fmt: skip
        return {"users": users, "roles": {name: _rows(grants) for name, grants in self.roles.items()}}

    def restore(self, data: dict) -> None:
        """Take back what `to_dict` gave. The administrator's password is the one given at the start."""
        own = self.users[self.administrator]
        for row in data["users"]:
            grants = {Grant(*grant) for grant in row["grants"]}
            self.users[row["name"]] = User(row["name"], row["secret"], grants, set(row["roles"]), set(row["defaults"]))
        self.users[self.administrator] = User(own.name, own.secret, own.grants, own.roles, own.defaults)
        self.roles = {name: {Grant(*grant) for grant in grants} for name, grants in data["roles"].items()}


def _cluster_kind(privilege: str) -> str:
    return "SYSTEM" if privilege in PRIVILEGES["SYSTEM"] else "CATALOG"


def _rows(grants: Iterable[Grant]) -> list[list[str]]:
    return sorted([grant.privilege, grant.kind, grant.database, grant.table] for grant in grants)


def _listed(names: list[str], nothing: str) -> str:
    return f"[{', '.join(names)}]" if names else nothing
