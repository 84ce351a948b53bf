"""TLS and mTLS by setting paths, and every way to set them wrong."""

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import ConfigError
from dbmazz.v1 import load_pb2, loader_pb2_grpc

DEADLINE_S = 10


@pytest.fixture(scope="session")
def ring_ca(make_authority):
    return make_authority("ring")


@pytest.fixture(scope="session")
def server_pair(ring_ca):
    return ring_ca.issue("server")


@pytest.fixture(scope="session")
def client_pair(ring_ca):
    return ring_ca.issue("client")


@pytest.fixture(scope="session")
def stranger_ca(make_authority):
    return make_authority("stranger")


def settings(pair=None, ca=None) -> Settings:
    values = {"grpc_tls_cert": pair.cert, "grpc_tls_key": pair.key} if pair else {}
    return Settings(listen="127.0.0.1:0", grpc_tls_ca=ca.ca if ca else "", **values)


async def load(address: str, client: Settings) -> str:
    async with open_channel(address, client) as channel:
        stub = loader_pb2_grpc.LoaderServiceStub(channel)
        return (await stub.Load(load_pb2.LoadRequest(label="hello"), timeout=DEADLINE_S)).message


async def turned_away(address: str, client: Settings) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await load(address, client)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_tls_lets_in_who_trusts_the_authority(serve, ring_ca, server_pair, stranger_ca):
    async with serve(settings(server_pair)) as running:
        assert await load(running.address, settings(ca=ring_ca)) == "hello"
        await turned_away(running.address, settings())  # plaintext
        await turned_away(running.address, settings(ca=stranger_ca))
        assert running.servicer.calls == 1


async def test_mtls_lets_in_who_shows_a_certificate_of_the_authority(
    serve, ring_ca, server_pair, client_pair, stranger_ca
):
    async with serve(settings(server_pair, ring_ca)) as running:
        assert await load(running.address, settings(client_pair, ring_ca)) == "hello"
        await turned_away(running.address, settings(ca=ring_ca))  # no certificate
        await turned_away(running.address, settings(stranger_ca.issue("intruder"), ring_ca))
        await turned_away(running.address, settings())
        assert running.servicer.calls == 1


async def test_tls_may_serve_beyond_loopback(serve, ring_ca, server_pair):
    async with serve(settings(server_pair).replace(listen="0.0.0.0:0")) as running:
        port = running.address.rpartition(":")[2]
        assert await load(f"127.0.0.1:{port}", settings(ca=ring_ca)) == "hello"


async def start_fails(serve, broken: Settings) -> str:
    with pytest.raises(ConfigError) as caught:
        async with serve(broken):
            pass
    return str(caught.value)


async def test_half_a_pair_is_named(serve, server_pair):
    cert_only = Settings(listen="127.0.0.1:0", grpc_tls_cert=server_pair.cert)
    assert (await start_fails(serve, cert_only)).startswith("GRPC_TLS_KEY is not set")
    key_only = Settings(listen="127.0.0.1:0", grpc_tls_key=server_pair.key)
    assert (await start_fails(serve, key_only)).startswith("GRPC_TLS_KEY is set and GRPC_TLS_CERT is not")


@pytest.mark.parametrize("field", ["grpc_tls_cert", "grpc_tls_key", "grpc_tls_ca"])
async def test_a_file_that_is_missing_is_named(serve, server_pair, ring_ca, tmp_path, field):
    broken = settings(server_pair, ring_ca).replace(**{field: str(tmp_path / "nowhere.pem")})
    message = await start_fails(serve, broken)
    assert message.startswith(f"{field.upper()}={tmp_path}/nowhere.pem cannot be read (No such file or directory)")


@pytest.mark.parametrize("field", ["grpc_tls_cert", "grpc_tls_key", "grpc_tls_ca"])
async def test_a_file_that_is_no_pem_is_named(serve, server_pair, ring_ca, tmp_path, field):
    (tmp_path / "notes.pem").write_text("these are notes")
    broken = settings(server_pair, ring_ca).replace(**{field: str(tmp_path / "notes.pem")})
    message = await start_fails(serve, broken)
    assert field.upper() in message and "PEM" in message


async def test_a_key_of_another_certificate_is_named(serve, server_pair, client_pair):
    broken = settings(server_pair).replace(grpc_tls_key=client_pair.key)
    message = await start_fails(serve, broken)
    assert "GRPC_TLS_CERT" in message and "GRPC_TLS_KEY" in message and "KEY_VALUES_MISMATCH" in message


async def test_a_pem_file_of_something_else_is_named(serve, server_pair):
    broken = settings(server_pair).replace(grpc_tls_key=server_pair.cert)
    assert "do not fit together" in await start_fails(serve, broken)


def test_a_caller_whose_authority_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"GRPC_TLS_CA=.* cannot be read"):
        open_channel("127.0.0.1:1", Settings(grpc_tls_ca=str(tmp_path / "nowhere.pem")))
