"""What an answer of StarRocks means for a load: one table, from status and message.

Whoever sees an answer asks `judge_*` and goes by the outcome alone. Messages are matched by the part that did not change
from 3.2 to 4.1 (some versions prefix them with a host or `parse error. `), in the order of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from dbmazz_loader.protocol.answers import LabelState, LoadAnswer
from dbmazz_loader.protocol.redaction import plain_line, redact_message


class Outcome(Enum):
    """What is known about a load, or about a statement, after an answer (or the lack of one)."""

    # Its rows are visible.
    LOADED = "loaded"
    # Its rows are durable and will be visible.
    COMMITTED = "committed"
    # A transaction under its label is still under way.
    RUNNING = "running"
    # Nothing is known under its label: never begun, or forgotten.
    ABSENT = "absent"
    # The transaction under its label was rolled back; the label may be used again.
    ABORTED = "aborted"
    # It may or may not have been applied: to be asked.
    UNKNOWN = "unknown"
    # Nothing was applied; it may succeed later.
    RETRY = "retry"
    # Nothing was applied; this table's data or schema must change first.
    PARK = "park"
    # Nothing was applied; StarRocks refuses us altogether.
    STOP = "stop"


class Peer(StrEnum):
    """Whom the loader depends on."""

    # HTTP and MySQL ports of the FE; both are probed.
    FRONTEND = "frontend"
    MYSQL = "mysql_port"
    # Backends, and an FE that answers probes but no loads: seen by loads alone, and well again when one gets through.
    LOADING = "loading"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason` is for people, without row values; `pause_s` the least pause before another attempt."""

    outcome: Outcome
    reason: str = ""
    pause_s: float = 0.0
    # Who is away or refuses everybody; None when it is about this load or statement.
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A message that contains `text` (any case). `way_out` is what a person can do."""

    text: str
    outcome: Outcome
    way_out: str = ""
    pause_s: float = 0.0
    peer: Peer | None = None


_LOGIN = "Check SINK_USER and SINK_PASSWORD, and that the user has INSERT on the target tables"
_DOCUMENT = "A json or jsonb value of this load is more than StarRocks can parse; see docs/types.md"
_SIMDJSON = (
    "tape_error",
    "depth_error",
    "string_error",
    "number_error",
    "utf8_error",
    "unescaped_chars",
    "unclosed_string",
)
_COMPACTION = "Compaction is behind: raise FLUSH_INTERVAL_MS"

_MESSAGES = (
    _Rule("too many filtered rows", Outcome.PARK),
    _Rule("access denied", Outcome.STOP, _LOGIN, peer=Peer.LOADING),
    _Rule("no valid basic authorization", Outcome.STOP, _LOGIN, peer=Peer.LOADING),
    _Rule("need auth information", Outcome.STOP, _LOGIN, peer=Peer.LOADING),
    _Rule(
        "no 100-continue header",
        Outcome.STOP,
        "Something between the loader and SINK_URL drops the Expect header: point SINK_URL at the FE itself",
        peer=Peer.LOADING,
    ),
    _Rule("primary key size exceed the limit", Outcome.PARK, "Raise primary_key_limit_size on the backends"),
    _Rule(
        "partial update and condition update at the same time",
        Outcome.PARK,
        "This cluster cannot guard versions: set VERSION_GUARD=off, or upgrade to 3.3.11",
    ),
    _Rule("only primary key table support", Outcome.PARK, "Re-create the table with a PRIMARY KEY"),
    _Rule("column has no default value", Outcome.PARK, "Make the column NULLable or give it a DEFAULT"),
    _Rule("in partial update columns", Outcome.PARK),
    _Rule("must provide all sort key columns", Outcome.PARK, "Re-create the table without ORDER BY"),
    _Rule("merge condition column", Outcome.PARK, "Set VERSION_GUARD=off, or let dbmazz create the table"),
    _Rule("delete with condition column", Outcome.PARK),
    _Rule(
        "unknown table", Outcome.PARK, "Was it dropped? dbmazz creates it again when the reader starts a new session"
    ),
    _Rule(
        "unknown database", Outcome.PARK, "Was it dropped? dbmazz creates it again when the reader starts a new session"
    ),
    _Rule("label format error", Outcome.PARK),
    _Rule("duplicate column", Outcome.PARK),
    _Rule("mapping column is not in table", Outcome.PARK),
    _Rule("can't be found in column list", Outcome.PARK),
    _Rule("can not be specified", Outcome.PARK),
    _Rule("streaming_load_max_mb", Outcome.PARK, "Lower FLUSH_BYTES, or raise streaming_load_max_mb on the backends"),
    _Rule("exceed the max size", Outcome.PARK, "Lower FLUSH_BYTES"),
    _Rule("reache the capacity limit", Outcome.PARK, "Lower FLUSH_BYTES"),
    _Rule("no partitions have data available", Outcome.PARK),
    _Rule("no rows were imported", Outcome.PARK),
    _Rule("too many versions", Outcome.RETRY, _COMPACTION, pause_s=5.0),
    _Rule("compaction score", Outcome.RETRY, _COMPACTION, pause_s=5.0),
    _Rule("current running txns on db", Outcome.RETRY, "Raise max_running_txn_num_per_db", pause_s=1.0),
    _Rule("memory usage exceeds the limit", Outcome.RETRY, pause_s=2.0),
    _Rule("memory limit exceeded", Outcome.RETRY, pause_s=2.0),
    _Rule("memory of process exceed", Outcome.RETRY, pause_s=2.0),
    _Rule("exceed http cuncurrent limit", Outcome.RETRY, pause_s=1.0),
    _Rule("no backend alive", Outcome.RETRY, peer=Peer.LOADING, pause_s=1.0),
    _Rule("no alive backend", Outcome.RETRY, peer=Peer.LOADING, pause_s=1.0),
    _Rule("no compute node", Outcome.RETRY, peer=Peer.LOADING, pause_s=1.0),
    _Rule("service is shutting down", Outcome.RETRY, peer=Peer.LOADING, pause_s=1.0),
    _Rule("is not in normal state", Outcome.RETRY, pause_s=0.5),
    _Rule("schema change", Outcome.RETRY, pause_s=0.5),
    _Rule("lock timeout", Outcome.RETRY, pause_s=0.5),
    _Rule("body don't equal with body bytes", Outcome.RETRY),
    _Rule("timeout", Outcome.RETRY),
    _Rule("timed out", Outcome.RETRY),
    # Document-level JSON errors; the prefix `parse error. ` is missing before 3.4.
    _Rule("parse error", Outcome.PARK),
    # Names of simdjson's errors, which stand in the message as they are.
    *(_Rule(name, Outcome.PARK, _DOCUMENT) for name in _SIMDJSON),
    _Rule("illegal json", Outcome.PARK),
    _Rule("value is array type in json", Outcome.PARK),
    _Rule("should be object type in json", Outcome.PARK),
    _Rule("getting analyzing error", Outcome.PARK),
    _Rule("getting syntax error", Outcome.PARK),
)

# Error numbers of the MySQL port that mean what they say whatever the message is.
_SQL_ERRORS = {
    1044: Outcome.STOP,
    1045: Outcome.STOP,
    2003: Outcome.RETRY,
    2006: Outcome.RETRY,
    2013: Outcome.RETRY,
    2014: Outcome.RETRY,
    5203: Outcome.STOP,
}


def judge_load(answer: LoadAnswer) -> Judgement:
    """A backend's answer to the body, or the JSON with which an FE refuses."""
    match answer.status.casefold():
        case "success" | "ok":
            return Judgement(Outcome.LOADED)
        case "publish timeout" | "publish_timeout":
            return Judgement(Outcome.COMMITTED)
        case "label already exists" | "label_already_exists":
            # FINISHED says committed; whether it is visible yet is to be asked.
            finished = answer.existing_job_status.upper() == "FINISHED"
            return Judgement(Outcome.COMMITTED if finished else Outcome.RUNNING)
    return _judge_message(answer.message, f"StarRocks says {redact_message(answer.status or 'nothing')}: ")


