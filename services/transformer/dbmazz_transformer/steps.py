"""What a lane sends, one after the other: the loads of a window, a schema action, or nothing but the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dbmazz.errors import DbmazzError
from dbmazz.relation import Relation

from dbmazz_transformer.backlog import Covered
from dbmazz_transformer.protocol.layout import Target
from dbmazz_transformer.protocol.outcome import Outcome, Verdict
from dbmazz_transformer.protocol.plan import Load, Progress

# Parts of one window that are loaded at the same time; StarRocks counts every load as a version.
PARTS_AT_ONCE = 8

Send = Callable[[Load], Awaitable[Outcome]]
Apply = Callable[[Relation, int, int, Progress | None], Awaitable[tuple[Outcome, Target | None]]]


class LoadStep:
    """A window. Parts that are loaded are not sent again when a sister has to be."""

    def __init__(self, loads: tuple[Load, ...], covered: Covered, send: Send, loaded: Callable[[Load], None]) -> None:
        self.covered = covered
        self._remaining = list(loads)
        self._send = send
        self._loaded = loaded

    async def attempt(self) -> list[Outcome]:
        """Sends the parts that are not loaded yet, side by side; one outcome each."""
        slots = asyncio.Semaphore(PARTS_AT_ONCE)

        async def send(load: Load) -> Outcome:
            async with slots:
                return await self._send(load)

        async with asyncio.TaskGroup() as parts:
            sending = [(load, parts.create_task(send(load))) for load in self._remaining]
        outcomes = [task.result() for _, task in sending]
        self._remaining = [load for load, task in sending if task.result().verdict is not Verdict.LOADED]
        for load, task in sending:
            if task.result().verdict is Verdict.LOADED:
                self._loaded(load)
        return outcomes


class SchemaStep:
    """A schema action. `applied` gets the target as it is then, and may refuse it with a DbmazzError: asked again later."""

    def __init__(
        self,
        relation: Relation,
        action: int,
        barrier_lsn: int,
        progress: Progress | None,
        covered: Covered,
        apply: Apply,
        applied: Callable[[Target], None],
    ) -> None:
        self.covered = covered
        self._request = (relation, action, barrier_lsn, progress)
        self._apply = apply
        self._applied = applied

    async def attempt(self) -> list[Outcome]:
        """Asks a loader; a list of one outcome."""
        outcome, target = await self._apply(*self._request)
        if outcome.verdict is Verdict.LOADED:
            if target is None:
                return [Outcome(Verdict.PARK, "the loader applied the schema but did not tell the target table")]
            try:
                self._applied(target)
            except DbmazzError as error:
                return [Outcome(Verdict.PARK, str(error))]
        return [outcome]


class HoldStep:
    """A window that cannot be made: the lane stays parked, and says why, until the reader takes it away."""

    def __init__(self, message: str) -> None:
        self.covered = Covered()
        self._message = message

    async def attempt(self) -> list[Outcome]:
        """Always the same."""
        return [Outcome(Verdict.PARK, self._message)]


Step = LoadStep | SchemaStep | HoldStep
