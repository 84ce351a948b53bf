"""docs/grpcurl.md, replayed: every command against a real ring, every answer against the one that is shown.

By a client that has nothing but reflection, and by the real tools where they are: grpcurl and buf, on PATH or named by
$GRPCURL and $BUF.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from dbmazz_sandbox.generators import TABLES, TrafficRun, create_schema
from dbmazz_sandbox.generators.pace import stopped_within

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox
from tests.fixtures.reflection_client import Answer, Command, ReflectionClient
from tests.fixtures.ring import Ring
from tests.fixtures.tour import Step, differences, read_answer, steps

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "grpcurl.md"
STEPS = list(steps(PAGE.read_text()))
TOKEN = "open-sesame-for-the-tour"
RATE = 300
# The generator only inserts its rows; those that leave the large values alone are updated here, often and in one way, so that
# nobody waits long for the one that the page shows.
TOAST_INTERVAL_S = 3600.0
UPDATE = """
UPDATE toast_test SET counter = counter + 1, updated_at = clock_timestamp()
WHERE id = (SELECT min(id) FROM toast_test)
"""
UPDATE_INTERVAL_S = 0.2
# What a command shows depends on what the traffic has just done, so it is given again until it shows it.
SHOWN_WITHIN_S = 40.0

Run = Callable[[list[str]], Answer]


def by_reflection(words: list[str]) -> Answer:
    """The command as our own client runs it."""
    command = Command.parse(words)
    with ReflectionClient(command.address) as client:
        return client.run(command)


def by_grpcurl(words: list[str]) -> Answer:
    """The command as it is."""
    done = subprocess.run(
        [tool("grpcurl"), *words], capture_output=True, text=True, timeout=SHOWN_WITHIN_S, check=False
    )
    return read_answer((done.stdout + done.stderr).strip("\n"))


def by_buf(words: list[str]) -> Answer | None:
    """The same call by `buf curl`; None for `list` and `describe`, which it has no like of."""
    command = Command.parse(words)
    if command.verb != "call":
        return None
    url = f"http://{command.address}/{command.symbol}"
    headers = [word for header in command.headers for word in ("-H", header)]
    arguments = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", *headers, "-d", command.data, url]
    done = subprocess.run(
        [tool("buf"), *arguments], capture_output=True, text=True, timeout=SHOWN_WITHIN_S, check=False
    )
    if not done.returncode:
        return read_answer(done.stdout.strip("\n"))
    error = json.loads(done.stderr)
    code = "".join(word.capitalize() for word in error["code"].split("_"))
    # It prints the details undecoded; that there is one is all it can tell.
    assert [detail["type"] for detail in error["details"]] == ["google.rpc.ErrorInfo"]
    return Answer(error=(code, error["message"], ()))


def by_curl(words: list[str]) -> Answer:
    """`curl -s [-X METHOD] [-d DATA] URL`, for the faults of the sandbox."""
    *options, url = words
    given = dict(zip(options[1::2], options[2::2], strict=True))
    data = given.pop("-d", None)
    method = given.pop("-X", "POST" if data else "GET")
    assert options[0] == "-s" and not given, f"curl {' '.join(words)} is not understood here"
    request = urllib.request.Request(url, data and data.encode(), method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return read_answer(answer.read().decode())


def tool(name: str) -> str:
    """Path of a tool, "" where there is none."""
    return os.environ.get(name.upper()) or shutil.which(name) or ""


def found(name: str, run: Callable) -> object:
    """A parameter that is skipped where the tool is not."""
    reason = f"{name} is neither on PATH nor named by ${name.upper()}"
    return pytest.param(run, id=name, marks=pytest.mark.skipif(not tool(name), reason=reason))


def in_this_ring(words: tuple[str, ...], ring: Ring, sandbox: Sandbox) -> list[str]:
    """The addresses of the page as they are here."""
    places = {
        "localhost:50051": ring["reader"].address,
        "localhost:50052": ring["transformer"].address,
        "localhost:50053": ring["loader"].address,
        "localhost:50054": ring["checkpoint"].address,
        "http://localhost:8031": sandbox.control_url,
        "dbmazz.toast_test": f"{ring.sink_database}.toast_test",
    }
    replaced = list(words)
    for there, here in places.items():
        replaced = [word.replace(there, here) for word in replaced]
    return replaced


def as_on_the_page(answer: Answer, ring: Ring) -> Answer:
    """The database is the ring's own here, and the page's there."""
    renamed = json.loads(json.dumps(answer.messages).replace(f"{ring.sink_database}.toast_test", "dbmazz.toast_test"))
    return Answer(answer.text, renamed, answer.error)


def replay(step: Step, run: Run, ring: Ring, sandbox: Sandbox) -> list[str]:
    """Why the page is wrong about a step; nothing when it is right. Asks again until it is, for a while."""
    program, *words = in_this_ring(step.words, ring, sandbox)
    fields = None
    if program == "grpcurl" and "/" in words[-1]:
        with ReflectionClient(words[-2]) as client:
            fields = client.method(words[-1]).output_type
    shown = step.answer
    if program == "curl":
        run = by_curl
    if run is by_buf and shown.error:
        shown.error = (*shown.error[:2], ())
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while True:
        answer = run(words)
        if answer is None or not (why := differences(shown, as_on_the_page(answer, ring), fields)):
            return []
        if time.monotonic() >= deadline or shown.error or shown.text is not None:
            return [f"{PAGE.name}, line {step.line}: {' '.join(step.words)}", *why]


async def update_one_row(url: str, stop: asyncio.Event) -> None:
    """Until `stop`: updates that leave large values out of the write-ahead log."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while not await stopped_within(stop, UPDATE_INTERVAL_S):
            await connection.execute(UPDATE)


