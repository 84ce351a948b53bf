"""Pause, drain and reload of the whole ring, in traffic, with the commands that people have."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import psycopg
import pytest
from dbmazz.lsn import Lsn
from dbmazz.v1 import loader_pb2, loader_pb2_grpc, reader_pb2, reader_pb2_grpc, types_pb2
from dbmazz_sandbox.generators import TABLES, create_schema

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox
from tests.fixtures.ring import Ring, free_port
from tests.fixtures.traffic import more_events, traffic
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TOKEN = "e2e-token-nobody-must-see"


async def dbmazz(ring: Ring, *arguments: str, code: int = 0, **variables: str) -> dict | str:
    """Runs the command against the ring's reader: its JSON, or with another exit code its line on stderr."""
    environment = {**os.environ, "READER_ADDRESS": ring["reader"].address, "CONTROL_TOKEN": TOKEN, **variables}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbmazz_cli", *arguments, *(["--json"] if code == 0 else [])],
        cwd=ring.directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    if code:
        assert done.stderr.count("\n") <= 1, done.stderr
        return done.stderr + done.stdout
    return json.loads(done.stdout)


async def started(source_db: SourceDatabase, ring: Ring, *statements: str) -> None:
    async with await source_db.connect() as connection:
        await create_schema(connection)
        for statement in statements:
            await connection.execute(statement)
    ring.start()
    await ring.streaming()


def no_secret_in_the_logs(ring: Ring) -> None:
    for replicas in ring.replicas.values():
        assert not any(TOKEN in replica.log for replica in replicas)


