"""Broken HTTP on raw sockets: answers or a closed connection, as FE and BE give them; no trace, no hang, no leak."""

import asyncio
import contextlib
import logging
import random
import re
from pathlib import Path

import pytest
from dbmazz_sandbox.starrocks import StarRocksSandbox

from tests.unit.sandbox_starrocks.conftest import Database, basic, run_sql
from tests.unit.sandbox_starrocks.test_starrocks_http import put, raw

ROUNDS = 150
AUTH = f"Authorization: {basic()}"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def exchange(url: str, data: bytes, *, half_close: bool, linger: float = 0.3) -> bytes:
    """Send bytes, perhaps close our side, and take what comes: until the peer closes, or says nothing for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    answer = b""
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(data)
            await writer.drain()
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(10 if half_close else linger):
                while chunk := await reader.read(65536):
                    answer += chunk
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def mutated(chance: random.Random, path: str) -> bytes:
    """A request that is broken in one or two ways."""
    method = chance.choice(["PUT", "PUT", "GET", "POST", "put", "BREW", "P\0T", "", "PUT PUT"])
    target = chance.choice([path, path, "/api/transaction/load", "/api/transaction/commit", "/%ff%zz", "*", "//", "",
                            "/" * 5000, "http://[::1", path + "?x=%00&y=\x7f"])  # fmt: skip
    version = chance.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", "HTTX/1.1", "", "HTTP/1.1 \x00"])
    lines = [AUTH, "Host: x", "label: fuzz", "format: json", "db: fuzzed", "table: t"]
    lines += chance.sample(
        [
            "Content-Length: 8", "Content-Length: 8", "Content-Length: -1", "Content-Length: 99999999999999999999",
            "Content-Length: 8, 9", "Content-Length: x", "Content-Length: 4\r\nContent-Length: 8", "Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: \x0bchunked", "Expect: 100-continue", "Expect: what",
            "columns: " + "c," * 20_000, "x" * 70_000 + ": y", "no colon here", ": no name", " folded: line", "n\0l: x",
            "timeout: 1", "Connection: upgrade\r\nUpgrade: websocket", "Content-Encoding: gzip",
        ],
        chance.randint(1, 4),
    )  # fmt: skip
    end = chance.choice(["\r\n", "\r\n", "\n", "\r", ""])
    head = f"{method} {target} {version}\r\n" + "\r\n".join(lines) + "\r\n" + end
    body = chance.choice([b'{"id":1}', b"", b"8\r\n{\"id\":1}\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffff\r\n", b"-1\r\n\r\n",
                          b"3\r\n{\"i", bytes(chance.randrange(256) for _ in range(50))])  # fmt: skip
    data = head.encode("latin-1") + body
    return data[: chance.randrange(len(data))] if chance.random() < 0.2 else data


async def test_fuzzed_requests(tmp_path, http, seed, caplog, capsys) -> None:
    chance = random.Random(seed)
    caplog.set_level(logging.WARNING)
    async with StarRocksSandbox(tmp_path, backends=2) as sandbox:
        await asyncio.to_thread(
            run_sql, sandbox.mysql_port, ["CREATE DATABASE fuzzed", "CREATE TABLE fuzzed.t (id INT) PRIMARY KEY(id)"]
        )
        db = Database(sandbox, http, "fuzzed")
        await db.loaded("t", {"id": 0})
        files = open_files()
        requests = [(mutated(chance, db.path("t")), chance.random() < 0.7) for _ in range(ROUNDS)]
        for start in range(0, ROUNDS, 25):
            urls = [chance.choice([sandbox.fe_url, *sandbox.be_urls]) for _ in range(25)]
            async with asyncio.timeout(60):
                answers = await asyncio.gather(
                    *(
                        exchange(url, data, half_close=half)
                        for url, (data, half) in zip(urls, requests[start:], strict=False)
                    )
                )
            for answer, (data, _) in zip(answers, requests[start:], strict=False):
                assert b"Traceback" not in answer and b'File "' not in answer, data
                assert not answer or answer.startswith((b"HTTP/1.", b"<")), (data, answer)
                assert not re.match(rb"HTTP/1\.\d 500 ", answer), (data, answer)
        await db.loaded("t", {"id": 5})
        rows = await db.sql("SELECT id FROM t")
        assert set(rows) <= {(0,), (1,), (5,)} and {(0,), (5,)} <= set(rows)
        async with asyncio.timeout(10):
            while open_files() > files + 4:  # noqa: ASYNC110 - no event tells when sockets are gone
                await asyncio.sleep(0.05)
        assert not db.sandbox._cluster.labels.get("fuzzed", "fuzz", 0) or (
            (await db.state("fuzz"))["state"] in ("ABORTED", "VISIBLE")
        )
    said = caplog.text + "".join(capsys.readouterr())
    assert "Traceback" not in said, said[-3000:]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (put("/api/d/t/_stream_load", AUTH, "x: " + "y" * 32768), "HTTP header is larger than 32768 bytes."),
        (put("/api/d/t/" + "x" * 4096, AUTH), "An HTTP line is larger than 4096 bytes."),
    ],
)
async def test_the_limits_of_the_fe(db, head, words) -> None:
    answer = (await raw(db.sandbox.fe_url, head)).decode()
    assert answer.startswith("HTTP/1.1 400 Bad Request\r\n") and "Content-Type: text/html" in answer
    assert answer.endswith(f"Bad Request. <br/> {words}")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("GET /api/health HTTP/1.1\r\nx: " + "y" * 3_000_000 + "\r\n\r\n", "HTTP header is larger than 32768 bytes."),
        ("GET /api/health HTTP/1.1\r\nx: " + "y" * 40_000, "HTTP header is larger than 32768 bytes."),
        ("GET /api/health HTTP/1.1\r\n" + "a: b\r\n" * 9000 + "\r\n", "HTTP header is larger than 32768 bytes."),
        ("GET /" + "x" * 9000 + " HTTP/1.1\r\n\r\n", "An HTTP line is larger than 4096 bytes."),
        ("x" * 9000 + "\r\n\r\n", "An HTTP line is larger than 4096 bytes."),
        ("GET / " + "x" * 9000, "An HTTP line is larger than 4096 bytes."),
        ("GET /" + "x" * 3_000_000 + " HTTP/1.1\r\n\r\n", "An HTTP line is larger than 4096 bytes."),
    ],
    ids=["3 MB header", "unfinished header", "9000 headers", "line", "no method", "unfinished line", "3 MB line"],
)
async def test_the_fe_answers_what_is_too_large_to_parse(db, head, words) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(db.sandbox.fe_url.rpartition(":")[2]))
    writer.write(head.encode())
    async with asyncio.timeout(5):
        await writer.drain()
        answer = (await reader.read()).decode()  # to an orderly end
    writer.close()
    await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 400 Bad Request\r\n") and "Content-Type: text/html" in answer
    assert answer.endswith(f"Bad Request. <br/> {words}")


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_the_limits_to_the_byte(step) -> None:
    """Line ends do not count; what a head is too large for is said as soon as that is known."""
    from dbmazz_sandbox.starrocks.http.head import HEADER_TOO_LARGE, LINE_TOO_LARGE, Head

    line, field = b"GET /" + b"x" * 4082 + b" HTTP/1.1", b"a: " + b"b" * 16381
    assert (len(line), len(field)) == (4096, 16384)
    for data, done, problem in (
        (line + b"\r\n" + field + b"\r\n" + field + b"\r\n\r\nbody", True, ""),
        (b"\r\n" + line + b"\n\n", True, ""),
        (b"x" + line, False, LINE_TOO_LARGE),
        (line + b"\r\n" + field + b"\r\nc" + field, False, HEADER_TOO_LARGE),
        (line + b"\r\n" + field + b"\r\n" + field, False, ""),
    ):
        head = Head()
        for at in range(0, len(data), step):
            head.feed(data[at : at + step])
        assert (head.done, head.problem, bytes(head.data)) == (done, problem, data)


async def test_many_headers_in_pieces_and_a_second_request(db) -> None:
    """What fits goes to its handler, however it arrives; the limits count per request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(db.sandbox.fe_url.rpartition(":")[2]))
    head = "GET /api/health HTTP/1.1\r\nHost: x\r\n" + "".join(f"h{n}: {'v' * 90}\r\n" for n in range(300)) + "\r\n"
    for data in (*(head[at : at + 4000] for at in range(0, len(head), 4000)), head):
        writer.write(data.encode())
        await writer.drain()
    async with asyncio.timeout(5):
        for _ in range(2):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert b'"status":"OK"' in await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()


