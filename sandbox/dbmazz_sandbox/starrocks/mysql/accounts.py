"""CREATE, ALTER and DROP USER and ROLE, SET PASSWORD and SET ROLE (PrivilegeStmtAnalyzer's texts)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.users import BUILTIN_ROLES, User, identity, secret_of

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

_USER_NAME = re.compile(r"\w{1,64}/?[.\w-]{0,63}", re.ASCII)
_ROLE_NAME = re.compile(r"[a-zA-Z]\w{0,63}|_[a-zA-Z0-9]\w{0,62}", re.ASCII)
_HASH = re.compile(r"\*[0-9A-Fa-f]{40}")


def parse_user(tokens: Tokens) -> str:
    """`name[@'%']`; other hosts are not emulated."""
    if tokens.peek().kind not in ("string", "word", "quoted"):
        raise tokens.unexpected("a user")
    name, at, host = tokens.next().text.partition("@")
    if tokens.at("@") or (tokens.peek().kind == "word" and tokens.peek().text.startswith("@")):
        host = tokens.next().text[1:] or tokens.next().text
        at = "@"
    if at and host.strip("'\"") != "%":
        raise SqlError.not_emulated("users of one host only")
    if _USER_NAME.fullmatch(name) is None:
        raise SqlError.analyzed(f"Incorrect user name '{name}'", 5063, "42000")
    return name


def _secret(tokens: Tokens) -> str | None:
    """IDENTIFIED BY … as what is stored; None when it is not there."""
    if not tokens.accept("IDENTIFIED"):
        return None
    if tokens.accept("WITH"):
        plugin = tokens.next().text.lower()
        if plugin != "mysql_native_password":
            raise SqlError.not_emulated(f"IDENTIFIED WITH {plugin}")
        if tokens.accept("AS"):
            return _hashed(tokens.string())
        return secret_of(tokens.string()) if tokens.accept("BY") else ""
    tokens.expect("BY")
    if tokens.accept("PASSWORD"):
        return _hashed(tokens.string())
    return secret_of(tokens.string())


def _hashed(text: str) -> str:
    if text and _HASH.fullmatch(text) is None:
        raise SqlError.analyzed("Password hash should be a 41-digit hexadecimal number", 5201, "HY000")
    return text[1:].lower()


def role_list(tokens: Tokens) -> list[str]:
    out = [role_name(tokens)]
    while tokens.accept(","):
        out.append(role_name(tokens))
    return out


def role_name(tokens: Tokens) -> str:
    return tokens.string() if tokens.peek().kind == "string" else tokens.name()


def known_user(session: StarRocksSession, name: str) -> User:
    found = session.cluster.users.users.get(name)
    if found is None:
        raise SqlError.analysis(f"cannot find user {identity(name)}!")
    return found


def check_role(session: StarRocksSession, role: str, doing: str) -> None:
    if role not in BUILTIN_ROLES and role not in session.cluster.users.roles:
        raise SqlError.analysis(f"{doing}: cannot find role {role}!")


async def create(session: StarRocksSession, tokens: Tokens) -> None:
    """CREATE USER and CREATE ROLE."""
    users = session.cluster.users
    if tokens.accept("ROLE"):
        if_not_exists = tokens.accept("IF", "NOT", "EXISTS")
        names = role_list(tokens)
        tokens.end()
        for name in names:
            if _ROLE_NAME.fullmatch(name) is None:
                raise SqlError.analyzed(f"Incorrect role name '{name}'", 5063, "42000")
            if (name in users.roles or name in BUILTIN_ROLES) and not if_not_exists:
                raise SqlError.analysis(f"Operation CREATE ROLE failed for {name} : role already exists")
        session.require("GRANT")
        for name in names:
            if name not in BUILTIN_ROLES:
                users.roles.setdefault(name, set())
        await session.cluster.keep_users()
        return
    tokens.expect("USER")
    if_not_exists = tokens.accept("IF", "NOT", "EXISTS")
    name = parse_user(tokens)
    secret = _secret(tokens) or ""
    roles = set(role_list(tokens)) if tokens.accept("DEFAULT", "ROLE") else set[str]()
    tokens.end()
    for role in roles:
        check_role(session, role, "Valid role name fail")
    if name in users.users:
        if if_not_exists:
            return
        raise SqlError.analysis(f"Operation CREATE USER failed for {identity(name)} : user already exists")
    session.require("GRANT")
    users.users[name] = User(name, secret, set(), roles, set(roles))
    await session.cluster.keep_users()


async def alter(session: StarRocksSession, tokens: Tokens) -> None:
    """ALTER USER … IDENTIFIED BY, or DEFAULT ROLE."""
    tokens.expect("USER")
    if_exists = tokens.accept("IF", "EXISTS")
    name = parse_user(tokens)
    secret = _secret(tokens)
    roles = role_list(tokens) if tokens.accept("DEFAULT", "ROLE") else None
    tokens.end()
    found = session.cluster.users.users.get(name)
    if found is None:
        if if_exists:
            return
        raise SqlError.analysis(f"Operation ALTER USER failed for {identity(name)} : user not exists")
    if name == session.cluster.users.administrator != session.username:
        raise SqlError.analysis("Can not modify root user, except root itself")
    session.require("GRANT")
    if secret is not None:
        found.secret = secret
    if roles is not None:
        found.defaults = _defaults(found, roles)
    await session.cluster.keep_users()


def _defaults(user: User, roles: list[str]) -> set[str]:
    if roles in (["ALL"], ["all"]):
        return set(user.roles)
    if roles in (["NONE"], ["none"]):
        return set()
    for role in roles:
        if role not in user.roles:
            raise SqlError.analysis(f"Role {role} is not granted to {user}")
    return set(roles)


async def drop(session: StarRocksSession, tokens: Tokens) -> None:
    """DROP USER and DROP ROLE."""
    users = session.cluster.users
    if tokens.accept("ROLE"):
        if_exists = tokens.accept("IF", "EXISTS")
        for name in role_list(tokens):
            if name not in users.roles and not if_exists:
                raise SqlError.analysis(f"Operation DROP ROLE failed for {name} : role not exists")
            session.require("GRANT")
            users.roles.pop(name, None)
            for user in users.users.values():
                user.roles.discard(name)
                user.defaults.discard(name)
    else:
        tokens.expect("USER")
        if_exists = tokens.accept("IF", "EXISTS")
        name = parse_user(tokens)
        if name == users.administrator:
            who = identity(name)
            raise SqlError.analysis(f"Operation DROP USER failed for {who} : cannot drop user {who}")
        if name not in users.users and not if_exists:
            raise SqlError.analysis(f"Operation DROP USER failed for {identity(name)} : user not exists")
        session.require("GRANT")
        users.users.pop(name, None)
    tokens.end()
    await session.cluster.keep_users()


async def set_account(session: StarRocksSession, tokens: Tokens) -> bool:
    """SET PASSWORD, SET ROLE and SET DEFAULT ROLE; False for any other SET."""
    if tokens.accept("SET", "PASSWORD"):
        await _set_password(session, tokens)
    elif tokens.accept("SET", "ROLE"):
        _set_role(session, tokens)
    elif tokens.accept("SET", "DEFAULT", "ROLE"):
        roles = role_list(tokens)
        tokens.expect("TO")
        user = known_user(session, parse_user(tokens))
        tokens.end()
        if user.name != session.username:
            session.require("GRANT")
        user.defaults = _defaults(user, roles)
        await session.cluster.keep_users()
    else:
        return False
    return True


async def _set_password(session: StarRocksSession, tokens: Tokens) -> None:
    name = parse_user(tokens) if tokens.accept("FOR") else session.username
    tokens.expect("=")
    if tokens.accept("PASSWORD"):
        tokens.expect("(")
        secret = secret_of(tokens.string())
        tokens.expect(")")
    else:
        secret = _hashed(tokens.string())
    tokens.end()
    user = known_user(session, name)
    if name != session.username:
        if name == session.cluster.users.administrator:
            raise SqlError.analysis("Can not set password for root user, except root itself")
        session.require("GRANT")
    user.secret = secret
    await session.cluster.keep_users()


def _set_role(session: StarRocksSession, tokens: Tokens) -> None:
    user = session.cluster.users.users[session.username]
    if tokens.accept("DEFAULT"):
        session.roles = set(user.defaults)
    else:
        roles = role_list(tokens)
        session.roles = _defaults(user, roles)
    tokens.end()
