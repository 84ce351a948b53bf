"""Lag in time, rates of tables, growth of the slot: from values only."""

from dataclasses import replace

import pytest
from dbmazz_monitor.protocol.history import History, Measures
from dbmazz_monitor.protocol.lag import WalClock
from dbmazz_monitor.protocol.progress import UNKNOWN
from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    Counts,
    Lane,
    LoaderFacts,
    Pause,
    Pending,
    ReaderFacts,
    Replica,
    RingSample,
    Signature,
    Slot,
    SourceSeen,
    State,
    Table,
    TransformerFacts,
)
from dbmazz_monitor.protocol.slot import SlotTrend, Trend

START_MS = 1_800_000_000_000
ORDERS = Table("public.orders", "public", "orders", "orders", row_count=100, transformer="t", lane=1)
STREAMING = ReaderFacts(epoch=1, confirmed_lsn="0/10", server_lsn="0/20", lag_bytes=16, retained_bytes_limit=1000)
MEBI = 1 << 20


def sample(
    second: float,
    reader: ReaderFacts | None = STREAMING,
    *lanes: Lane,
    state: State = State.RUNNING,
    tables: tuple[Table, ...] = (ORDERS,),
    **changes,
) -> RingSample:
    replicas = (
        Replica("reader", "h:1", state if reader else State.DOWN, name="r", facts=reader),
        Replica("transformer", "h:2", State.RUNNING, name="t", facts=TransformerFacts(lanes=lanes)),
    )
    return RingSample(second, START_MS + int(second * 1000), replicas, tables, listed_at_s=second, **changes)


def waiting(second: float, lane: int = 1) -> ReaderFacts:
    return replace(STREAMING, pending=(Pending(lane, START_MS + int(second * 1000), 10, 1),))


def lag(measures: Measures) -> tuple[int | None, int | None]:
    """Of the ring and of orders."""
    return measures.lag_ms, measures.tables["public.orders"].lag_ms


def test_lag_is_the_age_of_what_the_reader_keeps():
    history = History()
    assert lag(history.add(sample(10.0, waiting(7.5)))) == (2500, 2500)
    assert lag(history.add(sample(11.0, waiting(7.5, lane=2)))) == (3500, 0)  # another table's
    assert lag(history.add(sample(12.0))) == (0, 0)
    assert lag(history.add(sample(13.0, waiting(13.5)))) == (1, 1)  # clocks differ; but something waits


def test_lag_of_a_lane_counts_what_its_transformer_has():
    lane = Lane(1, "public.orders", "loading", 10, oldest_ms=START_MS + 4000)
    assert lag(History().add(sample(10.0, STREAMING, lane))) == (6000, 6000)
    # Without a reader this is all that is known; with neither, nothing.
    assert lag(History().add(sample(10.0, None, lane))) == (6000, 6000)
    assert lag(History().add(sample(10.0, None))) == (None, None)


def test_nothing_is_said_of_a_still_lane_while_the_reader_does_not_read():
    full = replace(waiting(9.0, lane=2), retained_bytes=1000)
    assert lag(History().add(sample(10.0, full))) == (1000, None)
    assert lag(History().add(sample(10.0, STREAMING, state=State.PAUSED))) == (None, None)
    assert lag(History().add(sample(10.0, replace(STREAMING, epoch=0)))) == (None, None)


def test_lag_of_a_paused_reader_is_the_age_of_the_wal_that_it_does_not_read():
    history, still = History(), replace(STREAMING, confirmed_lsn="0/20", lag_bytes=0)
    assert lag(history.add(sample(10.0, still)))[0] == 0
    grown = replace(STREAMING, confirmed_lsn="0/20", server_lsn="0/90", lag_bytes=112)
    assert lag(history.add(sample(11.0, replace(grown, pause=Pause()))))[0] == 1
    assert lag(history.add(sample(31.0, replace(grown, server_lsn="0/99"), state=State.PAUSED)))[0] == 20_000
    assert history.points()[-1]["lag_ms"] == 20_000


def test_wal_clock():
    clock = WalClock()
    assert clock.since_ms(5) is None
    for time_ms, end in ((100, 10), (200, 10), (300, 20)):
        clock.update(time_ms, end)
    assert [clock.since_ms(position) for position in (9, 10, 15, 20)] == [None, 300, 300, None]


