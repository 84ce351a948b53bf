"""Answers of the transaction interface: of a BE with fixed keys, of the FE in the order of a Java HashMap."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.transactions.operation import Operation


class Code(enum.StrEnum):
    """TStatusCode, as far as a BE answers with it here."""

    OK = "OK"
    LABEL_ALREADY_EXISTS = "LABEL_ALREADY_EXISTS"
    TXN_NOT_EXISTS = "TXN_NOT_EXISTS"
    TXN_IN_PROCESSING = "TXN_IN_PROCESSING"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    ANALYSIS_ERROR = "ANALYSIS_ERROR"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    ABORTED = "ABORTED"
    PUBLISH_TIMEOUT = "PUBLISH_TIMEOUT"
    MEM_LIMIT_EXCEEDED = "MEM_LIMIT_EXCEEDED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"


class Failure(Exception):
    """A BE does not do what it was asked to. `existing` is ExistingJobStatus of LABEL_ALREADY_EXISTS."""

    def __init__(self, code: Code, message: str, existing: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.existing = code, message, existing
        self.error_url = ""  # where the rows are that were the reason


@dataclass(slots=True)
class Counts:
    """What a BE counts of a transaction. Times in milliseconds; `bytes` of all loads, `received` of the last one."""

    txn_id: int = -1
    total: int = 0
    loaded: int = 0
    filtered: int = 0
    unselected: int = 0
    bytes: int = 0
    received: int = 0
    begin_ms: int = 0
    load_ms: int = 0
    plan_ms: int = 0
    receive_ms: int = 0
    total_receive_ms: int = 0
    write_ms: int = 0
    commit_ms: int = 0


def backend_ok(
    operation: Operation,
    label: str,
    counts: Counts | None,
    *,
    names: tuple[str, str] | None = None,
    error_url: str = "",
) -> str:
    """StreamLoadContext.to_resp_json of a success; `names` are Db and Table, which `begin` has from 4.0 on."""
    out: dict[str, object] = {"Status": Code.OK.value, "Message": ""}
    if names is not None and operation is Operation.BEGIN:
        out |= {"Db": names[0], "Table": names[1]}
    out["Label"] = label
    if counts is not None and operation is Operation.BEGIN:
        out |= {"TxnId": counts.txn_id, "BeginTxnTimeMs": counts.begin_ms}
    elif counts is not None and operation is Operation.LOAD:
        out |= {"TxnId": counts.txn_id, "LoadBytes": counts.received, "StreamLoadPlanTimeMs": counts.plan_ms,
                "ReceivedDataTimeMs": counts.receive_ms}  # fmt: skip
    elif counts is not None and operation in (Operation.PREPARE, Operation.COMMIT):
        out |= {
            "TxnId": counts.txn_id, "NumberTotalRows": counts.total, "NumberLoadedRows": counts.loaded,
            "NumberFilteredRows": counts.filtered, "NumberUnselectedRows": counts.unselected,
            "LoadBytes": counts.bytes, "LoadTimeMs": counts.load_ms, "StreamLoadPlanTimeMs": counts.plan_ms,
            "ReceivedDataTimeMs": counts.total_receive_ms, "WriteDataTimeMs": counts.write_ms,
            "CommitAndPublishTimeMs": counts.commit_ms,
        }  # fmt: skip
    if error_url:
        out["ErrorURL"] = error_url
    return json.dumps(out, indent=4, ensure_ascii=False)


def backend_failed(failure: Failure, label: str, error_url: str = "") -> str:
    out: dict[str, object] = {"Status": failure.code.value}
    if failure.code is Code.LABEL_ALREADY_EXISTS:
        out["ExistingJobStatus"] = failure.existing
    elif failure.code is Code.TXN_IN_PROCESSING:
        out["Label"] = label
    out["Message"] = failure.message
    if error_url:
        out["ErrorURL"] = error_url
    return json.dumps(out, indent=4, ensure_ascii=False)


def frontend(status: str, message: str, **more: object) -> str:
    """TransactionResult.toJson: Gson, two spaces, keys as a HashMap holds them."""
    entries: Mapping[str, object] = {**more, "Status": status, "Message": message}
    return json.dumps({key: entries[key] for key in hash_order(entries)}, indent=2, ensure_ascii=False)


def hash_order(keys: Mapping[str, object]) -> list[str]:
    """The order in which java.util.HashMap (made for 0 entries, grown by doubling at 3/4) gives its keys."""
    size = 1
    while len(keys) > size * 0.75:
        size *= 2
    return sorted(keys, key=lambda key: _spread(key) & (size - 1))


def _spread(key: str) -> int:
    value = 0
    for character in key:
        value = (value * 31 + ord(character)) & 0xFFFFFFFF
    return value ^ (value >> 16)