def judge_refusal(status: int) -> Judgement:
    """An HTTP status other than 200 and 307, before any body was sent: from the FE, or what stands before it."""
    if status in (401, 403):
        return Judgement(Outcome.STOP, f"StarRocks refuses the login (HTTP {status}). {_LOGIN}", peer=Peer.FRONTEND)
    if status in (404, 405) or 300 <= status < 400:
        return Judgement(
            Outcome.STOP, f"SINK_URL answers HTTP {status}. It must be the HTTP port of a StarRocks FE, like http://host:8030",
            peer=Peer.FRONTEND,
        )  # fmt: skip
    return Judgement(Outcome.RETRY, f"the FE answers HTTP {status}", peer=Peer.FRONTEND)


def judge_broken(status: int) -> Judgement:
    """An HTTP status other than 200 from the backend's address. A backend never says so; a proxy may, after it has passed
    the body on, so a server error leaves the outcome open."""
    if status in (401, 403):
        return Judgement(Outcome.STOP, f"the backend refuses the login (HTTP {status}). {_LOGIN}", peer=Peer.LOADING)
    if status == 413:
        return Judgement(
            Outcome.PARK,
            "a proxy before the backend refuses the size of the load (HTTP 413). Raise its limit, or lower FLUSH_BYTES",
        )
    if status >= 500 or status == 408:
        return Judgement(Outcome.UNKNOWN, f"the backend answers HTTP {status}")
    return Judgement(Outcome.RETRY, f"the backend answers HTTP {status}")


