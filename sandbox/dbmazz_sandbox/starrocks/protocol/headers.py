"""The request headers of a Stream Load, read in the order the BE reads them (starrocks.md 2 and 10)."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated
from dbmazz_sandbox.starrocks.protocol.compression import CSV_FORMATS, algorithm

MAX_BODY = 102400 << 20  # streaming_load_max_mb
MAX_JSON = 100 << 20  # streaming_load_max_batch_size_mb
MAX_JSON_HARD = 4 << 30  # kJSONMaxBufferSize
_UNSIGNED = re.compile(r"\s*\+?(\d{1,10})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Early:
    """What is known before the transaction begins. `timeout` in seconds."""

    ignore_json_size: bool
    timeout: int


@dataclass(frozen=True, slots=True)
class Delimited:
    """How a CSV body is cut. `enclose` and `escape` are one character or "" (what "" means: no quoting at all)."""

    column_separator: str = "\t"
    row_delimiter: str = "\n"
    skip_header: int = 0
    trim_space: bool = False
    enclose: str = ""
    escape: str = ""


@dataclass(frozen=True, slots=True)
class LoadHeaders:
    """What a load asked for. Texts are "" when absent; `csv` is None for a JSON load."""

    columns: str
    where: str
    csv: Delimited | None
    strict: bool
    max_filter_ratio: float
    timeout: int
    jsonpaths: str
    json_root: str
    strip_outer_array: bool
    ignore_json_size: bool
    partial: bool
    column_mode: bool
    merge_condition: str
    compression: str
    timezone: dt.tzinfo


def read_early(headers: Mapping[str, str], content_length: int | None, brief: str) -> Early:
    """Steps 3 to 7 of section 10: a failure here leaves the label unused and carries no transaction.

    `content_length` is None for a chunked body, which both size checks let pass."""
    merge_commit = headers.get("enable_merge_commit")
    if merge_commit is not None:
        if merge_commit.lower() not in ("true", "false"):
            raise LoadError(
                f"Invalid parameter enable_merge_commit. The value must be bool type, but is {merge_commit}"
            )
        if merge_commit.lower() == "true":
            raise not_emulated("header enable_merge_commit")
    if content_length is not None and content_length > MAX_BODY:
        raise LoadError(
            f"body size {content_length} exceed limit: {MAX_BODY}, {brief}. "
            "You can increase the limit by setting streaming_load_max_mb in be.conf."
        )
    body_format = _format(headers)
    ignore = _true(headers.get("ignore_json_size"))
    if body_format == "json" and content_length is not None and content_length > MAX_JSON and not ignore:
        raise LoadError(
            f"The size of this batch exceed the max size [{MAX_JSON}]  of json type data "
            f" data [ {content_length} ]. Set ignore_json_size to skip the check, "
            "although it may lead huge memory consuming."
        )
    timeout = _UNSIGNED.fullmatch(headers.get("timeout") or "600")
    if timeout is None or int(timeout[1]) >= 1 << 31:
        raise LoadError("Invalid timeout format")
    return Early(ignore, int(timeout[1]))


def _format(headers: Mapping[str, str]) -> str:
    given = headers.get("format") or "csv"
    lowered = given.lower()
    if lowered not in ("csv", "json", *CSV_FORMATS):
        raise LoadError(f"unknown data format, format={given}")
    return lowered


def check_timeout(seconds: int) -> None:
    """The FE's part of begin: min_load_timeout_second to max_stream_load_timeout_second."""
    if not 1 <= seconds <= 259200:
        raise LoadError(f"Invalid timeout: {seconds}. Timeout should between 1 and 259200 seconds")


