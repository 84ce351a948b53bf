"""SET: session variables, names, transaction characteristics."""

from __future__ import annotations

from typing import Any

from mysql_mimic.charset import CharacterSet
from mysql_mimic.errors import MysqlError
from mysql_mimic.variables import SessionVariables

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.variables import unknown_variable
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens

_WORDS = {"ON": 1, "TRUE": 1, "OFF": 0, "FALSE": 0}


def run_set(variables: SessionVariables, tokens: Tokens) -> None:
    """One or several assignments. An unknown variable is 1193, as in StarRocks."""
    tokens.expect("SET")
    if tokens.at("PASSWORD") or tokens.at("ROLE") or tokens.at("PROPERTY") or tokens.at("CATALOG"):
        raise SqlError.not_emulated(f"SET {tokens.peek().text.upper()}")
    while True:
        _assignment(variables, tokens)
        if not tokens.accept(","):
            break
    tokens.end()


def _assignment(variables: SessionVariables, tokens: Tokens) -> None:
    if tokens.accept("NAMES"):
        _names(variables, tokens)
        return
    if tokens.accept("CHARACTER", "SET") or tokens.accept("CHARSET"):
        _set(variables, "character_set_client", tokens.next().text)
        return
    scoped = tokens.accept("SESSION") or tokens.accept("GLOBAL") or tokens.accept("LOCAL")
    if tokens.accept("TRANSACTION"):
        while not tokens.done and not tokens.at(","):
            tokens.next()  # isolation level, READ ONLY: parsed and of no effect
        return
    name = tokens.name()
    if name.startswith("@@"):
        name = name[2:]
        if not scoped and name.lower() in ("session", "global", "local") and tokens.accept("."):
            name = tokens.name()
    elif name.startswith("@"):
        raise SqlError.not_emulated("user variables")
    if not tokens.accept(":", "="):
        tokens.expect("=")
    _set(variables, name, _value(tokens))


def _names(variables: SessionVariables, tokens: Tokens) -> None:
    charset = tokens.next().text.lower()
    if charset not in CharacterSet.__members__:
        raise SqlError(f"Unknown character set: '{charset}'", 1115, "42000")
    for name in ("character_set_client", "character_set_connection", "character_set_results"):
        variables.set(name, charset)
    if tokens.accept("COLLATE"):
        variables.set("collation_connection", tokens.next().text)


def _value(tokens: Tokens) -> Any:
    sign = -1 if tokens.accept("-") else 1
    token = tokens.next()
    if token.kind == "number":
        return sign * (int(token.text) if token.text.isdigit() else float(token.text))
    if token.kind == "string":
        return token.text
    if token.kind == "word" and token.text.upper() == "DEFAULT":
        return None
    if token.kind in ("word", "quoted"):
        value = _WORDS.get(token.text.upper(), token.text)
        if tokens.at("("):
            raise SqlError.not_emulated("expressions in SET")
        return value
    raise tokens.unexpected("a value")


def _set(variables: SessionVariables, name: str, value: Any) -> None:
    if name.lower() == "partial_update_mode" and value not in ("auto", "row", "column"):
        raise SqlError("partial_update_mode only support auto|row|column")
    try:
        variables.set(name, value)
    except MysqlError as error:
        if name.lower() in variables.schema:
            raise SqlError(f"Variable '{name}' is a read only variable", 1621, "HY000") from error
        raise unknown_variable(name, variables.schema) from error
