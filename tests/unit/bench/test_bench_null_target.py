"""The null target answers as StarRocks does, counts rows, and keeps what it was sent, to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbmazz_loader.protocol.headers import Load
from dbmazz_loader.protocol.verdicts import Outcome
from dbmazz_loader.starrocks.frontends import Frontends
from dbmazz_loader.starrocks.stream_load import StreamLoad


@pytest.fixture
def sink_url(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.null_target", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["sink_url"]


@pytest.mark.parametrize("ending", [b"", b"\n"])
async def test_takes_and_keeps_loads(sink_url: str, tmp_path: Path, ending: bytes) -> None:
    client = StreamLoad(Frontends.parse(sink_url, 1), "shop", "root", "", 60)
    await client.open()
    # Larger than what the target reads at a time, so that rows lie across its reads.
    bodies = [b"\n".join(b'{"id":%d,"v":"%s"}' % (n, b"x" * 300) for n in range(size)) + ending for size in (1, 9_000)]
    try:
        for number, body in enumerate(bodies):
            rows = (1, 9_000)[number]
            load = Load("orders", f"label-{number}", ("id", "v"), number == 1, "dbmazz_cdc_version", rows, len(body))
            reply = await client.send(load, memoryview(body))
            assert reply.judgement.outcome is Outcome.LOADED
            assert reply.answer is not None and reply.answer.loaded == rows
        assert (await client.label_state("label-1")).judgement.outcome is Outcome.LOADED
        assert (await client.label_state("never")).judgement.outcome is not Outcome.LOADED
    finally:
        await client.close()
    kept = [json.loads(line) for line in (tmp_path / "loads.jsonl").read_text().splitlines()]
    assert [(load["label"], load["rows"], load.get("partial_update")) for load in kept] == [
        ("label-0", 1, None),
        ("label-1", 9_000, "true"),
    ]
    recorded = (tmp_path / "bodies").read_bytes()
    assert [recorded[load["offset"] : load["offset"] + load["size"]] for load in kept] == bodies
