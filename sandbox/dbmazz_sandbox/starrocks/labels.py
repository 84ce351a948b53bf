"""Load transactions by label (starrocks.md 3.4, 3.5): deduplication, states, retention. No clock: times come in."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError

LABEL_KEEP_MAX_NUM = 1000  # finished transactions per database
LABEL_KEEP_MAX_SECONDS = 259200
MAX_RUNNING = 1000  # max_running_txn_num_per_db
TIMED_OUT = "timeout by txn manager"
_LABEL = re.compile(r"[-\w]{1,128}", re.ASCII)


class State(enum.StrEnum):
    UNKNOWN = "UNKNOWN"
    PREPARE = "PREPARE"
    PREPARED = "PREPARED"
    COMMITTED = "COMMITTED"
    VISIBLE = "VISIBLE"
    ABORTED = "ABORTED"


# What a transaction may become; a final state has no successor.
TRANSITIONS = {
    State.PREPARE: frozenset({State.PREPARED, State.COMMITTED, State.VISIBLE, State.ABORTED}),
    State.PREPARED: frozenset({State.COMMITTED, State.VISIBLE, State.ABORTED}),
    State.COMMITTED: frozenset({State.VISIBLE}),
    State.VISIBLE: frozenset(),
    State.ABORTED: frozenset(),
}
RUNNING = frozenset({State.PREPARE, State.PREPARED})


class Source(enum.StrEnum):
    """Who drives a transaction (LoadJobSourceType)."""

    STREAM_LOAD = "BACKEND_STREAMING"
    MULTI = "MULTI_STATEMENT_STREAMING"


@dataclass(slots=True)
class Transaction:
    """Times are Unix seconds. `deadline` is when the manager aborts it (0: never): of a running one for its load, of a
    PREPARED one for its commit. `tables` are the idents of the tables it writes, known once it is committed or prepared.
    `rows`, `filtered`, `unselected` and `bytes` are for `information_schema.loads`."""

    ident: int
    database: str
    label: str
    state: State = State.PREPARE
    reason: str = ""
    finished: float = 0.0
    visible_at: float = 0.0  # while COMMITTED: when publishing ends
    source: Source = Source.STREAM_LOAD
    started: float = 0.0
    deadline: float = 0.0
    prepared_timeout_ms: int = -1
    tables: tuple[int, ...] = ()
    table_names: tuple[str, ...] = ()
    committing: bool = False  # on its way to the file: nothing can call it back
    backend: int = 0  # ident of the BE that coordinates it
    rows: int = 0
    filtered: int = 0
    unselected: int = 0
    bytes: int = 0
    error_log: str = ""  # name of the file with the rows it rejected

    def move(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"transaction {self.ident} cannot go from {self.state} to {state}")
        self.state = state

    @property
    def running(self) -> bool:
        return self.state in RUNNING

    @property
    def stoppable(self) -> bool:
        return self.running and not self.committing

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self.state]


@dataclass(slots=True)
class _Database:
    """Transactions by ident and, oldest first, by label."""

    transactions: dict[int, Transaction] = field(default_factory=dict)
    labels: dict[str, list[Transaction]] = field(default_factory=dict)
    finished: dict[int, Transaction] = field(default_factory=dict)  # final ones, in the order in which they ended

    def add(self, transaction: Transaction) -> None:
        self.transactions[transaction.ident] = transaction
        self.labels.setdefault(transaction.label, []).append(transaction)
        if transaction.final:
            self.finished[transaction.ident] = transaction

    def forget(self, transaction: Transaction) -> None:
        del self.transactions[transaction.ident], self.finished[transaction.ident]
        same = self.labels[transaction.label]
        same.remove(transaction)
        if not same:
            del self.labels[transaction.label]


class Labels:
    """The transactions of all databases, oldest first. `settings` are the FE's, as text; `idents` the databases'."""

    def __init__(self, next_id: int = 1, settings: Mapping[str, str] | None = None) -> None:
        self._next = next_id
        self._databases: dict[str, _Database] = {}
        self.settings: Mapping[str, str] = settings if settings is not None else {}
        self.idents: dict[str, int] = {}
        self.abandoned: list[Transaction] = []  # aborted after they were prepared: something of them is staged

    def _setting(self, name: str, default: int) -> int:
        return int(self.settings.get(name, default))

    def restore(self, transaction: Transaction) -> None:
        """Take a transaction of an earlier run back in, oldest first."""
        self._databases.setdefault(transaction.database, _Database()).add(transaction)
        self._next = max(self._next, transaction.ident + 1)

    def begin(
        self, database: str, label: str, now: float, *, source: Source = Source.STREAM_LOAD, timeout: float = 0
    ) -> Transaction:
        """Raises LoadError for a bad label, LabelExists for one that a non-aborted transaction holds. `timeout` in
        seconds, 0 for none."""
        if _LABEL.fullmatch(label) is None:
            raise LoadError(
                "Getting analyzing error. Detail message: Label format error. regex: ^[-\\w]{1,128}$, label: " + label
            )
        self.expire(database, now)
        known = self._databases.setdefault(database, _Database())
        for other in known.labels.get(label, ()):
            if other.state is not State.ABORTED:
                raise LabelExists(label, "RUNNING" if other.running else "FINISHED")
        running, limit = len(known.transactions) - len(known.finished), self._setting(
            "max_running_txn_num_per_db", MAX_RUNNING
        )  # fmt: skip
        if running >= limit:
            raise self.too_many_running(database, running, limit)
        transaction = Transaction(
            self._next, database, label, source=source, started=now, deadline=now + timeout if timeout else 0.0
        )
        known.add(transaction)
        self._next += 1
        return transaction

    def too_many_running(self, database: str, running: int, limit: int) -> LoadError:
        ident = self.idents.get(database, 0)
        return LoadError(f"current running txns on db {ident} is {running}, larger than limit {limit}")

    def prepare(self, transaction: Transaction, now: float, timeout_s: int) -> None:
        """PREPARE to PREPARED; `timeout_s` is how long the commit may take, -1 for the FE's setting."""
        if timeout_s < 0:
            timeout_s = self._setting("prepared_transaction_default_timeout_second", 86400)
        transaction.move(State.PREPARED)
        transaction.prepared_timeout_ms = timeout_s * 1000
        transaction.deadline = now + timeout_s

    def finish(self, transaction: Transaction, state: State, now: float, reason: str = "") -> None:
        """Commit (COMMITTED: its rows show later), make visible, or abort."""
        if transaction.state is State.PREPARED and state is State.ABORTED:
            self.abandoned.append(transaction)
        transaction.move(state)
        transaction.deadline = 0.0
        transaction.finished, transaction.reason = now, reason
        if transaction.final and (known := self._databases.get(transaction.database)) is not None:
            known.finished[transaction.ident] = transaction
            self._trim(known, now)

    def get(self, database: str, label: str, now: float) -> Transaction | None:
        """The newest transaction with that label."""
        self.expire(database, now)
        known = self._databases.get(database)
        return known.labels[label][-1] if known is not None and label in known.labels else None

    def state(self, database: str, label: str, now: float) -> tuple[State, str]:
        """State and reason of the newest transaction with that label; UNKNOWN when there is none."""
        found = self.get(database, label, now)
        return (found.state, found.reason) if found is not None else (State.UNKNOWN, "")

    def cancel(self, database: str, label: str, now: float) -> Transaction:
        """What `_cancel` does: abort the one that is in PREPARE. Raises LoadError when there is none."""
        self.expire(database, now)
        known = self._databases.get(database, _Database())
        for transaction in known.labels.get(label, ()):
            if transaction.state is State.PREPARE and transaction.stoppable:
                self.finish(transaction, State.ABORTED, now, "user cancel")
                return transaction
        raise LoadError(f"transaction not found: {label}")

    def transactions(self) -> Iterator[Transaction]:
        """All that are remembered, oldest first within a database."""
        for known in list(self._databases.values()):
            yield from list(known.transactions.values())

    def all(self, database: str) -> list[Transaction]:
        """Every transaction that is remembered, oldest first."""
        return list(self._databases.get(database, _Database()).transactions.values())

    def drop_database(self, database: str) -> list[Transaction]:
        """Forget a database; the transactions that were still running end as aborted and are returned."""
        known = self._databases.pop(database, _Database())
        self.idents.pop(database, None)
        running = [transaction for transaction in known.transactions.values() if transaction.stoppable]
        for transaction in running:
            transaction.move(State.ABORTED)
            transaction.reason = "db is dropped"
        return running

    def restart(self, now: float) -> None:
        """A new FE does not know what was running: nothing of it had been written to its log."""
        for known in self._databases.values():
            for transaction in [t for t in known.transactions.values() if t.state is State.PREPARE and t.stoppable]:
                transaction.move(State.ABORTED)
                known.finished[transaction.ident] = transaction
                known.forget(transaction)

    def expire(self, database: str, now: float) -> list[Transaction]:
        """Abort what is past its deadline. Returns the aborted."""
        known = self._databases.get(database)
        if known is None:
            return []
        late = [t for t in self._unfinished(known) if t.deadline and t.deadline <= now and t.stoppable]
        for transaction in late:
            self.finish(transaction, State.ABORTED, now, TIMED_OUT)
        return late

    def expire_all(self, now: float) -> list[Transaction]:
        return [transaction for database in list(self._databases) for transaction in self.expire(database, now)]

    def next_deadline(self) -> float:
        """The earliest, 0 when nothing runs against one."""
        unfinished = [t for known in self._databases.values() for t in self._unfinished(known) if t.stoppable]
        found = [t.deadline for t in unfinished if t.deadline]
        return min(found, default=0.0)

    @staticmethod
    def _unfinished(known: _Database) -> Iterator[Transaction]:
        if len(known.transactions) == len(known.finished):
            return iter(())
        # The newest are at the end; what runs is rarely far from there.
        return iter([t for ident, t in known.transactions.items() if ident not in known.finished])

    def _trim(self, known: _Database, now: float) -> None:
        surplus = len(known.finished) - self._setting("label_keep_max_num", LABEL_KEEP_MAX_NUM)
        keep_seconds = self._setting("label_keep_max_second", LABEL_KEEP_MAX_SECONDS)
        for position, transaction in enumerate(list(known.finished.values())):
            if position >= surplus and now - transaction.finished <= keep_seconds:
                break
            known.forget(transaction)
