"""Starts the containers and checks that they do what they are for: `make validate`, or `python compose/validate.py`.

Replication, soft deletes, partial updates of rows with large values, the monitor, recovery from a killed loader, and at the
end every row and value of source and target; where there are too many, their counts and the sums of all numbers. Says what it
saw; exit code 0 when all is well, 1 when not. Writes rows of its own into the sandbox's source and removes them; the stack
runs on afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from dbmazz.config import Settings
from dbmazz.errors import DbmazzError
from dbmazz_cli.comparison import Target, compare
from dbmazz_cli.demo.arrival import until_arrived

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
POLL_S = 0.2
TABLES = ("public.orders", "public.order_items", "public.toast_test")
# As many rows as are compared within half a minute.
COMPARABLE_ROWS = 400_000
ORDERS, DELETED, LARGE = 300, 50, 40
SERVERS = {"sandbox": ("sandbox-postgres", "sandbox-starrocks"), "starrocks": ("postgres", "starrocks")}


class Failed(Exception):
    """A check that did not hold, in one line."""


class Stack:
    """The containers, through `docker compose`."""

    def __init__(self, profile: str) -> None:
        self._command = ["docker", "compose", "-f", str(ROOT / "compose" / "compose.yaml"), "--profile", profile]
        self._source, self._sink = SERVERS[profile]

    def compose(self, *arguments: str) -> str:
        """The output of one subcommand; Failed with its last words when it fails."""
        try:
            done = subprocess.run(
                [*self._command, *arguments], capture_output=True, text=True, timeout=900, check=False
            )
        except FileNotFoundError:
            raise Failed("there is no docker command: install Docker with compose v2") from None
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["no output"]
            raise Failed(f"docker compose {arguments[0]}: {words[-1]}")
        return done.stdout.strip()

    def address(self, service: str, port: int) -> str:
        """Where a port is published on this machine, host:port."""
        return self.compose("port", service, str(port))

    def settings(self) -> Settings:
        """The ring as it is seen from here."""
        sink = self.address(self._sink, 9030).rpartition(":")
        services = {"reader": 50051, "transformer": 50052, "loader": 50053, "checkpoint": 50054}
        return Settings(
            source_url=f"postgresql://postgres:dbmazz@{self.address(self._source, 15432)}/postgres",
            sink_url=f"http://{sink[0]}:8030",
            sink_port=int(sink[2]),
            **{f"{name}_address": self.address(name, port) for name, port in services.items()},
        )

    def state(self) -> dict[str, Any]:
        """What the monitor's page shows; {} while it does not answer."""
        try:
            url = f"http://{self.address('monitor', 8080)}/api/state"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}


