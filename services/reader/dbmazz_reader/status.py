"""What the reader can say about itself at any moment; the service maps it to protos."""

from __future__ import annotations

from dataclasses import dataclass, field

from dbmazz.relation import Relation

from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.feed import Feed
from dbmazz_reader.inspection import Inspection
from dbmazz_reader.postgres.catalogue import SlotHealth
from dbmazz_reader.protocol.states import SessionState
from dbmazz_reader.receiving import Receiver
from dbmazz_reader.snapshot.loads import Loads


@dataclass(slots=True)
class Streaming:
    """The parts of a session that streams."""

    feed: Feed
    receiver: Receiver
    confirmation: Confirmation
    loads: Loads

    @property
    def left_batches(self) -> int:
        """Batches that the checkpoint has not confirmed."""
        return self.receiver.cutter.batch_count - self.confirmation.batch_id

    @property
    def open_transaction(self) -> bool:
        """True between the first and the last message of a transaction."""
        return self.receiver.decoder.xid is not None

    @property
    def settled(self) -> bool:
        """True when nothing more is read, and all that was read is durable and its position stored."""
        decoder, cutter = self.receiver.decoder, self.receiver.cutter
        if not self.receiver.resting.is_set() or not self.feed.retention.empty or self.left_batches:
            return False
        # Behind the last row there may be WAL that only a heartbeat confirms.
        return self.open_transaction or decoder.committed_lsn <= cutter.safe_lsn


@dataclass
class Status:
    """Shared by the sessions, one after another, and the service. `streaming` is that of the last session that got so far;
    its feed is closed once the session has ended."""

    state: SessionState = SessionState.CONNECTING
    last_error: str = ""
    # Why nothing is read is the gate's to say; the state here is PAUSED when a session holds the slot meanwhile.
    warnings: list[str] = field(default_factory=list)
    streaming: Streaming | None = None
    slot_health: SlotHealth | None = None
    slot_read_time: float = 0.0
    # Relations that held rows before the slot existed, or before they were published, and about how many: nobody has
    # read those rows. As the checkpoint has stored them.
    preexisting: dict[int, int] = field(default_factory=dict)
    inspection: Inspection = field(default_factory=Inspection)
    # Relations, with their columns, that a session has ended for because the table has others by now.
    reshaped: set[Relation] = field(default_factory=set)

    @property
    def feed(self) -> Feed | None:
        """The feed that transformers may join now."""
        if self.streaming is None or self.streaming.feed.closed:
            return None
        return self.streaming.feed

    def all_warnings(self) -> list[str]:
        """Of the source, of tables, and of tables that were left out meanwhile."""
        found = list(self.warnings)
        if self.streaming is not None:
            found += [table.warning for table in self.streaming.receiver.tables if table.warning]
            found += self.streaming.receiver.warnings.values()
        return found
