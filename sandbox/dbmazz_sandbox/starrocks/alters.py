"""ALTER TABLE as a job: its states over time, one job per table at a time (starrocks.md 6; SchemaChangeJobV2).

No clock and no I/O: times come in, `Cluster` carries the change out when a job is due.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from dbmazz_sandbox.starrocks.errors import SqlError

KEPT = 100  # ended jobs remembered
USER_CANCELLED = "user cancelled"


class JobState(enum.StrEnum):
    PENDING = "PENDING"
    WAITING_TXN = "WAITING_TXN"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    CANCELLED = "CANCELLED"


TRANSITIONS = {
    JobState.PENDING: frozenset({JobState.WAITING_TXN, JobState.CANCELLED}),
    JobState.WAITING_TXN: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.FINISHED, JobState.CANCELLED}),
    JobState.FINISHED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
# The share of a job's time at which it enters a state.
_STARTS = ((JobState.WAITING_TXN, 0.1), (JobState.RUNNING, 0.25))


@dataclass(slots=True)
class Job:
    """One ALTER under way. `clauses` is what follows `ALTER TABLE name`: it is carried out when the time is up.
    `seconds` is how long it takes; a `failure` ends it CANCELLED with that message. Times are Unix seconds."""

    ident: int
    database: str
    table: str
    table_ident: int
    clauses: str
    created: float
    seconds: float
    failure: str = ""
    state: JobState = JobState.PENDING
    finished: float = 0.0
    message: str = ""

    def move(self, state: JobState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"alter job {self.ident} cannot go from {self.state} to {state}")
        self.state = state

    def advance(self, now: float) -> None:
        """Enter the states that time has brought; the end needs `end`."""
        share = (now - self.created) / self.seconds if self.seconds else 1.0
        for state, start in _STARTS:
            if share >= start and state in TRANSITIONS[self.state]:
                self.move(state)

    def due(self, now: float) -> bool:
        return now >= self.created + self.seconds

    def progress(self, now: float) -> str | None:
        """Tasks done of all, while RUNNING."""
        if self.state is not JobState.RUNNING:
            return None
        start = _STARTS[-1][1]
        share = (now - self.created) / self.seconds if self.seconds else 1.0
        return f"{min(9, int(10 * max(share - start, 0) / (1 - start)))}/10"

    def end(self, now: float, message: str = "") -> None:
        """FINISHED, or CANCELLED for a reason."""
        self.advance(self.created + self.seconds if not message else now)
        self.move(JobState.CANCELLED if message else JobState.FINISHED)
        self.finished, self.message = now, message

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self.state]


class Alters:
    """The jobs under way, and those that were cancelled; a finished one becomes a row of its table."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def running(self, table_ident: int) -> Job | None:
        return next((job for job in self._jobs if job.table_ident == table_ident and not job.ended), None)

    def check_normal(self, table_ident: int, name: str) -> None:
        """Raises when the table has a job under way."""
        if self.running(table_ident) is not None:
            raise SqlError.ddl(f"Table[{name}]'s is not in NORMAL state")

    def begin(self, job: Job) -> None:
        self._jobs.append(job)

    def due(self, now: float) -> list[Job]:
        return [job for job in self._jobs if not job.ended and job.due(now)]

    def cancel(self, table_ident: int, name: str, now: float) -> None:
        """CANCEL ALTER TABLE COLUMN. Raises when there is nothing to cancel."""
        job = self.running(table_ident)
        if job is None:
            raise SqlError.ddl(f"Table[{name}] is not under SCHEMA_CHANGE/WAITING_STABLE.")
        job.advance(now)
        job.end(now, USER_CANCELLED)
        self.trim()

    def trim(self) -> None:
        """Forget finished jobs (their tables have them) and the oldest cancelled ones."""
        ended = [job for job in self._jobs if job.state is JobState.CANCELLED][-KEPT:]
        self._jobs = [job for job in self._jobs if not job.ended or job in ended]

    def of_database(self, database: str, now: float) -> Iterator[Job]:
        for job in self._jobs:
            if job.database == database:
                if not job.ended:
                    job.advance(now)
                yield job

    def forget(self, table_ident: int) -> None:
        """The table is gone."""
        self._jobs = [job for job in self._jobs if job.table_ident != table_ident]

    def to_rows(self) -> list[dict[str, object]]:
        return [asdict(job) for job in self._jobs]

    def restore(self, rows: list[dict]) -> None:
        self._jobs = [Job(**{**row, "state": JobState(row["state"])}) for row in rows]


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
