"""Rows of the table of tables: icon, level, status, totals; and more about one table."""

from dataclasses import replace

import pytest
from dbmazz.target import AUDIT_COLUMNS
from dbmazz_monitor.protocol.history import Measures
from dbmazz_monitor.protocol.progress import TableProgress
from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    Counts,
    Lane,
    LoaderFacts,
    Pause,
    ReaderFacts,
    Replica,
    RingSample,
    Signature,
    SourceCount,
    State,
    Table,
    TargetCount,
    TargetSeen,
    TransformerFacts,
)
from dbmazz_monitor.protocol.tables import LEVELS, details, tables
from dbmazz_monitor.protocol.view import view

ALL = frozenset(name for name, _ in AUDIT_COLUMNS)
ORDERS = Table("public.orders", "public", "orders", "orders", row_count=5, transformer="t", lane=1)
AUDITED = Counts(seen=TargetSeen({"orders": ALL}))
MOVING = TableProgress(lag_ms=20, rate=5.0)


def ring(*tables: Table, state: State = State.RUNNING, **changes) -> RingSample:
    pause = Pause(1_000, "upgrade") if state is State.PAUSED else None
    facts = None if state is State.DOWN else ReaderFacts(slot_name="s", pause=pause)
    return RingSample(1.0, 1, (Replica("reader", "h:1", state, name="r", facts=facts),), tables, **changes)


def row(table: Table, progress: TableProgress, target: Counts = AUDITED, state: State = State.RUNNING) -> dict:
    measures = Measures(tables={table.name: progress})
    (found,) = tables(ring(table, state=state), measures, Counts(), target)["rows"]
    return found


def shown(found: dict) -> tuple[str, str, str]:
    return found["level"], found["icon"], found["status"]


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (TableProgress(lag_ms=0, rate=0.0), ("ok", "idle", "streaming")),
        (TableProgress(), ("ok", "idle", "streaming")),
        (MOVING, ("ok", "moving", "streaming")),
        (TableProgress(lag_ms=20, rate=0.0), ("ok", "moving", "streaming")),
        (replace(MOVING, partial=True), ("ok", "partial", "streaming")),
        (replace(MOVING, lane=Lane(1, "public.orders", "parked", 0, "too wide")), ("bad", "parked", "parked")),
        (replace(MOVING, lane=Lane(1, "public.orders", "retrying", 0)), ("warn", "retry", "retrying")),
    ],
)
def test_how_a_table_fares(progress: TableProgress, expected: tuple[str, str, str]):
    assert shown(row(ORDERS, progress)) == expected


def test_what_stands_in_its_way():
    assert shown(row(ORDERS, MOVING, state=State.DOWN)) == ("bad", "down", "reader down")
    assert shown(row(ORDERS, MOVING, state=State.PAUSED)) == ("warn", "waiting", "paused")
    assert shown(row(replace(ORDERS, transformer=""), MOVING)) == ("warn", "waiting", "no transformer")
    nowhere = Counts(seen=TargetSeen({}))
    assert shown(row(ORDERS, MOVING, nowhere)) == ("warn", "absent", "not in the target yet")
    earlier = replace(ORDERS, snapshotted=False)
    assert shown(row(earlier, MOVING)) == ("warn", "moving", "streaming, earlier rows missing")


def test_audit_columns_are_looked_at():
    some = Counts(seen=TargetSeen({"orders": ALL - {"dbmazz_synced_at"}}))
    found = row(ORDERS, MOVING, some)
    assert (found["audit"], found["icon"], found["level"]) == (False, "unaudited", "warn")
    assert row(ORDERS, MOVING)["audit"] is True
    unknown = row(ORDERS, MOVING, Counts())
    assert (unknown["audit"], unknown["icon"]) == (None, "moving")


def test_a_table_that_is_not_replicated_is_no_trouble():
    other = replace(ORDERS, replicated=False, transformer="", lane=0)
    for state in (State.RUNNING, State.DOWN, State.PAUSED):
        found = row(other, TableProgress(), state=state)
        assert shown(found) == ("idle", "idle", "not replicated")
        assert (found["events"], found["lane"], found["rate"], found["lag_ms"]) == (None, None, None, None)
    assert row(other, TableProgress(), Counts(seen=TargetSeen({"orders": frozenset()})))["icon"] == "unaudited"
    # Nobody knows yet whether it is replicated: the reader was never reached.
    unknown = replace(other, replicated=None)
    assert shown(row(unknown, TableProgress(), state=State.DOWN)) == ("bad", "down", "reader down")


