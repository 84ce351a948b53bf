"""Hostile headers and bodies: always an answer, never an error of the sandbox's own, and the store goes on.

Bounded and seeded: the same DBMAZZ_TEST_SEED tries the same things."""

import asyncio
import bz2
import datetime as dt
import gzip
import json
import logging
import os
import random
import zlib
from typing import Any

import hypothesis
import lz4.frame
import pytest
import zstandard
from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.headers import read_early
from dbmazz_sandbox.starrocks.protocol.load import Scan, change_of, check_rows, plan_load
from dbmazz_sandbox.starrocks.types import Kind, Type
from dbmazz_sandbox.starrocks.version import Version
from hypothesis import strategies as st

from tests.unit.sandbox_starrocks.conftest import basic

TYPES = (
    Type(Kind.BIGINT),
    Type(Kind.VARCHAR, 20),
    Type(Kind.DECIMAL, precision=9, scale=2),
    Type(Kind.DATETIME),
    Type(Kind.JSON),
    Type(Kind.BOOLEAN),
    Type(Kind.DOUBLE),
    Type(Kind.VARBINARY, 50),
    Type(Kind.LARGEINT),
    Type(Kind.ARRAY, item=Type(Kind.INT)),
    Type(Kind.MAP, key=Type(Kind.VARCHAR, 9), item=Type(Kind.DOUBLE)),
    Type(Kind.STRUCT, fields=(("a", Type(Kind.INT)), ("b", Type(Kind.DATE)))),
)
NAMES = ("k", *(f"c{i}" for i in range(1, len(TYPES))))
TABLE = Table(
    7,
    "d",
    "t",
    tuple(Column(i + 1, name, kind, i > 0) for i, (name, kind) in enumerate(zip(NAMES, TYPES, strict=True))),
    ("k",),
    True,
    ("k",),
)
NOW = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the sandbox keeps UTC without a zone

PIECES = st.sampled_from(
    [
        *NAMES,
        "__op",
        "x",
        "`",
        "'",
        '"',
        ",",
        "=",
        "(",
        ")",
        "if(",
        "cast(",
        " as int",
        "from_base64(",
        "+",
        "-",
        "*",
        "/",
        "%",
        " and ",
        " or ",
        "not ",
        "1",
        "'a'",
        " is null",
        " in (",
        " like ",
        ".",
        ";",
        "--",
        "/*",
        "\\",
        "é",
        "$",
        "[",
        "]",
        "*",
        "null",
        "now()",
        "parse_json(",
        " between ",
        "@@x",
        "0x1",
        "1e9",
    ]
)
ANY = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f"), max_size=20).map(
    str.strip
)
LISTS = st.lists(PIECES, max_size=12).map("".join)
PATHS = st.one_of(
    ANY,
    LISTS,
    st.lists(
        st.lists(st.sampled_from(["$", "a", "k", "*", "[0]", "[*]", ".", '"', "\\", "b"]), max_size=5).map("".join),
        max_size=4,
    ).map(json.dumps),
)
FLAGS = st.sampled_from(["true", "false", "TRUE", "x", ""])
HEADERS: dict[str, st.SearchStrategy[str]] = {
    "columns": st.one_of(
        LISTS,
        st.permutations(NAMES).map(lambda names: ",".join(names[:6])),
        st.sampled_from(["k,c1,c2=c1", "k,a,c7=from_base64(a)", "k,c1,__op=c1", "k,c1,__op='delete'", "k"]),
    ),
    "where": LISTS,
    "jsonpaths": PATHS,
    "json_root": PATHS,
    "strip_outer_array": FLAGS,
    "strict_mode": FLAGS,
    "partial_update": FLAGS,
    "partial_update_mode": st.sampled_from(["row", "column", "auto", "x"]),
    "merge_condition": st.sampled_from([*NAMES, "x", ""]),
    "max_filter_ratio": st.one_of(ANY, st.sampled_from(["1", "0.5", "-1"])),
    "timezone": st.one_of(ANY, st.sampled_from(["UTC", "+25:00", "../etc", "Asia"])),
    "negative": FLAGS,
    "column_separator": st.one_of(ANY, st.sampled_from([",", "\\x01", "\\xff", "||"])),
    "row_delimiter": st.one_of(ANY, st.sampled_from(["\\n", "$$", "\\x0a"])),
    "enclose": st.sampled_from(['"', "'", "é", ","]),
    "escape": st.sampled_from(["\\", '"', "$"]),
    "skip_header": st.sampled_from(["0", "1", "99", "x", "9" * 30]),
    "trim_space": FLAGS,
    "load_mem_limit": st.sampled_from(["1", "9x", "x"]),
    "load_dop": st.sampled_from(["", "2", "x"]),
}