def judge_state(state: LabelState) -> Judgement:
    """An answer to get_load_state."""
    outcomes = {
        LabelState.UNKNOWN: Outcome.ABSENT,
        LabelState.ABORTED: Outcome.ABORTED,
        LabelState.COMMITTED: Outcome.COMMITTED,
        LabelState.VISIBLE: Outcome.LOADED,
    }
    return Judgement(outcomes.get(state, Outcome.RUNNING))


def judge_state_error(message: str) -> Judgement:
    """get_load_state that names no state: the load's outcome stays open."""
    judged = _judge_message(message, "get_load_state fails: ")
    if judged.outcome is Outcome.STOP:
        return judged
    return Judgement(Outcome.UNKNOWN, judged.reason, judged.pause_s, judged.peer)


def judge_sql(number: int, message: str) -> Judgement:
    """An error of the MySQL port: RETRY, PARK or STOP. Statements carry no row values, so the text is shown."""
    outcome = _SQL_ERRORS.get(number)
    text = plain_line(message)
    if outcome is Outcome.STOP:
        # 1045 is the login; a privilege that is missing concerns the statement.
        peer = Peer.MYSQL if number == 1045 else None
        return Judgement(outcome, f"StarRocks refuses on its MySQL port ({number} {text}). {_LOGIN}", peer=peer)
    if outcome is Outcome.RETRY:
        return Judgement(outcome, f"the MySQL port is away ({number} {text})", peer=Peer.MYSQL)
    rule = _find_rule(message)
    if rule and rule.outcome in (Outcome.RETRY, Outcome.STOP):
        return Judgement(rule.outcome, _with_way_out(f"{number} {text}", rule), rule.pause_s)
    return Judgement(Outcome.PARK, f"StarRocks refuses ({number} {text})")


def _judge_message(message: str, prefix: str) -> Judgement:
    rule = _find_rule(message)
    text = prefix + redact_message(message or "no message")
    if rule is None:
        # The official client retries what it does not know, and so do we: the reason is shown all the while.
        return Judgement(Outcome.RETRY, text, pause_s=0.5)
    return Judgement(rule.outcome, _with_way_out(text, rule), rule.pause_s, rule.peer)


def _find_rule(message: str) -> _Rule | None:
    folded = message.casefold()
    return next((rule for rule in _MESSAGES if rule.text in folded), None)


def _with_way_out(text: str, rule: _Rule) -> str:
    return f"{text.rstrip('. ')}. {rule.way_out}" if rule.way_out else text
