"""A transaction of several tables as the FE holds it: its states, and what it has of each table. No I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from dbmazz_sandbox.starrocks.backends import BackendNode
from dbmazz_sandbox.starrocks.labels import Transaction
from dbmazz_sandbox.starrocks.transactions.reply import Counts
from dbmazz_sandbox.starrocks.transactions.work import TableWork


class TaskState(enum.StrEnum):
    """StarRocks' own spelling: it shows in ExistingJobStatus."""

    BEGIN = "BEGIN"
    COMMITING = "COMMITING"
    COMMITED = "COMMITED"
    CANCELLED = "CANCELLED"


TASKS = {
    TaskState.BEGIN: frozenset({TaskState.COMMITING, TaskState.CANCELLED}),
    TaskState.COMMITING: frozenset({TaskState.COMMITED, TaskState.CANCELLED}),
    TaskState.COMMITED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}


@dataclass(slots=True)
class Share:
    """One table's part. `ident` is the number that messages name; `busy` while one of its loads runs."""

    ident: int
    node: BackendNode
    work: TableWork
    counts: Counts
    busy: bool = False


@dataclass(slots=True)
class Task:
    """`problem` is why it was cancelled; `ended` in Unix seconds."""

    transaction: Transaction
    state: TaskState = TaskState.BEGIN
    shares: dict[str, Share] = field(default_factory=dict)
    problem: str = ""
    ended: float = 0.0

    def move(self, state: TaskState) -> None:
        if state not in TASKS[self.state]:
            raise ValueError(f"transaction {self.transaction.ident} cannot go from {self.state} to {state}")
        self.state = state

    @property
    def name(self) -> str:
        return f"transaction {self.transaction.ident}, label is {self.transaction.label}"