NUMBERS = st.one_of(st.integers(-(2**130), 2**130), st.floats(), st.integers(-5, 5))
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        NUMBERS,
        st.text(max_size=12),
        st.sampled_from(["2024-02-29", "2024-02-29 01:02:03.5", "0044-03-15 BC", "AAE=", "1.005", "nan", "1e400"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "k"]), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from([*NAMES, "__op", "a", "x"])
GOOD = st.builds(lambda key, row: row | {"k": key}, st.integers(-9, 9), st.dictionaries(KEYS, VALUES, max_size=6))
ROWS = st.lists(st.one_of(GOOD, GOOD, GOOD, st.dictionaries(KEYS, VALUES, max_size=6)), min_size=1, max_size=6)
FIELDS = st.one_of(ANY, st.sampled_from(["1", "\\N", '"a"', "2024-01-01", "[1,2]", "", "1.5"]))
LINES = st.lists(
    st.one_of(st.lists(FIELDS, max_size=5), st.lists(FIELDS, min_size=3, max_size=3).map(lambda f: ["7", *f])),
    min_size=1,
    max_size=6,
)
PACK: dict[str, Any] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lz4_frame": lz4.frame.compress,
    "zstd": zstandard.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
}


@st.composite
def loads(draw: st.DrawFn) -> tuple[dict[str, str], bytes]:
    """Headers and body of a load that was meant well in parts."""
    chosen = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4, unique=True))
    headers = {name: draw(HEADERS[name]) for name in chosen}
    form = draw(st.sampled_from([*["json"] * 6, *["csv"] * 5, "gzip", "lz4", "zstd", "deflate", "bzip2", "JSON", "x"]))
    headers["format"] = form
    headers.setdefault("max_filter_ratio", draw(st.sampled_from(["1", "0"])))
    rows = draw(ROWS)
    if form.lower() == "json":
        body = draw(st.sampled_from(["\n", "", " "])).join(map(json.dumps, rows)).encode()
        if draw(st.booleans()):
            body, headers["strip_outer_array"] = json.dumps(rows).encode(), "true"
        if (packing := draw(st.sampled_from([*PACK, *[""] * 12]))) and packing != "lz4":
            body, headers["compression"] = PACK[packing](body), packing
    else:
        body = "\n".join(headers.get("column_separator", ",").join(line) for line in draw(LINES)).encode()
        headers.setdefault("columns", "k,c1,c2,c3")
        headers.setdefault("column_separator", ",")
        body = PACK[form](body) if form in PACK else body
    if draw(st.sampled_from([False, False, True])) and body:
        at = draw(st.integers(0, len(body)))
        body = draw(
            st.sampled_from([body[:at], body[at:], body[:at] + b"\xff\x00" + body[at:], body[:at] + b'"' + body[at:]])
        )
    return headers, body


def fuzz(seed: int, examples: int) -> Any:
    """The settings of a bounded, repeatable run."""
    quiet = [
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.data_too_large,
        hypothesis.HealthCheck.filter_too_much,
    ]
    examples = int(os.environ.get("DBMAZZ_FUZZ_ROUNDS") or examples)
    bounded = hypothesis.settings(max_examples=examples, deadline=None, database=None, suppress_health_check=quiet)
    return lambda test: hypothesis.seed(seed)(bounded(test))


