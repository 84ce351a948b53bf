"""The SQLite store: what it keeps, what it refuses, one process at a time, kills in mid-write."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dbmazz.errors import ConfigError
from dbmazz.lsn import Lsn
from dbmazz_checkpoint.protocol.slot import Checkpoint
from dbmazz_checkpoint.store import schema, sqlite
from dbmazz_checkpoint.store.interface import StoreError
from dbmazz_checkpoint.store.sqlite import SqliteStore

ORDERS = Checkpoint("orders", 1_763_600_000, Lsn(0x16_B374D848), "7412356890123456789", 3, 1_763_600_000_123_456)


async def test_a_position_survives_closing(tmp_path: Path):
    path = tmp_path / "made" / "on" / "demand" / "checkpoint.db"
    store = await SqliteStore.open(path)
    assert await store.list() == []
    assert await store.get("orders") is None
    await store.begin(ORDERS, {})
    await store.begin(replace(ORDERS, slot="items", confirmed_lsn=Lsn(2**64 - 1)), {})
    await store.close()

    store = await SqliteStore.open(path)
    assert await store.get("orders") == ORDERS
    assert [found.slot for found in await store.list()] == ["items", "orders"]
    assert (await store.get("items")).confirmed_lsn == 2**64 - 1
    assert store.description == f"sqlite:///{path}"
    await store.close()


async def test_unread_tables_are_added_up_and_kept(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    assert await store.begin(ORDERS, {7: 100, 8: 5}) == {7: 100, 8: 5}
    await store.close()
    store = await SqliteStore.open(path)
    assert await store.begin(replace(ORDERS, slot="items"), {}) == {}
    assert await store.begin(replace(ORDERS, epoch=ORDERS.epoch + 1), {8: 6, 9: 1}) == {7: 100, 8: 5, 9: 1}
    await store.close()


async def test_advance_moves_forward_only_and_only_the_stored_epoch(tmp_path: Path):
    store = await SqliteStore.open(tmp_path / "checkpoint.db")
    await store.begin(ORDERS, {})
    later = replace(ORDERS, confirmed_lsn=Lsn(ORDERS.confirmed_lsn + 10))
    lower = replace(ORDERS, confirmed_lsn=Lsn(5))
    older_epoch = replace(later, epoch=ORDERS.epoch - 1, confirmed_lsn=Lsn(2**60))
    unknown = replace(later, slot="nobody")
    assert await store.advance([later, older_epoch, unknown]) == [True, False, False]
    assert await store.advance([lower]) == [True]
    assert await store.list() == [later]
    await store.close()


async def test_a_round_that_fails_half_way_stores_nothing(tmp_path: Path):
    store = await SqliteStore.open(tmp_path / "checkpoint.db")
    await store.begin(ORDERS, {})
    later = replace(ORDERS, confirmed_lsn=Lsn(ORDERS.confirmed_lsn + 10))
    impossible = replace(later, slot="items", timeline=None)
    await store.begin(replace(ORDERS, slot="items"), {})
    with pytest.raises(StoreError, match=r"SQLITE_CONSTRAINT.*Look at its disk") as caught:
        await store.advance([later, replace(impossible, confirmed_lsn=Lsn(2**60))])
    assert caught.value.retriable
    assert await store.get("orders") == ORDERS
    assert await store.advance([later]) == [True]
    await store.close()


async def test_history_has_one_row_per_second_newest_first_and_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sqlite, "HISTORY_ROWS", 5)
    store = await SqliteStore.open(tmp_path / "checkpoint.db")
    await store.begin(ORDERS, {})
    for step in range(1, 41):  # four positions a second, for ten seconds
        moved = replace(
            ORDERS,
            confirmed_lsn=Lsn(ORDERS.confirmed_lsn + step),
            update_time_us=ORDERS.update_time_us + step * 250_000,
        )
        await store.advance([moved])
    found = await store.history("orders", 100)
    assert len(found) == 5
    assert [at.update_time_us for at in found] == sorted((at.update_time_us for at in found), reverse=True)
    assert found[0] == await store.get("orders")
    assert len({at.update_time_us // 1_000_000 for at in found}) == 5
    assert len(await store.history("orders", 2)) == 2
    # A newer epoch is newer, whatever its clock says.
    rewound = replace(moved, epoch=ORDERS.epoch + 1, update_time_us=5)
    await store.begin(rewound, {})
    assert (await store.history("orders", 1)) == [rewound]
    assert await store.history("items", 10) == []
    await store.close()


async def test_settings_that_durability_rests_on(tmp_path: Path):
    store = await SqliteStore.open(tmp_path / "checkpoint.db")

    def pragma(name: str):
        return store._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert await store._run(pragma, "journal_mode") == "wal"
    assert await store._run(pragma, "synchronous") == 2  # FULL
    assert await store._run(pragma, "user_version") == schema.SCHEMA_VERSION
    await store.close()


async def test_a_second_opener_is_refused_and_the_first_goes_on(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    link = tmp_path / "other-name.db"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(ConfigError, match=rf"checkpoint\.db is in use by another process \(pid {os.getpid()}\)"):
            await SqliteStore.open(name)
    await store.begin(ORDERS, {})
    await store.close()
    await (await SqliteStore.open(path)).close()


async def test_a_newer_schema_is_refused_unharmed(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    await store.begin(ORDERS, {})
    await store.close()
    _execute(path, "PRAGMA user_version = 99")
    with pytest.raises(
        ConfigError, match=rf"newer dbmazz \(schema 99, this one knows {schema.SCHEMA_VERSION}\).*point CHECKPOINT_URL"
    ):
        await SqliteStore.open(path)
    _execute(path, f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    store = await SqliteStore.open(path)
    assert await store.get("orders") == ORDERS
    await store.close()


async def test_the_file_of_another_program_is_refused_untouched(tmp_path: Path):
    path = tmp_path / "bookmarks.db"
    _execute(path, "CREATE TABLE bookmark (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="SQLite file of another program"):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    path.write_bytes(b"these are notes, not a database" * 100)
    with pytest.raises(ConfigError, match=r"cannot be used \(SQLITE_NOTADB.*Move it away") as caught:
        await SqliteStore.open(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes().startswith(b"these are notes")


async def test_damaged_pages_are_found_at_the_start(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    for number in range(200):
        await store.begin(replace(ORDERS, slot=f"slot_{number}"), {})
    await store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = bytes(len(content) - 4096 * 2)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be used"):
        await SqliteStore.open(path)


async def test_a_position_that_is_none_is_named(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    await store.begin(ORDERS, {})
    await store.close()
    _execute(path, "UPDATE checkpoint SET confirmed_lsn = 'here'")
    store = await SqliteStore.open(path)
    with pytest.raises(StoreError, match=r"checkpoint\.db failed \(not an LSN: 'here'"):
        await store.list()
    await store.close()


async def test_a_directory_in_place_of_the_file(tmp_path: Path):
    (tmp_path / "checkpoint.db").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be used \(SQLITE_CANTOPEN"):
        await SqliteStore.open(tmp_path / "checkpoint.db")


async def test_a_parent_that_is_a_file(tmp_path: Path):
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=r"directory .* cannot be written \(.*Give this user"):
        await SqliteStore.open(tmp_path / "data" / "checkpoint.db")


@pytest.fixture
def unprivileged_directory() -> Iterator[Path]:
    """A directory while this process has no special rights: root would write read-only files."""
    directory = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    directory.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o777)
        shutil.rmtree(directory)


async def test_a_read_only_file_is_found_at_the_start(unprivileged_directory: Path):
    path = unprivileged_directory / "checkpoint.db"
    store = await SqliteStore.open(path)
    await store.begin(ORDERS, {})
    await store.close()
    path.chmod(0o444)
    with pytest.raises(ConfigError, match=r"cannot be used \(SQLITE_READONLY.*Give this user the right"):
        await SqliteStore.open(path)
    path.chmod(0o000)
    with pytest.raises(ConfigError, match=r"cannot be used \(SQLITE_CANTOPEN.*Give this user the right"):
        await SqliteStore.open(path)


async def test_a_read_only_directory_is_found_at_the_start(unprivileged_directory: Path):
    closed = unprivileged_directory / "closed"
    closed.mkdir(mode=0o555)
    for path in (closed / "checkpoint.db", closed / "deeper" / "checkpoint.db"):
        with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\)"):
            await SqliteStore.open(path)


_WRITER = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from dbmazz.lsn import Lsn
from dbmazz_checkpoint.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    at = await store.get("orders")
    while True:
        at = replace(at, confirmed_lsn=Lsn(at.confirmed_lsn + 1), update_time_us=at.update_time_us + 1000)
        assert await store.advance([at]) == [True]
        print(int(at.confirmed_lsn), flush=True)

asyncio.run(main())
"""


def _killed_writer(path: Path, *, after_lines: int) -> int:
    """Runs the writer, kills it after that many lines and gives the last position that it announced."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as child:
        lines = [child.stdout.readline() for _ in range(after_lines)]
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
    assert child.returncode == -signal.SIGKILL
    return max(int(line) for line in lines if line.endswith("\n"))


async def test_what_was_announced_is_in_the_store_after_kills_in_mid_write(tmp_path: Path, seed: int):
    """A child stores and then says so, over and over; SIGKILL hits it anywhere, also between the two."""
    rng = random.Random(seed)
    path = tmp_path / "checkpoint.db"
    store = await SqliteStore.open(path)
    await store.begin(ORDERS, {})
    await store.close()
    announced = ORDERS.confirmed_lsn
    for _ in range(5):
        announced = max(announced, _killed_writer(path, after_lines=rng.randint(1, 60)))
        store = await SqliteStore.open(path)
        stored = (await store.get("orders")).confirmed_lsn
        assert announced <= stored <= announced + 1
        assert (await store.history("orders", 1))[0].confirmed_lsn == stored
        await store.close()


def _execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
