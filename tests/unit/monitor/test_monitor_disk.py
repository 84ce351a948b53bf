"""The monitor needs no disk: it serves where nothing can be written, and where its log cannot be, either."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from tests.fixtures.ring import free_port
from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import FakeRing, fake_ring

FULL = Path("/dev/full")


# Any write to any file fails as on a full disk (EFBIG); pipes and sockets are not files.
NO_FILE_MAY_GROW = [
    sys.executable,
    "-c",
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); os.execv(sys.argv[1], sys.argv[1:])",
]


def start(before: list[str], **options) -> subprocess.Popen:
    return subprocess.Popen([*before, sys.executable, "-m", "dbmazz_monitor"], **options)


@contextlib.asynccontextmanager
async def running(
    fakes: FakeRing, directory: Path, log: IO | int, out: IO | int, before: Sequence[str] = ()
) -> AsyncIterator[str]:
    """`python -m dbmazz_monitor` in `directory`, started by `before`; the base of its URLs."""
    port = free_port()
    variables = {
        **{f"{service.upper()}_ADDRESS": address for service, address in fakes.addresses.items()},
        "LISTEN": f"127.0.0.1:{port}",
        "LOG_LEVEL": "DEBUG",
        # Counting fails all the time, and is logged.
        "SOURCE_URL": "postgresql://me@127.0.0.1:1/none",
        "SINK_URL": "http://127.0.0.1:1",
        "SINK_PORT": "1",
        "HOME": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "PATH": os.environ["PATH"],
    }
    process = start(before, cwd=directory, env=variables, stdout=out, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


async def shows_the_ring(base: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def state() -> dict | None:
            try:
                async with session.get(f"{base}/api/state") as response:
                    found = await response.json()
            except aiohttp.ClientConnectionError:
                return None
            texts = " ".join(problem["text"] for problem in found.get("problems", ()))
            complete = "PostgreSQL: " in texts and "StarRocks at " in texts and found["tables"]["totals"]["tables"] == 2
            return found if complete else None

        before = await wait_until(state, timeout=20)

        async def moved() -> bool:
            return (await state())["time_ms"] > before["time_ms"]

        await wait_until(moved)
        async with session.get(f"{base}/") as response:
            assert response.status == 200


async def test_where_no_file_can_be_written(tmp_path: Path):
    directory = tmp_path / "empty"
    directory.mkdir(mode=0o500)
    with (tmp_path / "log").open("wb") as log:
        async with fake_ring() as fakes, running(fakes, directory, log, log, NO_FILE_MAY_GROW) as base:
            await shows_the_ring(base)
    assert (tmp_path / "log").read_bytes() == b""
    assert list(directory.iterdir()) == []


@pytest.fixture
def full_disk() -> Iterator[IO]:
    with FULL.open("wb") as full:
        yield full


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
async def test_with_its_log_on_a_full_disk(tmp_path: Path, full_disk: IO):
    async with fake_ring() as fakes, running(fakes, tmp_path, full_disk, full_disk) as base:
        await shows_the_ring(base)


async def test_the_address_is_announced_where_there_is_room(tmp_path: Path):
    with (tmp_path / "out").open("wb") as out:
        async with fake_ring() as fakes, running(fakes, tmp_path, subprocess.DEVNULL, out) as base:
            await wait_until(lambda: (tmp_path / "out").read_bytes().endswith(b"\n"))
            assert json.loads((tmp_path / "out").read_bytes())["address"] == base.removeprefix("http://")
