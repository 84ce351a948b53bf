"""What FE and BE answer, as values.

The backend answers a Stream Load with HTTP 200 and a JSON object whatever became of it; the FE answers 307, or an object
with two keys (`Status`: `FAILED`); REST errors have lower-case keys. Source: the Stream Load page and the servers' code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum


class AnswerError(ValueError):
    """The peer did not speak as StarRocks does."""


class NotStarRocks(AnswerError):
    """The answer is no JSON object at all: something else listens there."""


class LabelState(Enum):
    """State of the newest transaction under a label (`get_load_state`)."""

    # No transaction, or one that was forgotten: the newest 1000 finished ones of a database are kept.
    UNKNOWN = "UNKNOWN"
    PREPARE = "PREPARE"
    PREPARED = "PREPARED"
    COMMITTED = "COMMITTED"
    VISIBLE = "VISIBLE"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class LoadAnswer:
    """Answer to a Stream Load. Counters are rows; `loaded` counts upserts, deletes and rows that a merge condition
    discarded."""

    status: str
    message: str
    loaded: int = 0
    filtered: int = 0
    # RUNNING or FINISHED when the status is `Label Already Exists`.
    existing_job_status: str = ""
    error_url: str = ""


def parse_load_answer(body: bytes) -> LoadAnswer:
    """Reads the answer of a backend, or the error of an FE; AnswerError when it is neither."""
    document = _document(body)
    status = document.get("Status", document.get("status"))
    if not isinstance(status, str):
        raise AnswerError("the answer has no Status")
    return LoadAnswer(
        status=status,
        message=_text(document, "Message") or _text(document, "msg"),
        loaded=_number(document, "NumberLoadedRows"),
        filtered=_number(document, "NumberFilteredRows"),
        existing_job_status=_text(document, "ExistingJobStatus"),
        error_url=_text(document, "ErrorURL"),
    )


def parse_label_state(body: bytes) -> LabelState:
    """Reads the answer to get_load_state; AnswerError, with the FE's message, when it names no state."""
    document = _document(body)
    state = document.get("state")
    if not isinstance(state, str):
        raise AnswerError(_text(document, "msg") or _text(document, "Message") or "the answer has no state")
    try:
        return LabelState(state)
    except ValueError:
        # COMMITTED comes in several kinds over the versions; anything unheard of is still under way for us.
        return LabelState.COMMITTED if state.startswith("COMMITTED") else LabelState.PREPARE


def _document(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except ValueError:
        raise NotStarRocks("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise NotStarRocks("the answer is not a JSON object")
    return document


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _number(document: dict[str, object], key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
