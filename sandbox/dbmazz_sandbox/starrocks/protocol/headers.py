"""The request headers of a Stream Load, read in the order the BE reads them (starrocks.md 2 and 10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated
from dbmazz_sandbox.starrocks.protocol.documents import check_supported

MAX_BODY = 102400 << 20  # streaming_load_max_mb
MAX_JSON = 100 << 20  # streaming_load_max_batch_size_mb
MAX_JSON_HARD = 4 << 30  # kJSONMaxBufferSize
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_COMPRESSED_CSV = frozenset({"gzip", "bzip2", "lz4", "deflate", "zstd"})


@dataclass(frozen=True, slots=True)
class Early:
    """What is known before the transaction begins. `timeout` in seconds."""

    ignore_json_size: bool
    timeout: int


@dataclass(frozen=True, slots=True)
class LoadHeaders:
    """What a load asked for. `columns` and `merge_condition` are "" when absent."""

    columns: str
    strict: bool
    max_filter_ratio: float
    timeout: int
    strip_outer_array: bool
    ignore_json_size: bool
    partial: bool
    merge_condition: str


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
    _check_format(headers.get("format", "csv"))
    ignore = _true(headers.get("ignore_json_size"))
    if content_length is not None and content_length > MAX_JSON and not ignore:
        raise LoadError(
            f"The size of this batch exceed the max size [{MAX_JSON}]  of json type data "
            f" data [ {content_length} ]. Set ignore_json_size to skip the check, "
            "although it may lead huge memory consuming."
        )
    timeout = headers.get("timeout", "600")
    if _INTEGER.fullmatch(timeout) is None:
        raise LoadError("Invalid timeout format")
    return Early(ignore, int(timeout))


def _check_format(value: str) -> None:
    lowered = value.lower()
    if lowered == "json":
        return
    if lowered == "csv" or lowered in _COMPRESSED_CSV:
        raise not_emulated(f"format {lowered}")
    raise LoadError(f"unknown data format, format={value}")


def check_timeout(seconds: int) -> None:
    """The FE's part of begin: min_load_timeout_second to max_stream_load_timeout_second."""
    if not 1 <= seconds <= 259200:
        raise LoadError(f"Invalid timeout: {seconds}. Timeout should between 1 and 259200 seconds")


def read_headers(headers: Mapping[str, str], early: Early) -> LoadHeaders:
    """Step 9: in the BE's order. A failure aborts the transaction."""
    for name in ("where", "partitions", "temporary_partitions"):
        if name == "temporary_partitions" and headers.get("partitions") and headers.get(name):
            raise LoadError("Can not specify both partitions and temporary partitions")
    if headers.get("where"):
        raise not_emulated("header where")
    if headers.get("partitions") or headers.get("temporary_partitions"):
        raise not_emulated("header partitions")
    strict = _flag(headers, "strict_mode", "Invalid strict mode format. Must be bool type")
    _memory_limits(headers)
    check_supported(jsonpaths=headers.get("jsonpaths", ""), json_root=headers.get("json_root", ""))
    partial = _flag(headers, "partial_update", "Invalid partial update flag format. Must be bool type")
    if partial and headers.get("partial_update_mode") == "column":
        raise not_emulated("partial_update_mode column")
    rejected = headers.get("log_rejected_record_num", "0")
    if _INTEGER.fullmatch(rejected) is None or int(rejected) < -1:
        raise LoadError("log_rejected_record_num must be equal or greater than -1")
    compression, encoding = headers.get("compression"), headers.get("Content-Encoding")
    if compression and encoding:
        raise LoadError("Only one of http header content-encoding and compression can be set")
    if compression or encoding:
        raise not_emulated(f"compression {compression or encoding}")
    return LoadHeaders(
        columns=headers.get("columns", ""),
        strict=strict,
        max_filter_ratio=_strtod(headers.get("max_filter_ratio", "0")),
        timeout=early.timeout,
        strip_outer_array=_true(headers.get("strip_outer_array")),
        ignore_json_size=early.ignore_json_size,
        partial=partial,
        merge_condition=headers.get("merge_condition", ""),
    )


def _true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


def _flag(headers: Mapping[str, str], name: str, problem: str) -> bool:
    value = headers.get(name, "false").lower()
    if value not in ("true", "false"):
        raise LoadError(problem)
    return value == "true"


def _memory_limits(headers: Mapping[str, str]) -> None:
    for name, least, words in (
        ("load_mem_limit", 0, "equal or greater than 0"),
        ("exec_mem_limit", 1, "greater than 0"),
    ):
        text = headers.get(name)
        if text is not None and (_INTEGER.fullmatch(text) is None or int(text) < least):
            raise LoadError(f"{name} must be {words}")


def _strtod(text: str) -> float:
    match = re.match(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text, re.ASCII)
    return float(match[0]) if match else 0.0
