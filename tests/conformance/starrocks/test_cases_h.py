"""Section H: merge commit, which the sandbox refuses by name."""

import pytest


@pytest.mark.refused("H1", "H4", "H5")
async def test_merge_commit_is_refused(db34, db40) -> None:
    for db in (db34, db40):
        await db.sql("CREATE TABLE t0 (id INT, name VARCHAR(9), score INT) PRIMARY KEY(id)")
        headers = {"enable_merge_commit": "true", "merge_commit_interval_ms": "3000", "merge_commit_parallel": "4"}
        reply = await db.load("t0", b'{"id":1,"name":"a","score":2}', **headers)
        assert (reply["Status"], reply["TxnId"]) == ("Fail", -1)
        assert reply["Message"] == "not emulated: header enable_merge_commit"
        assert await db.sql("SELECT count(*) FROM t0") == [(0,)]