async def test_a_pause_in_traffic_moves_nothing_and_breaks_nothing(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    """With a wal_sender_timeout far shorter than the pause, and more WAL than the sockets hold."""
    ring = make_ring(settings={"CONTROL_TOKEN": TOKEN})
    patience = f"ALTER DATABASE {source_db.name} SET wal_sender_timeout = '2s'"
    await started(source_db, ring, patience, "CREATE TABLE filler (id int PRIMARY KEY, body text)")
    async with traffic(source_db, seed) as run:
        await more_events(run, 500)
        epoch = (await ring.reader_status()).epoch
        said = await dbmazz(ring, "pause", "--reason", "StarRocks upgrade")
        assert said["sealed"] and said["pause"]["reason"] == "StarRocks upgrade"
        drained = await dbmazz(ring, "drain")
        assert (drained["complete"], drained["pause"]) == (True, said["pause"])
        position = Lsn.parse(drained["confirmed_lsn"])

        async def told() -> bool:
            return await ring.slot_lsn() == position

        await wait_until(told, what="the slot has the drained position")
        loaded, since = (await ring.loader_status()).loaded_row_count, time.monotonic()
        async with await source_db.connect() as connection:
            await connection.execute(
                "INSERT INTO filler SELECT g, string_agg(md5(random()::text), '')"
                " FROM generate_series(1, 600) g, generate_series(1, 1000) GROUP BY g"
            )
        await more_events(run, 1000)
        await wait_until(lambda: time.monotonic() > since + 6.0, timeout=30, what="three times wal_sender_timeout")
        assert await ring.slot_lsn() == await ring.stored_lsn() == position
        assert (await ring.loader_status()).loaded_row_count == loaded
        status = await ring.reader_status()
        assert (status.status.state, status.epoch) == (types_pb2.SERVICE_STATE_PAUSED, epoch)
        assert "PAUSED" in await status_command(ring)
        assert (await dbmazz(ring, "resume"))["paused_duration"]
        await more_events(run, 300)
    await ring.caught_up(timeout=90)
    await ring.assert_equal(*TABLES, "public.filler")
    await ring.assert_never_ahead()
    assert (await ring.reader_status()).epoch == epoch, "one session all along"
    no_secret_in_the_logs(ring)


async def status_command(ring: Ring) -> str:
    addresses = {f"{name.upper()}_ADDRESS": ring[name].address for name in ring.replicas}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbmazz_cli", "status"],
        cwd=ring.directory,
        env={**os.environ, **addresses},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paused since 20" in done.stdout and ": StarRocks upgrade; the slot keeps the WAL" in done.stdout
    return done.stdout


async def test_a_drained_ring_is_equal_to_its_source(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    ring = make_ring(settings={"CONTROL_TOKEN": TOKEN})
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        await more_events(run, 600)
    async with await source_db.connect() as connection:
        end = Lsn.parse((await (await connection.execute("SELECT pg_current_wal_lsn()::text")).fetchone())[0])

    async def read() -> bool:
        return Lsn.parse((await ring.reader_status()).received_lsn) >= end

    await wait_until(read, timeout=60, what="the reader has read everything")
    drained = await dbmazz(ring, "drain", "--timeout", "60")
    assert drained["complete"] and not drained["open_transaction"] and drained["message"] == ""
    assert Lsn.parse(drained["confirmed_lsn"]) >= end
    # No waiting: this is what `complete` means.
    await ring.assert_equal(*TABLES)
    assert await ring.stored_lsn() == Lsn.parse(drained["confirmed_lsn"])


async def test_a_drain_while_the_target_is_away_says_so_and_finishes_later(
    source_db: SourceDatabase, make_ring: RingMaker
) -> None:
    ring = make_ring(settings={"CONTROL_TOKEN": TOKEN})
    await started(source_db, ring, "CREATE TABLE t (id int PRIMARY KEY)")
    ring["loader"].kill()
    async with await source_db.connect() as connection:
        await connection.execute("INSERT INTO t SELECT generate_series(1, 100)")

    async def read() -> bool:
        return (await ring.reader_status()).row_count >= 100

    await wait_until(read, timeout=30, what="the rows are read")
    said = await dbmazz(ring, "drain", "--timeout", "0.5", code=1)
    assert re.match(r"not drained, and paused: [1-9]\d* batches, [1-9][\d,]* bytes are left; confirmed \w+/\w+\n", said)
    assert "TransformerService/GetStatus" in said
    ring["loader"].start()
    assert (await dbmazz(ring, "drain", "--timeout", "60"))["complete"]
    await ring.assert_equal("public.t")


async def test_a_killed_reader_does_not_come_back_paused(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    ring = make_ring(settings={"CONTROL_TOKEN": TOKEN})
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        await more_events(run, 400)
        await dbmazz(ring, "pause")
        await dbmazz(ring, "reload", "--flush-size", "50")
        await more_events(run, 300)
        ring["reader"].kill()
        await ring.assert_never_ahead()
        await more_events(run, 100)
        ring["reader"].start()
        await ring.streaming(timeout=60)
        status = await ring.reader_status()
        assert status.status.state == types_pb2.SERVICE_STATE_RUNNING
        assert not status.HasField("pause") and not status.reloaded_variables
        assert (await ring.transformer_status()).status.config["FLUSH_SIZE"] == "10000"
        await more_events(run, 300)
    await ring.caught_up(timeout=90)
    await ring.assert_equal(*TABLES)
    await ring.assert_never_ahead()


async def test_a_paused_reader_drains_on_sigterm(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    ring = make_ring(settings={"CONTROL_TOKEN": TOKEN})
    await started(source_db, ring)
    await dbmazz(ring, "pause")
    assert await asyncio.to_thread(ring["reader"].terminate) == 0, ring["reader"].log[-3000:]


# Reload


async def loads(ring: Ring, table: str) -> list[loader_pb2.LoadRecord]:
    stub = loader_pb2_grpc.LoaderServiceStub(ring.channel(ring["loader"]))
    try:
        answer = await stub.ListLoads(loader_pb2.ListLoadsRequest(table=table), timeout=10, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return []  # nothing of it has been loaded yet
    return [load for load in answer.loads if load.row_count]


async def test_all_transformers_change_their_loads_at_once(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    small = {"BATCH_ROWS": "5", "FLUSH_SIZE": "1000", "FLUSH_INTERVAL_MS": "2000", "CONTROL_TOKEN": TOKEN}
    ring = make_ring(transformers=3, settings=small)
    later = ring.replicas["transformer"].pop()
    tables = ("t1", "t2", "t3")
    async with await source_db.connect() as connection:
        for table in tables:
            await connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        ring.start()
        await ring.streaming()

        async def rows_in_loads(first: int, last: int) -> list[int]:
            """Row counts of the loads that bring these rows to each table."""
            seen = {load.label for table in tables for load in await loads(ring, table)}
            for table in tables:
                await connection.execute(f"INSERT INTO {table} SELECT generate_series({first}, {last})")
            await ring.caught_up()
            found = [load for table in tables for load in await loads(ring, table) if load.label not in seen]
            assert sum(load.row_count for load in found) == len(tables) * (last - first + 1)
            return [load.row_count for load in found]

        assert max(await rows_in_loads(1, 200)) > 20
        lanes = [len((await ring.transformer_status(number)).lanes) for number in (0, 1)]
        assert all(lanes), f"both transformers have lanes: {lanes}"
        answer = await dbmazz(ring, "reload", "--flush-size", "20")
        assert (answer["flush"], len(answer["transformers"])) == ({"flush_size": 20}, 2)
        assert max(await rows_in_loads(201, 400)) == 20
        for number in (0, 1):
            assert (await ring.transformer_status(number)).status.config["FLUSH_SIZE"] == "20"

        # One that comes later is told as well.
        ring.replicas["transformer"].append(later)
        later.start()

        reader = reader_pb2_grpc.ReaderServiceStub(ring.channel(ring["reader"]))

        async def has_a_table() -> bool:
            listed = (await reader.ListTables(reader_pb2.ListTablesRequest(), timeout=10)).tables
            return any(table.transformer.endswith(f"-{later.process.pid}") for table in listed)

        await wait_until(has_a_table, timeout=30, what="the third transformer has a lane")
        assert (await ring.transformer_status(2)).status.config["FLUSH_SIZE"] == "20"
        assert max(await rows_in_loads(401, 500)) == 20
        assert (await ring.transformer_status(2)).row_count == 100

        # The interval: a window that is not full waits for it, and no longer once it is short.
        await dbmazz(ring, "reload", "--flush-interval-ms", "600000")
        since = len(await loads(ring, "t1"))
        await connection.execute("INSERT INTO t1 SELECT generate_series(501, 507)")

        async def waits() -> bool:
            statuses = [await ring.transformer_status(number) for number in range(3)]
            return sum(lane.pending_row_count for status in statuses for lane in status.lanes) == 7

        await wait_until(waits, timeout=20, what="seven rows wait")
        assert len(await loads(ring, "t1")) == since
        answer = await dbmazz(ring, "reload", "--flush-interval-ms", "50")
        assert answer["flush"] == {"flush_size": 20, "flush_interval": "0.050s"}
        await ring.caught_up(timeout=30)
        refused = await dbmazz(ring, "reload", "--flush-size", "0", code=2)
        assert refused == "dbmazz: FLUSH_SIZE=0 is out of range. It takes a whole number from 1 to 1000000\n"
    await ring.assert_equal(*(f"public.{table}" for table in tables))


async def test_tables_come_in_and_go_out_in_traffic_without_a_lost_row(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    ring = make_ring(transformers=2, settings={"TABLES": ",".join(TABLES), "CONTROL_TOKEN": TOKEN})
    await started(source_db, ring, "CREATE TABLE extra (id int PRIMARY KEY, v text)")
    async with traffic(source_db, seed) as run:
        await more_events(run, 500)
        async with asyncio.TaskGroup() as group:
            # Rows from the very moment on at which the table is published.
            stop = asyncio.Event()
            writing = group.create_task(write_once_published(source_db, ring.publication, stop))
            added = await dbmazz(ring, "reload", "--tables", f"{','.join(TABLES)},public.extra")
            assert added["added_tables"] == ["public.extra"]
            await more_events(run, 300)
            stop.set()
        assert writing.result() > 0
        # Whatever was committed before the call is in the target when a table is out.
        removed = await dbmazz(ring, "reload", "--tables", ",".join(TABLES))
        assert removed["removed_tables"] == ["public.extra"]
        assert not any("may be missing" in warning for warning in removed["warnings"])
        await ring.assert_equal("public.extra")
        assert (await ring.target_rows("SELECT count(*) FROM extra"))[0][0] == writing.result()

        # What cannot be had leaves all running.
        epoch = (await ring.reader_status()).epoch
        refused = await dbmazz(ring, "reload", "--tables", "public.orders,public.nothing", code=1)
        assert refused.startswith("dbmazz: TABLES names public.nothing, which no table of the database matches. ")
        await more_events(run, 300)
        assert (await ring.reader_status()).epoch == epoch
    await ring.caught_up(timeout=90)
    await ring.assert_equal(*TABLES)
    await ring.assert_never_ahead()
    no_secret_in_the_logs(ring)


async def write_once_published(source_db: SourceDatabase, publication: str, stop: asyncio.Event) -> int:
    """Inserts row after row from then on until `stop`; how many."""
    query = "SELECT 1 FROM pg_publication_tables WHERE pubname = %s AND tablename = 'extra'"
    async with await source_db.connect() as connection:

        async def published() -> bool:
            return await (await connection.execute(query, [publication])).fetchone() is not None

        await wait_until(published, timeout=60, what="extra is published")
        number = 0
        while not stop.is_set():
            number += 1
            await connection.execute("INSERT INTO extra VALUES (%s, 'v')", [number])
            await connection.execute("UPDATE extra SET v = v || 'w' WHERE id = %s", [(number + 1) // 2])
    return number


# Who may, and the ring of `dbmazz run`


async def test_the_ring_of_run_is_controlled_with_its_token(
    source_db: SourceDatabase, sandbox: Sandbox, tmp_path
) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
    environment = {
        **os.environ,
        **sandbox.settings(f"run_{source_db.name}"),
        "SOURCE_URL": source_db.url,
        "SOURCE_SLOT_NAME": f"run_{source_db.name}",
        "CHECKPOINT_URL": f"sqlite:///{tmp_path / 'checkpoint.db'}",
        "CONTROL_TOKEN": TOKEN,
    }
    process = run_command(tmp_path, environment)
    try:
        said = json.loads(await asyncio.to_thread(process.stdout.readline))
        ring = Ring(source_db.url, sandbox.settings(f"run_{source_db.name}"), tmp_path, name="unused")
        ring["reader"].address = said["reader"]
        for token, words in (("", "control calls need the token"), ("x" * 20, "the token is not that of the service")):
            for name in ("pause", "resume", "drain"):
                refused = await dbmazz(ring, name, code=2, CONTROL_TOKEN=token)
                assert refused.startswith(f"dbmazz: {words}") and "Set CONTROL_TOKEN" in refused
        assert (await dbmazz(ring, "drain"))["complete"]
        async with await psycopg.AsyncConnection.connect(source_db.url, autocommit=True) as connection:
            await connection.execute("INSERT INTO t VALUES (1)")
        assert (await dbmazz(ring, "reload", "--tables", "public.*"))["tables"] == ["public.*"]
        await dbmazz(ring, "resume")

        async def arrived() -> bool:
            return await ring.target_rows("SELECT id FROM t") == [(1,)]

        await wait_until(arrived, timeout=30, what="the row has arrived")
        await dbmazz(ring, "pause")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 40) == 0
        assert TOKEN not in (tmp_path / "run.log").read_text()
        gone = await dbmazz(ring, "pause", code=1)
        assert gone.startswith(f"dbmazz: nothing answers at READER_ADDRESS={said['reader']}. ")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        process.stdout.close()


def run_command(directory: Path, environment: dict[str, str]) -> subprocess.Popen:
    """`dbmazz run`, its log in run.log."""
    with (directory / "run.log").open("wb") as log:
        command = [sys.executable, "-m", "dbmazz_cli", "run", "--ports", "auto", "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=directory, env=environment)


async def test_wrong_addresses_are_one_line(source_db: SourceDatabase, make_ring: RingMaker) -> None:
    ring = make_ring()
    ring["checkpoint"].start()
    stub = ring["checkpoint"].address

    async def answers() -> bool:
        return "Server" in ring["checkpoint"].log or "address" in ring["checkpoint"].log

    await wait_until(answers, timeout=30, what="the checkpoint serves")
    said = await dbmazz(ring, "pause", code=1, READER_ADDRESS=stub)
    assert said.startswith(f"dbmazz: what answers at READER_ADDRESS={stub} is no reader of this version. ")
    said = await dbmazz(ring, "resume", code=1, READER_ADDRESS=f"127.0.0.1:{free_port()}")
    assert said.startswith("dbmazz: nothing answers at READER_ADDRESS=127.0.0.1:")
    said = await dbmazz(ring, "drain", code=2, READER_ADDRESS="127.0.0.1:1,127.0.0.1:2")
    assert said == "dbmazz: READER_ADDRESS names several readers. A control command goes to one: host:port\n"
    said = await dbmazz(ring, "pause", code=2, READER_ADDRESS="reader.example.com:50051")
    assert said.startswith("dbmazz: CONTROL_TOKEN would travel to reader.example.com:50051 in plaintext. ")
    said = await dbmazz(ring, "pause", code=2, CONTROL_TOKEN="short")
    assert said.startswith("dbmazz: CONTROL_TOKEN=*** in the environment is not valid. ")
