"""Drives a load against the models, one small step at a time: stream, cuts, chunks, loads into the target, restarts."""

from __future__ import annotations

import random
import struct
from collections import deque

from dbmazz.v1 import change_pb2
from dbmazz_reader.protocol.chunk import Chunk, ChunkState, Snapshot, StreamedTransactions, load_version
from dbmazz_reader.protocol.cuts import Cutter, SealedBatch
from dbmazz_reader.protocol.decoder import Decoder, TruncateSeen
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.load import KeyRange, Load, LoadState

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.source_model import OID, SourceModel, copy_text
from tests.unit.reader.target_model import TargetModel

RELATION = write.table(3, (0,), OID)


class LoadDriver:
    """One source, one target, and reader processes that come and go. `stored` is what a checkpoint would have."""

    def __init__(self, rng: random.Random, source: SourceModel, target: TargetModel, *, zombies: bool) -> None:
        self.rng = rng
        self.source = source
        self.target = target
        self.zombies = zombies
        self.confirmed = source.lsn
        self.stored: dict | None = None
        self.windows: list[list[SealedBatch]] = []
        self.chunk_rows = rng.choice((1, 2, 3, 5, 100))
        # How soon what could be injected is.
        self.haste = rng.choice((1.0, 0.1))
        self.retakes = 0
        self.completing = 0
        self.overtaken = 0
        self.restarts = 0
        self.redone: set[bytes] = set()
        self.start()

    # Sessions

    def start(self) -> None:
        """A new reader process, from what is stored."""
        self.decoder = Decoder(1 << 30, 1 << 40, readback=False)
        self.lane = LaneBuilder(1, RELATION)
        self.decoder.bind(OID, self.lane)
        self.cutter = Cutter(1, self.confirmed)
        self.decoder.committed_lsn = self.confirmed
        self.begun_at = self.source.lsn
        self.delivered = 0
        self.frames: deque[bytes] = deque()
        self.batches: list[SealedBatch] = []
        self.loaded = 0
        self.streamed = StreamedTransactions()
        self.chunks: dict[int, Chunk] = {}
        self.flushed: dict[int, tuple[int, bool]] = {}
        self.load: Load | None = None
        if self.stored is not None and self.stored["state"] is LoadState.DONE:
            self.lane.version_floor = self.stored["end_lsn"] + 1
        elif self.stored is not None:
            self.lane.version_floor = self.begun_at
        self.doubtful: set[int] | None = None

    def restart(self) -> None:
        """SIGKILL, and another process; what was on its way to the target may still arrive later."""
        self.restarts += 1
        if self.loaded < len(self.batches) and self.zombies:
            self.windows.append(self._window(self.loaded))
        self.start()

    # The stream

    def deliver(self) -> None:
        """One message of the stream, or a keepalive when there is none."""
        while not self.frames and self.delivered < len(self.source.wal):
            transaction = self.source.wal[self.delivered]
            self.delivered += 1
            if transaction.end_lsn > self.confirmed:
                self.frames.extend(self.source.frames(transaction))
        if not self.frames:
            if self.decoder.xid is None:
                self.decoder.decode([b"k" + struct.pack(">QqB", self.source.lsn, 0, 0)])
            return
        _, event = self.decoder.decode([self.frames.popleft()])
        if isinstance(event, TruncateSeen):
            self.cut()
            for chunk in self.chunks.values():
                chunk.truncate(self.decoder.xid)
            barrier = self.lane.barrier(event.lsn, self.decoder.open_run, self.decoder.commit_lsn)
            self.append([self.cutter.truncate(self.lane, barrier)])

    def cut(self) -> None:
        self.append(self.cutter.cut(self.decoder))

    def append(self, batches: list[SealedBatch]) -> None:
        for sealed in batches:
            if sealed.batch.kind == change_pb2.BATCH_KIND_ROWS:
                self.streamed.take(sealed.batch)
                for chunk in self.chunks.values():
                    chunk.record(RELATION, sealed.batch)
        self.batches += batches

    # The target

    def _window(self, first: int) -> list[SealedBatch]:
        """Batches from `first` on that go together."""
        if self.batches[first].batch.kind != change_pb2.BATCH_KIND_ROWS:
            return [self.batches[first]]
        end = first + 1
        most = first + self.rng.choice((1, 2, 5))
        while end < min(most, len(self.batches)) and self.batches[end].batch.kind == change_pb2.BATCH_KIND_ROWS:
            end += 1
        return self.batches[first:end]

    def take(self) -> None:
        """The target takes the next window, or an old one again."""
        if self.zombies and self.windows and self.rng.random() < 0.1:
            self.target.load(self.rng.choice(self.windows))
        elif self.loaded < len(self.batches):
            window = self._window(self.loaded)
            self.target.load(window)
            self.windows.append(window)
            self.loaded += len(window)
            self.confirmed = max(self.confirmed, window[-1].batch.safe_lsn)

    # The load

    def begin_load(self, ranges: list[KeyRange] | None = None) -> None:
        """Takes up what is stored, or begins anew."""
        if self.stored is None:
            load = Load(OID, "t", ("c0",), ranges=ranges or [KeyRange()])
            load.start_lsn = load_version(self.decoder.committed_lsn)
            self.lane.version_floor = max(self.lane.version_floor, load.start_lsn + 1)
        else:
            load = Load(OID, "t", ("c0",), start_lsn=self.stored["start_lsn"], end_lsn=self.begun_at)
            load.ranges = [KeyRange(*part) for part in self.stored["ranges"]]
        self.load = load
        self.store()
        # Whose commit may have been delivered before anything was noted of it.
        self.streamed = StreamedTransactions()
        self.doubtful = {transaction.xid for transaction in self.source.committing}
        load.advance(LoadState.CHUNKING)

    def store(self) -> None:
        if self.load is not None:
            self.stored = {
                "state": self.load.state,
                "start_lsn": self.load.start_lsn,
                "end_lsn": self.load.end_lsn,
                "ranges": [(part.after, part.up_to, part.stored, part.done) for part in self.load.ranges],
            }

    def _ready(self) -> bool:
        """True when chunks may be read in this session."""
        invisible = {transaction.xid for transaction in self.source.committing}
        self.doubtful = {xid for xid in self.doubtful if xid in invisible and xid not in self.streamed}
        return not self.doubtful and self.decoder.committed_lsn >= self.begun_at

    def advance(self) -> None:
        """One step of the load."""
        load, rng = self.load, self.rng
        if load is None or not load.active or not self._ready():
            return
        first_open = self.batches[self.loaded].batch_id if self.loaded < len(self.batches) else None
        if load.closed(first_open):
            load.advance(LoadState.DONE)
            self.store()
        elif load.acknowledge(first_open) and rng.random() < 0.7:
            self.store()
        elif load.state is LoadState.CHUNKING and load.exhausted:
            if self.decoder.xid is None:
                self.cut()
                sealed = self.cutter.truncate(self.lane, load.start_lsn)
                self.append([sealed])
                load.closing_batch = sealed.batch_id
                load.advance(LoadState.CLOSING)
        elif load.state is LoadState.CHUNKING:
            number = rng.choice([n for n, part in enumerate(load.ranges) if not part.exhausted])
            self._chunk(number, load.ranges[number])

    def _chunk(self, number: int, part: KeyRange) -> None:
        chunk = self.chunks.get(number)
        if chunk is None or chunk.state is ChunkState.DROPPED:
            self.retakes += chunk is not None
            self.chunks[number] = Chunk(RELATION, self.streamed.copy())
        elif chunk.state is ChunkState.RECORDING:
            self._read(number, chunk, part)
        elif self.decoder.xid is None and self.rng.random() < self.haste:
            flush_lsn, end = self.flushed[number]
            if self.decoder.committed_lsn < flush_lsn and self.rng.random() < 0.9:
                return
            self.cut()
            self._inject(number, chunk, part, end=end)

    def _read(self, number: int, chunk: Chunk, part: KeyRange) -> None:
        if self.source.truncating:
            return  # LOCK TABLE waits, before the snapshot is taken
        snapshot = Snapshot(*self.source.snapshot(), 0)
        if not chunk.seen(snapshot):
            return
        self.streamed.forget_visible(snapshot)
        above, below = part.cursor, part.up_to
        keys = [key for key in sorted(self.source.rows) if above is None or key > above[0]]
        keys = [key for key in keys if below is None or key <= below[0]][: self.chunk_rows]
        chunk.rows.take([copy_text(key, self.source.rows[key]) for key in keys])
        chunk.complete()
        self.flushed[number] = (self.source.lsn, len(keys) < self.chunk_rows)

    def _inject(self, number: int, chunk: Chunk, part: KeyRange, *, end: bool) -> None:
        merged = chunk.merge(self.decoder.committed_lsn, 3, 1 << 20)
        if merged is None:
            return
        self.lane.version_floor = max(self.lane.version_floor, merged.version + 1)
        self.load.end_lsn = max(self.load.end_lsn, merged.version)
        self.completing += merged.completing
        self.overtaken += merged.overtaken
        sealed = [self.cutter.load(self.lane, fields) for fields in merged.batches]
        self.batches += sealed
        part.inject(sealed[-1].batch_id if sealed else 0, chunk.rows.last_key(), end=end)
        del self.chunks[number]
