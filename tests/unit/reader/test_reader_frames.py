"""CopyData frames against their layouts."""

import struct

import pytest
from dbmazz_reader.protocol.frames import (
    POSTGRES_EPOCH_US,
    Keepalive,
    keepalive,
    standby_status,
    unknown_frame,
    xlog_data,
)
from dbmazz_reader.protocol.malformed import MalformedMessage


def test_xlog_data_gives_start_and_message():
    frame = b"w" + struct.pack(">QQq", 0x16B374D848, 99, 5) + b"Bpayload"
    for form in (frame, memoryview(frame)):
        assert xlog_data(form) == (0x16B374D848, b"Bpayload")
    assert xlog_data(frame[:25]) == (0x16B374D848, b"")


@pytest.mark.parametrize("asked", [0, 1])
def test_keepalive_gives_position_and_wish(asked):
    frame = b"k" + struct.pack(">QqB", 0x123456789A, -7, asked)
    assert keepalive(memoryview(frame)) == Keepalive(0x123456789A, bool(asked))


def test_status_carries_one_position_three_times():
    frame = standby_status(0x16B374D848, POSTGRES_EPOCH_US + 42)
    assert frame == b"r" + struct.pack(">QQQqB", *[0x16B374D848] * 3, 42, 0)
    assert len(frame) == 34


@pytest.mark.parametrize("size", range(25))
def test_cut_xlog_data_is_refused(size):
    with pytest.raises(MalformedMessage, match="offset"):
        xlog_data((b"w" + bytes(24))[:size])


@pytest.mark.parametrize("size", [*range(18), 19])
def test_keepalive_of_another_size_is_refused(size):
    with pytest.raises(MalformedMessage, match="'k'"):
        keepalive((b"k" + bytes(30))[:size])


def test_unknown_frame_is_named():
    assert "'z'" in str(unknown_frame(b"zzz"))
    assert "0x00" in str(unknown_frame(b"\0"))
    assert "0x00" in str(unknown_frame(b""))
