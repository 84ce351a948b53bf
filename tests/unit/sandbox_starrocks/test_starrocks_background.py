"""The look-alike on a thread, and the pytest fixtures that bring it."""

import asyncio
import http.client
import json
from base64 import b64encode
from urllib.parse import urlsplit

import pytest
from dbmazz_sandbox.starrocks import BackgroundStarRocks

from tests.unit.sandbox_starrocks.conftest import run_sql

AUTH = {"Authorization": "Basic " + b64encode(b"root:").decode()}
TABLE = ["CREATE DATABASE d", "CREATE TABLE d.t (id INT) PRIMARY KEY(id)"]


def load(url: str, label: str) -> dict:
    """A client without an event loop."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("PUT", "/api/d/t/_stream_load", b'{"id":1}', AUTH | {"format": "json", "label": label})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_on_a_thread(tmp_path) -> None:
    with BackgroundStarRocks(tmp_path, backends=2) as starrocks:
        run_sql(starrocks.mysql_port, TABLE)
        rule = starrocks.fault("lost_response_after_commit", "d.t", skip=1, count=1)
        assert load(starrocks.be_urls[0], "a")["Status"] == "Success"
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            load(starrocks.be_urls[1], "b")
        assert load(starrocks.be_urls[0], "b")["ExistingJobStatus"] == "FINISHED"
        assert rule.hits == 1 and starrocks.hits["lost_response_after_commit"] == 1
        with pytest.raises(ValueError, match="unknown fault 'nope'"):
            starrocks.fault("nope")
        starrocks.stop_backend(2)
        with pytest.raises(ConnectionRefusedError):
            load(starrocks.be_urls[1], "c")
        starrocks.start_backend(2)
        assert load(starrocks.be_urls[1], "c")["Status"] == "Success"
        starrocks.clear_faults()
        starrocks.restart_frontend(60)
        with pytest.raises(ConnectionRefusedError):
            load(starrocks.fe_url, "d")
        starrocks.start_frontend()
        assert run_sql(starrocks.mysql_port, ["SELECT count(*) FROM d.t"]) == [(1,)]
        starrocks.start_frontend()  # it is there already
        starrocks.restart_frontend(60)
        with pytest.raises(ValueError, match="there is no BE 3: use 1 to 2"):
            starrocks.stop_backend(3)
    with BackgroundStarRocks(tmp_path) as again:
        assert run_sql(again.mysql_port, ["SELECT count(*) FROM d.t"]) == [(1,)]


def test_what_goes_wrong_at_the_start_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), BackgroundStarRocks(tmp_path / "file" / "below"):
        pass
    with pytest.raises(ValueError, match="is not emulated"):
        BackgroundStarRocks(tmp_path, version="1.0")


CONFTEST = 'pytest_plugins = ["dbmazz_sandbox.starrocks.pytest_plugin"]\n'
USING = """
import urllib.request

def test_first(starrocks):
    starrocks.fault("fe_down")
    starrocks.stop_backend(3)
    starrocks.restart_frontend(60)

def test_second(starrocks):
    assert len(starrocks.be_urls) == 3
    assert urllib.request.urlopen(starrocks.fe_url + "/api/health").status == 200
    assert urllib.request.urlopen(starrocks.be_urls[2] + "/api/health").status == 200
"""


async def test_the_fixtures(tmp_path) -> None:
    """As somebody else's tests use them: a fault or a dead BE of one test does not reach the next."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_using.py").write_text(USING)
    import os
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        env={**os.environ, "SANDBOX_STARROCKS_BACKENDS": "3", "SANDBOX_STARROCKS_VERSION": "4.0"},
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0 and b"2 passed" in said, said.decode()
