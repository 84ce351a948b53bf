"""Loads what the null target has taken into the sandbox, through the loader's own client."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from dbmazz_loader.protocol.headers import Load
from dbmazz_loader.protocol.verdicts import Outcome
from dbmazz_loader.starrocks.frontends import Frontends
from dbmazz_loader.starrocks.stream_load import StreamLoad

_TIMEOUT_S = 600


async def replay(recorded: Path, sink_url: str, database: str) -> None:
    """Every load in the order in which it was answered; AssertionError at the first that is not taken."""
    loads = [json.loads(line) for line in (recorded / "loads.jsonl").read_text().splitlines()]
    if not loads:
        return
    client = StreamLoad(Frontends.parse(sink_url, 1), database, "root", "", _TIMEOUT_S)
    await client.open()
    try:
        with (recorded / "bodies").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bodies:
            view = memoryview(bodies)
            for recorded_load in loads:
                load = _load(recorded_load)
                body = view[recorded_load["offset"] : recorded_load["offset"] + load.body_bytes]
                judgement = (await client.send(load, body)).judgement
                body.release()
                assert judgement.outcome is Outcome.LOADED, f"load {load.label}: {judgement.reason}"
            view.release()
    finally:
        await client.close()


def _load(recorded: dict) -> Load:
    return Load(
        table=recorded["table"],
        label=recorded["label"],
        columns=tuple(recorded["columns"].split(",")),
        partial_update=recorded.get("partial_update") == "true",
        merge_condition=recorded.get("merge_condition", ""),
        row_count=recorded["rows"],
        body_bytes=recorded["size"],
    )
