"""`dbmazz config check` on TLS settings, and `dbmazz status` through TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbmazz.config import Configuration, Settings
from dbmazz_cli.inquiry import ask_ring
from dbmazz_cli.settings_check import look


@pytest.fixture(scope="session")
def checked_ca(make_authority):
    return make_authority("checked")


@pytest.fixture(scope="session")
def pair(checked_ca):
    return checked_ca.issue("server")


@pytest.fixture(scope="session")
def other_pair(checked_ca):
    return checked_ca.issue("other")


def mistakes(**settings: str) -> list[str]:
    found, _ = look(Configuration(Settings(**settings), dict.fromkeys(map(str.upper, settings), "line 1 of .env")))
    return [str(one) for one in found]


def test_a_pair_that_fits_is_fine(checked_ca, pair):
    tls = {"grpc_tls_cert": pair.cert, "grpc_tls_key": pair.key, "grpc_tls_ca": checked_ca.ca}
    assert mistakes(**tls, listen="0.0.0.0:50051") == []


def test_a_pair_that_does_not_fit_is_told_with_its_place(checked_ca, pair, other_pair):
    [found] = mistakes(grpc_tls_cert=pair.cert, grpc_tls_key=other_pair.key, grpc_tls_ca=checked_ca.ca)
    assert "do not fit together" in found
    assert "(line 1 of .env)" in found


def test_an_authority_without_certificates_is_told(tmp_path: Path, pair):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    [found] = mistakes(grpc_tls_ca=str(tmp_path / "ca.pem"))
    assert "ca.pem holds no certificates" in found
    [found] = mistakes(grpc_tls_ca=pair.key)
    assert "holds no certificates" in found


async def test_status_goes_through_tls(serve, checked_ca, pair):
    served = Settings(listen="127.0.0.1:0", grpc_tls_cert=pair.cert, grpc_tls_key=pair.key)
    nowhere = dict.fromkeys(("reader_address", "transformer_address", "checkpoint_address"), "127.0.0.1:1")
    async with serve(served) as running:
        asking = Settings(loader_address=running.address, **nowhere)
        [trusting] = [
            one for one in await ask_ring(asking.replace(grpc_tls_ca=checked_ca.ca)) if one.service == "loader"
        ]
        [plain] = [one for one in await ask_ring(asking) if one.service == "loader"]
    assert (trusting.status is not None, trusting.error) == (True, "")
    assert (plain.state, plain.error) == ("DOWN", "no gRPC service answers there")
