"""The order in which a load is checked (starrocks.md 10): every step fails before all later ones, and says who knows it."""

import asyncio

import pytest

from tests.unit.sandbox_starrocks.conftest import basic

TABLE = "CREATE TABLE t (k INT, v INT NOT NULL, w INT, s VARCHAR(3)) PRIMARY KEY(k)"

# Header or thing that is wrong, its value, and the words of the failure: earliest first. `None` takes the header away.
BEFORE_BEGIN = [
    ("Authorization", "Bearer x", "no valid Basic authorization"),
    ("enable_merge_commit", "x", "Invalid parameter enable_merge_commit."),
    ("format", "xml", "unknown data format, format=xml"),
    ("timeout", "soon", "Invalid timeout format"),
    ("label", "a b", "Getting analyzing error. Detail message: Label format error."),
]
AFTER_BEGIN = [
    ("skip_header", "x", "Invalid csv load skip_header format"),
    ("trim_space", "x", "Invalid trim space format. Must be bool type"),
    ("strict_mode", "x", "Invalid strict mode format. Must be bool type"),
    ("load_mem_limit", "x", "Invalid load mem limit format"),
    ("partial_update", "x", "Invalid partial update flag format. Must be bool type"),
    ("load_dop", "x", "Invalid load_dop format"),
    ("log_rejected_record_num", "-5", "log_rejected_record_num must be equal or greater than -1"),
    ("compression", "rar", "Unsupported compression type: rar"),
]
PLAN = [
    ("negative", "true", "Primary key table does not support negative load"),
    ("columns", "k,K,a,zz=a,v=q", "Duplicate column: K"),
    ("columns", "k,a,zz=a,v=q", "Mapping column is not in table. column: zz"),
    ("columns", "k,a,__op='x',v=q", "load op type string not supported: x"),
    ("columns", "k", "Column has no default value. column: v"),
    ("columns", "k,v=q", "Referenced column 'q' in expr '`q`' can't be found in column list, derived column is 'v'"),
    ("where", "zz = 1", "unknown column in where statement. the column 'zz'"),
    ("merge_condition", "k", "Merge condition column k should not be primary key!"),
    ("exec_mem_limit", "-1", "exec_mem_limit must be greater than 0"),
]
STEPS = [*BEFORE_BEGIN, *AFTER_BEGIN, *PLAN]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda step: f"{step}-{STEPS[step][0]}")
async def test_each_step_fails_before_all_later_ones(db, step: int) -> None:
    await db.sql(TABLE)
    headers: dict[str, str] = {}
    for name, value, _ in reversed(STEPS[step:]):  # the earliest of a header that appears twice stays
        headers[name] = value
    given = {"Authorization": basic(), "format": "json", "label": f"order{step}"} | headers
    # A body that would fail too, announced and never read before the answer.
    _, reply = await db.put(db.sandbox.be_url + db.path("t"), b'{"k":', given | {"Expect": "100-continue"})
    assert (reply["Status"], reply["Message"][: len(STEPS[step][2])]) == ("Fail", STEPS[step][2])
    begun = step >= len(BEFORE_BEGIN)
    assert (reply["TxnId"] > 0) == begun
    if STEPS[step][0] != "label":
        assert (await db.state(given["label"]))["state"] == ("ABORTED" if begun else "UNKNOWN")


async def test_database_then_table_then_timeout_then_label(db) -> None:
    headers = {"Authorization": basic(), "format": "json", "timeout": "0", "label": "a b"}
    be = db.sandbox.be_url
    for path, words in (
        ("/api/nodb/t/_stream_load", "unknown database, database=nodb"),
        (db.path("nope"), f'unknown table "{db.name}.nope"'),
    ):
        _, reply = await db.put(be + path, b"", headers)
        assert (reply["TxnId"], reply["Message"]) == (-1, words)
    await db.sql(TABLE)
    _, reply = await db.put(be + db.path("t"), b"", headers | {"Authorization": basic("root", "wrong")})
    assert reply["TxnId"] == -1 and "Access denied" in reply["Message"]


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b'{"k":1,"v":1,"__op":1}\n{"k":', {"merge_condition": "w"}, "memtable of tablet "),
        (b'{"k":1,"v":1,"__op":1}\n{"k":x}', {"merge_condition": "w"}, "Failed to iterate document stream"),
        (b'{"k":1,"v":1,"__op":1}\n{"k":2}', {"merge_condition": "w"}, "memtable of tablet "),
        (b'{"k":1,"v":1}\n{"k":2}', {}, "too many filtered rows"),
        (b'{"k":1}', {}, "too many filtered rows"),
        (b'{"k":1}', {"max_filter_ratio": "1"}, "No partitions have data available for loading."),
        (b"{}", {"jsonpaths": "x"}, "Invalid json path"),
    ],
)
async def test_from_the_body_to_the_commit(db, body: bytes, headers: dict[str, str], words: str) -> None:
    await db.sql(TABLE)
    reply = await db.load("t", body, **headers)
    assert (reply["Status"], reply["Message"][: len(words)]) == ("Fail", words)
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]


async def test_the_body_is_not_taken_before_the_plan_stands(db) -> None:
    """A header that is wrong is answered where `100 Continue` would be; a good one gets the 100 first."""

    await db.sql(TABLE)
    port = int(db.sandbox.be_url.rpartition(":")[2])
    for header, first in (("strict_mode: x", b"HTTP/1.1 200"), ("strict_mode: true", b"HTTP/1.1 100")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((f"PUT {db.path('t')} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\nformat: json\r\n{header}\r\n"
                      "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n").encode())  # fmt: skip
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(first)
        writer.close()
        await writer.wait_closed()
