"""The supervisor, over small processes that behave and misbehave like services."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dbmazz.backoff import Backoff
from dbmazz_cli import supervisor as supervisor_module
from dbmazz_cli.child import Exit, Program
from dbmazz_cli.supervisor import Fate, GaveUp, fate_of, supervised

from tests.fixtures.waiting import wait_until

FAKE = str(Path(__file__).with_name("fake_service.py"))
KEEPER = str(Path(__file__).with_name("keeper.py"))


class Journal:
    """What the fake services wrote down, and what was relayed from them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.relayed: list[tuple[str, str]] = []

    def relay(self, name: str, line: str) -> None:
        self.relayed.append((name, line))

    def events(self, event: str) -> list[list[str]]:
        """[name, detail] of each occurrence, in order."""
        lines = [line.split(" ") for line in self.path.read_text().splitlines()] if self.path.exists() else []
        return [[name, *detail] for name, kind, *detail in lines if kind == event]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def fake(journal: Journal) -> Callable[..., Program]:
    def program(name: str, behaviour: str = "good", **options: bool) -> Program:
        return Program(
            name, (sys.executable, "-S", FAKE, str(journal.path), name, behaviour), dict(os.environ), **options
        )

    return program


def running(pids: list[int]) -> list[int]:
    """Those that exist and are more than a zombie."""
    alive = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
    return alive


async def test_a_killed_child_is_started_again_on_its_address(journal: Journal, fake: Callable[..., Program]) -> None:
    async with supervised([[fake("reader")]], journal.relay) as supervisor:
        await asyncio.wait_for(supervisor.all_announced(), 10)
        assert supervisor.announcements()["reader"]["address"] == "127.0.0.1:4711"
        first = supervisor.pids()["reader"]
        os.kill(first, signal.SIGKILL)
        await wait_until(lambda: len(journal.events("start")) == 2)
        assert supervisor.pids()["reader"] not in (0, first)
        await wait_until(lambda: len(journal.events("listen")) == 2)
        assert journal.events("listen")[1] == ["reader", "127.0.0.1:4711"]
    assert any("SIGKILL" in line for _, line in journal.relayed)
    assert running([int(pid) for _, pid in journal.events("start")]) == []


@pytest.mark.parametrize(
    ("behaviour", "code", "line"),
    [
        ("bad-config", 2, "reader: SOURCE_URL is not set. It takes a URL"),
        ("refused", 1, "reader: the slot is lost. Choose"),
    ],
)
async def test_a_child_that_only_a_person_can_help_ends_everything(
    journal: Journal, fake: Callable[..., Program], behaviour: str, code: int, line: str
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with supervised([[fake("reader", behaviour)], [fake("loader")]], journal.relay) as supervisor:
            await supervisor.guard(asyncio.wait_for(asyncio.Event().wait(), 10))
    error = caught.value.exceptions[0]
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, GaveUp)
    assert str(error) == line
    assert error.exit_code == code
    assert [name for name, _ in journal.events("start")].count("reader") == 1
    assert running([int(pid) for _, pid in journal.events("start")]) == []


async def test_a_child_that_crashes_before_it_serves_is_given_up_after_some_attempts(
    journal: Journal, fake: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "Backoff", lambda **_: Backoff(first_s=0.001, cap_s=0.001))
    with pytest.raises(ExceptionGroup) as caught:
        async with supervised([[fake("reader", "crash-at-start")]], journal.relay) as supervisor:
            await supervisor.guard(asyncio.wait_for(asyncio.Event().wait(), 10))
    assert caught.value.split(GaveUp)[1] is None
    assert len(journal.events("start")) == supervisor_module.ATTEMPTS


