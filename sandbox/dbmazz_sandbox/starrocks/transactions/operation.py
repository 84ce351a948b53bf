"""A request of the transaction interface as the FE reads it, and the ways it is refused. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.version import Version

DEFAULT_TIMEOUT_S = 20  # TransactionLoadAction.DEFAULT_TXN_TIMEOUT_MILLIS: of the publish, and of a multi-table one
MULTI_SOURCE = 12  # LoadJobSourceType.MULTI_STATEMENT_STREAMING, of 4.0
_LAST_SOURCE = 11  # BYPASS_WRITE, the last one of 3.3 and 3.4
MULTI_SINCE = (4, 0)


class Operation(enum.StrEnum):
    BEGIN = "begin"
    LOAD = "load"
    PREPARE = "prepare"
    COMMIT = "commit"
    ROLLBACK = "rollback"


class Refused(Exception):
    """The FE says FAILED: `exception` is the Java class that its message starts with, "" for a message alone."""

    def __init__(self, message: str, exception: str = "") -> None:
        super().__init__(message)
        self.message = f"class {exception}: {message}" if exception else message


@dataclass(frozen=True, slots=True)
class Parameters:
    """`timeout` in seconds: how long a commit waits for the publish, or a multi-table transaction may last."""

    operation: Operation
    database: str
    table: str
    label: str
    timeout: int
    multi: bool


def general(version: Version) -> str:
    """The class of most refusals: it was renamed in 3.4 (starrocks.md 4 has the newer name)."""
    return "com.starrocks.common." + ("UserException" if version.numbers < (3, 4) else "StarRocksException")


def is_multi(headers: Mapping[str, str], version: Version) -> bool:
    """Whether a request is of a transaction of several tables. Before 4.0 `transaction_type` means nothing."""
    if version.numbers < MULTI_SINCE:
        return False
    return headers.get("transaction_type", "").lower() == "multi" or headers.get("source_type") == str(MULTI_SOURCE)


def read_parameters(operation: str, headers: Mapping[str, str], version: Version) -> Parameters:
    """TransactionLoadAction.toTxnOperationParams, in its order. Raises Refused."""
    refusal = general(version)
    try:
        kind = Operation(operation.lower())
    except ValueError:
        raise Refused(f"Unknown transaction operation: {operation}", refusal) from None
    database, label = headers.get("db", ""), headers.get("label", "")
    if not database.strip():
        raise Refused("No database selected.", refusal)
    if not label.strip():
        raise Refused("Empty label.", refusal)
    timeout = _long(headers.get("timeout"), DEFAULT_TIMEOUT_S)
    _long(headers.get("prepared_timeout"), -1)
    _check_source(headers.get("source_type", ""), version)
    if headers.get("channel_id") or headers.get("channel_num"):
        raise Refused("not emulated: headers channel_id and channel_num (parallel transaction stream load)")
    return Parameters(kind, database, headers.get("table", ""), label, timeout, is_multi(headers, version))


def _long(text: str | None, default: int) -> int:
    """java.lang.Long.parseLong, with its complaint."""
    if text is None:
        return default
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or not -(2**63) <= int(text) < 2**63:
        said = f'For input string: "{text}"'
        raise Refused(said, "java.lang.NumberFormatException")
    return int(text)


def _check_source(text: str, version: Version) -> None:
    if not text.strip():
        return
    refusal = general(version)
    try:
        number = int(text)
    except ValueError:
        raise Refused(f"Invalid source type: {text}", refusal) from None
    last = MULTI_SOURCE if version.numbers >= MULTI_SINCE else _LAST_SOURCE
    if not 1 <= number <= last:
        raise Refused(f"Unknown source type: {text}", refusal)
    if number != MULTI_SOURCE:
        raise Refused(f"not emulated: header source_type {text}")
