"""A transaction of one table as its BE knows it (StreamLoadContext). No I/O."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dbmazz_sandbox.starrocks.labels import Transaction
from dbmazz_sandbox.starrocks.transactions.reply import Counts
from dbmazz_sandbox.starrocks.transactions.work import TableWork

CLEAN_INTERVAL_S = 30  # idle_transaction_timeout counts from here on


class Phase(enum.StrEnum):
    BEGUN = "begun"  # no load yet
    LOADING = "loading"
    ENDING = "ending"  # prepare, commit or rollback runs
    GONE = "gone"


PHASES = {
    Phase.BEGUN: frozenset({Phase.LOADING, Phase.ENDING}),
    Phase.LOADING: frozenset({Phase.LOADING, Phase.ENDING}),
    Phase.ENDING: frozenset({Phase.GONE}),
    Phase.GONE: frozenset(),
}


@dataclass(slots=True)
class Context:
    """One transaction as its BE knows it (StreamLoadContext). Times in Unix seconds; `idle` 0: no such timeout. `denied`
    asks the FE again why the credentials of begin are refused, "" if they are not."""

    transaction: Transaction
    work: TableWork
    idle: int
    active: float
    denied: Callable[[], str]
    phase: Phase = Phase.BEGUN
    busy: bool = False
    counts: Counts = field(default_factory=Counts)
    error_url: str = ""
    started: float = field(default_factory=time.monotonic)

    def move(self, phase: Phase) -> None:
        if phase not in PHASES[self.phase]:
            raise ValueError(f"transaction {self.transaction.ident} cannot go from {self.phase} to {phase}")
        self.phase = phase

    @property
    def deadline(self) -> float:
        return self.active + self.idle + CLEAN_INTERVAL_S if self.idle and not self.busy else 0.0