async def test_a_program_that_must_not_end_is_not_started_again(journal: Journal, fake: Callable[..., Program]) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with supervised([[fake("sandbox", restart=False)]], journal.relay) as supervisor:
            await asyncio.wait_for(supervisor.all_announced(), 10)
            os.kill(supervisor.pids()["sandbox"], signal.SIGKILL)
            await supervisor.guard(asyncio.wait_for(asyncio.Event().wait(), 10))
    assert caught.value.split(GaveUp)[1] is None
    assert len(journal.events("start")) == 1


async def test_stages_drain_in_order(journal: Journal, fake: Callable[..., Program]) -> None:
    stages = [[fake("reader")], [fake("transformer-1"), fake("transformer-2")], [fake("loader")], [fake("checkpoint")]]
    async with supervised(stages, journal.relay) as supervisor:
        await asyncio.wait_for(supervisor.all_announced(), 10)
    drained = [name for name, *_ in journal.events("drained")]
    assert drained[0] == "reader"
    assert set(drained[1:3]) == {"transformer-1", "transformer-2"}
    assert drained[3:] == ["loader", "checkpoint"]


async def test_a_deaf_child_is_killed_in_a_hurry(journal: Journal, fake: Callable[..., Program]) -> None:
    hurry = asyncio.Event()
    async with supervised([[fake("reader", "deaf")], [fake("loader")]], journal.relay, hurry) as supervisor:
        await asyncio.wait_for(supervisor.all_announced(), 10)
        pids = list(supervisor.pids().values())
        hurry.set()
    assert running(pids) == []


async def test_a_deaf_child_is_killed_after_the_grace(
    journal: Journal, fake: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "GRACE_S", 0.2)
    async with supervised([[fake("reader", "deaf")]], journal.relay) as supervisor:
        await asyncio.wait_for(supervisor.all_announced(), 10)
        pids = list(supervisor.pids().values())
    assert running(pids) == []
    assert ("reader", "does not end; killed") in journal.relayed


async def test_a_line_of_any_length_passes(journal: Journal, fake: Callable[..., Program]) -> None:
    async with supervised([[fake("reader", "long-line")]], journal.relay) as supervisor:
        await asyncio.wait_for(supervisor.all_announced(), 10)
        await wait_until(lambda: sum(len(line) for _, line in journal.relayed) >= 200_000)
    assert {character for _, line in journal.relayed for character in line} == {"x"}


async def test_no_child_outlives_a_killed_supervisor(journal: Journal) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent has died")
    keeper = await asyncio.create_subprocess_exec(sys.executable, KEEPER, FAKE, str(journal.path))
    try:
        await wait_until(lambda: len(journal.events("start")) == 2)
        pids = [int(pid) for _, pid in journal.events("start")]
        assert running(pids) == pids
    finally:
        keeper.kill()
        await keeper.wait()
    await wait_until(lambda: running(pids) == [])
    assert journal.events("drained") == []


@pytest.mark.parametrize(
    ("end", "failures", "previous", "fate"),
    [
        (Exit(-9, "", True, 1.0), 0, None, Fate.RESTART),
        (Exit(-9, "", True, 1.0), 50, None, Fate.RESTART),
        (Exit(1, "", True, 60.0), 0, None, Fate.RESTART),
        (Exit(0, "", True, 60.0), 0, None, Fate.RESTART),
        (Exit(1, "the slot is lost", True, 60.0), 0, None, Fate.RESTART),
        (Exit(1, "the slot is lost", True, 60.0), 1, Exit(1, "the slot is lost", True, 60.0), Fate.GIVE_UP),
        (Exit(1, "the slot is lost", True, 1.0), 0, None, Fate.GIVE_UP),
        (Exit(2, "", False, 0.1), 0, None, Fate.GIVE_UP),
        (Exit(1, "", False, 0.1), 0, None, Fate.RESTART),
        (Exit(1, "", False, 0.1), supervisor_module.ATTEMPTS - 1, None, Fate.GIVE_UP),
    ],
)
def test_fate(end: Exit, failures: int, previous: Exit | None, fate: Fate) -> None:
    assert fate_of(end, failures, previous) is fate