async def test_a_be_takes_wide_headers(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1}', columns="id," + ",".join(f"c{n}" for n in range(8000)))
    assert (reply["Status"], reply["NumberLoadedRows"]) == ("Success", 1)


@pytest.mark.parametrize(
    ("announced", "sent"), [("Content-Length: 20", b'{"id":1}'), ("Transfer-Encoding: chunked", b'8\r\n{"id":1}\r\n')]
)
async def test_a_body_that_ends_early(db, announced, sent) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    head = put(db.path("t"), AUTH, "format: json", "label: early", announced).replace("\n", "\r\n") + "\r\n"
    await exchange(db.sandbox.be_url, head.encode() + sent, half_close=True)
    await db.in_state("early", "ABORTED")
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    await db.loaded("t", {"id": 1}, label="early")


async def test_what_is_no_http(db) -> None:
    """The 400 of netty and of libevent; neither repeats what was sent."""
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    nonsense = b"secret nonsense\r\n\r\n"
    answer = (await exchange(db.sandbox.fe_url, nonsense, half_close=False, linger=5)).decode()
    assert answer.partition(" ")[2].startswith("400 Bad Request\r\n") and "\r\n\r\nBad Request. <br/> " in answer
    head = put(db.path("t"), AUTH, "format: json", "Content-Length: 8").replace("\n", "\r\n") + "\r\n"
    for data in (nonsense, head.encode() + b'{"id":1}{"secret":2}'):
        answer = (await exchange(db.sandbox.be_url, data, half_close=False, linger=5)).decode()
        assert "<TITLE>400 Bad Request</TITLE>" in answer and "secret" not in answer
    # With bytes behind its body a load is refused as a whole: the real BE would take it first.
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
