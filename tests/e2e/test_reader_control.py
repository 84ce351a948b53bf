"""Pause, drain and reload of a reader at a real PostgreSQL, between a fake checkpoint and fake transformers."""

from __future__ import annotations

import grpc
import pytest
from dbmazz.lsn import Lsn
from dbmazz.v1 import reader_pb2, types_pb2
from dbmazz_reader import controlling

from tests.fixtures.waiting import wait_until
from tests.unit.reader.fake_ring import FakeRing, arrived, ring_around

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PAUSED, RUNNING = types_pb2.SERVICE_STATE_PAUSED, types_pb2.SERVICE_STATE_RUNNING
A, B = "CREATE TABLE a (id int PRIMARY KEY, v text)", "CREATE TABLE b (id int PRIMARY KEY, v text)"
DEADLINE_S = 60.0


async def pause(ring: FakeRing, reason: str = "") -> reader_pb2.PauseResponse:
    return await ring.stub.Pause(reader_pb2.PauseRequest(reason=reason), timeout=DEADLINE_S)


async def resume(ring: FakeRing) -> reader_pb2.ResumeResponse:
    return await ring.stub.Resume(reader_pb2.ResumeRequest(), timeout=DEADLINE_S)


async def drain(ring: FakeRing, milliseconds: int) -> reader_pb2.DrainResponse:
    request = reader_pb2.DrainRequest()
    request.timeout.FromMilliseconds(milliseconds)
    return await ring.stub.Drain(request, timeout=DEADLINE_S)


async def reload(ring: FakeRing, *tables: str, **values: int) -> reader_pb2.ReloadConfigResponse:
    request = reader_pb2.ReloadConfigRequest(tables=tables, **values)
    return await ring.stub.ReloadConfig(request, timeout=DEADLINE_S)


async def published(sql) -> set[str]:
    cursor = await sql.execute("SELECT tablename FROM pg_publication_tables WHERE pubname = 'dbmazz_pub'")
    return {row[0] for row in await cursor.fetchall()}


async def slot(sql, ring: FakeRing) -> tuple[int, str]:
    """(pid that holds the slot, confirmed_flush_lsn)."""
    cursor = await sql.execute(
        "SELECT active_pid, confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
        [ring.settings.source_slot_name],
    )
    return await cursor.fetchone()


async def test_a_paused_reader_holds_the_slot_and_reads_nothing(source_db):
    async with ring_around(source_db, A) as (ring, sql):
        taker = await ring.transformer()
        await sql.execute("INSERT INTO a VALUES (1, 'before')")
        await arrived(taker, "public.a", 1)
        epoch = (await ring.status()).epoch
        paused = await pause(ring, "upgrade")
        assert (paused.was_paused, paused.sealed, paused.pause.reason) == (False, True, "upgrade")
        assert paused.slot_status.wal_status == "reserved"
        assert ring.settings.source_slot_name in paused.notice and "reserved" in paused.notice
        drained = await drain(ring, 10_000)
        assert (drained.complete, drained.left_batch_count, drained.message) == (True, 0, "")
        assert drained.pause == paused.pause
        assert Lsn.parse(drained.confirmed_lsn) == ring.checkpoint.confirmed_lsn

        # What is told to PostgreSQL stands still, and the connection lives on.
        async def told() -> bool:
            return (await slot(sql, ring))[1] == drained.confirmed_lsn

        await wait_until(told)
        holder = await slot(sql, ring)
        for number in range(2, 6):
            await sql.execute("INSERT INTO a VALUES (%s, 'while paused')", [number])
        before = await ring.status()
        assert (before.status.state, before.pause.reason) == (PAUSED, "upgrade")
        replied = "SELECT reply_time FROM pg_stat_replication WHERE pid = %s"
        first = (await (await sql.execute(replied, [holder[0]])).fetchone())[0]

        async def answers_go_on() -> bool:
            return (await (await sql.execute(replied, [holder[0]])).fetchone())[0] > first

        await wait_until(answers_go_on, what="status updates while paused")
        assert await slot(sql, ring) == holder
        assert len(taker.of("public.a")) == 1
        again = await pause(ring)
        assert (again.was_paused, again.pause) == (True, paused.pause)

        assert (await resume(ring)).HasField("paused_duration")
        await arrived(taker, "public.a", 5)
        after = await ring.status()
        assert (after.status.state, after.epoch, after.HasField("pause")) == (RUNNING, epoch, False)
        assert not (await resume(ring)).HasField("paused_duration")


async def test_a_pause_outlasts_a_lost_connection(source_db):
    """Also one that nobody would notice while nothing is read: STATUS_INTERVAL_S is far away."""
    async with ring_around(source_db, A, status_interval_s=30.0) as (ring, sql):
        taker = await ring.transformer()
        await pause(ring, "long")
        await sql.execute("INSERT INTO a SELECT g, repeat('x', 200) FROM generate_series(1, 5000) g")
        epoch = (await ring.status()).epoch
        pid, _ = await slot(sql, ring)
        await sql.execute("SELECT pg_terminate_backend(%s)", [pid])

        async def new_session() -> bool:
            status = await ring.status()
            return status.epoch > epoch and status.status.state == PAUSED

        await wait_until(new_session, timeout=20, what="a new session that begins paused")
        status = await ring.status()
        assert status.pause.reason == "long"
        assert taker.of("public.a") == []
        await resume(ring)
        await arrived(taker, "public.a", 5000)


