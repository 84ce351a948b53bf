"""The ledger by example: parts, windows, prefix, generations, contradictions, bounded memory."""

import pytest
from dbmazz.errors import WireError
from dbmazz.lsn import Lsn
from dbmazz_checkpoint.protocol import ledger as ledger_module
from dbmazz_checkpoint.protocol.ledger import Ledger, LedgerError, Part


def part(batch_ids, *, lane=1, generation=1, part=0, of=1, lsns=None) -> Part:
    ids = tuple(batch_ids)
    return Part(lane, generation, ids, tuple(lsns or [100 * batch for batch in ids]), part, of)


def test_starts_at_the_position_of_the_epoch():
    ledger = Ledger(Lsn(7))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id) == (7, 0)
    assert str(ledger.confirmed_lsn) == "0/7"


def test_a_window_counts_when_its_last_part_is_there():
    ledger = Ledger(0)
    assert ledger.take(part([1, 2], part=1, of=3))
    assert ledger.take(part([1, 2], part=0, of=3))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.open_window_count) == (0, 0, 1)
    assert ledger.take(part([1, 2], part=2, of=3))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.open_window_count) == (200, 2, 0)
    assert ledger.part_count == 3


def test_a_part_reported_twice_is_not_two_parts():
    ledger = Ledger(0)
    assert ledger.take(part([1], part=0, of=2))
    assert not ledger.take(part([1], part=0, of=2))
    assert ledger.confirmed_batch_id == 0
    assert ledger.part_count == 1


def test_a_gap_holds_everything_behind_it_back():
    ledger = Ledger(0)
    for batch in (2, 3, 5):
        ledger.take(part([batch], lane=batch))
    assert (ledger.confirmed_lsn, ledger.waiting_batch_count, ledger.reported_batch_id) == (0, 3, 5)
    ledger.take(part([1]))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.waiting_batch_count) == (300, 3, 1)
    ledger.take(part([4]))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.waiting_batch_count) == (500, 5, 0)


def test_lanes_interleave():
    ledger = Ledger(0)
    ledger.take(part([1, 3, 5], lane=1))
    assert ledger.confirmed_batch_id == 1
    ledger.take(part([2, 4], lane=2))
    assert ledger.confirmed_batch_id == 5


def test_only_the_last_batch_of_a_cut_moves_the_position():
    ledger = Ledger(50)
    ledger.take(part([1, 2], lsns=[50, 50]))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id) == (50, 2)
    ledger.take(part([3], lsns=[90]))
    assert ledger.confirmed_lsn == 90


def test_the_position_never_falls_below_the_start():
    ledger = Ledger(50)
    ledger.take(part([1], lsns=[0]))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id) == (50, 1)


def test_a_recut_window_completes_batches_that_the_former_one_left():
    ledger = Ledger(0)
    ledger.take(part([1, 2, 3], part=0, of=2))
    ledger.take(part([1, 2], generation=2))
    assert (ledger.confirmed_batch_id, ledger.open_window_count) == (2, 1)
    ledger.take(part([3, 4], generation=2))
    assert (ledger.confirmed_batch_id, ledger.open_window_count) == (4, 0)


def test_parts_of_two_generations_do_not_add_up():
    ledger = Ledger(0)
    ledger.take(part([1, 2], generation=1, part=0, of=2))
    ledger.take(part([1, 2], generation=2, part=1, of=2))
    assert ledger.confirmed_batch_id == 0


def test_a_late_transformer_may_finish_an_older_generation():
    ledger = Ledger(0)
    ledger.take(part([1, 2], generation=1, part=0, of=2))
    ledger.take(part([1, 2, 3], generation=2, part=0, of=2))
    ledger.take(part([1, 2], generation=1, part=1, of=2))
    assert ledger.confirmed_batch_id == 2
    ledger.take(part([1, 2, 3], generation=2, part=1, of=2))
    assert (ledger.confirmed_batch_id, ledger.open_window_count) == (3, 0)


def test_late_repetitions_are_forgotten():
    ledger = Ledger(0)
    ledger.take(part([1, 2]))
    ledger.take(part([4]))
    for late in (part([1, 2]), part([1], generation=2), part([4], generation=3, of=9), part([2], part=0, of=2)):
        assert not ledger.take(late)
    assert (ledger.confirmed_batch_id, ledger.open_window_count, ledger.part_count) == (2, 0, 2)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (part([1, 2], part=0, of=3), "has 3 parts, an earlier report said 2"),
        (part([1, 2], part=1, of=2, lsns=[100, 201]), "other safe LSNs"),
    ],
)
def test_a_contradiction_is_named_and_changes_nothing(second, says):
    ledger = Ledger(0)
    ledger.take(part([1, 2], part=0, of=2))
    with pytest.raises(LedgerError, match=says) as caught:
        ledger.take(second)
    assert str(caught.value).startswith("report of lane 1 generation 1 batches 1-2")
    ledger.take(part([1, 2], part=1, of=2))
    assert ledger.confirmed_batch_id == 2


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Part(1, 1, (), ()), "names no batch"),
        (Part(1, 1, (1, 2), (5,)), "1 safe LSNs for 2 batches"),
        (Part(1, 1, (0,), (5,)), "ascend from 1"),
        (Part(1, 1, (2, 2), (5, 5)), "ascend from 1"),
        (Part(1, 1, (3, 2), (5, 5)), "ascend from 1"),
        (Part(1, 1, (1, 2), (5, 4)), "must not fall"),
        (Part(-1, 1, (1,), (5,)), "negative"),
        (Part(1, -1, (1,), (5,)), "negative"),
        (Part(1, 1, (1,), (5,), 2, 2), "part 2 of 2"),
        (Part(1, 1, (1,), (5,), -1, 2), "part -1 of 2"),
        (Part(1, 1, (1,), (5,), 0, 0), "part 0 of 0"),
    ],
)
def test_impossible_reports_are_refused(bad, says):
    ledger = Ledger(0)
    with pytest.raises(WireError, match=says):
        ledger.take(bad)
    assert (ledger.confirmed_batch_id, ledger.open_window_count, ledger.part_count) == (0, 0, 0)


def test_memory_grows_with_gaps_not_with_batches():
    ledger = Ledger(0)
    for batch in range(2, 200_001):  # one parked table holds back batch 1
        ledger.take(part([batch], lane=2))
    assert (ledger.confirmed_batch_id, ledger.waiting_batch_count) == (0, 199_999)
    assert (ledger._completed.gap_count, ledger.open_window_count) == (1, 0)
    ledger.take(part([1]))
    assert (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.waiting_batch_count) == (20_000_000, 200_000, 0)
    assert ledger._completed.gap_count == 0


def test_windows_that_dead_transformers_left_are_bounded_and_the_newest_generation_is_kept():
    ledger = Ledger(0)
    last = 10 * ledger_module.WINDOWS_PER_LANE
    for generation in range(1, last + 1):
        ledger.take(part([1, 2], generation=generation, part=0, of=2))
    assert ledger.open_window_count == ledger_module.WINDOWS_PER_LANE
    ledger.take(part([1, 2], generation=1, part=1, of=2))  # long forgotten
    assert ledger.confirmed_batch_id == 0
    ledger.take(part([1, 2], generation=last, part=1, of=2))
    assert (ledger.confirmed_batch_id, ledger.open_window_count) == (2, 0)
