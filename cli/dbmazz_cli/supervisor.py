"""Keeps child processes running: restarts what dies, gives up where only a person can help, drains stage by stage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from dbmazz.backoff import Backoff
from dbmazz.errors import DbmazzError

from dbmazz_cli.child import Child, Exit, Program, Relay

T = TypeVar("T")

# From the start of the process to its announcement; imports take most of it, on a busy machine.
START_S = 60.0
# Each service promises to drain in less than 10 s.
GRACE_S = 15.0
# A run that was shorter says that the next one will end in the same way.
STEADY_S = 10.0
ATTEMPTS = 5

_CONFIG_EXIT = 2


class Fate(Enum):
    """What becomes of a program whose process has ended unasked."""

    RESTART = "restart"
    GIVE_UP = "give up"


def fate_of(end: Exit, failures: int, previous: Exit | None = None) -> Fate:
    """Decides by how the run ended; `failures` counts the runs before it, in a row, that were not steady.

    Exit code 2, or another with an error line, is the child saying that no retry can heal it. After a steady run it may
    be the world that has changed: that gets one more attempt, and the same line again is final.
    """
    final = end.code == _CONFIG_EXIT or (end.code > 0 and end.error != "")
    steady = end.announced and end.uptime_s >= STEADY_S
    repeated = previous is not None and (previous.code, previous.error) == (end.code, end.error)
    if final and (repeated or not steady):
        return Fate.GIVE_UP
    if failures + 1 >= ATTEMPTS and not end.announced:
        return Fate.GIVE_UP
    return Fate.RESTART


class GaveUp(DbmazzError):
    """A child cannot be kept running; the message is its own line."""

    def __init__(self, name: str, end: Exit) -> None:
        super().__init__(f"{name}: {end.error}" if end.error else f"the {name} ends by itself ({end.how})")
        self.name = name
        self.end = end
        self.exit_code = _CONFIG_EXIT if end.code == _CONFIG_EXIT else 1


@dataclass
class _Post:
    """One program and the process that runs it now."""

    program: Program
    child: Child | None = None
    announcement: dict = field(default_factory=dict)
    announced: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Children in stages, through `supervised`. Stages drain in the order given, each when the one before is gone."""

    def __init__(self, stages: Sequence[Sequence[Program]], relay: Relay, hurry: asyncio.Event | None = None) -> None:
        self._stages = [[_Post(program) for program in stage] for stage in stages]
        self._relay = relay
        self._hurry = hurry or asyncio.Event()
        self._stopping = asyncio.Event()
        self._failed = asyncio.Event()
        self._failure: GaveUp | None = None
        # Waits for the other stages before the first one starts.
        self._starting: asyncio.Task[None] | None = None

    @property
    def _posts(self) -> list[_Post]:
        return [post for stage in self._stages for post in stage]

    def announcements(self) -> dict[str, dict]:
        """What each program said when it was ready, by name."""
        return {post.program.name: post.announcement for post in self._posts}

    def pids(self) -> dict[str, int]:
        """The present process of each program, 0 while it has none."""
        return {post.program.name: post.child.pid if post.child else 0 for post in self._posts}

    async def all_announced(self) -> None:
        """Returns when every program has said once that it serves."""
        for post in self._posts:
            await post.announced.wait()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work`; cancels it and raises GaveUp, in an ExceptionGroup, when a child is given up meanwhile."""
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._raise_failure())
            try:
                return await work
            finally:
                watcher.cancel()

    async def _raise_failure(self) -> None:
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    def start(self, group: asyncio.TaskGroup) -> None:
        """Starts everything but the first stage at once: any order works, because peers dial each other with back-off.

        The first stage, which is the first to touch what is outside, waits until the others have started: where one of them
        refuses its settings, nothing is changed.
        """
        for stage in self._stages[1:]:
            for post in stage:
                group.create_task(self._keep(post))
        self._starting = group.create_task(self._start_first(group))

    async def _start_first(self, group: asyncio.TaskGroup) -> None:
        for stage in self._stages[1:]:
            for post in stage:
                await post.announced.wait()
        for post in self._stages[0]:
            group.create_task(self._keep(post))

    async def _keep(self, post: _Post) -> None:
        backoff = Backoff(first_s=0.2, cap_s=10.0)
        previous = None
        while not self._stopping.is_set():
            end = await self._run_once(post)
            if self._stopping.is_set():
                return
            if end.announced and end.uptime_s >= STEADY_S:
                backoff.reset()
            if not post.program.restart or fate_of(end, backoff.attempts, previous) is Fate.GIVE_UP:
                self._failure = self._failure or GaveUp(post.program.name, end)
                self._failed.set()
                return
            previous = end
            delay = backoff.next_delay()
            self._relay(post.program.name, f"ended ({end.how}), starts again in {delay:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self, post: _Post) -> Exit:
        child = post.child = Child(post.program, self._relay)
        try:
            async with asyncio.TaskGroup() as group:
                clerk = group.create_task(self._take_announcement(post, child))
                end = await child.run()
                clerk.cancel()
            return end
        except* OSError as group_of_errors:
            reason = next(iter(group_of_errors.exceptions))
            self._relay(post.program.name, f"cannot be started ({getattr(reason, 'strerror', reason)})")
        finally:
            post.child = None
        return Exit(_CONFIG_EXIT, "cannot be started", False, 0.0)

    async def _take_announcement(self, post: _Post, child: Child) -> None:
        try:
            await asyncio.wait_for(child.announced.wait(), START_S)
        except TimeoutError:
            self._relay(post.program.name, f"did not say within {START_S:g} s that it serves; killed")
            child.kill()
            return
        post.announcement = child.announcement
        post.announced.set()
        if address := child.announcement.get("address"):
            # A free port that was taken is kept by the next run, because the peers know it.
            environment = {**(post.program.environment or {}), "LISTEN": address}
            post.program = replace(post.program, environment=environment)

    async def drain(self) -> None:
        """SIGTERM to one stage after the other; whoever is not gone after the grace, or in a hurry, is killed."""
        self._stopping.set()
        if self._starting is not None:
            self._starting.cancel()
        for stage in self._stages:
            children = [post.child for post in stage if post.child is not None]
            for child in children:
                child.terminate()
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(self._see_off(child))

    async def _see_off(self, child: Child) -> None:
        async with asyncio.TaskGroup() as group:
            hurry = group.create_task(self._hurry.wait())
            gone = group.create_task(child.ended.wait())
            await asyncio.wait((gone, hurry), timeout=GRACE_S, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                self._relay(child.program.name, "does not end; killed")
                child.kill()
                await gone
            hurry.cancel()


@contextlib.asynccontextmanager
async def supervised(
    stages: Sequence[Sequence[Program]], relay: Relay, hurry: asyncio.Event | None = None
) -> AsyncIterator[Supervisor]:
    """Runs the programs while the body runs, and drains them however it ends. `hurry`: when set, draining becomes killing."""
    supervisor = Supervisor(stages, relay, hurry)
    async with asyncio.TaskGroup() as group:
        supervisor.start(group)
        try:
            yield supervisor
        finally:
            await supervisor.drain()
