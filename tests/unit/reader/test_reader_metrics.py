"""What Prometheus sees of a reader: its readings over HTTP, from the real parts of a session without a source."""

import asyncio
import socket
from dataclasses import replace

from dbmazz.config import Settings
from dbmazz.serving import Server
from dbmazz.v1 import reader_pb2_grpc
from dbmazz_reader.app import serve
from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.controlling import Control
from dbmazz_reader.feed import Feed
from dbmazz_reader.inspection import Inspection
from dbmazz_reader.measuring import measure
from dbmazz_reader.pausing import Gate
from dbmazz_reader.postgres.catalogue import SlotHealth
from dbmazz_reader.protocol.cuts import Cutter
from dbmazz_reader.protocol.decoder import Decoder
from dbmazz_reader.protocol.resume import Slot
from dbmazz_reader.protocol.states import SessionState
from dbmazz_reader.receiving import Receiver
from dbmazz_reader.service import ReaderService
from dbmazz_reader.snapshot.loads import Loads
from dbmazz_reader.status import Status, Streaming
from dbmazz_reader.tables import Tables

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import Scraped, scrape
from tests.fixtures.waiting import wait_until
from tests.unit.reader import pgoutput_messages as pgoutput
from tests.unit.reader.test_reader_tables import ORDERS, TYPES, described

SLOT = Slot("dbmazz_slot", "pgoutput", "db", 900, 800, "extended")


def session(settings: Settings) -> Streaming:
    """A session that has decoded one transaction: 3 rows, in one of which a column is unchanged."""
    tables = Tables(())
    tables.seed([replace(ORDERS, schema="sales")], TYPES, {7: 12})
    table = tables.get(7)
    confirmation = Confirmation(None, 1000, 5.0)
    feed = Feed("dbmazz_slot", "1", 5, settings.retained_bytes)
    decoder = Decoder(1000, 1 << 20, readback=False)
    receiver = Receiver(
        None, None, "p", tables, decoder, Cutter(5, 1000), feed, confirmation, Inspection(), interval_s=0.1
    )
    decoder.bind(7, table.builder)
    decoder.bind(8, None)
    messages = [
        pgoutput.begin(2000),
        pgoutput.insert(7, (b"1", b"2", b"row-value")),
        pgoutput.insert(8, (b"1",)),
        pgoutput.update(7, (b"1", b"2", pgoutput.UNCHANGED)),
        pgoutput.delete(7, key=(b"1", b"2", None)),
        pgoutput.commit(2000, 2050),
    ]
    decoder.decode([pgoutput.xlog_data(2000 + number, body) for number, body in enumerate(messages)])
    receiver._send(receiver.cutter.cut(decoder))
    receiver.received_lsn, receiver.server_lsn = 2050, 3000
    feed.connect("one")
    loads = Loads(settings, None, None, receiver, feed, confirmation, Gate(), 0, set())
    return Streaming(feed, receiver, confirmation, loads)


async def scraped(settings: Settings, status: Status) -> Scraped:
    server = Server("reader", settings)
    register = reader_pb2_grpc.add_ReaderServiceServicer_to_server
    server.add(register, ReaderService(Control(settings, status), status), "dbmazz.v1.ReaderService")
    server.measure(lambda: measure(settings, status))
    await server.start()
    try:
        return await scrape(settings.metrics_port)
    finally:
        await server.stop(0)


async def test_positions_rows_slot_and_memory():
    settings = Settings(listen="127.0.0.1:0", metrics_port=free_port())
    streaming = session(settings)
    status = Status(
        state=SessionState.STREAMING, streaming=streaming, slot_health=SlotHealth(SLOT, 7000, 3000), slot_read_time=12.5
    )
    seen = await scraped(settings, status)
    seen.assert_declared("reader")
    assert seen("dbmazz_service_state", state="running") == 1
    assert (seen("dbmazz_received_lsn"), seen("dbmazz_confirmed_lsn"), seen("dbmazz_server_lsn")) == (2050, 1000, 3000)
    assert seen("dbmazz_lag_bytes") == 2000
    assert (seen("dbmazz_epoch"), seen("dbmazz_transactions_total"), seen("dbmazz_batches_total")) == (5, 1, 1)
    assert seen("dbmazz_ignored_rows_total") == 1
    assert seen.of("dbmazz_table_info") == {("sales__orders", "sales.orders"): 1}
    assert seen.of("dbmazz_rows_total") == {("read", "sales__orders"): 3}
    retained = streaming.feed.retention.bytes
    assert retained > 0
    assert seen("dbmazz_retained_bytes") == seen("dbmazz_bytes_total", stage="read", table="sales__orders") == retained
    assert (seen("dbmazz_retained_batches"), seen("dbmazz_transformers")) == (1, 1)
    assert seen("dbmazz_retained_limit_bytes") == 256 << 20
    assert seen.of("dbmazz_toast_columns_total") == {("sales__orders", "update"): 1}
    assert seen.of("dbmazz_unread_rows") == {("sales__orders",): 12}
    wal_status = {labels: value for labels, value in seen.of("dbmazz_slot_wal_status").items() if value}
    assert wal_status == {("dbmazz_slot", "extended"): 1}
    assert len(seen.of("dbmazz_slot_wal_status")) == 4
    assert seen("dbmazz_slot_retained_wal_bytes", slot="dbmazz_slot") == 7000
    assert seen("dbmazz_slot_seen_timestamp_seconds", slot="dbmazz_slot") == 12.5
    assert "row-value" not in seen.text


def test_counters_of_a_table_go_on_when_its_relation_changes():
    tables = session(Settings()).receiver.tables
    table = replace(ORDERS, schema="sales", columns=ORDERS.columns[:2])
    changed, is_new = tables.described(described(table), table, TYPES)
    assert is_new
    assert (changed.row_count, changed.builder.unchanged_toast_count) == (3, 1)
    assert changed.byte_count > 0


async def test_before_the_first_session_there_is_only_the_state():
    """The process itself, while PostgreSQL is away."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://me@127.0.0.1:{nobody.getsockname()[1]}/db"
        settings = Settings(source_url=url, listen="127.0.0.1:0", metrics_port=free_port())
        stop, bound = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(settings, stop, lambda address: bound.set()))
            await bound.wait()

            async def retrying():
                seen = await scrape(settings.metrics_port)
                return seen if seen("dbmazz_service_state", state="retrying") else None

            seen = await wait_until(retrying)
            stop.set()
    assert seen("dbmazz_epoch") == 0
    assert seen("dbmazz_lag_bytes") is None
    assert seen.of("dbmazz_slot_wal_status") == {}
