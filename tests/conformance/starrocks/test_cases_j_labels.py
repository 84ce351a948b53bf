"""Section J, what the FE and the labels do: read from StarRocks' source, recorded nowhere."""

import json

import pytest
from dbmazz_sandbox.starrocks.labels import LABEL_KEEP_MAX_NUM, Labels, State

from tests.unit.sandbox_starrocks.conftest import basic
from tests.unit.sandbox_starrocks.test_starrocks_http import put, raw


@pytest.mark.case("J1", inferred=True)
async def test_j1_fe_without_expect(db) -> None:
    answer = await raw(db.sandbox.fe_url, put(db.path("t"), f"Authorization: {basic()}", "Content-Length: 0"))
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200") and "connection: close" in head.lower()
    assert body == (
        '{\n  "Status": "FAILED",\n  "Message": "class com.starrocks.common.DdlException: There is no 100-continue header"\n}'
    )


@pytest.mark.case("J2", inferred=True)
async def test_j2_fe_credentials(db) -> None:
    for line, message in (
        ("X: y", "Need auth information."),
        (f"Authorization: {basic('root', 'bad')}", "Access denied for root@127.0.0.1"),
        (f"Authorization: {basic('x')}", "Access denied for x@127.0.0.1"),
        ("Authorization: Basic ###", "Need auth information."),
    ):
        answer = await raw(db.sandbox.fe_url, put(db.path("t"), line, "Expect: 100-continue", "Content-Length: 0"))
        head, _, body = answer.decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 401") and 'WWW-Authenticate: Basic realm=""' in head
        assert "Content-Type: text/html" in head
        assert body == json.dumps(
            {"status": "FAILED", "code": "1", "msg": message, "message": message}, separators=(",", ":")
        )


@pytest.mark.case("J3", inferred=True)
async def test_j3_fe_redirects_without_100_and_without_credentials(db) -> None:
    head = put(db.path("t") + "?x=%C3%A9", f"Authorization: {basic()}", "Expect: 100-continue", "Content-Length: 5")
    answer = (await raw(db.sandbox.fe_url, head)).decode()
    assert answer.startswith("HTTP/1.1 307 Temporary Redirect\r\n")
    assert f"Location: {db.sandbox.be_url}{db.path('t')}?x=%C3%A9\r\n" in answer
    assert "connection: close" in answer.lower()


@pytest.mark.case("J4", inferred=True)
async def test_j4_be_without_authorization(db) -> None:
    status, reply = await db.put(db.sandbox.be_url + db.path("t"), b"{}", {"format": "json"})
    assert (status, reply["TxnId"], reply["Status"], reply["Message"]) == (
        200,
        -1,
        "Fail",
        "no valid Basic authorization",
    )


@pytest.mark.case("J29", inferred=True)
async def test_j29_get_load_state(db) -> None:
    assert await db.state("never") == {
        "state": "UNKNOWN", "reason": "", "status": "OK", "code": "0", "msg": "Success", "message": "OK",
    }  # fmt: skip
    url = f"{db.sandbox.fe_url}/api/nodb/get_load_state?label=x"
    async with db.http.get(url, headers={"Authorization": basic()}) as response:
        reply = json.loads(await response.text())
    assert reply == {
        "status": "FAILED",
        "code": "1",
        "msg": "unknown database, database=nodb",
        "message": "unknown database, database=nodb",
    }


@pytest.mark.case("J16", inferred=True)
@pytest.mark.parametrize("label", ["a b", "x" * 129, "ü", "a.b"])
async def test_j16_label_format(db, label) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    reply = await db.load("t", b'{"id":1}', label=label)
    assert (reply["Status"], reply["TxnId"]) == ("Fail", -1)
    assert reply["Message"] == (
        "Getting analyzing error. Detail message: Label format error. regex: ^[-\\w]{1,128}$, label: " + label
    )
    await db.loaded("t", {"id": 1}, label="x" * 128)


@pytest.mark.case("J17", inferred=True)
async def test_j17_the_label_of_a_failed_load_is_free(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    failed = await db.load("t", b"{", label="again")
    assert failed["Status"] == "Fail" and failed["TxnId"] > 0
    assert (await db.state("again"))["state"] == "ABORTED"
    await db.loaded("t", {"id": 1}, label="again")
    assert (await db.state("again"))["state"] == "VISIBLE"


@pytest.mark.case("J28", inferred=True)
def test_j28_label_retention() -> None:
    labels = Labels()
    for n in range(LABEL_KEEP_MAX_NUM + 1):
        labels.finish(labels.begin("d", f"l{n}", 0.0), State.VISIBLE, 0.0)
    assert labels.state("d", "l0", 0.0)[0] is State.UNKNOWN
    assert labels.state("d", "l1", 0.0)[0] is State.VISIBLE
    labels.begin("d", "l0", 0.0)
    assert labels.state("other", "l1", 0.0)[0] is State.UNKNOWN
