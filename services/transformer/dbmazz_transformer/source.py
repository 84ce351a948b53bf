"""Client of the reader: one stream of changes, dialled again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import structlog
from dbmazz.backoff import Backoff
from dbmazz.calling import QUICK_S, open_channel
from dbmazz.config import Settings
from dbmazz.errors import WireError
from dbmazz.telemetry import replica_name
from dbmazz.v1 import reader_pb2, reader_pb2_grpc

from dbmazz_transformer.lanes import Lanes
from dbmazz_transformer.outbox import Outbox

log = structlog.get_logger("dbmazz.transformer")


class Source:
    """The reader's stream. `run` is its task; `on_connected` is told when a session begins and when it ends."""

    def __init__(self, settings: Settings, lanes: Lanes, on_connected: Callable[[bool], Awaitable[None]]) -> None:
        self.epoch = 0
        self.connected = False
        self.ever_connected = False
        self.last_error = ""
        self._settings = settings
        self._lanes = lanes
        self._on_connected = on_connected
        self._outbox: Outbox | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Dials until stopped, with back-off: a reader that is away or starts a new epoch is nothing unusual."""
        backoff = Backoff(first_s=0.1, cap_s=5.0)
        async with open_channel(self._settings.reader_address, self._settings) as channel:
            stub = reader_pb2_grpc.ReaderServiceStub(channel)
            while not self._stopping.is_set():
                try:
                    await self._session(stub, backoff)
                    self.last_error = "the reader ended the stream"
                except grpc.aio.AioRpcError as error:
                    details = f"{error.code().name} {error.details() or ''}".rstrip()
                    self.last_error = f"reader {self._settings.reader_address}: {details}"
                except (WireError, TimeoutError) as error:
                    self.last_error = f"reader {self._settings.reader_address}: {error or 'no session in time'}"
                if self._stopping.is_set():
                    return
                pause = backoff.next_delay()
                log.warning("reader_lost", reason=self.last_error, pause_s=round(pause, 2))
                await self._pause(pause)

    async def drain(self, within_s: float) -> bool:
        """Says goodbye, has every window flushed, and waits until all is durable and acknowledged.

        Ends this side of the stream in any case; False when there was not enough time. `run` returns when the reader has
        ended the other side.
        """
        self._stopping.set()
        self._lanes.flush()
        if self._outbox is None:
            return True
        self._outbox.say_goodbye()
        try:
            async with asyncio.timeout(within_s):
                await self._lanes.idle.wait()
        except TimeoutError:
            return False
        finally:
            if self._outbox is not None:
                self._outbox.close()
        return True

    async def _session(self, stub: reader_pb2_grpc.ReaderServiceStub, backoff: Backoff) -> None:
        call = stub.StreamChanges()
        try:
            session = await self._hello(call)
            self._outbox = outbox = Outbox(session.epoch)
            flush = session.flush if session.HasField("flush") else None
            self._lanes.open_session(session.slot, session.epoch, outbox.acknowledge, flush)
            self.epoch, self.connected, self.ever_connected = session.epoch, True, True
            backoff.reset()
            log.info("reader_connected", slot=session.slot, epoch=session.epoch)
            await self._on_connected(True)
            await self._exchange(call, outbox)
        finally:
            self.epoch, self.connected, self._outbox = 0, False, None
            self._lanes.close_session()
            call.cancel()
            await self._on_connected(False)

    async def _hello(self, call: grpc.aio.StreamStreamCall) -> reader_pb2.StreamSession:
        hello = reader_pb2.StreamHello(replica=replica_name())
        # The stream itself has no deadline; keepalive pings tell a dead peer.
        async with asyncio.timeout(QUICK_S):
            await call.write(reader_pb2.StreamChangesRequest(hello=hello))
            first = await call.read()
        if first is grpc.aio.EOF or first.WhichOneof("event") != "session":
            raise WireError("the stream did not begin with its session")
        return first.session

    async def _exchange(self, call: grpc.aio.StreamStreamCall, outbox: Outbox) -> None:
        """Reads and writes until the stream ends; raises what ended it."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as both:
            writer = both.create_task(self._write(call, outbox))
            try:
                await self._read(call)
            except (grpc.aio.AioRpcError, WireError) as error:
                failure = error
            finally:
                writer.cancel()
        if failure is not None:
            raise failure

    async def _read(self, call: grpc.aio.StreamStreamCall) -> None:
        while True:
            await self._lanes.room.wait()
            response = await call.read()
            if response is grpc.aio.EOF:
                return
            match response.WhichOneof("event"):
                case "batch":
                    self._lanes.receive(response.batch)
                case "release":
                    self._lanes.release(response.release.lane, response.release.generation)
                case "flush":
                    self._lanes.change_limits(response.flush)
                case event:
                    raise WireError(f"the reader sent {event or 'an unknown event'} in the middle of the stream")

    async def _write(self, call: grpc.aio.StreamStreamCall, outbox: Outbox) -> None:
        try:
            while (message := await outbox.next()) is not None:
                await call.write(message)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            # The reading side meets the same end and tells why.
            log.debug("reader_write_failed", error=type(error).__name__)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