def test_every_load_ends_as_rows_or_as_a_load_error(seed: int) -> None:
    """Without server and store: only LoadError may come out, and what comes out otherwise adds up."""

    @fuzz(seed, 150)
    @hypothesis.given(loads(), st.sampled_from(["3.3", "4.0"]))
    def check(load: tuple[dict[str, str], bytes], version: str) -> None:
        headers, body = load
        try:
            plan = plan_load(TABLE, headers, read_early(headers, len(body), ""), Version.parse(version))
            scan = Scan(plan, NOW)
            scan.feed(body)
            rows = scan.finish()
        except LoadError as error:
            assert error.message
            return
        assert 0 <= rows.filtered <= rows.total and rows.loaded >= 0
        assert all(len(values) == rows.loaded for values in rows.columns.values()) or not rows.loaded
        assert bool(rows.error_log) == bool(rows.filtered)
        try:
            check_rows(plan, rows, empty_is_error=True)
        except LoadError:
            return
        _, batch = change_of(plan, rows, NOW)
        assert 0 < batch.upsert_count + batch.delete_count <= rows.loaded
        list(batch.relations())

    check()


async def test_every_request_gets_an_answer_and_the_store_goes_on(
    db, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = ", ".join(f"{column.name} {column.type}" for column in TABLE.columns)
    await db.sql(f"CREATE TABLE t ({kinds}) PRIMARY KEY(k)", "INSERT INTO t (k, c1) VALUES (-99, 'stays')")
    loop = asyncio.get_running_loop()

    async def send(headers: dict[str, str], body: bytes, label: str | None) -> None:
        before = await count()
        given = headers if label is None else headers | {"label": label}
        reply = await db.load("t", body, **{name: value for name, value in given.items() if value})
        assert reply["Status"] in ("Success", "Fail", "Label Already Exists") and reply["Message"], reply
        total = sum(reply[f"Number{name}Rows"] for name in ("Loaded", "Filtered", "Unselected"))
        if reply["Status"] == "Success":
            assert reply["NumberTotalRows"] == total
        else:
            assert await count() == before

    async def count() -> int:
        return (await db.sql("SELECT count(*) FROM t"))[0][0]

    @fuzz(seed, 100)
    @hypothesis.given(loads(), st.one_of(st.none(), ANY, st.just("x" * 200)))
    def check(load: tuple[dict[str, str], bytes], label: str | None) -> None:
        asyncio.run_coroutine_threadsafe(send(*load, label), loop).result(timeout=20)

    with caplog.at_level(logging.ERROR):
        await asyncio.to_thread(check)
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]
    await db.loaded("t", {"k": -1, "c1": "after"})
    assert await db.sql("SELECT c1 FROM t WHERE k = -1") == [("after",)]
    rows, keys = (await db.sql("SELECT count(*), count(DISTINCT k) FROM t"))[0]
    assert rows == keys


RAW = (b"label", b"columns", b"where", b"column_separator", b"row_delimiter", b"enclose", b"escape", b"jsonpaths", b"json_root",
       b"timezone", b"merge_condition", b"compression", b"format", b"timeout", b"enable_merge_commit", b"strict_mode",
       b"max_filter_ratio", b"partial_update_mode", b"skip_header", b"Authorization")  # fmt: skip


async def test_bytes_that_are_no_text_in_headers(db, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp's client sends text only: here the bytes go out by hand."""
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(9)) PRIMARY KEY(id)")
    rng, port = random.Random(seed), int(db.sandbox.be_url.rpartition(":")[2])
    for name in RAW:
        for value in (
            b"\xff",
            b"a\xc3(b",
            b'["$.\xff"]',
            bytes(rng.choice(range(32, 256)) for _ in range(12)).replace(b"\x7f", b""),
        ):
            headers = {b"Authorization": basic().encode(), b"format": rng.choice([b"json", b"csv"]), name: value}
            body = rng.choice([b'{"id":1,"v":"\\ud800"}', b"1\t\xff"])
            lines = b"".join(b"%s: %s\r\n" % header for header in headers.items())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s"
                         % (db.path("t").encode(), lines, len(body), body))  # fmt: skip
            async with asyncio.timeout(10):
                head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            assert head.startswith(b"HTTP/1.1 200"), (name, value, head)
            assert json.loads(answer)["Status"] in ("Success", "Fail")
    assert not [record for record in caplog.records if record.exc_info]