def read_headers(headers: Mapping[str, str], early: Early) -> LoadHeaders:
    """Step 9: in the BE's order. A failure aborts the transaction. What the FE reads of them comes last."""
    body_format = _format(headers)
    skip_header = _whole(headers, "skip_header", 0, "Invalid csv load skip_header format")
    if skip_header < 0:
        raise LoadError("skip_header must be equal or greater than 0")
    trim_space = _flag(headers, "trim_space", "Invalid trim space format. Must be bool type")
    if headers.get("partitions") and headers.get("temporary_partitions"):
        raise LoadError("Can not specify both partitions and temporary partitions")
    strict = _flag(headers, "strict_mode", "Invalid strict mode format. Must be bool type")
    _at_least(headers, "load_mem_limit", 0, "equal or greater than 0", "Invalid load mem limit format")
    partial = _flag(headers, "partial_update", "Invalid partial update flag format. Must be bool type")
    _whole(headers, "load_dop", 1, "Invalid load_dop format")
    _at_least(headers, "log_rejected_record_num", -1, "equal or greater than -1",
              "Invalid log_rejected_record_num format")  # fmt: skip
    if _whole(headers, "log_rejected_record_num", 0, ""):
        raise not_emulated("header log_rejected_record_num")
    compression = _compression(headers)
    csv = None if body_format == "json" else _delimited(headers, skip_header, trim_space)
    if headers.get("partitions") or headers.get("temporary_partitions"):
        raise not_emulated("header partitions")
    if csv is not None and compression:
        raise not_emulated(f"compression {compression} of CSV by a header (format: gzip, bzip2, lz4, deflate or zstd)")
    json_header = headers.get if csv is None else lambda name, default: default
    return LoadHeaders(
        columns=headers.get("columns", ""),
        where=headers.get("where", ""),
        csv=csv,
        strict=strict,
        max_filter_ratio=_strtod(headers.get("max_filter_ratio", "0")),
        timeout=early.timeout,
        jsonpaths=json_header("jsonpaths", ""),
        json_root=json_header("json_root", ""),
        strip_outer_array=_true(headers.get("strip_outer_array")),
        ignore_json_size=early.ignore_json_size,
        partial=partial,
        column_mode=partial and headers.get("partial_update_mode") == "column",
        merge_condition=headers.get("merge_condition", ""),
        compression=compression or CSV_FORMATS.get(body_format, ""),
        timezone=_timezone(headers.get("timezone") or "Asia/Shanghai"),
    )


def check_memory_limit(headers: Mapping[str, str]) -> None:
    """`exec_mem_limit` is read when the plan is there."""
    _at_least(headers, "exec_mem_limit", 1, "greater than 0", "exec_mem_limit must be greater than 0")


def _compression(headers: Mapping[str, str]) -> str:
    given, encoding = headers.get("compression"), headers.get("Content-Encoding")
    if given and encoding:
        raise LoadError("Only one of http header content-encoding and compression can be set")
    return algorithm(encoding or given or "")


def _delimited(headers: Mapping[str, str], skip_header: int, trim_space: bool) -> Delimited:
    return Delimited(
        _delimiter(headers.get("column_separator") or "\t"),
        _delimiter(headers.get("row_delimiter") or "\n"),
        skip_header,
        trim_space,
        headers.get("enclose", "")[:1],
        headers.get("escape", "")[:1],
    )


def _delimiter(text: str) -> str:
    r"""`\x01` or `0x2c2c` as hexadecimal, else the text itself with `\t` and `\n` in it replaced."""
    if text[:2].upper() in ("\\X", "0X"):
        digits, problem = text[2:], ""
        if not digits:
            problem = ": empty hex string"
        elif len(digits) % 2:
            problem = ": hex length must be a even number"
        elif re.fullmatch(r"[0-9a-fA-F]+", digits) is None:
            problem = "': invalid hex format"
        if problem:
            raise LoadError(f"Getting analyzing error. Detail message: Invalid delimiter '{text}{problem}.")
        raw = bytes.fromhex(digits)
        if not raw.isascii():
            raise not_emulated("a delimiter with bytes above 0x7f in hexadecimal")
        return raw.decode("ascii")
    return text.replace("\\t", "\t").replace("\\n", "\n")


def _timezone(name: str) -> dt.tzinfo:
    """An offset or the name of a region; what now() and from_unixtime() of the `columns` header follow."""
    if name in ("Asia/Shanghai", "CST", "PRC"):
        return dt.timezone(dt.timedelta(hours=8))  # also where the system has no zones
    if (offset := re.fullmatch(r"([+-]?)(\d{1,2}):(\d{2})", name)) is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if int(offset[3]) < 60 and minutes <= (720 if offset[1] == "-" else 840):
            return dt.timezone(dt.timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    else:
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise LoadError(f"Unknown or incorrect time zone: '{name}'")


def _true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


def _flag(headers: Mapping[str, str], name: str, problem: str) -> bool:
    value = (headers.get(name) or "false").lower()
    if value not in ("true", "false"):
        raise LoadError(problem)
    return value == "true"


def _whole(headers: Mapping[str, str], name: str, absent: int, problem: str) -> int:
    """As std::stoll reads it: blanks first, whatever follows the digits is ignored."""
    text = headers.get(name)
    if not text:
        return absent
    match = re.match(r"\s*([+-]?\d{1,19})", text, re.ASCII)
    if match is None:
        raise LoadError(problem)
    return int(match[1])


def _at_least(headers: Mapping[str, str], name: str, least: int, words: str, problem: str) -> None:
    if headers.get(name) and _whole(headers, name, 0, problem) < least:
        raise LoadError(f"{name} must be {words}")


def _strtod(text: str) -> float:
    match = re.match(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text, re.ASCII)
    return float(match[0]) if match else 0.0
