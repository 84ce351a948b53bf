"""Loads under way. One label has one job, however many calls ask for it, and the job outlives them: what StarRocks has
begun must be finished and reported, or nobody would know what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from dbmazz.errors import DbmazzError
from dbmazz.v1 import load_pb2

log = structlog.get_logger("dbmazz.loader")


class JobBroke(DbmazzError):
    """A defect of this program; the load may be sent again."""


@dataclass
class Patience:
    """Until when somebody waits for a job, on the event loop's clock. With nobody left nothing new is begun: whoever hung
    up may have given the rows to another loader, and sent late they would undo a hard delete."""

    _deadlines: list[float] = field(default_factory=list)

    def join(self, deadline: float) -> None:
        self._deadlines.append(deadline)

    def leave(self, deadline: float) -> None:
        self._deadlines.remove(deadline)

    @property
    def deadline(self) -> float:
        return max(self._deadlines, default=float("-inf"))


@dataclass
class _Job:
    patience: Patience
    outcome: asyncio.Future[load_pb2.LoadResponse]
    task: asyncio.Task[None] | None = None


class InFlight:
    """The jobs of one process, all of them tasks of the service's group."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._jobs: dict[str, _Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    async def run(
        self, label: str, deadline: float, start: Callable[[Patience], Awaitable[load_pb2.LoadResponse]]
    ) -> load_pb2.LoadResponse:
        """Starts the job of a label, or joins the one that runs. Cancelling this call leaves the job alone."""
        job = self._jobs.get(label)
        if job is None:
            job = _Job(Patience(), asyncio.get_running_loop().create_future())
            self._jobs[label] = job
            job.task = self._tasks.create_task(self._work(label, job, start), name=f"load {label}")
        else:
            log.info("load_joined", label=label)
        job.patience.join(deadline)
        try:
            return await asyncio.shield(job.outcome)
        finally:
            job.patience.leave(deadline)

    async def _work(self, label: str, job: _Job, start: Callable[[Patience], Awaitable[load_pb2.LoadResponse]]) -> None:
        try:
            response = await start(job.patience)
        except Exception as error:
            # A defect in one load must not end the group, and with it the loads of all other tables.
            log.exception("load_broke", label=label)
            job.outcome.set_exception(
                JobBroke(f"the load ended with {type(error).__name__}; the loader's log has more")
            )
            job.outcome.exception()  # seen, even when nobody waits any more
        else:
            job.outcome.set_result(response)
        finally:
            del self._jobs[label]
            if not job.outcome.done():
                job.outcome.cancel()

    async def drain(self, timeout: float) -> None:
        """Waits for the running jobs; what is not done by then is cancelled, and will be sent again by its sender."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            log.warning("loads_cancelled", count=len(late))
            await asyncio.wait(late)
