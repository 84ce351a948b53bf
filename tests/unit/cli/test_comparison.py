"""The comparison over a real PostgreSQL and the StarRocks sandbox: what differs is found, what is equal is not."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pymysql
import pytest
import pytest_asyncio
from dbmazz.errors import SourceError, SourceUnavailable, TargetUnavailable
from dbmazz_cli.comparison import TableDifference, Target, compare
from dbmazz_sandbox.starrocks import StarRocksSandbox

SOURCE = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE kinds (
    region text, id int, small smallint, large bigint, amount numeric(12, 2), digits numeric, ratio real, precise float8,
    flag boolean, name text, born date, made timestamp, seen timestamptz, document jsonb, mood mood, tags text[],
    raw bytea, twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (region, id)
);
INSERT INTO kinds VALUES
    ('Z', 1, 1, 1, 1.5, 1.50, 0.1, 0.1, true, 'x', '2024-01-01', '2024-01-01 01:02:03.5', '2024-01-01 01:02:03+02',
     '{"b": 1, "a": [1.0]}', 'ok', '{a,NULL}', '\\xdeadbeef'),
    ('a', 2, 2, 2, 2.5, 2.50, 0.2, 0.2, false, 'y', '2024-01-02', '2024-01-02 00:00:00', '2024-01-02 00:00:00+00',
     '[]', 'sad', '{}', '\\x00'),
    ('é', 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
TARGET = """
CREATE TABLE d.kinds (
    region VARCHAR(1048576) NOT NULL, id INT NOT NULL, small SMALLINT, large BIGINT, amount DECIMAL(12, 2),
    digits VARCHAR(65533), ratio FLOAT, precise DOUBLE, flag BOOLEAN, name VARCHAR(100), born DATE, made DATETIME,
    seen DATETIME, document JSON, mood VARCHAR(256), tags JSON, raw VARBINARY,
    dbmazz_op_type TINYINT, dbmazz_is_deleted BOOLEAN, dbmazz_synced_at DATETIME, dbmazz_cdc_version BIGINT
) PRIMARY KEY (region, id) DISTRIBUTED BY HASH (region, id) PROPERTIES ("replication_num" = "1")
"""
AUDIT = "0, false, '2024-01-01 00:00:00', 1"
ROWS = [
    "'Z', 1, 1, 1, 1.5, '1.50', 0.1, 0.1, true, 'x', '2024-01-01', '2024-01-01 01:02:03.5', '2023-12-31 23:02:03',"
    """ parse_json('{"a": [1], "b": 1}'), 'ok', parse_json('["a", null]'), from_base64('3q2+7w==')""",
    "'a', 2, 2, 2, 2.5, '2.50', 0.2, 0.2, false, 'y', '2024-01-02', '2024-01-02 00:00:00', '2024-01-02 00:00:00',"
    " parse_json('[]'), 'sad', parse_json('[]'), from_base64('AA==')",
    "'é', 3" + ", NULL" * 15,
]
# Column and another value, as SQL.
CHANGES = {
    "small": "2",
    "large": "NULL",
    "amount": "1.51",
    "digits": "'1.5'",
    "ratio": "0.11",
    "precise": "0.10000000000000002",
    "flag": "false",
    "name": "'X'",
    "born": "'2024-01-03'",
    "made": "'2024-01-01 01:02:03'",
    "seen": "'2024-01-01 01:02:03'",
    "document": 'parse_json(\'{"a": [2], "b": 1}\')',
    "mood": "'sad'",
    "tags": "parse_json('[\"a\"]')",
    "raw": "from_base64('3q2+8A==')",
}


MEASURE = """
import json, sys, tracemalloc
from dbmazz_cli.comparison import Target, compare
tracemalloc.start()
[found] = compare(sys.argv[1], Target("127.0.0.1", int(sys.argv[2]), "root", "", "d"), ["public.many"])
print(json.dumps({
    "rows": [found.source_rows, found.target_rows, found.different_rows],
    "examples": found.examples_of_keys,
    "peak": tracemalloc.get_traced_memory()[1],
}))
"""


class Both:
    """A source table `kinds` and its equal in the target, and a way to spoil the target."""

    def __init__(self, source_url: str, target: Target) -> None:
        self.source_url, self.target = source_url, target

    async def sql(self, *statements: str) -> None:
        def work() -> None:
            with pymysql.connect(
                host=self.target.host, port=self.target.port, user="root", autocommit=True
            ) as connection:
                for statement in statements:
                    connection.cursor().execute(statement)

        await asyncio.to_thread(work)

    async def compare(self, name: str = "public.kinds") -> TableDifference:
        [difference] = await asyncio.to_thread(compare, self.source_url, self.target, [name])
        return difference


@pytest_asyncio.fixture
async def both(source_db, tmp_path: Path) -> AsyncIterator[Both]:
    async with await source_db.connect() as connection:
        await connection.execute(SOURCE)
    async with StarRocksSandbox(tmp_path) as starrocks:
        both = Both(source_db.url, Target("127.0.0.1", starrocks.mysql_port, "root", "", "d"))
        rows = ", ".join(f"({row}, {AUDIT})" for row in ROWS)
        await both.sql("CREATE DATABASE d", TARGET, f"INSERT INTO d.kinds VALUES {rows}")
        yield both


async def test_equal_and_every_changed_type(both: Both) -> None:
    assert await both.compare() == TableDifference("public.kinds", 3, 3, 0)
    for column, value in CHANGES.items():
        await both.sql(f"UPDATE d.kinds SET {column} = {value} WHERE id = 1")
        difference = await both.compare()
        assert difference.different_rows == 1, column
        assert difference.examples_of_keys == [f"region=Z, id=1: {column} differ"]
        assert not difference.equal
        await both.sql("DELETE FROM d.kinds WHERE id = 1", f"INSERT INTO d.kinds VALUES ({ROWS[0]}, {AUDIT})")
    assert (await both.compare()).equal


async def test_rows_that_one_side_lacks(both: Both) -> None:
    await both.sql(
        "DELETE FROM d.kinds WHERE id = 2",
        f"INSERT INTO d.kinds VALUES ({ROWS[2].replace('3', '4')}, {AUDIT})",
        f"INSERT INTO d.kinds VALUES ({ROWS[2].replace('é', 'A')}, {AUDIT})",
    )
    difference = await both.compare()
    assert (difference.source_rows, difference.target_rows, difference.different_rows) == (3, 4, 3)
    assert difference.examples_of_keys == [
        "region=A, id=3: not in the source",
        "region=a, id=2: missing in the target",
        "region=é, id=4: not in the source",
    ]


async def test_soft_deleted_rows_are_not_there(both: Both) -> None:
    await both.sql(
        f"INSERT INTO d.kinds VALUES ({ROWS[2].replace('3', '4')}, 2, true, NULL, 1)",
        "UPDATE d.kinds SET dbmazz_is_deleted = true WHERE id = 1",
    )
    difference = await both.compare()
    assert (difference.target_rows, difference.different_rows) == (2, 1)
    assert difference.examples_of_keys == ["region=Z, id=1: missing in the target"]


async def test_what_is_missing_or_away(both: Both, source_db) -> None:
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE other (id int PRIMARY KEY); CREATE TABLE keyless (id int)")
        await connection.execute("INSERT INTO other VALUES (1), (2)")
    difference = await both.compare("public.other")
    assert (difference.source_rows, difference.different_rows, difference.equal) == (2, 2, False)
    assert difference.problem == "d.other is not in the target"
    with pytest.raises(SourceError, match=r"public\.nowhere is not in the source"):
        await both.compare("public.nowhere")
    with pytest.raises(SourceError, match="has no primary key"):
        await both.compare("public.keyless")
    away = Target("127.0.0.1", 1, "root", "secret", "d")
    with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:1"):
        await asyncio.to_thread(compare, both.source_url, away, ["public.kinds"])
    assert "secret" not in repr(away)
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        await asyncio.to_thread(compare, "postgresql://postgres@127.0.0.1:1/postgres", away, ["public.kinds"])


async def test_many_rows_in_bounded_memory(both: Both, source_db) -> None:
    count = 6_000
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE many (id int PRIMARY KEY, body text)")
        await connection.execute(
            "INSERT INTO many SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, %s) n" % count  # noqa: UP031
        )
    await both.sql(
        "CREATE TABLE d.many (id INT NOT NULL, body VARCHAR(1000), dbmazz_is_deleted BOOLEAN) PRIMARY KEY (id)"
        ' DISTRIBUTED BY HASH (id) PROPERTIES ("replication_num" = "1")'
    )
    async with await source_db.connect() as connection:
        rows = await (await connection.execute("SELECT id, body FROM many ORDER BY id")).fetchall()
    rows[17] = (rows[17][0], "spoilt")
    for start in range(0, count, 2000):
        values = ", ".join(f"({number}, '{body}', false)" for number, body in rows[start : start + 2000])
        await both.sql(f"INSERT INTO d.many VALUES {values}")
    del rows, values
    # In a process of its own: in this one the sandbox holds the rows as well.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURE, both.source_url, str(both.target.port), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found = json.loads(output)
    assert found["rows"] == [count, count, 1]
    assert found["examples"] == ["id=18: body differ"]
    assert found["peak"] < count * 960 / 4


def test_the_password_of_a_bad_url_is_not_repeated() -> None:
    with pytest.raises(Exception, match="SOURCE_URL") as caught:
        compare("postgresql//user:hunter2@host", Target("127.0.0.1", 1, "root", ""), ["t"])
    assert "hunter2" not in str(caught.value)
    assert not isinstance(caught.value, psycopg.Error)