def test_rates_partial_rows_and_last_loads():
    def at(second: float, events: int, partial: int, *lanes: Lane) -> Measures:
        found = (
            Signature("orders", (), 1, 50, 0, 0, 0),
            Signature("orders", ("a",), 1, partial, 0, 0, 0),
            Signature("orders", ("b",), 1, 1, 0, 0, 0),
        )
        return history.add(
            sample(second, STREAMING, *lanes, tables=(replace(ORDERS, row_count=events),), signatures=found)
        )

    history = History()
    lane = Lane(1, "public.orders", "idle", 0, last_load_ms=START_MS)
    first = at(10.0, 100, 4, lane).tables["public.orders"]
    assert (first.rate, first.partial_rows, first.partial, first.last_sync_ms) == (None, 5, False, START_MS)
    second = at(12.0, 160, 9).tables["public.orders"]
    assert (second.rate, second.partial_rows, second.partial) == (30.0, 10, True)
    assert second.last_sync_ms == START_MS  # remembered while nobody holds the lane
    assert at(13.0, 5, 9).tables["public.orders"].rate is None  # a new session, not a negative rate
    assert at(14.0, 25, 9).tables["public.orders"].rate == 20.0


def test_an_old_list_is_no_new_rate():
    history = History()
    history.add(sample(10.0))
    history.add(sample(11.0, tables=(replace(ORDERS, row_count=150),)))
    same = replace(sample(12.0, tables=(replace(ORDERS, row_count=150),)), listed_at_s=11.0)
    assert history.add(same).tables["public.orders"].rate == 50.0


def test_nothing_is_made_up_of_a_table_that_is_not_replicated():
    found = History().add(sample(10.0, tables=(replace(ORDERS, replicated=False),)))
    assert found.tables["public.orders"] is UNKNOWN


def test_rates_of_replicas():
    def at(second: float, rows: int) -> RingSample:
        facts = {
            "reader": ReaderFacts(epoch=3, row_count=rows),
            "transformer": TransformerFacts(row_count=2 * rows),
            "loader": LoaderFacts(loaded_row_count=3 * rows),
            "checkpoint": CheckpointFacts(loaded_row_count=4 * rows),
        }
        replicas = [Replica(name, "h", State.RUNNING, name=name, facts=one) for name, one in facts.items()]
        return RingSample(second, 0, (*replicas, Replica("loader", "h:2", State.DOWN, "away")))

    history = History()
    assert history.add(at(1.0, 100)).rates == {}
    assert list(history.add(at(2.0, 110)).rates.values()) == [10.0, 20.0, 30.0, 40.0]


def slot(second: float, retained: int, safe: int | None = 100 * MEBI, status: str = "reserved") -> Slot:
    return Slot(status, retained, "0/1", "0/2", safe, second, "s")


def test_time_to_loss():
    trend = SlotTrend()
    assert trend.update(None) == trend.update(Slot()) == Trend()
    assert trend.update(slot(10.0, 0)) == Trend()
    assert trend.update(slot(10.0, 0)) == Trend()  # the same look again
    assert trend.update(slot(20.0, 20 * MEBI)) == Trend(2.0 * MEBI, 50)
    assert trend.update(slot(30.0, 20 * MEBI, None)) == Trend(1.0 * MEBI, None)
    assert trend.update(slot(40.0, 0)) == Trend(0.0, None)
    assert trend.update(slot(50.0, 0, -5)).loss_in_s == 0


def test_growth_is_that_of_the_last_minutes():
    trend = SlotTrend(span_s=60.0)
    for second in range(0, 300, 10):
        found = trend.update(slot(float(second), 0 if second < 200 else (second - 200) * MEBI))
    assert found.growth == pytest.approx(MEBI, rel=0.05)


def test_the_slot_is_the_readers_or_else_our_own_look():
    history = History()
    own = Counts(seen=SourceSeen({}, slot(100.0, 7)))
    theirs = replace(STREAMING, slot=slot(90.0, 3))
    assert history.add(sample(1.0, theirs), own).slot.retained_wal_bytes == 3
    assert history.add(sample(2.0, None), own).slot.retained_wal_bytes == 7
    assert history.add(sample(3.0, STREAMING), own).slot.retained_wal_bytes == 7  # it has not looked yet
    assert history.add(sample(4.0, None)).slot is None
