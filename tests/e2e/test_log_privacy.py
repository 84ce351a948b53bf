"""Row values and secrets are in no log, status, metric or page, whatever happens: a ring whose every value is marked."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
from google.protobuf.json_format import MessageToJson

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import running_sandbox
from tests.fixtures.ring import SERVICES, Replica, Ring, free_port
from tests.fixtures.scraping import scrape
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.e2e

# Parts of every value and of every secret, so that a part of one is found as well.
VALUE = "zqvalue"
SECRET = "zqsecret"
MARKS = re.compile(rf"{VALUE}|{SECRET}|{VALUE.encode().hex()}", re.IGNORECASE)
# Marked as well, and no text: neither as it is written nor as it is stored.
NUMBER = "8675309.4242"


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_value_and_no_secret_is_told(source_db: SourceDatabase, tmp_path: Path, form: str, seed: int) -> None:
    with running_sandbox(tmp_path, SANDBOX_PASSWORD=SECRET) as sandbox:
        settings = {
            "SINK_PASSWORD": SECRET,
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": form,
            "METRICS_PORT": "0",
        }
        # The server trusts whoever comes; the password is in the URL all the same.
        url = source_db.url.replace("postgres@", f"postgres:{SECRET}@")
        assert SECRET in url
        ring = Ring(url, sandbox.settings("private"), tmp_path, name=f"{source_db.name}_{form}", settings=settings)
        monitor = Replica("monitor", ring.environment, tmp_path / "monitor-0.log")
        ports = {service: free_port() for service in SERVICES}
        for service, port in ports.items():
            ring[service].environment = {**ring.environment, "METRICS_PORT": str(port)}
        try:
            async with await source_db.connect() as connection:
                await make_tables(connection)
                ring.start()
                monitor.start()
                await ring.streaming()
                await everything_happens(connection, ring)
                # Refused by the target: the answer of StarRocks, and its log of errors, quote the row.
                await sandbox.fault("reject_rows", table="private.refused", count=1)
                await connection.execute("INSERT INTO refused VALUES (%s, %s)", [f"{VALUE} key", f"{VALUE} note"])
                told = [await refused(ring)]
                ring["loader"].kill()
                ring["transformer"].kill()
                await connection.execute("INSERT INTO t (id, note) VALUES (%s, %s)", [f"{VALUE} 9", VALUE])
                ring["loader"].start()
                ring["transformer"].start()
                await ring.caught_up()
            await ring.assert_equal("public.t", "public.refused")
            assert VALUE in str(await ring.target_rows("SELECT id, note FROM t")), "the values did go through"
            told += [text async for text in answers(ring, monitor, ports)]
        finally:
            await ring.close()
            if monitor.running:
                monitor.terminate()
        logs = {replica.log_path.name: replica.log for replica in (*map(ring.__getitem__, SERVICES), monitor)}
        for where, text in [*logs.items(), *((f"answer {n}", text) for n, text in enumerate(told))]:
            found = MARKS.search(text)
            assert not found, f"{where}: {text[max(0, found.start() - 200) : found.end() + 50]}"
            assert NUMBER not in text, where
        check_form(logs, form)


async def make_tables(connection: psycopg.AsyncConnection) -> None:
    await connection.execute(
        "CREATE TABLE t (id text PRIMARY KEY, note text, amount numeric, share float8, happened timestamptz,"
        " document jsonb, large text, raw bytea, words text[])"
    )
    await connection.execute("ALTER TABLE t ALTER COLUMN large SET STORAGE EXTERNAL")
    await connection.execute("CREATE TABLE refused (id text PRIMARY KEY, note text)")


async def everything_happens(connection: psycopg.AsyncConnection, ring: Ring) -> None:
    """Inserts, unchanged large values, a key that changes, deletes, values that a policy changes, a new column, a truncate."""
    for number in range(8):
        await connection.execute(
            "INSERT INTO t VALUES (%s, %s, %s, 'NaN', 'infinity', %s, %s, %s, %s)",
            [
                f"{VALUE} {number}",
                f'{VALUE}\'; DROP TABLE "{VALUE}" --\n',
                "NaN" if number == 1 else NUMBER,
                json.dumps({VALUE: [VALUE]}),
                VALUE * 2000,
                VALUE.encode() * 10,
                [VALUE, None],
            ],
        )
    await ring.caught_up()
    await connection.execute("UPDATE t SET note = note || %s", [VALUE])
    await connection.execute("UPDATE t SET id = id || 'moved' WHERE id = %s", [f"{VALUE} 1"])
    await connection.execute("DELETE FROM t WHERE id = %s", [f"{VALUE} 2"])
    await connection.execute("ALTER TABLE t ADD COLUMN later text DEFAULT NULL")
    await connection.execute("UPDATE t SET later = %s WHERE id = %s", [VALUE, f"{VALUE} 3"])
    await connection.execute("INSERT INTO refused VALUES (%s, %s)", [f"{VALUE} 0", VALUE])
    await connection.execute("TRUNCATE refused")
    await ring.caught_up()


async def refused(ring: Ring) -> str:
    """What the transformer says about the table whose row StarRocks did not take."""

    async def messages() -> list[str]:
        lanes = (await ring.transformer_status()).lanes
        return [lane.message for lane in lanes if lane.table == "public.refused" and "filtered" in lane.message]

    [message] = await wait_until(messages, timeout=30, what="public.refused is parked")
    return message


async def answers(ring: Ring, monitor: Replica, ports: dict[str, int]) -> AsyncIterator[str]:
    """What services say about themselves, to gRPC, to Prometheus and on the page."""
    for status in (await ring.reader_status(), await ring.transformer_status(), await ring.loader_status()):
        yield MessageToJson(status)
    for port in ports.values():
        yield (await scrape(port)).text
    async with aiohttp.ClientSession() as session:

        async def state() -> dict:
            try:
                async with session.get(f"http://{monitor.address}/api/state") as answer:
                    return await answer.json() if answer.status == 200 else {}
            except aiohttp.ClientConnectionError:
                return {}

        def counted(found: dict) -> bool:
            rows = found.get("tables", {}).get("rows", [])
            return bool(rows) and all(row["source_rows"] is not None for row in rows)

        async def complete() -> dict:
            found = await state()
            return found if counted(found) else {}

        yield json.dumps(await wait_until(complete, timeout=30, what="the monitor has counted"))


def check_form(logs: dict[str, str], form: str) -> None:
    """That there was something to look through, at every level that there is, and that it has the form asked for."""
    everything = "".join(logs.values())
    assert len(everything.splitlines()) > 40
    for event in ("streaming", "load_done", "values_changed_by_policy", "table_truncated", "table_altered"):
        assert event in everything, event
    if form == "console":
        return
    for name, text in logs.items():
        for line in text.splitlines():
            entry = json.loads(line)
            if "address" in entry and "pid" in entry and "event" not in entry:
                continue  # what a supervisor reads
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", entry["event"]), f"{name}: {line}"
            assert entry["level"] in ("debug", "info", "warning", "error") and entry["timestamp"].endswith("Z")
