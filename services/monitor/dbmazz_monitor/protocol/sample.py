"""What the ring said at one moment, as frozen values. `answers.py` makes them from protos."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S")

SERVICES = ("reader", "transformer", "loader", "checkpoint")


class State(StrEnum):
    """State of a service process as it tells itself, or DOWN when it does not answer."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    RETRYING = "retrying"
    DRAINING = "draining"
    STOPPED = "stopped"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot as pg_replication_slots shows it; `wal_status` is empty before the first look.

    `safe_wal_bytes`: WAL until it is in danger, None without limit. `read_time_s`: when it was looked at, since 1970.
    """

    wal_status: str = ""
    retained_wal_bytes: int = 0
    restart_lsn: str = ""
    confirmed_flush_lsn: str = ""
    safe_wal_bytes: int | None = None
    read_time_s: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """What the reader keeps of one lane. `oldest_ms`: commit time since 1970, 0 when only barriers wait."""

    lane: int
    oldest_ms: int
    byte_count: int
    batch_count: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody told the reader to read no more; `since_ms` since 1970, 0 when it does not say."""

    since_ms: int = 0
    reason: str = ""


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
    pending: tuple[Pending, ...] = ()
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane of a transformer; `message` says why it retries or is parked.

    Times in milliseconds since 1970, 0 for none: `oldest_ms` is the commit of the oldest rows that wait, `last_load_ms` when
    rows became durable last.
    """

    lane: int
    table: str
    state: str
    pending_bytes: int
    message: str = ""
    generation: int = 0
    pending_rows: int = 0
    oldest_ms: int = 0
    last_load_ms: int = 0


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
    pending_bytes_limit: int = 0


@dataclass(frozen=True, slots=True)
class LoaderFacts:
    """Counters since the start of one loader; `latency_counts` are the buckets of dbmazz.telemetry.LatencyHistogram."""

    row_count: int = 0
    loaded_row_count: int = 0
    dead_lettered_row_count: int = 0
    rows_unaccounted: int = 0
    body_bytes: int = 0
    running_load_count: int = 0
    running_load_limit: int = 0
    latency_counts: tuple[int, ...] = ()
    latency_max_ms: float = 0.0
    target_version: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Stored confirmed LSN by slot. `loaded_row_count`: rows reported in the epochs that are open now."""

    stored: tuple[tuple[str, str], ...] = ()
    waiting_batch_count: int = 0
    loaded_row_count: int = 0


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
    """A table as the reader lists it, or one found in both databases; `name` is schema.table.

    `replicated` is None while nobody knows: the reader was not reached yet, and the publication has the table. `lane` is 0
    for a table without one.
    """

    name: str
    schema: str
    table: str
    target_table: str
    snapshotted: bool = True
    row_count: int = 0
    preexisting_row_estimate: int = 0
    transformer: str = ""
    warning: str = ""
    lane: int = 0
    replicated: bool | None = True


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
    """All answers of one round. `at_s` is a monotonic clock, `time_ms` the wall clock since 1970.

    Tables and signatures are listed less often: `listed_at_s` says when, None before the reader has listed any.
    """

    at_s: float
    time_ms: int
    replicas: tuple[Replica, ...] = ()
    tables: tuple[Table, ...] = ()
    signatures: tuple[Signature, ...] = ()
    listed_at_s: float | None = None
    # Lists that could not be had this time, so that the page shows the ones before.
    notes: tuple[str, ...] = ()

    def of(self, service: str) -> list[Replica]:
        """The replicas of one service."""
        return [replica for replica in self.replicas if replica.service == service]


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table of the source, by what the catalogue says. A `partition` is not shown for itself, unless the reader lists it."""

    schema: str
    table: str
    published: bool = False
    partition: bool = False


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """What is in the source: tables by name (schema.table), and the slot where there is one.

    `ours`: the slot belongs to this database, so that a table which is not here is nowhere.
    """

    tables: dict[str, SourceTable]
    slot: Slot | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """What is in the target database: by table name, which audit columns it has."""

    audit_columns: dict[str, frozenset[str]]


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
class Counts(Generic[T, S]):
    """The latest counts of one side by name of the source table, and what is there; `seen` is None before the first look.

    `problem` says why there are no counts, or none newer. Not `configured`: the side's address is not set, so that nobody
    tries.
    """

    by_table: dict[str, T] = field(default_factory=dict)
    problem: str = ""
    configured: bool = True
    seen: S | None = None


SourceCounts = Counts[SourceCount, SourceSeen]
TargetCounts = Counts[TargetCount, TargetSeen]
