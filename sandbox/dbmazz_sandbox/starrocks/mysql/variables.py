"""System and session variables as StarRocks answers them (starrocks.md 9)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from mysql_mimic.variables import GlobalVariables, SessionVariables

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.version import Version

_DEFAULTS: dict[str, Any] = {
    "auto_increment_increment": 1, "autocommit": 1, "character_set_client": "utf8", "character_set_connection": "utf8",
    "character_set_database": "utf8", "character_set_results": "utf8", "character_set_server": "utf8",
    "collation_connection": "utf8_general_ci", "collation_database": "utf8_general_ci",
    "collation_server": "utf8_general_ci", "external_user": "", "init_connect": "", "interactive_timeout": 3600,
    "language": "/starrocks/share/english/", "license": "Apache License 2.0", "lower_case_table_names": 0,
    "max_allowed_packet": 33554432, "net_buffer_length": 16384, "net_read_timeout": 60, "net_write_timeout": 60,
    "performance_schema": 0, "query_cache_size": 1048576, "query_cache_type": 0, "query_timeout": 300,
    "insert_timeout": 14400, "sql_auto_is_null": 0, "sql_mode": "ONLY_FULL_GROUP_BY", "sql_select_limit": None,
    "sql_safe_updates": 0, "system_time_zone": "UTC", "time_zone": "UTC", "transaction_isolation": "REPEATABLE-READ",
    "transaction_read_only": 0, "tx_isolation": "REPEATABLE-READ", "tx_read_only": 0, "wait_timeout": 28800,
    "enable_insert_partial_update": 1, "enable_insert_strict": 1, "partial_update_mode": "auto",
    "query_mem_limit": 0, "exec_mem_limit": 2147483648, "parallel_fragment_exec_instance_num": 1,
    "pipeline_dop": 0, "enable_profile": 0, "version": "", "version_comment": "", "run_mode": "shared_nothing",
    "net_buffer_size": 16384, "disable_streaming_preaggregations": 0, "group_concat_max_len": 1024,
    "foreign_key_checks": 1, "unique_checks": 1, "sql_log_bin": 1, "character_set_filesystem": "utf8",
}  # fmt: skip
_FIXED = frozenset({"version", "version_comment", "license", "lower_case_table_names", "run_mode"})


def as_is(value: Any) -> Any:
    return value


def session_variables(version: Version) -> SessionVariables:
    values = _DEFAULTS | {"version": version.mysql, "version_comment": f"{version.number}-sandbox"}
    return SessionVariables(
        GlobalVariables({name: (as_is, value, name not in _FIXED) for name, value in values.items()})
    )


def like_pattern(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression, without regard to case."""
    parts = re.split(r"(\\.|%|_)", pattern)
    translated = "".join(
        ".*" if p == "%" else "." if p == "_" else re.escape(p[1:] if p[:1] == "\\" else p) for p in parts
    )
    return re.compile(translated, re.IGNORECASE | re.DOTALL)


def like(tokens: Tokens, *columns: str) -> Callable[[str], bool]:
    """The LIKE or WHERE at the end of a SHOW, as a test of the first column."""
    if tokens.done:
        return lambda name: True
    if tokens.accept("WHERE"):
        column = tokens.name()
        if column.lower() not in [name.lower() for name in columns]:
            raise SqlError.not_emulated(f"SHOW … WHERE {column}")
        if tokens.accept("="):
            wanted = tokens.string()
            tokens.end()
            return lambda name: name.lower() == wanted.lower()
    tokens.expect("LIKE")
    pattern = like_pattern(tokens.string())
    tokens.end()
    return lambda name: pattern.fullmatch(name) is not None


def unknown_variable(name: str, known: Iterable[str]) -> SqlError:
    """1193 with the three names that come closest, of those the sandbox knows."""
    close = get_close_matches(name.lower(), list(known), 3, 0.0)
    similar = "{" + ", ".join(f"'{found}'" for found in close) + "}"
    detail = f"Unknown system variable '{name}', the most similar variables are {similar}"
    return SqlError.analyzed(detail, 1193, "HY000")