class Checks:
    """The checks in their order; each returns what it saw."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._settings = stack.settings()
        self._token = f"validate {secrets.token_hex(6)}"
        self._source = psycopg.connect(self._settings.source_url, autocommit=True, connect_timeout=10)

    def replication(self) -> str:
        self._insert_orders(ORDERS)
        self._source.execute(
            "UPDATE orders SET amount = amount * 2, attributes = NULL WHERE note = %s AND customer_id %% 3 = 0",
            (self._token,),
        )
        seconds = until("the orders to arrive", lambda: self._orders_differ() == 0)
        return f"{ORDERS} orders, a third of them updated, were equal in the target after {seconds:.1f} s"

    def soft_deletes(self) -> str:
        self._source.execute("DELETE FROM orders WHERE note = %s AND customer_id < %s", (self._token, DELETED))
        query = "SELECT COUNT(*) FROM orders WHERE note = %s AND customer_id < %s AND dbmazz_is_deleted"
        seconds = until("the deletes to arrive", lambda: self._target(query, self._token, DELETED)[0][0] == DELETED)
        if differing := self._orders_differ():
            raise Failed(f"{differing} orders differ after the deletes")
        return f"{DELETED} deleted orders were marked, with their last values, after {seconds:.1f} s"

    def toast(self) -> str:
        """Incompressible values, so that they are really out of line; `u` is what pgoutput sends for one left unchanged."""
        for number in range(LARGE):
            large = base64.b64encode(os.urandom(75_000)).decode()
            self._source.execute(
                "INSERT INTO toast_test (name, counter, document, body, blob, updated_at)"
                " VALUES (%s, %s, jsonb_build_object('text', %s::text), %s, %s, now())",
                (self._token, number, large, large[:20_000], os.urandom(10_000)),
            )
        until("the large rows to arrive", lambda: self._large_rows() == self._large_rows_of_source())
        before = self._numbers()
        self._source.execute("UPDATE toast_test SET counter = counter + 1000 WHERE name = %s", (self._token,))
        expected = self._large_rows_of_source()
        seconds = until("the updates to arrive", lambda: self._large_rows() == expected)
        marks, rows = LARGE * 3, LARGE
        until(
            f"{marks} unchanged values and {rows} partial updates to be counted",
            lambda: (
                self._numbers()["unchanged_toast"] - before["unchanged_toast"] >= marks
                and self._numbers()["partial_rows"] - before["partial_rows"] >= rows
            ),
        )
        after = self._numbers()
        return (
            f"{LARGE} rows of 130 KB were updated without their large values ({seconds:.1f} s), which stayed as they were; "
            f"u seen {after['unchanged_toast'] - before['unchanged_toast']} times, "
            f"{after['partial_rows'] - before['partial_rows']} partial updates"
        )

    def monitor(self) -> str:
        def complete() -> bool:
            tables = self._stack.state()["tables"]["rows"]
            counted = [row for row in tables if row["source_rows"] is not None and row["target_rows"] is not None]
            return {row["name"] for row in counted} >= set(TABLES)

        until("the monitor to count all tables", complete)
        state = self._stack.state()
        if not state["signatures"]:
            raise Failed("the monitor shows no TOAST signature")
        with urllib.request.urlopen(f"http://{self._stack.address('monitor', 8080)}/", timeout=5) as page:
            if b"<html" not in page.read():
                raise Failed("the monitor's page is none")
        totals, slot = state["tables"]["totals"], state["numbers"]["slot"]
        return (
            f"{len(state['tables']['rows'])} tables, {totals['source_rows']:,} source and {totals['target_rows']:,} live "
            f"target rows, {len(state['signatures'])} TOAST signatures, slot {slot['wal_status']}"
        )

    def recovery(self) -> str:
        self._stack.compose("kill", "loader")  # SIGKILL, every replica
        try:
            self._insert_orders(ORDERS, first=ORDERS)
            until(
                "the monitor to see that the loader is gone",
                lambda: _states(self._stack.state(), "loader") != {"running"},
            )
            missing = self._orders_differ()
            if missing < ORDERS:
                raise Failed(f"{ORDERS - missing} orders arrived although no loader was there")
        finally:
            self._stack.compose("start", "loader")
        seconds = until("the orders to arrive", lambda: self._orders_differ() == 0)
        return (
            f"the loader was killed; {ORDERS} orders waited, and were equal {seconds:.1f} s after it was started again"
        )

    def everything(self) -> str:
        """With the traffic held, the whole tables."""
        self._stack.compose("stop", "generators")
        try:
            if problem := asyncio.run(until_arrived(self._stack.settings(), PATIENCE_S)):
                raise Failed(problem)
            rows = sum(self._count(table) for table in TABLES)
            if rows > COMPARABLE_ROWS:
                sums = sum(self._compare_sums(table) for table in TABLES)
                saw = f"are as many in the target, and have the same {sums} sums; fewer are compared value by value"
            else:
                self._compare_values()
                saw = "are equal, value by value"
        finally:
            self._stack.compose("start", "generators")
        if unaccounted := self._numbers()["rows_unaccounted"]:
            raise Failed(f"{unaccounted} rows are unaccounted for")
        return f"{rows:,} rows of {len(TABLES)} tables {saw}; rows unaccounted: 0"

    def close(self) -> None:
        """Removes the rows of these checks."""
        with self._source:
            self._source.execute("DELETE FROM orders WHERE note = %s", (self._token,))
            self._source.execute("DELETE FROM toast_test WHERE name = %s", (self._token,))

    def _insert_orders(self, count: int, first: int = 0) -> None:
        self._source.execute(
            "INSERT INTO orders (customer_id, status, amount, tags, attributes, note, created_at) SELECT n, 'paid', n + 0.25,"
            " ARRAY['a', NULL, '\"'], jsonb_build_object('n', n), %s, now() FROM generate_series(%s::int, %s::int) AS n",
            (self._token, first, first + count - 1),
        )

    def _orders_differ(self) -> int:
        """Live orders of ours that one side lacks or that are not the same."""
        columns = "id, customer_id, status, amount, note"
        ours = self._source.execute(f"SELECT {columns} FROM orders WHERE note = %s", (self._token,)).fetchall()
        query = f"SELECT {columns} FROM orders WHERE note = %s AND NOT dbmazz_is_deleted"
        theirs = self._target(query, self._token)
        return len({tuple(map(str, row)) for row in ours} ^ {tuple(map(str, row)) for row in theirs})

    def _large_rows_of_source(self) -> dict[int, tuple]:
        query = "SELECT id, counter, document->>'text', body, blob FROM toast_test WHERE name = %s"
        return {row[0]: tuple(row[1:]) for row in self._source.execute(query, (self._token,)).fetchall()}

    def _large_rows(self) -> dict[int, tuple]:
        query = "SELECT id, counter, document, body, `blob` FROM toast_test WHERE name = %s AND NOT dbmazz_is_deleted"
        return {
            row[0]: (row[1], json.loads(row[2] or "{}").get("text"), row[3], _bytes(row[4]))
            for row in self._target(query, self._token)
        }

    def _numbers(self) -> dict[str, Any]:
        return self._stack.state()["numbers"]

    def _compare_values(self) -> None:
        settings = self._stack.settings()
        for table in compare(settings.source_url, Target.of(settings), TABLES):
            if not table.equal:
                raise Failed(f"{table.name}: {table.problem or '; '.join(table.examples_of_keys)}")

    def _compare_sums(self, table: str) -> int:
        """How many sums were compared: of every column of whole or decimal numbers."""
        query = (
            "SELECT column_name FROM information_schema.columns WHERE table_schema || '.' || table_name = %s"
            " AND data_type IN ('smallint', 'integer', 'bigint', 'numeric') ORDER BY ordinal_position"
        )
        names = [name for (name,) in self._source.execute(query, (table,))]
        sums = ", ".join(["count(*)", *(f"sum({name})" for name in names)])
        ours = self._source.execute(f"SELECT {sums} FROM {table}").fetchone()
        theirs = self._target(f"SELECT {sums} FROM {table.partition('.')[2]} WHERE NOT dbmazz_is_deleted")[0]
        for name, expected, found in zip(["count", *names], ours, theirs, strict=True):
            if expected != found:
                raise Failed(f"{table}: {name} is {expected} in the source and {found} in the target")
        return len(names)

    def _count(self, table: str) -> int:
        return self._source.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def _target(self, query: str, *values: object) -> list[tuple]:
        """Rows of a query at the target; none while the table is not there yet."""
        settings = self._settings
        target = Target.of(settings)
        with contextlib.closing(
            pymysql.connect(host=target.host, port=target.port, user=target.user, database=target.database)
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values)
            return list(cursor.fetchall())


def _bytes(value: object) -> object:
    return value.encode("latin-1") if isinstance(value, str) else value


def _states(state: dict[str, Any], service: str) -> set[str]:
    return {replica["state"] for replica in state.get("replicas", []) if replica["service"] == service}


def until(what: str, condition: Callable[[], bool]) -> float:
    """Waits for the condition; the seconds that it took. Failed after a minute."""
    started = time.monotonic()
    trouble = ""
    while True:
        try:
            if condition():
                return time.monotonic() - started
            trouble = ""
        except (pymysql.Error, OSError, KeyError, TypeError) as error:
            # Not there yet: a table, the monitor's first sample.
            trouble = f" ({type(error).__name__})"
        if time.monotonic() - started > PATIENCE_S:
            raise Failed(f"waited {PATIENCE_S:.0f} s for {what}{trouble}")
        time.sleep(POLL_S)


@contextlib.contextmanager
def told(name: str) -> Iterator[Callable[[str], None]]:
    """One line for a check, with what it saw and how long it took."""
    started = time.monotonic()
    seen: list[str] = []
    try:
        yield seen.append
    except (Failed, DbmazzError, psycopg.Error, pymysql.Error) as error:
        sys.stdout.write(f"FAIL  {name:<13} {error}\n")
        raise Failed(name) from error
    sys.stdout.write(f"ok    {name:<13} {' '.join(seen)} [{time.monotonic() - started:.0f} s]\n")
    sys.stdout.flush()


def running(stack: Stack) -> bool:
    """All replicas of all services say RUNNING."""
    state = stack.state()
    return all(_states(state, service) == {"running"} for service in ("reader", "transformer", "loader", "checkpoint"))


def validate(stack: Stack, *, build: bool) -> None:
    """All checks; Failed at the first that does not hold."""
    with told("up") as saw:
        # What runs is left alone: `up` would take replicas that were added away again.
        if build or not stack.compose("ps", "--quiet", "reader"):
            stack.compose("up", "--detach", *(["--build"] if build else []))
        saw(f"all services run after {until('all services to run', lambda: running(stack)):.1f} s")
    with contextlib.closing(Checks(stack)) as checks:
        for check in (
            checks.replication,
            checks.soft_deletes,
            checks.toast,
            checks.monitor,
            checks.recovery,
            checks.everything,
        ):
            with told(check.__name__.replace("_", " ")) as saw:
                saw(check())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=SERVERS, default="sandbox", help="which databases (default: %(default)s)")
    parser.add_argument("--build", action="store_true", help="build the images first")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        validate(Stack(arguments.profile), build=arguments.build)
    except Failed:
        sys.stdout.write("not valid: see above, and `make logs`\n")
        return 1
    sys.stdout.write(f"valid, after {time.monotonic() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
