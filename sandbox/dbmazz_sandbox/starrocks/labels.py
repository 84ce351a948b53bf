"""Load transactions by label (starrocks.md 3.4, 3.5): deduplication, states, retention. No clock: times come in."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError

LABEL_KEEP_MAX_NUM = 1000  # finished transactions per database
LABEL_KEEP_MAX_SECONDS = 259200
MAX_RUNNING = 1000  # max_running_txn_num_per_db
_LABEL = re.compile(r"[-\w]{1,128}", re.ASCII)


class State(enum.StrEnum):
    UNKNOWN = "UNKNOWN"
    PREPARE = "PREPARE"
    COMMITTED = "COMMITTED"
    VISIBLE = "VISIBLE"
    ABORTED = "ABORTED"


# What a transaction may become; a final state has no successor.
TRANSITIONS = {
    State.PREPARE: frozenset({State.COMMITTED, State.VISIBLE, State.ABORTED}),
    State.COMMITTED: frozenset({State.VISIBLE}),
    State.VISIBLE: frozenset(),
    State.ABORTED: frozenset(),
}


@dataclass(slots=True)
class Transaction:
    ident: int
    database: str
    label: str
    state: State = State.PREPARE
    reason: str = ""
    finished: float = 0.0  # Unix seconds
    visible_at: float = 0.0  # while COMMITTED: when publishing ends

    def move(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"transaction {self.ident} cannot go from {self.state} to {state}")
        self.state = state


class Labels:
    """The transactions of all databases, oldest first."""

    def __init__(self, next_id: int = 1) -> None:
        self._next = next_id
        self._databases: dict[str, dict[int, Transaction]] = {}

    def restore(self, transaction: Transaction) -> None:
        """Take a finished transaction of an earlier run back in, oldest first."""
        self._databases.setdefault(transaction.database, {})[transaction.ident] = transaction
        self._next = max(self._next, transaction.ident + 1)

    def begin(self, database: str, label: str, now: float) -> Transaction:
        """Raises LoadError for a bad label, LabelExists for one that a non-aborted transaction holds."""
        if _LABEL.fullmatch(label) is None:
            raise LoadError(
                "Getting analyzing error. Detail message: Label format error. regex: ^[-\\w]{1,128}$, label: " + label
            )
        self._publish(database, now)
        transactions = self._databases.setdefault(database, {})
        for other in transactions.values():
            if other.label == label and other.state is not State.ABORTED:
                raise LabelExists(label, "RUNNING" if other.state is State.PREPARE else "FINISHED")
        running = sum(1 for other in transactions.values() if other.state is State.PREPARE)
        if running >= MAX_RUNNING:
            raise LoadError(f"current running txns on db {database} is {running}, larger than limit {MAX_RUNNING}")
        transaction = Transaction(self._next, database, label)
        transactions[self._next] = transaction
        self._next += 1
        return transaction

    def finish(self, transaction: Transaction, state: State, now: float, reason: str = "") -> None:
        transaction.move(state)
        transaction.finished, transaction.reason = now, reason
        self._expire(transaction.database, now)

    def state(self, database: str, label: str, now: float) -> tuple[State, str]:
        """State and reason of the newest transaction with that label; UNKNOWN when there is none."""
        self._publish(database, now)
        found = [t for t in self._databases.get(database, {}).values() if t.label == label]
        return (found[-1].state, found[-1].reason) if found else (State.UNKNOWN, "")

    def transactions(self) -> Iterator[Transaction]:
        """All that are remembered, oldest first within a database."""
        for transactions in list(self._databases.values()):
            yield from list(transactions.values())

    def drop_database(self, database: str) -> None:
        self._databases.pop(database, None)

    def _publish(self, database: str, now: float) -> None:
        for transaction in self._databases.get(database, {}).values():
            if transaction.state is State.COMMITTED and transaction.visible_at <= now:
                transaction.move(State.VISIBLE)

    def _expire(self, database: str, now: float) -> None:
        transactions = self._databases[database]
        final = [t for t in transactions.values() if not TRANSITIONS[t.state]]
        surplus = len(final) - LABEL_KEEP_MAX_NUM
        for position, transaction in enumerate(final):
            if position >= surplus and now - transaction.finished <= LABEL_KEEP_MAX_SECONDS:
                break
            del transactions[transaction.ident]
