"""Pause, reload and what transformers are told: the decisions, without a source."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.serving import Server
from dbmazz.v1 import reader_pb2, reader_pb2_grpc, types_pb2
from dbmazz_reader.controlling import Control
from dbmazz_reader.feed import Feed
from dbmazz_reader.pausing import Gate
from dbmazz_reader.protocol.states import SessionState, advance, service_state
from dbmazz_reader.reloading import Change, Effective
from dbmazz_reader.service import ReaderService
from dbmazz_reader.status import Status

from tests.fixtures.waiting import wait_until

DEADLINE_S = 10.0
TOKEN = "correct-horse-battery"


# States


def test_a_pause_begins_and_ends_where_a_session_holds_the_slot():
    assert advance(SessionState.STREAMING, SessionState.PAUSED) is SessionState.PAUSED
    assert advance(SessionState.CONNECTING, SessionState.PAUSED) is SessionState.PAUSED
    assert advance(SessionState.PAUSED, SessionState.STREAMING) is SessionState.STREAMING
    for following in (SessionState.RETRYING, SessionState.DRAINING, SessionState.CONNECTING, SessionState.STOPPED):
        assert advance(SessionState.PAUSED, following) is following
    for state in (SessionState.RETRYING, SessionState.DRAINING, SessionState.STOPPED):
        with pytest.raises(ValueError, match="cannot go from"):
            advance(state, SessionState.PAUSED)
    assert service_state(SessionState.PAUSED) == types_pb2.SERVICE_STATE_PAUSED


# The gate


async def test_the_gate_keeps_since_and_takes_a_new_reason():
    gate = Gate()
    assert not gate.closed
    assert gate.open() is None
    first = gate.close("upgrade")
    assert gate.closed
    assert gate.close("") is first
    second = gate.close("longer upgrade")
    assert (second.since, second.reason) == (first.since, "longer upgrade")
    await gate.opened(0.01)
    assert gate.closed
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.opened(DEADLINE_S))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert gate.open() is second
    assert not gate.closed
    await gate.opened(DEADLINE_S)


# What a reload changes


def test_what_is_not_set_stays():
    before = Effective(Settings(tables=("public.a",), flush_size=7))
    assert before.changed(Change()) == before
    assert before.variables == []
    assert (before.told("flush_size"), before.told("flush_interval_ms")) == (None, None)
    after = before.changed(Change(flush_size=500))
    assert (after.settings.flush_size, after.settings.flush_interval_ms) == (500, 1000)
    assert after.settings.tables == ("public.a",)
    assert (after.told("flush_size"), after.told("flush_interval_ms")) == (500, None)
    again = after.changed(Change(flush_interval_ms=50, tables=(" public.b ", "c,sales.*")))
    assert again.settings.tables == ("public.b", "c", "sales.*")
    assert (again.told("flush_size"), again.told("flush_interval_ms")) == (500, 50)
    assert again.variables == ["FLUSH_INTERVAL_MS", "FLUSH_SIZE", "TABLES"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Change(flush_size=0), "FLUSH_SIZE=0 is out of range. It takes a whole number from 1 to 1000000"),
        (Change(flush_size=-3), "FLUSH_SIZE=-3 is out of range. "),
        (Change(flush_size=1_000_001), "FLUSH_SIZE=1000001 is out of range. "),
        (Change(flush_interval_ms=9), "FLUSH_INTERVAL_MS=9 is out of range. It takes a whole number from 10 to 600000"),
        (Change(tables=(" ", ",")), "TABLES has no name in it. It takes schema.table"),
        (Change(flush_size=5, flush_interval_ms=-1), "FLUSH_INTERVAL_MS=-1 is out of range. "),
    ],
)
def test_values_are_held_to_the_rules_of_the_variables(change, says):
    before = Effective(Settings())
    with pytest.raises(ConfigError) as caught:
        before.changed(change)
    assert str(caught.value).startswith(says)


# What transformers are told


async def test_who_connects_later_hears_it_in_the_greeting_and_only_there():
    feed = Feed("s", "1", 5, 1 << 20)
    assert not feed.greeting().HasField("flush")
    feed.tell(reader_pb2.FlushSettings(flush_size=9))
    link = feed.connect("late")
    assert (link.session.epoch, link.session.slot, link.session.flush.flush_size) == (5, "s", 9)
    assert not link.session.flush.HasField("flush_interval")
    feed.close()
    assert [event async for event in link.events()] == []


async def test_who_is_connected_hears_the_last_word():
    feed = Feed("s", "1", 5, 1 << 20)
    links = [feed.connect("one"), feed.connect("two")]
    assert not any(link.session.HasField("flush") for link in links)
    feed.tell(reader_pb2.FlushSettings(flush_size=9))
    feed.tell(reader_pb2.FlushSettings(flush_size=10))
    streams = [link.events() for link in links]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        assert [(await anext(stream)).flush.flush_size for stream in streams] == [10, 10]
        waiting = [group.create_task(anext(stream)) for stream in streams]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        feed.tell(reader_pb2.FlushSettings(flush_size=11))
        assert [(await task).flush.flush_size for task in waiting] == [11, 11]


# The RPCs, of a reader that has no session yet


@contextlib.asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[tuple[reader_pb2_grpc.ReaderServiceStub, Control]]:
    own = Settings(listen="127.0.0.1:0", **settings)
    status = Status()
    control, server = Control(own, status), Server("reader", own)
    register = reader_pb2_grpc.add_ReaderServiceServicer_to_server
    server.add(register, ReaderService(control, status), "dbmazz.v1.ReaderService")
    address = await server.start()
    try:
        async with open_channel(address, own) as channel:
            yield reader_pb2_grpc.ReaderServiceStub(channel), control
    finally:
        await server.stop(0.1)


async def refused(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert "\n" not in caught.value.details()
    return caught.value.code(), caught.value.details()


async def status_of(stub) -> reader_pb2.ReaderServiceGetStatusResponse:
    return await stub.GetStatus(reader_pb2.ReaderServiceGetStatusRequest(), timeout=DEADLINE_S)


async def test_pause_and_resume_before_there_is_a_session():
    async with serving() as (stub, control):
        assert not (await status_of(stub)).HasField("pause")
        first = await stub.Pause(reader_pb2.PauseRequest(reason="upgrade"), timeout=DEADLINE_S)
        assert (first.was_paused, first.sealed, first.confirmed_lsn) == (False, False, "")
        assert "dbmazz_slot" in first.notice
        again = await stub.Pause(reader_pb2.PauseRequest(), timeout=DEADLINE_S)
        assert again.was_paused
        assert again.pause == first.pause == (await status_of(stub)).pause
        assert (await status_of(stub)).status.state == types_pb2.SERVICE_STATE_STARTING
        drained = await stub.Drain(_drain(50), timeout=DEADLINE_S)
        assert not drained.complete
        assert drained.pause.reason == "upgrade"
        assert drained.message == "the reader is not connected: connecting"
        resumed = await stub.Resume(reader_pb2.ResumeRequest(), timeout=DEADLINE_S)
        assert resumed.paused_duration.ToMilliseconds() >= 50
        resumed = await stub.Resume(reader_pb2.ResumeRequest(), timeout=DEADLINE_S)
        assert not resumed.HasField("paused_duration")
        assert not control.gate.closed


async def test_a_drain_that_is_resumed_meanwhile_ends():
    async with serving() as (stub, control):
        call = stub.Drain(_drain(60_000), timeout=DEADLINE_S)
        async with asyncio.timeout(DEADLINE_S):
            await wait_until(lambda: control.gate.closed)
            assert control.gate.pause.reason == "drain"
            control.resume()
            answer = await call
        assert (answer.complete, answer.message) == (False, "the reader was resumed meanwhile")


def _drain(milliseconds: int) -> reader_pb2.DrainRequest:
    request = reader_pb2.DrainRequest()
    request.timeout.FromMilliseconds(milliseconds)
    return request


@pytest.mark.parametrize("milliseconds", [0, -5, 600_001])
async def test_a_drain_is_bounded(milliseconds):
    async with serving() as (stub, control):
        code, says = await refused(stub.Drain(_drain(milliseconds), timeout=DEADLINE_S))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "It takes more than 0 s, up to 600 s" in says
        assert not control.gate.closed


@pytest.mark.parametrize("reason", ["two\nlines", "x" * 201, "\x1b[31mred"])
async def test_a_reason_is_fit_to_be_shown(reason):
    async with serving() as (stub, control):
        for call in (
            stub.Pause(reader_pb2.PauseRequest(reason=reason)),
            stub.Drain(reader_pb2.DrainRequest(reason=reason)),
        ):
            code, says = await refused(call)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert says == "reason is not fit to be shown. It takes up to 200 printable characters, on one line"
        assert not control.gate.closed


async def test_limits_can_be_reloaded_at_any_time_and_tables_only_while_it_streams():
    async with serving(flush_size=100) as (stub, control):
        request = reader_pb2.ReloadConfigRequest(flush_size=77)
        answer = await stub.ReloadConfig(request, timeout=DEADLINE_S)
        assert answer.flush.flush_size == 77 and not answer.flush.HasField("flush_interval")
        assert control.flush.flush_size == 77
        status = await status_of(stub)
        assert (list(status.reloaded_variables), status.status.config["FLUSH_SIZE"]) == (["FLUSH_SIZE"], "77")
        code, says = await refused(stub.ReloadConfig(reader_pb2.ReloadConfigRequest(flush_size=0), timeout=DEADLINE_S))
        assert (code, says[:13]) == (grpc.StatusCode.INVALID_ARGUMENT, "FLUSH_SIZE=0 ")
        request = reader_pb2.ReloadConfigRequest(tables=["public.a"], flush_size=5)
        code, says = await refused(stub.ReloadConfig(request, timeout=DEADLINE_S))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert says == "the reader does not stream now (connecting). Try again when it does"
        assert control.flush.flush_size == 77, "all or nothing"
        nothing = await stub.ReloadConfig(reader_pb2.ReloadConfigRequest(), timeout=DEADLINE_S)
        assert nothing.flush.flush_size == 77


async def test_every_control_call_wants_the_token_and_looking_does_not():
    async with serving(control_token=TOKEN) as (stub, control):
        calls = {
            "Pause": reader_pb2.PauseRequest(reason="x\n"),
            "Resume": reader_pb2.ResumeRequest(),
            "Drain": _drain(0),
            "ReloadConfig": reader_pb2.ReloadConfigRequest(flush_size=0),
        }
        for name, request in calls.items():
            code, says = await refused(getattr(stub, name)(request, timeout=DEADLINE_S))
            assert code is grpc.StatusCode.UNAUTHENTICATED, name
            assert TOKEN not in says
        assert not control.gate.closed
        assert (await status_of(stub)).status.config["CONTROL_TOKEN"] == "***"
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        await stub.Pause(reader_pb2.PauseRequest(), timeout=DEADLINE_S, metadata=metadata)
        assert control.gate.closed
