"""EmbeddedPostgres against real servers of both majors."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from dbmazz_sandbox.postgres import EmbeddedPostgres, EmbeddedPostgresError, cluster, server
from dbmazz_sandbox.postgres.identity import Identity
from dbmazz_sandbox.postgres.process import ServerProcess

from tests.fixtures.waiting import wait_until


@pytest.fixture(scope="module")
def module_server(tmp_path_factory):
    server = EmbeddedPostgres(tmp_path_factory.mktemp("embedded") / "data", fast=True)
    yield server
    server.stop()


@pytest.fixture
def postgres(module_server):
    """A running server that a test may stop, kill and restart; initdb runs once for all of them."""
    if not module_server.running:
        module_server.start()
    return module_server


@pytest.fixture
def data_dir(module_server, postgres):
    """The data directory of a server that was stopped."""
    postgres.stop()
    return postgres.data_dir


def scalar(url: str, query: str):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


@pytest.mark.parametrize("major", [16, 18])
def test_is_ready_for_logical_replication_on_loopback_only(major, request):
    running = request.getfixturevalue(f"postgres{major}")
    show = {
        name: scalar(running.url, f"SELECT current_setting('{name}')")
        for name in ("wal_level", "max_wal_senders", "max_replication_slots", "listen_addresses", "server_encoding")
    }
    assert show == {
        "wal_level": "logical",
        "max_wal_senders": "32",
        "max_replication_slots": "32",
        "listen_addresses": "127.0.0.1",
        "server_encoding": "UTF8",
    }
    assert running.url == f"postgresql://postgres@127.0.0.1:{running.port}/postgres"
    assert scalar(running.url, "SHOW unix_socket_directories") == ""
    url = running.create_database("slots")
    assert scalar(url, "SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')") == "s"
    running.drop_database("slots")


def test_keeps_its_data_and_port_over_a_restart(postgres):
    execute(postgres.create_database("kept"), "CREATE TABLE t AS SELECT 42 AS n")
    before = (postgres.port, postgres.pid)
    postgres.restart()
    assert postgres.port == before[0]
    assert postgres.pid != before[1]
    assert scalar(postgres.url_of("kept"), "SELECT n FROM t") == 42

    postgres.stop("immediate")
    assert not postgres.running
    again = EmbeddedPostgres(postgres.data_dir, fast=True)
    with again:
        assert scalar(again.url_of("kept"), "SELECT n FROM t") == 42
    again.stop()  # a second stop is nothing


async def test_starts_again_after_the_postmaster_was_killed(postgres):
    execute(postgres.url, "CREATE TABLE survives AS SELECT 1 AS n")
    with psycopg.connect(postgres.url, autocommit=True) as survivor:
        survivor.execute("SELECT 1")
        os.kill(postgres.pid, signal.SIGKILL)
        await wait_until(lambda: not postgres.running, what="postmaster gone")
        assert (postgres.data_dir / "postmaster.pid").exists()
        postgres.start()
    assert scalar(postgres.url, "SELECT n FROM survives") == 1


def test_a_stale_pid_file_that_names_some_other_process_is_no_obstacle(postgres):
    postgres.stop()
    (postgres.data_dir / "postmaster.pid").write_text(f"{os.getppid()}\n{postgres.data_dir}\n")
    postgres.start()
    assert scalar(postgres.url, "SELECT 1") == 1


def test_refuses_a_data_directory_in_use(postgres, monkeypatch):
    monkeypatch.setattr(cluster, "OLD_SERVER_SECONDS", 0.1)
    with pytest.raises(EmbeddedPostgresError, match=rf"in use by a running PostgreSQL \(process {postgres.pid}\)"):
        EmbeddedPostgres(postgres.data_dir).start()
    with pytest.raises(EmbeddedPostgresError, match="already running"):
        postgres.start()
    assert scalar(postgres.url, "SELECT 1") == 1


def test_refuses_a_port_in_use(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EmbeddedPostgresError, match=rf"port {port} on 127\.0\.0\.1 is in use: .*choose another port"
        ):
            EmbeddedPostgres(data_dir, port=port, fast=True).start()


def test_a_restart_never_moves_to_another_port_silently(postgres):
    postgres.stop()
    with (
        socket.create_server(("127.0.0.1", postgres.port)),
        pytest.raises(EmbeddedPostgresError, match=f"port {postgres.port} on .* is in use"),
    ):
        postgres.start()
    assert not postgres.running
    postgres.start()
    assert scalar(postgres.url, "SELECT 1") == 1


def test_takes_another_free_port_when_somebody_was_faster(postgres, tmp_path, monkeypatch):
    offers = iter([postgres.port, server.free_port()])
    monkeypatch.setattr(server, "free_port", lambda: next(offers))
    with EmbeddedPostgres(tmp_path / "second", fast=True) as second:
        assert second.port != postgres.port
        assert scalar(second.url, "SHOW data_directory") == str(tmp_path / "second")


def test_refuses_data_of_another_major_and_of_another_kind(tmp_path, data_dir):
    with pytest.raises(EmbeddedPostgresError, match="was made by PostgreSQL 16, but 18 is asked for"):
        EmbeddedPostgres(data_dir, major=18).start()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("not a database")
    with pytest.raises(EmbeddedPostgresError, match="neither empty nor a PostgreSQL data directory"):
        EmbeddedPostgres(tmp_path / "other").start()
    assert (tmp_path / "other" / "letter.txt").read_text() == "not a database"


def test_names_the_setting_the_server_refuses(data_dir):
    with pytest.raises(EmbeddedPostgresError, match=r"wal_level.*nonsense"):
        EmbeddedPostgres(data_dir, settings={"wal_level": "nonsense"}, fast=True).start()


def test_settings_override_the_defaults(data_dir):
    with EmbeddedPostgres(data_dir, settings={"max_wal_senders": "7"}, fast=True) as running:
        assert scalar(running.url, "SHOW max_wal_senders") == "7"


def test_a_killed_initdb_leaves_nothing_that_is_in_the_way(tmp_path, monkeypatch):
    draft = tmp_path / ".data.initdb"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("16\n")
    (tmp_path / "data").mkdir()
    with EmbeddedPostgres(tmp_path / "data", fast=True) as running:
        assert scalar(running.url, "SELECT 1") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "data.log"]


def test_with_a_password_tcp_asks_for_it(tmp_path):
    password = "it's: a/p@ss%wörd"
    with EmbeddedPostgres(tmp_path / "data", password=password, fast=True) as running:
        assert scalar(running.url, "SELECT 1") == 1
        assert password not in running.url
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{running.port}/postgres")
        assert scalar(running.url, "SELECT rolpassword FROM pg_authid WHERE oid = 10").startswith("SCRAM-SHA-256$")
    for other in ("wrong", None):
        with pytest.raises(EmbeddedPostgresError, match="was made with another password") as caught:
            EmbeddedPostgres(tmp_path / "data", password=other, fast=True).start()
        assert password not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "data.log"]


def test_stop_does_not_wait_for_ever_for_a_replication_client_that_does_not_read(postgres, monkeypatch):
    monkeypatch.setattr(server, "STOP_SECONDS", 0.5)
    scalar(postgres.url, "SELECT 1 FROM pg_create_logical_replication_slot('s', 'pgoutput')")
    execute(postgres.url, "CREATE PUBLICATION p FOR ALL TABLES")
    deaf = psycopg.pq.PGconn.connect(f"{postgres.url}?replication=database".encode())
    started = deaf.exec_(b"START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')")
    assert started.status == psycopg.pq.ExecStatus.COPY_BOTH
    execute(postgres.url, "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)")

    postgres.stop()

    deaf.finish()
    assert not postgres.running
    postgres.start()
    assert scalar(postgres.url, "SELECT n FROM t") == 1


def test_outlives_the_thread_that_started_it(data_dir):
    running = EmbeddedPostgres(data_dir, fast=True)
    thread = threading.Thread(target=running.start)
    thread.start()
    thread.join()
    # The parent-death signal comes with the thread's end, so a query that needs a new backend proves it never came.
    assert scalar(running.url, "SELECT 1") == 1
    assert running.running
    running.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_dies_with_its_parent_process(data_dir, number):
    program = (
        "import pathlib, sys\n"
        "from dbmazz_sandbox.postgres import EmbeddedPostgres\n"
        "running = EmbeddedPostgres(pathlib.Path(sys.argv[1]), fast=True)\n"
        "running.start()\n"
        "print('pid', running.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        line = next(text for text in iter(parent.stdout.readline, "") if text.startswith("pid "))
        pid = int(line.split()[1])
        assert cluster.serves(pid, data_dir)
        parent.send_signal(number)
        assert parent.wait(10) == -number
    asyncio.run(wait_until(lambda: not cluster.serves(pid, data_dir), what="server gone"))
    with EmbeddedPostgres(data_dir, fast=True) as running:
        assert scalar(running.url, "SELECT 1") == 1


def test_has_no_address_before_it_was_started(tmp_path):
    idle = EmbeddedPostgres(tmp_path / "data")
    for name in ("url", "port", "pid"):
        with pytest.raises(EmbeddedPostgresError, match=r"call start\(\) first"):
            getattr(idle, name)
    idle.stop()


def test_a_program_that_is_not_there_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(OSError, match="no-such-launcher"):
        ServerProcess(["postgres"], Identity("nobody", 0, prefix=("no-such-launcher",)), Path(tmp_path / "log"))


def test_serves_others_only_with_the_password(tmp_path):
    with EmbeddedPostgres(
        tmp_path / "data", fast=True, host="127.0.0.2", advertise="127.0.0.2", password="it's"
    ) as running:
        assert running.url.endswith(f"@127.0.0.2:{running.port}/postgres")
        assert scalar(running.url, "SHOW listen_addresses") == "127.0.0.1,127.0.0.2"
        assert scalar(running.url, "SELECT host(inet_server_addr())") == "127.0.0.2"
        # pg_hba.conf as initdb makes it admits 127.0.0.1/32 and ::1/128 only.
        assert scalar(running.url, "SHOW hba_file").endswith(cluster.NETWORK_HBA)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            scalar(f"postgresql://postgres:wrong@127.0.0.2:{running.port}/postgres", "SELECT 1")


def test_refuses_to_serve_others_without_a_password(tmp_path):
    with pytest.raises(EmbeddedPostgresError, match=r"on 0\.0\.0\.0, beyond this machine, without a password"):
        EmbeddedPostgres(tmp_path / "data", host="0.0.0.0")
    named = EmbeddedPostgres(tmp_path / "data", host="0.0.0.0", password="x", port=15432)
    assert named._advertised == socket.gethostname()
