"""A load as Stream Load request headers.

Source: StarRocks' Stream Load page. Header names are case-insensitive; flags are compared with lower-case `true` by some
of its endpoints, so they are written so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LABEL = re.compile(r"[-A-Za-z0-9_]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Load:
    """One Stream Load without its body: what the headers say."""

    table: str
    label: str
    columns: tuple[str, ...]
    partial_update: bool
    # Column for `merge_condition`; empty for an unconditional load.
    merge_condition: str
    row_count: int
    body_bytes: int


def why_malformed(load: Load) -> str:
    """Why this load can never be sent, in words; empty when it can."""
    if not load.table:
        return "table is empty"
    if not LABEL.fullmatch(load.label):
        return "label is not 1 to 128 characters of [-A-Za-z0-9_]"
    if not load.columns:
        return "columns is empty"
    # A header ends at a line break: a name that holds one would smuggle a header of its own.
    if any(_CONTROL.search(item) for item in (*load.columns, load.merge_condition, load.table)):
        return "a name holds a control character"
    if load.row_count <= 0 or load.body_bytes <= 0:
        return "row_count and body do not go together"
    return ""


def locating_headers(load: Load) -> dict[str, str]:
    """For the FE, which only names a backend. It takes 32 KB of headers, so wide `columns` must not go there; it insists
    on Expect and never reads a body. The label is for its log alone."""
    return {"Expect": "100-continue", "label": load.label}


def load_headers(load: Load, timeout_s: int) -> dict[str, str]:
    """For the backend. `timeout_s`: what StarRocks gives the load, from begin to commit.

    strict_mode and max_filter_ratio 0 make a value that does not fit an error: without them it becomes NULL, or the row is
    dropped, with Status Success. ignore_json_size lifts the limit of 100 MB per JSON body. The time zone only matters for
    functions in `columns`; its default is Asia/Shanghai. With Expect the backend plans the load before the body travels.
    """
    headers = {
        "Expect": "100-continue",
        "label": load.label,
        "format": "json",
        "strict_mode": "true",
        "max_filter_ratio": "0",
        "ignore_json_size": "true",
        "timezone": "UTC",
        "timeout": str(timeout_s),
        "columns": ",".join(load.columns),
    }
    if load.partial_update:
        # Mode `column` ignores merge_condition on shared-nothing clusters, and `row` is its default only by version.
        headers |= {"partial_update": "true", "partial_update_mode": "row"}
    if load.merge_condition:
        headers["merge_condition"] = load.merge_condition
    return headers
