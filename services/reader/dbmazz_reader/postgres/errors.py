"""What an error of PostgreSQL means for the reader, by SQLSTATE, decided where the error is seen."""

from __future__ import annotations

import psycopg
from dbmazz.errors import SourceError, SourceUnavailable

# Classes whose cause passes by itself: connection, transaction rollback, resources, operator intervention, system.
_PASSING_CLASSES = ("08", "40", "53", "57", "58", "XX")
_SLOT_ACTIVE = "55006"
# Class 53 all the same, but waiting frees no slot: max_replication_slots is reached.
_SLOTS_EXHAUSTED = "53400"
_NO_PRIVILEGE = "42501"
_SLOT_UNUSABLE = "55000"
_WAL_REMOVED = "58P01"
_LOCKED = "55P03"
_UNDEFINED = ("42P01", "42703")


class SourceMoved(SourceError):
    """A table or column that was there is not any more."""


def source_error(error: psycopg.Error, doing: str, fix: str = "") -> SourceError:
    """The error for a person. `fix` is the statement or the step that lets `doing` succeed."""
    state = error.sqlstate or ""
    text = first_line(str(error))
    if state == _SLOT_ACTIVE:
        return SourceUnavailable(f"{doing}: {text}", "Another reader holds the slot; it is tried again")
    if state == _SLOTS_EXHAUSTED:
        return SourceError(
            f"{doing}: {text}", "Raise max_replication_slots and restart PostgreSQL, or drop an unused slot"
        )
    if state == _NO_PRIVILEGE:
        return SourceError(f"{doing}: {text}", f"As a superuser or the owner, run: {fix}" if fix else "")
    if state in (_SLOT_UNUSABLE, _WAL_REMOVED):
        return SourceError(
            f"{doing}: {text}",
            fix or "If the slot is lost, set another SOURCE_SLOT_NAME and load the tables again",
        )
    if state in _UNDEFINED:
        return SourceMoved(f"{doing}: {text}", fix)
    if not state or state == _LOCKED or state.startswith(_PASSING_CLASSES):
        return SourceUnavailable(f"{doing}: {text}", "It is tried again")
    return SourceError(f"{doing}: {text} (SQLSTATE {state})", fix)


def first_line(text: str) -> str:
    """PostgreSQL's message without DETAIL, HINT and CONTEXT, which may quote rows."""
    return text.strip().split("\n", 1)[0]
