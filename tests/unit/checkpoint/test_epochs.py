"""Issuing and fencing epochs; rates."""

import pytest
from dbmazz.errors import FencedError
from dbmazz_checkpoint.protocol.epochs import (
    SystemIdentifierError,
    check_epoch,
    check_system_identifier,
    next_epoch,
)
from dbmazz_checkpoint.protocol.rates import Sample, rates


@pytest.mark.parametrize(
    ("last", "clock_s", "epoch"),
    [
        (0, 1_763_600_000.9, 1_763_600_000),  # nothing stored: the clock
        (1_763_600_000, 1_763_600_000.5, 1_763_600_001),  # two readers within one second
        (1_763_600_000, 5.0, 1_763_600_001),  # the clock went back
        (1_763_600_000, 1_763_600_100.0, 1_763_600_100),
        (0, 0.0, 1),
    ],
)
def test_epochs_only_grow(last, clock_s, epoch):
    assert next_epoch(last, clock_s) == epoch


def test_the_current_epoch_passes():
    check_epoch("orders", 7, 7)


@pytest.mark.parametrize(
    ("current", "epoch", "says"),
    [
        (None, 7, "epoch 7 of slot orders was not issued by this checkpoint process. Begin a new epoch"),
        (8, 7, "epoch 7 of slot orders is closed: a newer reader has epoch 8"),
        (8, 9, "epoch 9 of slot orders was never issued; the current one is 8"),
    ],
)
def test_every_other_epoch_is_fenced(current, epoch, says):
    with pytest.raises(FencedError) as caught:
        check_epoch("orders", current, epoch)
    assert str(caught.value) == says
    assert caught.value.reason == "EPOCH_FENCED"


def test_another_cluster_is_refused_by_name_with_the_way_out():
    check_system_identifier("orders", "71", "71")
    with pytest.raises(SystemIdentifierError) as caught:
        check_system_identifier("orders", "71", "72")
    message = str(caught.value)
    assert all(word in message for word in ("orders", "71", "72", "SOURCE_URL", "SOURCE_SLOT_NAME", "CHECKPOINT_URL"))


def test_rates_are_differences_over_time():
    assert rates(None, Sample(10.0, 1, 100, 1000)) == (0.0, 0.0)
    assert rates(Sample(10.0, 1, 100, 1000), Sample(12.0, 1, 300, 5000)) == (100.0, 2000.0)
    # A new epoch counts its rows from 0, its position goes on.
    assert rates(Sample(10.0, 1, 100, 1000), Sample(12.0, 2, 10, 1000)) == (5.0, 0.0)
    assert rates(Sample(10.0, 1, 100, 1000), Sample(10.0, 1, 300, 5000)) == (0.0, 0.0)
