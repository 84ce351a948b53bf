"""The live screen on a pseudo-terminal: start, news, resize, the ways out, and the terminal as it was."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbmazz.config import Settings
from dbmazz.v1 import types_pb2
from dbmazz_monitor.app import Monitor
from dbmazz_monitor.watch import source_counting, target_counting

from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import FakeRing, fake_ring, listed, reader_answer, status
from tests.unit.monitor.terminal_session import Session, session

ALTERNATE, BACK, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
EVIL = "a.\x1b[31m[red]\u202e"


@pytest.fixture
async def fakes() -> AsyncIterator[FakeRing]:
    async with fake_ring() as ring:
        ring.tables = listed("public.orders", EVIL)
        yield ring


def addresses(ring: FakeRing) -> dict[str, str]:
    return {f"{service.upper()}_ADDRESS": address for service, address in ring.addresses.items()}


@contextlib.asynccontextmanager
async def watching(fakes: FakeRing, *arguments: str, **variables: str) -> AsyncIterator[Session]:
    async with session("monitor", "--terminal", *arguments, **addresses(fakes), **variables) as opened:
        yield opened


@contextlib.asynccontextmanager
async def page(settings: Settings) -> AsyncIterator[str]:
    """A web monitor that runs, by its address."""
    monitor = Monitor(settings, source_counting(settings), target_counting(settings), sample_every_s=0.05)
    stop, bound = asyncio.Event(), []
    async with asyncio.TaskGroup() as group:
        group.create_task(monitor.run(stop, bound.append))
        try:
            await wait_until(lambda: bound)
            yield f"http://{bound[0]}"
        finally:
            stop.set()


def assert_restored(opened: Session, before: list) -> None:
    assert opened.mode() == before
    assert opened.raw.rindex(BACK) > opened.raw.rindex(ALTERNATE)
    assert opened.raw.rindex(CURSOR) > opened.raw.rindex("\x1b[?25l")


async def test_it_shows_the_ring_follows_its_size_and_quits_with_q(fakes: FakeRing):
    async with watching(fakes) as opened:
        before = opened.mode()
        text = await opened.until("dbmazz", "public.orders", "q quits", "rate")
        assert "deleted" not in text  # a column of wider screens
        assert opened.mode() != before
        fakes.answers["reader"] = reader_answer(
            status=status("reader", types_pb2.SERVICE_STATE_RETRYING, "no PostgreSQL")
        )
        await opened.until("Degraded: reader retrying")
        opened.size(130, 45)
        wide = await opened.until("deleted", "TOAST signatures", "╭ reader")
        assert max(map(len, wide.splitlines())) <= 130
        opened.size(60, 12)
        small = await opened.until("dbmazz")
        assert len(small.splitlines()) <= 45
        opened.type(b"\x1b[A x\n")  # nothing that means anything
        opened.type(b"q")
        assert await opened.ended() == 0
        await wait_until(lambda: BACK in opened.raw)
        assert_restored(opened, before)


async def test_hostile_names_do_nothing(fakes: FakeRing):
    async with watching(fakes) as opened:
        await opened.until("[31m[red]")
        opened.type(b"q")
        assert await opened.ended() == 0
        assert r"a.\x1b[31m[red]\u202e" in opened.raw
        assert "\x1b[31m[red]" not in opened.raw
        assert "\u202e" not in opened.raw


@pytest.mark.parametrize("way", ["ctrl-c", "terminate"])
async def test_signals_end_it_quietly(fakes: FakeRing, way: str):
    async with watching(fakes) as opened:
        before = opened.mode()
        await opened.until("public.orders")
        opened.type(b"\x03") if way == "ctrl-c" else opened.process.terminate()
        assert await opened.ended() == 0
        await wait_until(lambda: BACK in opened.raw)
        assert_restored(opened, before)
        assert "Traceback" not in opened.raw


async def test_it_ends_with_its_terminal(fakes: FakeRing):
    async with watching(fakes) as opened:
        await opened.until("public.orders")
        opened.hang_up()
        assert await opened.ended() == 0


async def test_it_follows_a_page(fakes: FakeRing):
    async with page(fakes.settings()) as url, session("monitor", "--url", url) as opened:
        await opened.until("public.orders", "All is well")
        fakes.tables = listed("public.orders", "public.added")
        await opened.until("public.added")
        opened.type(b"q")
        assert await opened.ended() == 0


async def test_a_page_that_goes_away_and_comes_back(fakes: FakeRing):
    settings = fakes.settings()
    async with contextlib.AsyncExitStack() as stack:
        async with page(settings) as url:
            opened = await stack.enter_async_context(session("monitor", "--url", url, columns=140))
            await opened.until("All is well")
        await opened.until("does not answer")
        assert "All is well" in opened.text()  # the last figures stay, marked as old
        port = url.rpartition(":")[2]
        async with page(settings.replace(listen=f"127.0.0.1:{port}")):
            await wait_until(lambda: "All is well" in opened.text() and "answer" not in opened.text(), timeout=30)
        opened.type(b"q")
        assert await opened.ended() == 0


async def test_no_color_and_ascii(fakes: FakeRing):
    async with watching(fakes, "--ascii", NO_COLOR="1") as opened:
        text = await opened.until("public.orders")
        assert text.isascii()
        opened.type(b"q")
        assert await opened.ended() == 0
        assert "\x1b[32m" not in opened.raw
        assert "\x1b[1;31m" not in opened.raw


async def once(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbmazz_cli", "monitor", *arguments],
        cwd=directory,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_without_a_terminal_it_prints_once(fakes: FakeRing, tmp_path: Path):
    answer = await once("--terminal", directory=tmp_path, **addresses(fakes))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "\x1b" not in answer.stdout
    assert answer.stdout.startswith("dbmazz  ")
    for words in ("public.orders", "orders", "payload", "throughput", r"a.\x1b[31m[red]\u202e"):
        assert words in answer.stdout
    assert not any(line.endswith(" ") for line in answer.stdout.splitlines())


async def test_json_is_the_state(fakes: FakeRing, tmp_path: Path):
    answer = await once("--json", directory=tmp_path, **addresses(fakes))
    assert (answer.returncode, answer.stderr) == (0, "")
    state = json.loads(answer.stdout)
    assert {row["name"] for row in state["tables"]["rows"]} == {"public.orders", EVIL}
    assert state["numbers"]["events_per_s"] == 0
    async with page(fakes.settings()) as url:
        followed = await once("--json", "--url", url, directory=tmp_path)
    assert json.loads(followed.stdout)["replicas"][0]["service"] == "reader"


async def test_a_part_that_is_down_is_exit_code_1(fakes: FakeRing, tmp_path: Path):
    await fakes.stop("loader")
    answer = await once("--once", directory=tmp_path, **addresses(fakes))
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "Down: loader" in answer.stdout


async def _no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a gRPC port answers to HTTP/1."""
    await reader.read(1 << 16)
    writer.write(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_who_is_no_monitor_is_told_in_one_line(tmp_path: Path, unused_tcp_port: int):
    answer = await once("--once", "--url", f"http://me:hunter2@127.0.0.1:{unused_tcp_port}", directory=tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"dbmazz: http://127.0.0.1:{unused_tcp_port} does not answer (Connection refused)")
    assert answer.stderr.count("\n") == 1
    answer = await once("--url", "127.0.0.1:1", directory=tmp_path)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    server = await asyncio.start_server(_other, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await once("--once", "--url", f"http://127.0.0.1:{port}", directory=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"dbmazz: http://127.0.0.1:{port} is not the page of a monitor")
    assert answer.stderr.count("\n") == 1
    server = await asyncio.start_server(_no_http, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await once("--once", "--url", f"http://127.0.0.1:{port}", directory=tmp_path)
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith(f"dbmazz: http://127.0.0.1:{port} does not speak HTTP")


async def _other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi")
    await writer.drain()
    writer.close()
