"""dbmazz.v1.ReaderService: maps gRPC to the feed, the status and the inspection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import grpc
from dbmazz.asking import BadQuestion, NotYet, TableName, meant, not_negative, refuse
from dbmazz.errors import BAD_REQUEST, NOT_READY, WireError, abort
from dbmazz.lsn import Lsn
from dbmazz.readable import CHARACTERS
from dbmazz.target import target_table_name
from dbmazz.telemetry import service_status
from dbmazz.v1 import reader_pb2, reader_pb2_grpc, types_pb2
from dbmazz.wire import relation_to_proto

from dbmazz_reader.control_calls import ControlCalls, pause_state, slot_status
from dbmazz_reader.controlling import Control
from dbmazz_reader.feed import Link
from dbmazz_reader.inspection import Wish
from dbmazz_reader.protocol.leases import Lane
from dbmazz_reader.protocol.states import service_state
from dbmazz_reader.snapshot.progress import progress, table_snapshot
from dbmazz_reader.status import Status, Streaming
from dbmazz_reader.tables import ReplicatedTable

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# By name; without the one that is never sent.
_OPERATIONS = {name: number for name, number in types_pb2.Operation.items() if number}


class ReaderService(ControlCalls, reader_pb2_grpc.ReaderServiceServicer):
    """The servicer; one for the life of the process."""

    def __init__(self, control: Control, status: Status) -> None:
        super().__init__(control, status)
        self._control = control
        self._status = status

    async def StreamChanges(self, request_iterator, context: grpc.aio.ServicerContext) -> None:
        """Leases lanes to the caller until either side ends it."""
        request = await context.read()
        if request is grpc.aio.EOF or request.WhichOneof("event") != "hello" or not request.hello.replica:
            await abort(context, _INVALID, BAD_REQUEST, "the first request must be hello with the name of the replica")
        feed = self._status.feed
        if feed is None:
            message = f"the reader does not stream now ({self._status.state.value}); dial again"
            await abort(context, grpc.StatusCode.UNAVAILABLE, NOT_READY, message)
        link = feed.connect(request.hello.replica)
        try:
            await context.write(reader_pb2.StreamChangesResponse(session=link.session))
            refused = await _converse(link, context)
        finally:
            link.disconnect()
        if refused:
            await abort(context, _INVALID, BAD_REQUEST, refused)

    async def GetStatus(self, request, context) -> reader_pb2.ReaderServiceGetStatusResponse:
        """State, positions and counters."""
        status, settings = self._status, self._control.settings
        response = reader_pb2.ReaderServiceGetStatusResponse(
            status=service_status("reader", service_state(status.state), settings.shown(), status.last_error),
            slot=settings.source_slot_name,
            publication=settings.source_publication_name,
            retained_bytes_limit=settings.retained_bytes,
            warnings=status.all_warnings(),
            reloaded_variables=self._control.effective.variables,
            pause=pause_state(self._control.gate.pause),
        )
        if status.streaming is not None:
            _positions(response, status.streaming)
            paused = self._control.gate.closed
            response.loads.extend(
                table_snapshot(table, paused=paused) for table in status.streaming.loads.tables if table.load.active
            )
        if status.slot_health is not None:
            response.slot_status.CopyFrom(slot_status(status))
        return response

    async def ListTables(self, request, context) -> reader_pb2.ListTablesResponse:
        """The tables of the last session."""
        try:
            wanted = self._meant(request.tables)
        except BadQuestion as question:
            await refuse(context, question)
        streaming = self._status.streaming
        if streaming is None:
            return reader_pb2.ListTablesResponse()
        columns = not request.without_columns
        tables = [
            _table(table, streaming, with_columns=columns, paused=self._control.gate.closed)
            for table in streaming.receiver.tables
            if not wanted or table.relation.qualified_name in wanted
        ]
        return reader_pb2.ListTablesResponse(tables=tables)

    async def StartSnapshot(self, request, context) -> reader_pb2.StartSnapshotResponse:
        """Begins loads of tables beside the stream."""
        await self._guard.admit(context, "StartSnapshot")
        try:
            wanted = self._meant(request.tables)
            if not wanted:
                raise BadQuestion("tables has no name in it", "It takes schema.table, at least one")
        except BadQuestion as question:
            await refuse(context, question)
        if self._status.feed is None:
            message = f"the reader does not stream now ({self._status.state.value}). Try again when it does"
            await abort(context, grpc.StatusCode.UNAVAILABLE, NOT_READY, message)
        streaming = self._status.streaming
        asked = streaming.loads.request(t for t in streaming.receiver.tables if t.relation.qualified_name in wanted)
        paused = self._control.gate.closed
        return reader_pb2.StartSnapshotResponse(loads=[table_snapshot(table, paused=paused) for table in asked])

    async def TailChanges(self, request, context) -> AsyncIterator[reader_pb2.TailChangesResponse]:
        """Decoded rows from now on."""
        try:
            wish = self._wish(request)
        except BadQuestion as question:
            await refuse(context, question)
        with self._status.inspection.listening(wish) as listener:
            # Tells the caller that every row from here on is seen.
            await context.send_initial_metadata(())
            sent = 0
            while not request.row_limit or sent < request.row_limit:
                yield await listener.next()
                sent += 1

    def _wish(self, request: reader_pb2.TailChangesRequest) -> Wish:
        """What a caller of TailChanges asks for; BadQuestion when there is no such thing."""
        not_negative(row_limit=request.row_limit, value_limit=request.value_limit)
        unknown = set(request.operations) - set(_OPERATIONS.values())
        if unknown:
            raise BadQuestion(f"there is no operation {min(unknown)}", f"operations takes {', '.join(_OPERATIONS)}")
        return Wish(
            self._meant(request.tables),
            frozenset(request.operations),
            request.value_limit or CHARACTERS,
            request.with_cells,
        )

    def _meant(self, asked: Iterable[str]) -> frozenset[str]:
        """Tables by their names at the source; BadQuestion for one that is not replicated."""
        streaming = self._status.streaming
        if asked and streaming is None:
            message = f"the reader does not stream yet ({self._status.state.value}), so no table is known"
            raise NotYet(message, "Ask again; GetStatus says what it waits for")
        known = [] if streaming is None else map(_name, streaming.receiver.tables)
        return frozenset(table.source for table in meant(asked, known))


async def _converse(link: Link, context: grpc.aio.ServicerContext) -> str:
    """Sends and listens until one side has enough; what the caller did wrong, "" for nothing."""
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(link, context))
        listening = group.create_task(_listen(link, context))
        done, _ = await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
        sending.cancel()
        listening.cancel()
    return listening.result() if listening in done else ""


async def _send(link: Link, context: grpc.aio.ServicerContext) -> None:
    async for event in link.events():
        await context.write(event)


async def _listen(link: Link, context: grpc.aio.ServicerContext) -> str:
    while (request := await context.read()) is not grpc.aio.EOF:
        event = request.WhichOneof("event")
        if event == "ack":
            try:
                link.acknowledge(request.ack)
            except WireError as error:
                return str(error)
        elif event == "goodbye":
            link.goodbye()
        else:
            return "only ack and goodbye may follow hello"
    return ""


def _positions(response: reader_pb2.ReaderServiceGetStatusResponse, streaming: Streaming) -> None:
    receiver, decoder, feed = streaming.receiver, streaming.receiver.decoder, streaming.feed
    response.epoch = feed.epoch
    response.received_lsn = str(Lsn(receiver.received_lsn))
    response.confirmed_lsn = str(Lsn(streaming.confirmation.lsn))
    response.server_lsn = str(Lsn(receiver.server_lsn))
    response.lag_bytes = max(receiver.server_lsn - streaming.confirmation.lsn, 0)
    response.row_count = decoder.row_count
    response.transaction_count = decoder.transaction_count
    response.batch_count = receiver.cutter.batch_count
    response.unchanged_toast_count = decoder.unchanged_toast_count
    response.retained_bytes = feed.retention.bytes
    response.transformers.extend(feed.transformers)
    for lane in feed.pending():
        table = receiver.tables.of_lane(lane.number)
        response.pending_lanes.append(_pending(lane, "" if table is None else table.relation.qualified_name))


def _pending(lane: Lane, table: str) -> reader_pb2.PendingLane:
    queue = lane.queue
    pending = reader_pb2.PendingLane(
        lane=lane.number, table=table, pending_bytes=queue.bytes, batch_count=queue.batch_count
    )
    if oldest := queue.oldest_commit_time:
        pending.oldest_commit_time.FromMicroseconds(oldest)
    return pending


def _name(table: ReplicatedTable) -> TableName:
    relation = table.relation
    return TableName(relation.qualified_name, target_table_name(relation.schema, relation.name))


def _state(table: ReplicatedTable) -> reader_pb2.TableState:
    if table.loading:
        return reader_pb2.TABLE_STATE_LOADING
    if table.preexisting_rows:
        return reader_pb2.TABLE_STATE_STREAMING_WITHOUT_SNAPSHOT
    return reader_pb2.TABLE_STATE_STREAMING


def _table(
    table: ReplicatedTable, streaming: Streaming, *, with_columns: bool, paused: bool
) -> reader_pb2.ReplicatedTable:
    generation, transformer = streaming.feed.holder(table.lane)
    source, target = _name(table)
    load = streaming.loads.by_relation.get(table.relation.relation_id)
    return reader_pb2.ReplicatedTable(
        name=source,
        target_table=target,
        state=_state(table),
        relation=relation_to_proto(table.relation if with_columns else replace(table.relation, columns=())),
        lane=table.lane,
        generation=generation,
        transformer=transformer,
        row_count=table.row_count,
        preexisting_row_estimate=table.preexisting_rows,
        warning=table.warning,
        key_columns=table.key_columns,
        load=load and progress(load, paused=paused),
    )
