"""CopyData frames to packed lanes, many frames per call.

kernel.pyx does the rows; what is rare is done here. `Decoder.decode` knows no I/O and stops where something outside must be
asked or done: a relation is looked up in the catalogue, a barrier is cut, the open batches are full, the server wants an
answer. Whoever calls does that and calls again.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbmazz.v1 import reader_pb2

from dbmazz_reader.protocol import kernel, pgoutput
from dbmazz_reader.protocol.frames import Keepalive, keepalive, xlog_data
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.malformed import MalformedMessage


@dataclass(frozen=True, slots=True)
class RelationSeen:
    """Rows of this relation follow: `bind` it before decoding goes on."""

    message: pgoutput.RelationMessage


@dataclass(frozen=True, slots=True)
class TruncateSeen:
    """These lanes were truncated at `lsn`: seal everything, then place barriers."""

    lanes: tuple[LaneBuilder, ...]
    lsn: int


@dataclass(frozen=True, slots=True)
class KeepaliveSeen:
    """The server wants an answer at once."""

    message: Keepalive


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The open batches have as many rows or bytes as they may."""


Event = RelationSeen | TruncateSeen | KeepaliveSeen | LimitReached


class Decoder(kernel.RowDecoder):
    """State between frames: the transaction, the relations, the lanes with open rows."""

    def decode(self, frames: list[bytes | memoryview], start: int = 0) -> tuple[int, Event | None]:
        """Decodes CopyData frames from index `start` on.

        Gives the index to go on with, and why decoding stopped there; None at the end of the frames. MalformedMessage
        leaves no half row behind.
        """
        while True:
            start, stop = self.decode_rows(frames, start)
            if stop == kernel.END:
                return start, None
            if stop == kernel.LIMIT:
                return start, LimitReached()
            frame = frames[start]
            start += 1
            event = KeepaliveSeen(keepalive(frame)) if stop == kernel.KEEPALIVE else self._rare(*xlog_data(frame))
            if event is not None:
                return start, event

    def seal(self) -> list[tuple[LaneBuilder, reader_pb2.StreamChangesResponse]]:
        """(lane, message with a batch without its place in the epoch) of all lanes with rows, in order of their first row."""
        run = self.open_run
        return [(lane, lane.seal(run)) for lane in self.take_open()]

    def _rare(self, lsn: int, body: bytes) -> Event | None:
        match chr(body[0]):
            case "R":
                return RelationSeen(pgoutput.relation(body))
            case "T":
                return self._truncate(lsn, body)
            case "O":
                pgoutput.origin(body)
            case "Y":
                pgoutput.type_name(body)
            case "M":
                pgoutput.message(body)
            case letter:
                raise MalformedMessage(letter, 0, "unknown kind of message in protocol 1")
        return None

    def _truncate(self, lsn: int, body: bytes) -> Event | None:
        truncate = pgoutput.truncate(body)
        if self.xid is None:
            raise MalformedMessage("T", 0, "truncate outside of a transaction")
        unknown = [relation for relation in truncate.relation_ids if not self.is_bound(relation)]
        if unknown:
            raise MalformedMessage("T", 6, f"relation {unknown[0]} was not described before")
        lanes = tuple(lane for relation in truncate.relation_ids if (lane := self.lane_of(relation)) is not None)
        return TruncateSeen(lanes, lsn) if lanes else None
