"""What kernel.pyx compiles to."""

from collections.abc import Callable, Sequence

from dbmazz.relation import Relation
from dbmazz.v1 import change_pb2

from dbmazz_reader.protocol.readbacks import Readback

END: int
"""`decode_rows` has seen all frames."""
LIMIT: int
"""The open lanes hold as much as they may: seal them, then go on."""
KEEPALIVE: int
"""The frame at the index is a keepalive that wants an answer; its position has been taken."""
RARE: int
"""The frame at the index is XLogData whose message is neither a row nor Begin nor Commit."""

Fields = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""row_count, ops, run_row_counts, commit_lsns, commit_times, xids, change_lsns, absent_bitmaps, lengths, data."""

def complete_frames(
    take: Callable[[int], tuple[int, memoryview]],
) -> tuple[list[memoryview], int, int]:
    """All frames that `take`, which is psycopg's PGconn.get_copy_data, has without waiting.

    (frames, their bytes, 0 when libpq waits for more or -1 when the stream has ended).
    """

class PackedLane:
    """Open rows of one lane at one version of its relation, in the layout of ChangeBatch."""

    unread: bool
    """The table holds rows that nobody has read: the target may lack the row that a partial image belongs to."""
    version_floor: int
    """Above the versions of all rows that a load has put into the lane, 0 without a load: no change LSN goes out below it."""
    unchanged_toast_count: int
    """Unchanged TOAST columns of all rows so far, sealed or not."""
    readbacks: list[Readback]
    """What is to be read from the source before the rows are taken."""

    def __init__(self, lane: int, relation: Relation) -> None: ...
    @property
    def lane(self) -> int: ...
    @property
    def relation(self) -> Relation: ...
    @property
    def columns(self) -> int: ...
    @property
    def key_indices(self) -> tuple[int, ...]:
        """Columns of the identity in key order."""
    @property
    def row_count(self) -> int:
        """Open rows."""
    def barrier(self, lsn: int, open_run: int, commit_lsn: int) -> int:
        """The LSN below which rows go with a truncate at `lsn` of the open transaction; to be asked once for each."""
    def complete(self, completions: list[tuple[int, dict[int, bytes | None]]]) -> None:
        """Puts values in the place of absent ones, by row and column; None is NULL. ValueError for a row that is not there."""
    def take(self, open_run: int) -> Fields:
        """All rows; the lane is empty afterwards.

        `open_run` is the decoder's: rows of that transaction, whose commit was not seen yet, carry the LSNs of their changes.
        """

class RowDecoder:
    """Decodes CopyData frames; holds the transaction, the relations, and the lanes with open rows."""

    row_limit: int
    byte_limit: int
    committed_lsn: int
    """All rows of transactions that were committed before it are in lanes or batches."""

    def __init__(self, row_limit: int, byte_limit: int, *, readback: bool) -> None: ...
    @property
    def readback(self) -> bool: ...
    @property
    def open(self) -> list[PackedLane]:
        """Lanes with rows, in order of their first row."""
    @property
    def open_rows(self) -> int: ...
    @property
    def open_bytes(self) -> int: ...
    @property
    def open_run(self) -> int:
        """Number of the open transaction, 0 when there is none."""
    @property
    def commit_lsn(self) -> int:
        """LSN of the open transaction's commit record, 0 when there is none."""
    @property
    def xid(self) -> int | None:
        """Id of the open transaction, None when there is none."""
    @property
    def last_lsn(self) -> int:
        """Start LSN of the last message."""
    @property
    def server_lsn(self) -> int:
        """The end of what the server has sent, by its keepalives."""
    @property
    def row_count(self) -> int: ...
    @property
    def transaction_count(self) -> int: ...
    @property
    def unchanged_toast_count(self) -> int: ...
    @property
    def ignored_row_count(self) -> int: ...
    def bind(self, relation_id: int, lane: PackedLane | None) -> None:
        """Tells where rows of a relation go; None to leave them out."""
    def is_bound(self, relation_id: int) -> bool: ...
    def lane_of(self, relation_id: int) -> PackedLane | None:
        """The lane of a relation; None when it is left out; KeyError when it is not bound."""
    def take_open(self) -> list[PackedLane]:
        """The lanes with open rows; none counts as open afterwards."""
    def decode_rows(self, frames: list[bytes | memoryview], start: int = 0) -> tuple[int, int]:
        """Decodes frames from index `start` on; (index to go on with, END, LIMIT, KEEPALIVE or RARE).

        MalformedMessage for what is no message of protocol 1, SourceError for a row without its key; both leave no half row
        behind. With KEEPALIVE and RARE the frame at the index is the caller's.
        """

class CopiedRows:
    """Rows of one chunk, in the order in which COPY gave them."""

    def __init__(self, columns: int, key_indices: tuple[int, ...]) -> None: ...
    @property
    def columns(self) -> int: ...
    @property
    def row_count(self) -> int: ...
    @property
    def byte_count(self) -> int:
        """What they take in memory."""
    def take(self, frames: list[bytes | memoryview]) -> None:
        """Adds rows, each frame one row of COPY's text format. ValueError for what is no such row, which is left out."""
    def last_key(self) -> tuple[bytes, ...] | None:
        """The texts of the last row's key; None without rows."""

class ChangedKeys:
    """Keys that transactions which a chunk's snapshot cannot see have changed; `len` says how many."""

    def __init__(self, columns: int, key_indices: tuple[int, ...]) -> None: ...
    def __len__(self) -> int: ...
    def restrict(self, rows: CopiedRows) -> None:
        """From now on, only keys of these rows matter."""
    def take(self, batch: change_pb2.ChangeBatch, invisible: Sequence[bool]) -> None:
        """A batch of the table's lane; `invisible` tells for each of its runs whether the snapshot cannot see it."""

def merge(
    rows: CopiedRows, changes: ChangedKeys | None, version: int, time: int, row_limit: int, byte_limit: int
) -> tuple[list[Fields], int, int, int]:
    """What of a chunk goes into the lane, in batches of at most so many rows and bytes.

    A row whose key nobody changed goes in whole, as READ with `version` and `time` (microseconds since 1970). Of a key whose
    last event is a newer image, only what no image since the chunk's row carries goes in, as an UPDATE with the version of
    that image; of a key that was deleted on the way, nothing. (batches, rows read, rows that complete, rows overtaken).
    """
