"""Target tables on the StarRocks look-alike: created, altered, truncated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pymysql
import pytest
import pytest_asyncio
from dbmazz.column_types import parse_type
from dbmazz.v1 import load_pb2, loader_pb2
from dbmazz.wire import relation_to_proto
from dbmazz_sandbox.starrocks import StarRocksSandbox

from tests.unit.loader.conftest import LoaderUnderTest, load_progress, load_request
from tests.unit.loader.relations import column, numeric, relation

ENSURE, TRUNCATE = loader_pb2.SCHEMA_ACTION_ENSURE, loader_pb2.SCHEMA_ACTION_TRUNCATE
LOADED, PARK, STOP = load_pb2.VERDICT_LOADED, load_pb2.VERDICT_PARK, load_pb2.VERDICT_STOP
ORDERS = relation(column("note"), column("id", "int8", key=1), column("doc", "jsonb"))
AUDIT = ["dbmazz_op_type", "dbmazz_is_deleted", "dbmazz_synced_at", "dbmazz_cdc_version"]


class Target:
    """The look-alike, and its MySQL port for looking into it."""

    def __init__(self, sandbox: StarRocksSandbox) -> None:
        self.sandbox = sandbox

    @property
    def settings(self) -> dict[str, object]:
        return {"sink_url": self.sandbox.fe_url, "sink_port": self.sandbox.mysql_port}

    async def sql(self, *statements: str) -> list[tuple]:
        def run() -> list[tuple]:
            connection = pymysql.connect(host="127.0.0.1", port=self.sandbox.mysql_port, user="root", autocommit=True)
            with connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())

        return await asyncio.to_thread(run)


@pytest_asyncio.fixture
async def target(tmp_path) -> AsyncIterator[Target]:
    async with StarRocksSandbox(tmp_path) as sandbox:
        yield Target(sandbox)


async def apply(
    loader: LoaderUnderTest, rel=ORDERS, action=ENSURE, barrier: int = 0, **fields
) -> loader_pb2.ApplySchemaResponse:
    request = loader_pb2.ApplySchemaRequest(
        relation=relation_to_proto(rel), action=action, barrier_lsn=barrier, **fields
    )
    return await loader.stub.ApplySchema(request, timeout=20)


def rows_request(label: str, *rows: str, columns: tuple[str, ...], **fields) -> load_pb2.LoadRequest:
    return load_request(
        label,
        columns=[f"`{name}`" for name in columns],
        body="\n".join(rows).encode() + b"\n",
        row_count=len(rows),
        **fields,
    )


async def test_creates_database_and_table(target, checkpoint, start_loader):
    loader = await start_loader(**target.settings)
    response = await apply(loader, progress=load_progress())
    assert (response.verdict, response.message) == (LOADED, "")
    table = response.target
    assert (table.database, table.table) == ("dbmazz", "orders")
    assert [c.name for c in table.columns] == ["id", "note", "doc", *AUDIT]
    assert [(c.name, str(parse_type(c.type))) for c in table.columns if c.key] == [("id", "BIGINT")]
    assert table.version_guard
    assert len(checkpoint.reports) == 1
    created = dict(await target.sql("SHOW CREATE TABLE dbmazz.orders"))["orders"]
    assert "PRIMARY KEY(`id`)" in created
    assert '"replication_num" = "1"' in created  # as many as there are backends


async def test_ensuring_again_changes_nothing(target, checkpoint, start_loader):
    loader = await start_loader(**target.settings)
    first = await apply(loader)
    again = await asyncio.gather(*(apply(loader) for _ in range(4)))
    assert all(response.target == first.target for response in again)
    assert checkpoint.reports == []  # no barrier, no report
    assert await target.sql("SHOW ALTER TABLE COLUMN FROM dbmazz") == []


async def test_adds_and_widens_columns(target, start_loader):
    loader = await start_loader(**target.settings)
    narrow = relation(
        column("id", "int8", key=1),
        column("n", "int2"),
        column("v", "varchar", modifier=14),
        column("d", "numeric", modifier=numeric(10, 2)),
    )
    await apply(loader, narrow)
    wide = relation(
        column("id", "int8", key=1),
        column("n", "int8"),
        column("v", "varchar", modifier=104),
        column("d", "numeric", modifier=numeric(12, 4)),
        column("Added here", "timestamptz"),
        column("more", "int4[]"),
    )
    response = await apply(loader, wide)
    types = {c.name: str(parse_type(c.type)) for c in response.target.columns}
    assert (types["n"], types["v"], types["d"]) == ("BIGINT", "VARCHAR(400)", "DECIMAL(12,4)")
    assert (types["Added here"], types["more"]) == ("DATETIME", "JSON")


async def test_adds_audit_columns_to_a_table_of_the_users(target, start_loader):
    await target.sql(
        "CREATE DATABASE dbmazz",
        "CREATE TABLE dbmazz.orders (ID BIGINT NOT NULL, note STRING, doc JSON, extra INT) PRIMARY KEY(ID)"
        ' DISTRIBUTED BY HASH(ID) PROPERTIES("replication_num"="1")',
    )
    loader = await start_loader(**target.settings)
    response = await apply(loader)
    assert [c.name for c in response.target.columns] == ["ID", "note", "doc", "extra", *AUDIT]


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        ("(id BIGINT NOT NULL, note STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id)", "no Primary Key table"),
        ("(doc BIGINT NOT NULL, id BIGINT) PRIMARY KEY(doc) DISTRIBUTED BY HASH(doc)", "has the primary key (doc)"),
        ("(id INT NOT NULL, note STRING) PRIMARY KEY(id) DISTRIBUTED BY HASH(id)", "cannot alter key columns"),
        ("(id BIGINT NOT NULL, note DOUBLE) PRIMARY KEY(id) DISTRIBUTED BY HASH(id)", "`note` VARCHAR(1048576)"),
    ],
)
async def test_parks_on_a_table_that_cannot_fit(target, start_loader, ddl, words):
    await target.sql("CREATE DATABASE dbmazz", f'CREATE TABLE dbmazz.orders {ddl} PROPERTIES("replication_num"="1")')
    loader = await start_loader(**target.settings)
    response = await apply(loader)
    assert response.verdict == PARK
    assert words in response.message
    assert not response.HasField("target")


async def test_loads_partially_and_guards_versions(target, start_loader):
    loader = await start_loader(**target.settings)
    await apply(loader)
    full = rows_request(
        "l-1",
        '{"id":1,"note":"old","doc":{"a":1},"dbmazz_cdc_version":10}',
        '{"id":2,"note":"two","doc":[2],"dbmazz_cdc_version":10}',
        columns=("id", "note", "doc", "dbmazz_cdc_version"),
        version_column="dbmazz_cdc_version",
    )
    assert (await loader.stub.Load(full, timeout=20)).loaded_row_count == 2
    partial = rows_request(
        "l-2",
        '{"id":1,"note":"new","dbmazz_cdc_version":20}',
        '{"id":2,"note":"stale","dbmazz_cdc_version":5}',
        columns=("id", "note", "dbmazz_cdc_version"),
        partial_update=True,
        version_column="dbmazz_cdc_version",
    )
    assert (await loader.stub.Load(partial, timeout=20)).verdict == LOADED
    rows = await target.sql("SELECT id, note, CAST(doc AS VARCHAR) FROM dbmazz.orders ORDER BY id")
    assert [row[:2] for row in rows] == [(1, "new"), (2, "two")]
    assert "1" in rows[0][2]
    # The same label again is not loaded again.
    assert (await loader.stub.Load(partial, timeout=20)).verdict == LOADED


async def test_truncate_is_soft_exact_and_repeatable(target, checkpoint, start_loader):
    loader = await start_loader(**target.settings)
    await apply(loader)
    await loader.stub.Load(
        rows_request(
            "l-1",
            '{"id":1,"dbmazz_is_deleted":false,"dbmazz_op_type":0,"dbmazz_cdc_version":10}',
            '{"id":2,"dbmazz_is_deleted":false,"dbmazz_op_type":0,"dbmazz_cdc_version":30}',
            '{"id":3,"dbmazz_is_deleted":true,"dbmazz_op_type":2,"dbmazz_cdc_version":15}',
            columns=("id", "dbmazz_is_deleted", "dbmazz_op_type", "dbmazz_cdc_version"),
        ),
        timeout=20,
    )
    await target.sql("INSERT INTO dbmazz.orders (id, note) VALUES (4, 'from before dbmazz')")
    for _ in range(2):
        response = await apply(loader, action=TRUNCATE, barrier=20, progress=load_progress())
        assert (response.verdict, response.message) == (LOADED, "")
    query = "SELECT id, dbmazz_is_deleted, dbmazz_op_type, dbmazz_cdc_version FROM dbmazz.orders ORDER BY id"
    rows = [tuple(int(value) for value in row) for row in await target.sql(query)]
    assert rows == [(1, 1, 2, 20), (2, 0, 0, 30), (3, 1, 2, 15), (4, 1, 2, 20)]
    assert len(checkpoint.reports) == 3


async def test_truncate_removes_rows_without_soft_delete(target, start_loader):
    loader = await start_loader(**target.settings, soft_delete=False)
    await apply(loader)
    rows = ['{"id":1,"dbmazz_cdc_version":10}', '{"id":2,"dbmazz_cdc_version":30}']
    await loader.stub.Load(rows_request("l-1", *rows, columns=("id", "dbmazz_cdc_version")), timeout=20)
    assert (await apply(loader, action=TRUNCATE, barrier=20)).verdict == LOADED
    assert [row[0] for row in await target.sql("SELECT id FROM dbmazz.orders")] == [2]


async def test_json_of_12_mb(target, start_loader):
    loader = await start_loader(**target.settings)
    await apply(loader)
    document = json.dumps({"big": "x" * (12 << 20), "small": [1, None, "é"]})
    request = rows_request("l-1", f'{{"id":1,"doc":{document}}}', columns=("id", "doc"))
    assert (await loader.stub.Load(request, timeout=20)).verdict == LOADED
    ((stored,),) = await target.sql("SELECT doc FROM dbmazz.orders")
    assert json.loads(stored) == json.loads(document)


async def test_wrong_password_is_refused_on_both_ports(tmp_path, start_loader):
    async with StarRocksSandbox(tmp_path, password="right") as sandbox:
        loader = await start_loader(sink_url=sandbox.fe_url, sink_port=sandbox.mysql_port, sink_password="wrong")
        schema = await apply(loader)
        load = await loader.stub.Load(load_request(), timeout=20)
        assert (schema.verdict, load.verdict) == (STOP, STOP)
        assert "SINK_PASSWORD" in schema.message
        assert "SINK_PASSWORD" in load.message


async def test_names_that_starrocks_cannot_have_are_parked(target, start_loader):
    loader = await start_loader(**target.settings)
    response = await apply(loader, relation(column("id", "int8", key=1), column("a`b")))
    assert response.verdict == PARK
    assert "backtick" in response.message
    response = await apply(loader, relation(column("id", "int8", key=1), column("Note"), column("note")))
    assert response.verdict == PARK
    assert "differ only in case" in response.message


async def test_odd_names_work(target, start_loader):
    rel = relation(
        column("Ключ id", "int8", key=1), column("select"), column("q\"uo'te; --"), name="Order %s/x", schema="Söme"
    )
    loader = await start_loader(**target.settings)
    response = await apply(loader, rel)
    assert (response.verdict, response.message) == (LOADED, "")
    assert response.target.table == "Söme__Order %s/x"
    request = rows_request(
        "l-1",
        '{"Ключ id":1,"select":"s","q\\"uo\'te; --":"t"}',
        columns=("Ключ id", "select", "q\"uo'te; --"),
        table=response.target.table,
    )
    answer = await loader.stub.Load(request, timeout=20)
    assert (answer.verdict, answer.message) == (LOADED, "")
