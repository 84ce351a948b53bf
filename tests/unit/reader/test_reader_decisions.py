"""Where to start, and when to refuse: over all kinds of slots, checkpoints and servers."""

from dataclasses import replace

import pytest
from dbmazz.errors import SourceError
from dbmazz_reader.protocol.resume import Checkpoint, GapError, Server, Slot, Start, decide
from dbmazz_reader.protocol.states import SessionState, advance, service_state

SERVER = Server("777", 1, 10_000, "shop")
SLOT = Slot("dbz", "pgoutput", "shop", confirmed_flush_lsn=4_000, restart_lsn=3_000, wal_status="reserved")
STORED = Checkpoint(5_000, "777", 1)


def decided(server=SERVER, slot=SLOT, checkpoint=STORED) -> Start:
    return decide("dbz", server, slot, checkpoint)


def test_nothing_there_yet():
    assert decided(slot=None, checkpoint=None) == Start(0, create=True)


@pytest.mark.parametrize("confirmed", [4_000, 5_000])
def test_checkpoint_at_or_beyond_the_slot_is_where_to_start(confirmed):
    assert decided(slot=replace(SLOT, confirmed_flush_lsn=confirmed)) == Start(5_000)


def test_slot_without_checkpoint_is_adopted():
    assert decided(checkpoint=None) == Start(4_000, adopted=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slot": None}, r"does not exist.*0/1388.*4\.9 kB"),
        ({"slot": replace(SLOT, confirmed_flush_lsn=5_001)}, r"beyond the checkpoint at 0/1388: 1 bytes"),
        ({"slot": replace(SLOT, wal_status="lost")}, r"is lost \(its WAL was removed\).*0/1388"),
        ({"slot": replace(SLOT, trouble="idle_timeout")}, r"is lost \(idle_timeout\)"),
        ({"slot": replace(SLOT, wal_status="lost"), "checkpoint": None}, r"is lost.*0/FA0"),
        ({"server": replace(SERVER, system_identifier="888")}, "belongs to PostgreSQL system 777"),
        ({"server": replace(SERVER, system_identifier="888"), "slot": None}, "belongs to PostgreSQL system 777"),
        ({"server": replace(SERVER, timeline=2)}, "on timeline 1 at 0/1388.*on timeline 2"),
        ({"server": replace(SERVER, wal_end=4_999)}, "gone back in time"),
    ],
)
def test_gap_is_named_with_its_choices(changes, words):
    with pytest.raises(GapError, match=words) as caught:
        decided(**changes)
    assert caught.value.way_out
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (replace(SLOT, plugin="wal2json"), "uses the plugin wal2json"),
        (replace(SLOT, plugin=""), "is a physical slot"),
        (replace(SLOT, database="other"), "belongs to database other"),
    ],
)
def test_slot_of_another_kind_is_refused(slot, words):
    for checkpoint in (None, STORED):
        with pytest.raises(SourceError, match=words):
            decided(slot=slot, checkpoint=checkpoint)


def test_states_follow_the_table():
    path = ("RETRYING", "CONNECTING", "STREAMING", "DRAINING", "STOPPED")
    state = SessionState.CONNECTING
    for name in path:
        state = advance(state, SessionState[name])
    with pytest.raises(ValueError, match="from stopped to streaming"):
        advance(state, SessionState.STREAMING)
    assert len({service_state(state) for state in SessionState}) == len(SessionState)
