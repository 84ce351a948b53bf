"""The fixtures source_db, postgres16 and postgres18, and the seed."""

import random
from types import SimpleNamespace

import psycopg
import pytest

from tests.fixtures import fix_seed

SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE database = %s"


@pytest.mark.parametrize("source_db", [16, 18], indirect=True)
async def test_gives_a_fresh_database_on_the_asked_major(source_db, request):
    async with await source_db.connect() as connection:
        row = await (
            await connection.execute("SELECT current_setting('server_version_num')::int / 10000, current_database()")
        ).fetchone()
        await connection.execute("CREATE TABLE left_behind (id int)")
    assert row == (request.node.callspec.params["source_db"], source_db.name)
    assert source_db.major == row[0]


async def test_the_next_test_sees_nothing_of_it(source_db):
    async with await source_db.connect() as connection:
        row = await (await connection.execute("SELECT to_regclass('left_behind')")).fetchone()
    assert row == (None,)


def test_dropping_a_database_takes_its_slots_and_sessions_along(postgres16):
    url = postgres16.create_database('with "quotes" and ünïcode')
    with psycopg.connect(url, autocommit=True) as idle, psycopg.connect(postgres16.url) as admin:
        idle.execute("SELECT pg_create_logical_replication_slot('left_open', 'pgoutput')")
        reader = psycopg.pq.PGconn.connect(f"{url}?replication=database".encode())
        assert reader.status == psycopg.pq.ConnStatus.OK, reader.error_message
        reader.exec_(b"CREATE PUBLICATION p FOR ALL TABLES")
        started = reader.exec_(
            b"START_REPLICATION SLOT left_open LOGICAL 0/0 (proto_version '1', publication_names 'p')"
        )
        assert started.status == psycopg.pq.ExecStatus.COPY_BOTH

        postgres16.drop_database('with "quotes" and ünïcode')

        assert admin.execute(SLOTS, ('with "quotes" and ünïcode',)).fetchall() == []
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
        reader.finish()
    with psycopg.connect(postgres16.url) as admin:
        names = admin.execute("SELECT datname FROM pg_database").fetchall()
    assert ('with "quotes" and ünïcode',) not in names


def test_the_seed_is_one_number_per_run_and_repeats(seed, request):
    assert request.getfixturevalue("seed") == seed
    assert random.Random(seed).random() == random.Random(seed).random()


@pytest.mark.parametrize("given", ["4711", ""])
def test_the_seed_comes_from_the_environment_or_from_chance(given, monkeypatch):
    monkeypatch.setenv(fix_seed.SEED_VARIABLE, given)
    configs = [SimpleNamespace(stash=pytest.Stash()) for _ in range(3)]
    for config in configs:
        fix_seed.pytest_configure(config)
    seeds = {config.stash[fix_seed.SEED] for config in configs}
    assert seeds == {4711} if given else len(seeds) == 3


def test_a_seed_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv(fix_seed.SEED_VARIABLE, "dice")
    with pytest.raises(pytest.UsageError, match="DBMAZZ_TEST_SEED is not a whole number"):
        fix_seed.pytest_configure(SimpleNamespace(stash=pytest.Stash()))


def test_the_report_is_headed_by_versions_and_the_seed(pytestconfig, seed):
    lines = "\n".join(line for part in pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=None)
                      for line in ([part] if isinstance(part, str) else part))  # fmt: skip
    assert f"dbmazz seed: {seed} (again with DBMAZZ_TEST_SEED={seed})" in lines
    assert f"psycopg {psycopg.__version__}" in lines
