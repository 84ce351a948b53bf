"""Replies of FE and BE, field by field in their order (starrocks.md 3)."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(slots=True)
class Reply:
    """A Stream Load reply. Times in milliseconds, `bytes` as received."""

    label: str
    database: str
    table: str
    txn_id: int = -1
    status: str = "Success"
    message: str = "OK"
    existing: str = ""
    total: int = 0
    loaded: int = 0
    filtered: int = 0
    unselected: int = 0
    bytes: int = 0
    load_ms: int = 0
    begin_ms: int = 0
    plan_ms: int = 0
    read_ms: int = 0
    write_ms: int = 0
    publish_ms: int = 0
    error_url: str = ""

    def fail(self, message: str, status: str = "Fail") -> None:
        self.status, self.message = status, message

    def to_json(self, *, names_table: bool) -> str:
        """As rapidjson's PrettyWriter prints it; Db and Table only in releases that have them."""
        out: dict[str, object] = {"TxnId": self.txn_id, "Label": self.label}
        if names_table:
            out |= {"Db": self.database, "Table": self.table}
        out["Status"] = self.status
        if self.existing:
            out["ExistingJobStatus"] = self.existing
        out |= {
            "Message": self.message, "NumberTotalRows": self.total, "NumberLoadedRows": self.loaded,
            "NumberFilteredRows": self.filtered, "NumberUnselectedRows": self.unselected, "LoadBytes": self.bytes,
            "LoadTimeMs": self.load_ms, "BeginTxnTimeMs": self.begin_ms, "StreamLoadPlanTimeMs": self.plan_ms,
            "ReadDataTimeMs": self.read_ms, "WriteDataTimeMs": self.write_ms,
            "CommitAndPublishTimeMs": self.publish_ms,
        }  # fmt: skip
        if self.error_url:
            out["ErrorURL"] = self.error_url
        return json.dumps(out, indent=4, ensure_ascii=False)


def fe_failed(message: str, exception: str = "com.starrocks.common.DdlException") -> str:
    """What the FE says about a `_stream_load` it does not redirect (Gson, two spaces)."""
    return json.dumps({"Status": "FAILED", "Message": f"class {exception}: {message}"}, indent=2, ensure_ascii=False)


def fe_result(message: str | None = None, **first: str) -> str:
    """A RestBaseResult: `first` are the fields of the subclass; a message means failure."""
    status = ("OK", "0", "Success", "OK") if message is None else ("FAILED", "1", message, message)
    return json.dumps({**first, **dict(zip(("status", "code", "msg", "message"), status, strict=True))},
                      ensure_ascii=False, separators=(",", ":"))  # fmt: skip