@pytest.mark.parametrize(
    "run", [pytest.param(by_reflection, id="reflection"), found("grpcurl", by_grpcurl), found("buf", by_buf)]
)
async def test_the_tour(run: Run, make_ring: RingMaker, source_db: SourceDatabase, sandbox: Sandbox, seed: int) -> None:
    names = {"SOURCE_SLOT_NAME": "dbmazz_slot", "SOURCE_PUBLICATION_NAME": "dbmazz_pub", "TABLES": ",".join(TABLES)}
    ring = make_ring(settings={**names, "FLUSH_INTERVAL_MS": "500", "CONTROL_TOKEN": TOKEN})
    async with await psycopg.AsyncConnection.connect(source_db.url) as connection:
        await create_schema(connection)
    ring.start()
    await ring.streaming(90)
    traffic = TrafficRun(source_db.url, rate=RATE, toast_interval_s=TOAST_INTERVAL_S, seed=seed, connections=1)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run())
        group.create_task(update_one_row(source_db.url, stop))
        try:
            for step in STEPS:
                why = await asyncio.to_thread(replay, step, run, ring, sandbox)
                assert not why, "\n".join(why)
                ring.assert_alive()
        finally:
            traffic.stop()
            stop.set()


def test_the_tour_is_whole() -> None:
    """Every service is visited, and every RPC that is made for people."""
    called = {step.words[-1].removeprefix("dbmazz.v1.") for step in STEPS}
    assert called >= {
        *("ReaderService/GetStatus", "ReaderService/ListTables", "ReaderService/TailChanges"),
        *("TransformerService/GetStatus", "TransformerService/TailLoads", "TransformerService/ListSignatures"),
        *("LoaderService/GetStatus", "LoaderService/ListLoads"),
        *("CheckpointService/GetStatus", "CheckpointService/GetCheckpoint", "CheckpointService/ListCheckpoints"),
        *("CheckpointService/StreamMetrics", "grpc.health.v1.Health/Check"),
        *("ReaderService/Pause", "ReaderService/Resume", "ReaderService/Drain", "ReaderService/ReloadConfig"),
    }
    assert {step.words[0] for step in STEPS} == {"grpcurl", "curl"}
    assert all(step.shown for step in STEPS)
    assert sum(step.answer.error is not None for step in STEPS) >= 6
