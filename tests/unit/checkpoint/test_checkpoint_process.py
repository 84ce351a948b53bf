"""The checkpoint as a process: SIGKILL in traffic, SIGTERM, start-up errors in one line."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.v1 import checkpoint_pb2 as pb
from dbmazz.v1 import checkpoint_pb2_grpc, load_pb2
from dbmazz_checkpoint.store.sqlite import SqliteStore

DEADLINE_S = 20


async def start(path: Path, **variables: str) -> asyncio.subprocess.Process:
    """A checkpoint process on a free port."""
    environment = {
        "PATH": os.environ["PATH"],
        "LISTEN": "127.0.0.1:0",
        "CHECKPOINT_URL": f"sqlite:///{path}",
        **variables,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "dbmazz_checkpoint"),
        env=environment,
        cwd=path.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def announced_address(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(DEADLINE_S):
        line = await process.stdout.readline()
    if not line:
        raise AssertionError((await process.stderr.read()).decode())
    return json.loads(line)["address"]


@asynccontextmanager
async def client(address: str) -> AsyncIterator[checkpoint_pb2_grpc.CheckpointServiceStub]:
    async with open_channel(address, Settings()) as channel:
        yield checkpoint_pb2_grpc.CheckpointServiceStub(channel)


def begin(stub: checkpoint_pb2_grpc.CheckpointServiceStub, start_lsn: int):
    request = pb.BeginEpochRequest(slot="orders", system_identifier="71", timeline=1, start_lsn=start_lsn)
    return stub.BeginEpoch(request, timeout=DEADLINE_S)


async def report_for_ever(stub, epoch: int, start_lsn: int) -> None:
    """One batch after the other, until the process is gone."""
    batch = 0
    while True:
        batch += 1
        progress = load_pb2.LoadProgress(
            slot="orders",
            epoch=epoch,
            lane=1,
            generation=1,
            batch_ids=[batch],
            safe_lsns=[start_lsn + batch],
            part_count=1,
        )
        try:
            await stub.ReportLoaded(pb.ReportLoadedRequest(progress=progress), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return


async def test_after_sigkill_in_traffic_the_store_has_what_was_announced(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    path = tmp_path / "checkpoint.db"
    announced, epochs = 1000, []
    for _ in range(3):
        process = await start(path)
        async with client(await announced_address(process)) as stub:
            began = await begin(stub, start_lsn=1000)
            epochs.append(began.epoch)
            assert began.confirmed_lsn >= announced
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(report_for_ever(stub, began.epoch, began.confirmed_lsn))
                watch = stub.WatchConfirmed(
                    pb.WatchConfirmedRequest(slot="orders", epoch=began.epoch), timeout=DEADLINE_S
                )
                for _ in range(rng.randint(1, 40)):
                    announced = (await watch.read()).confirmed_lsn
                process.kill()
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    while True:  # what was under way when the signal came
                        announced = (await watch.read()).confirmed_lsn
        assert (await process.wait(), await process.stderr.read())[0] == -signal.SIGKILL
        store = await SqliteStore.open(path)
        assert (await store.get("orders")).confirmed_lsn >= announced
        await store.close()
    assert epochs == sorted(set(epochs))


async def test_sigterm_drains_and_exits_with_zero(tmp_path: Path):
    process = await start(tmp_path / "checkpoint.db")
    async with client(await announced_address(process)) as stub:
        began = await begin(stub, start_lsn=1000)
        watch = stub.WatchConfirmed(pb.WatchConfirmedRequest(slot="orders", epoch=began.epoch), timeout=DEADLINE_S)
        await watch.read()
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert b"checkpoint_stopped" in errors and b"Traceback" not in errors


async def failure(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Exit code and the last line that a process says."""
    async with asyncio.timeout(DEADLINE_S):
        out, errors = await process.communicate()
    assert out == b"" and b"Traceback" not in errors
    return process.returncode, errors.decode().splitlines()[-1]


async def test_a_second_process_on_the_same_store_refuses_in_one_line(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    process = await start(path)
    address = await announced_address(process)
    code, line = await failure(await start(path))
    assert code == 2
    assert line == (
        f"dbmazz checkpoint: the checkpoint store {path} is in use by another process (pid {process.pid}). "
        "One checkpoint per store: stop that one, or set another CHECKPOINT_URL"
    )
    async with client(address) as stub:  # the first is unharmed
        await begin(stub, start_lsn=1)
    process.kill()
    await process.communicate()
    successor = await start(path)  # the lock went with the process
    await announced_address(successor)
    successor.kill()
    await successor.communicate()


async def test_bad_settings_are_one_line_and_exit_code_two(tmp_path: Path):
    path = tmp_path / "checkpoint.db"
    code, line = await failure(await start(path, CHECKPOINT_URL="postgresql://me:hunter2@h/db"))
    assert (code, "PostgreSQL" in line, "hunter2" in line) == (2, True, False)
    code, line = await failure(await start(path, LISTEN="0.0.0.0:0"))
    assert (code, "GRPC_TLS_CERT" in line) == (2, True)
