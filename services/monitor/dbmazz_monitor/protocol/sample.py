"""What the ring said at one moment, as frozen values. `answers.py` makes them from protos."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")

SERVICES = ("reader", "transformer", "loader", "checkpoint")


class State(StrEnum):
    """State of a service process as it tells itself, or DOWN when it does not answer."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    DRAINING = "draining"
    STOPPED = "stopped"
    PAUSED = "paused"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot as pg_replication_slots shows it; `wal_status` is empty before the reader's first look."""

    wal_status: str = ""
    retained_wal_bytes: int = 0
    restart_lsn: str = ""
    confirmed_flush_lsn: str = ""


@dataclass(frozen=True, slots=True)
class ReaderFacts:
    """Counters of the reader; those of rows and transactions begin anew with every epoch."""

    slot_name: str = ""
    publication: str = ""
    epoch: int = 0
    confirmed_lsn: str = ""
    received_lsn: str = ""
    server_lsn: str = ""
    lag_bytes: int = 0
    row_count: int = 0
    transaction_count: int = 0
    unchanged_toast_count: int = 0
    retained_bytes: int = 0
    retained_bytes_limit: int = 0
    transformers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    slot: Slot = Slot()


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane of a transformer; `message` says why it retries or is parked."""

    lane: int
    table: str
    state: str
    pending_bytes: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class TransformerFacts:
    """Counters since the start of one transformer."""

    epoch: int = 0
    lanes: tuple[Lane, ...] = ()
    row_count: int = 0
    folded_row_count: int = 0
    loaded_row_count: int = 0
    full_load_count: int = 0
    partial_load_count: int = 0
    partial_row_count: int = 0
    policy_value_count: int = 0


@dataclass(frozen=True, slots=True)
class LoaderFacts:
    """Counters since the start of one loader; `latency_counts` are the buckets of dbmazz.telemetry.LatencyHistogram."""

    row_count: int = 0
    loaded_row_count: int = 0
    dead_lettered_row_count: int = 0
    rows_unaccounted: int = 0
    body_bytes: int = 0
    running_load_count: int = 0
    latency_counts: tuple[int, ...] = ()
    latency_max_ms: float = 0.0
    target_version: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Stored confirmed LSN by slot."""

    stored: tuple[tuple[str, str], ...] = ()
    waiting_batch_count: int = 0


Facts = ReaderFacts | TransformerFacts | LoaderFacts | CheckpointFacts


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a service, or an address that did not answer (`state` DOWN, `error` why, `facts` None)."""

    service: str
    address: str
    state: State
    error: str = ""
    name: str = ""
    version: str = ""
    start_time_s: float = 0.0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    facts: Facts | None = None

    @property
    def key(self) -> str:
        """What tells its counters from those of another process."""
        return f"{self.service} {self.name} {self.start_time_s}"


@dataclass(frozen=True, slots=True)
class Table:
    """A replicated table as the reader lists it; `name` is schema.table."""

    name: str
    schema: str
    table: str
    target_table: str
    snapshotted: bool = True
    row_count: int = 0
    preexisting_row_estimate: int = 0
    transformer: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """How often rows of a target table came without these columns; none absent means full rows."""

    table: str
    absent_columns: tuple[str, ...]
    load_count: int
    row_count: int
    insert_count: int
    update_count: int
    delete_count: int


@dataclass(frozen=True, slots=True)
class RingSample:
    """All answers of one round. `at_s` is a monotonic clock, `time_ms` the wall clock since 1970."""

    at_s: float
    time_ms: int
    replicas: tuple[Replica, ...] = ()
    tables: tuple[Table, ...] = ()
    signatures: tuple[Signature, ...] = ()
    # Lists that could not be had this time, so that the page shows the ones before.
    notes: tuple[str, ...] = ()

    def of(self, service: str) -> list[Replica]:
        """The replicas of one service."""
        return [replica for replica in self.replicas if replica.service == service]


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Rows of a source table; None when unknown, `note` says why."""

    rows: int | None
    exact: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class TargetCount:
    """Live and soft-deleted rows of a target table; None when unknown, `note` says why."""

    live: int | None
    deleted: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Counts(Generic[T]):
    """The latest counts of one side by table name. `problem` says why there are none, or none newer.

    Not `configured`: the side's address is not set, so that nobody tries.
    """

    by_table: dict[str, T] = field(default_factory=dict)
    problem: str = ""
    configured: bool = True