async def test_a_drain_that_the_target_does_not_allow_says_what_is_left(source_db):
    async with ring_around(source_db, A) as (ring, sql):
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO a VALUES (1, 'x')")
        await arrived(taker, "public.a", 1)
        left = await drain(ring, 300)
        assert (left.complete, left.left_batch_count) == (False, 2)  # the schema barrier, and the row
        assert left.left_bytes > 0
        assert left.message.startswith("the target has not taken everything yet")
        assert (await ring.status()).status.state == PAUSED
        await taker.ack_all()
        left = await drain(ring, 300)
        assert (left.complete, left.message) == (False, "the checkpoint has not stored the position yet")
        taker.acknowledge = True
        # With a heartbeat that came since; those that come from now on are acknowledged at once.
        await taker.ack_all()
        await ring.checkpoint.confirm(taker.batches[-1].safe_lsn, taker.batches[-1].batch_id)
        assert (await drain(ring, 10_000)).complete


async def test_tables_come_in_and_go_out(source_db):
    async with ring_around(source_db, A, B, start=False, tables=("public.a",)) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await sql.execute("INSERT INTO b VALUES (1, 'before it is published')")
        assert await published(sql) == {"a"}
        epoch = (await ring.status()).epoch

        answer = await reload(ring, "public.*")
        assert (list(answer.tables), list(answer.added_tables), list(answer.removed_tables)) == (
            ["public.*"],
            ["public.b"],
            [],
        )
        assert list(answer.replicated_tables) == ["public.a", "public.b"]
        assert answer.epoch > epoch
        assert any("table public.b held about 1 rows before" in warning for warning in answer.warnings)
        assert await published(sql) == {"a", "b"}
        status = await ring.status()
        assert (status.status.config["TABLES"], list(status.reloaded_variables)) == ("public.*", ["TABLES"])
        await sql.execute("INSERT INTO b VALUES (2, 'after')")
        await arrived(taker, "public.b", 1)
        # The same once more: there is nothing to do, and the session goes on.
        again = await reload(ring, "public.*")
        assert (again.epoch, list(again.added_tables)) == (answer.epoch, [])

        # What was committed before a table goes out is delivered, however far behind the reader is.
        await sql.execute("INSERT INTO b SELECT g, repeat('y', 100) FROM generate_series(10, 3009) g")
        gone = await reload(ring, "public.a")
        assert (list(gone.removed_tables), list(gone.replicated_tables)) == (["public.b"], ["public.a"])
        assert len(taker.of("public.b")) == 3001
        assert await published(sql) == {"a", "b"}, "nothing is taken out of the publication"
        assert any("public.b stay in publication dbmazz_pub" in warning for warning in gone.warnings)
        assert not any("may be missing" in warning for warning in gone.warnings)
        await sql.execute("UPDATE b SET v = 'while it is out' WHERE id = 2; INSERT INTO a VALUES (1, 'x')")
        await arrived(taker, "public.a", 1)
        assert len(taker.of("public.b")) == 3001

        # It comes back: what passed meanwhile is told, because nobody has read it.
        back = await reload(ring, "a", "b")
        assert list(back.added_tables) == ["public.b"]
        assert any("table public.b held about" in warning for warning in back.warnings)
        await sql.execute("INSERT INTO b VALUES (5, 'again')")
        await arrived(taker, "public.b", 3002)


async def test_a_table_goes_out_while_the_target_takes_nothing(source_db, monkeypatch):
    monkeypatch.setattr(controlling, "RELOAD_DRAIN_S", 0.3)
    async with ring_around(source_db, A, B) as (ring, sql):
        taker = await ring.transformer(acknowledge=False)
        await sql.execute("INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 'x')")
        await arrived(taker, "public.b", 1)
        answer = await reload(ring, "public.a")
        assert any(
            "of public.b, changes from before this call may be missing" in warning for warning in answer.warnings
        )
        taker.acknowledge = True

        async def came_again() -> bool:
            return len(taker.of("public.a")) == 2

        await wait_until(came_again, what="what was not acknowledged comes again")
        assert len(taker.of("public.b")) == 1


async def test_a_paused_reader_can_be_reloaded_and_stays_paused(source_db):
    async with ring_around(source_db, A, B, start=False, tables=("public.a",)) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        await pause(ring, "upgrade")
        await sql.execute("INSERT INTO a VALUES (1, 'x')")
        answer = await reload(ring, "a", "b", flush_size=50)
        assert list(answer.added_tables) == ["public.b"]
        status = await ring.status()
        assert (status.status.state, status.pause.reason) == (PAUSED, "upgrade")
        await sql.execute("INSERT INTO b VALUES (1, 'x')")
        assert not taker.rows
        await resume(ring)
        await arrived(taker, "public.a", 1)
        await arrived(taker, "public.b", 1)


