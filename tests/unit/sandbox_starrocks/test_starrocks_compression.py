"""Compressed bodies (starrocks.md 1.6)."""

import bz2
import gzip
import random
import zlib

import lz4.frame
import pytest
import zstandard
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol import compression
from dbmazz_sandbox.starrocks.protocol.compression import algorithm, unpack

PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "lz4_frame": lz4.frame.compress, "zstd": zstandard.compress,
        "deflate": zlib.compress, "zlib": zlib.compress}  # fmt: skip


@pytest.mark.parametrize("name", PACK)
def test_what_was_packed_comes_out(name: str, seed: int) -> None:
    rng = random.Random(seed)
    body = rng.randbytes(70_000) + b"hello\n" * 500_000  # more than one piece
    packed = PACK[name](body)
    assert unpack(packed, name) == body
    assert unpack(packed + PACK[name](b"more"), name) == body + b"more"  # several streams, one after the other
    assert unpack(b"", name) == b""
    for broken in (packed[:-1], packed[: rng.randrange(1, len(packed))], b"garbage" + packed, packed + b"x"):
        with pytest.raises(LoadError):
            unpack(broken, name)


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACK[name](b"\0" * (40 << 20))
    monkeypatch.setattr(compression, "MAX_UNPACKED", 8 << 20)
    with pytest.raises(LoadError, match="not emulated: a body of more than 8 MB once it is decompressed"):
        unpack(packed, name)


def test_names() -> None:
    assert [algorithm(name) for name in ("GZIP", "Lz4_Frame", "zstd", "")] == ["gzip", "lz4_frame", "zstd", ""]
    for name, words in (
        ("rar", "Unsupported compression type: rar"), ("SNAPPY", "not emulated: compression snappy"),
        ("lz4", "not emulated: compression lz4"),
    ):  # fmt: skip
        with pytest.raises(LoadError) as caught:
            algorithm(name)
        assert caught.value.message == words


@pytest.mark.parametrize("header", ["compression", "Content-Encoding"])
@pytest.mark.parametrize("name", PACK)
async def test_json_by_a_header(db, header: str, name: str) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(9)) PRIMARY KEY(id)")
    body = PACK[name](b'{"id":1,"v":"a"}\n{"id":2,"v":"b"}')
    reply = await db.load("t", body, **{header: name.upper()})
    assert (reply["Status"], reply["NumberLoadedRows"], reply["LoadBytes"]) == ("Success", 2, len(body))
    broken = await db.load("t", body[:-3], **{header: name})
    assert broken["Status"] == "Fail" and await db.sql("SELECT count(*) FROM t") == [(2,)]


@pytest.mark.parametrize(("form", "name"), [("gzip", "gzip"), ("BZIP2", "bzip2"), ("lz4", "lz4_frame"),
                                            ("deflate", "deflate"), ("zstd", "zstd")])  # fmt: skip
async def test_csv_by_its_format(db, form: str, name: str) -> None:
    await db.sql("CREATE TABLE t (id INT, v VARCHAR(9)) PRIMARY KEY(id)")
    reply = await db.load("t", PACK[name](b"1,a\n2,b"), format=form, column_separator=",")
    assert (reply["Status"], reply["NumberLoadedRows"]) == ("Success", 2)