def test_totals():
    others = (
        replace(ORDERS, name="public.b", target_table="b", transformer=""),
        replace(ORDERS, name="public.c", target_table="c", replicated=False),
    )
    measures = Measures(
        tables={
            "public.orders": TableProgress(lag_ms=20, rate=5.25, partial_rows=3),
            "public.b": TableProgress(lag_ms=0, rate=1.0, partial_rows=4),
        }
    )
    source = Counts({"public.orders": SourceCount(10, exact=True), "public.b": SourceCount(90)})
    target = Counts({"public.orders": TargetCount(9, 2)}, seen=TargetSeen({"orders": ALL, "b": ALL, "c": frozenset()}))
    totals = tables(ring(ORDERS, *others), measures, source, target)["totals"]
    assert totals == {
        "tables": 3,
        "source_rows": 100,
        "source_rows_complete": False,
        "source_exact": False,
        "target_rows": 9,
        "target_rows_complete": False,
        "deleted_rows": 2,
        "deleted_rows_complete": False,
        "events": 10,
        "events_complete": False,
        "partial_rows": 7,
        "partial_rows_complete": False,
        "rate": 6.2,
        "rate_complete": False,
        "lag_ms": 20,
        "with_audit": 2,
        "without_audit": 1,
        "not_replicated": 1,
        "levels": {"ok": 1, "idle": 1, "warn": 1, "bad": 0},
    }
    assert set(totals["levels"]) == set(LEVELS)


def test_more_about_one_table():
    lane = Lane(1, "public.orders", "loading", 77, generation=3, pending_rows=5, oldest_ms=9, last_load_ms=8)
    found = (
        Signature("orders", (), 2, 40, 40, 0, 0),
        Signature("orders", ("body",), 1, 4, 0, 4, 0),
        Signature("other", ("body",), 1, 4, 0, 4, 0),
    )
    sample = ring(ORDERS, signatures=found)
    measures = Measures(tables={"public.orders": TableProgress(lane=lane)})
    made = details("public.orders", sample, measures, {"name": "public.orders"})
    assert [one["absent"] for one in made["signatures"]] == [[], ["body"]]
    assert made["lane"] == {
        "lane": 1,
        "generation": 3,
        "transformer": "t",
        "state": "loading",
        "pending_bytes": 77,
        "pending_rows": 5,
        "oldest_ms": 9,
        "last_load_ms": 8,
        "message": "",
    }
    assert details("public.orders", sample, Measures(), {})["lane"] is None


def test_a_pause_is_told_as_what_it_is():
    facts = {"transformer": TransformerFacts(), "loader": LoaderFacts(), "checkpoint": CheckpointFacts()}
    others = tuple(Replica(name, "h", State.RUNNING, name=name, facts=one) for name, one in facts.items())
    sample = ring(ORDERS, state=State.PAUSED)
    made = view(replace(sample, replicas=(*sample.replicas, *others)), Measures(), Counts(), AUDITED)
    assert made["headline"] == {"level": "warn", "text": "Paused: the reader reads nothing (upgrade)"}
    assert made["numbers"]["paused"] is True
    assert made["numbers"]["pause"] == {"since_ms": 1_000, "reason": "upgrade"}
    assert [one["text"] for one in made["problems"]] == [
        "the reader is paused (upgrade): PostgreSQL keeps the WAL for it until `dbmazz resume`"
    ]
    assert made["replicas"][0]["level"] == "warn"
    assert view(sample, Measures(), Counts(), AUDITED)["headline"]["text"].startswith("Down: ")
    # Paused, but not connected: the trouble comes first.
    reader = replace(sample.replicas[0], state=State.RETRYING, error="no PostgreSQL")
    made = view(replace(sample, replicas=(reader, *others)), Measures(), Counts(), AUDITED)
    assert made["headline"]["text"] == "Degraded: reader retrying"
    assert made["numbers"]["paused"] is True
    assert view(ring(ORDERS), Measures(), Counts(), AUDITED)["numbers"]["pause"] is None