REFUSALS = [
    ("", ("public.nothing",), "TABLES names public.nothing, which no table of the database matches"),
    ("CREATE TABLE k (v text)", ("k",), "table public.k has no primary key"),
    (
        "CREATE SCHEMA x CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE x__t (id int PRIMARY KEY)",
        ("x.t", "x__t"),
        "would both become x__t in the target",
    ),
    (
        "CREATE TABLE k (id int PRIMARY KEY); ALTER TABLE k REPLICA IDENTITY NOTHING",
        ("k",),
        "table public.k has REPLICA IDENTITY NOTHING",
    ),
    ("CREATE UNLOGGED TABLE k (id int PRIMARY KEY)", ("k",), "is UNLOGGED"),
]


@pytest.mark.parametrize(("statement", "tables", "words"), REFUSALS)
async def test_tables_that_cannot_be_had_change_nothing(source_db, statement, tables, words):
    async with ring_around(source_db, A, start=False, tables=("public.a",)) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        if statement:
            await sql.execute(statement)
        before = await ring.status()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(ring, "public.a", *tables, flush_size=77)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert words in caught.value.details() and "\n" not in caught.value.details()
        after = await ring.status()
        assert (after.epoch, after.status.config["TABLES"]) == (before.epoch, "public.a")
        assert list(after.reloaded_variables) == [] and taker.told == []
        assert await published(sql) == {"a"}
        await sql.execute("INSERT INTO a VALUES (1, 'x')")
        await arrived(taker, "public.a", 1)


async def test_a_publication_that_is_not_ours_to_change_is_found_before_anything_ends(source_db):
    role = f"reader_{source_db.name}_{source_db.major}"
    statements = (
        A,
        B,
        "CREATE PUBLICATION dbmazz_pub FOR TABLE a WITH (publish_via_partition_root = true)",
        f"CREATE ROLE {role} LOGIN REPLICATION",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    async with ring_around(source_db, *statements, start=False, tables=("public.a",)) as (ring, sql):
        try:
            await ring.start_reader(source_url=ring.settings.source_url.replace("://postgres", f"://{role}"))
            epoch = (await ring.status()).epoch
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reload(ring, "a", "b")
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert 'run: ALTER PUBLICATION "dbmazz_pub" ADD TABLE "public"."b";' in caught.value.details()
            assert (await ring.status()).epoch == epoch
            assert await published(sql) == {"a"}
            # Its way out works.
            await sql.execute('ALTER PUBLICATION "dbmazz_pub" ADD TABLE "public"."b"')
            assert list((await reload(ring, "a", "b")).added_tables) == ["public.b"]
            await ring.stop_reader()
        finally:
            await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_session_that_fails_with_the_new_tables_gives_way_to_the_former_ones(source_db, monkeypatch):
    """What the look beforehand could not see: here, because it does not look."""

    async def blind(source_url, settings) -> dict[int, str]:
        return {1: "public.k"}

    monkeypatch.setattr(controlling, "rehearse", blind)
    async with ring_around(source_db, A, "CREATE TABLE k (v text)", start=False, tables=("public.a",)) as (ring, sql):
        await ring.start_reader()
        taker = await ring.transformer()
        before = await ring.status()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(ring, "public.k")
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "table public.k has no primary key" in caught.value.details()
        await ring.reach(RUNNING)
        after = await ring.status()
        assert after.epoch > before.epoch
        assert (after.status.config["TABLES"], list(after.reloaded_variables)) == ("public.a", [])
        assert await published(sql) == {"a"}
        await sql.execute("INSERT INTO a VALUES (1, 'x')")
        await arrived(taker, "public.a", 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(ring, "public.k")
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION, "and the next call gets an answer of its own"


async def test_transformers_are_told_of_limits_and_those_of_the_next_epoch_too(source_db):
    async with ring_around(source_db, A) as (ring, sql):
        one = await ring.transformer("one")
        assert not one.session.HasField("flush")
        answer = await reload(ring, flush_size=50)
        assert list(answer.transformers) == ["one"]
        await wait_until(lambda: [told.flush_size for told in one.told] == [50])
        two = await ring.transformer("two")
        assert (two.session.flush.flush_size, two.told) == (50, [])
        await ring.checkpoint.fence()

        async def greeted_again() -> bool:
            return all(t.session.epoch > answer.epoch for t in (one, two))

        await wait_until(greeted_again, timeout=20)
        assert {taker.session.flush.flush_size for taker in (one, two)} == {50}
        assert not one.session.flush.HasField("flush_interval")
        await sql.execute("INSERT INTO a VALUES (1, 'x')")
        await wait_until(lambda: len(one.of("public.a")) + len(two.of("public.a")) == 1)
