"""A service on a free port whose answers the test decides, and certificates made by the openssl binary."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbmazz.config import Settings
from dbmazz.serving import Server
from dbmazz.v1 import load_pb2, loader_pb2, loader_pb2_grpc

FULL_NAME = "dbmazz.v1.LoaderService"


class EchoLoader(loader_pb2_grpc.LoaderServiceServicer):
    """Answers loads with what it saw of them; `label` comes back as the message."""

    def __init__(self) -> None:
        self.calls = 0
        self.refuse: Callable | None = None

    async def Load(self, request: load_pb2.LoadRequest, context):
        self.calls += 1
        if self.refuse is not None:
            await self.refuse(context)
        return load_pb2.LoadResponse(
            body_bytes=len(request.body), loaded_row_count=request.body.count(b"\n"), message=request.label
        )

    async def GetStatus(self, request, context):
        return loader_pb2.LoaderServiceGetStatusResponse(row_count=self.calls)


@dataclass
class Serving:
    server: Server
    servicer: EchoLoader
    address: str


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    servicer, server = EchoLoader(), Server("loader", settings)
    server.add(loader_pb2_grpc.add_LoaderServiceServicer_to_server, servicer, FULL_NAME)
    address = await server.start()
    try:
        await server.set_ready(True)
        yield Serving(server, servicer, address)
    finally:
        await server.stop(0.5)


@pytest.fixture
def serve() -> Callable:
    """Serves with given settings: `async with serve(settings) as running`."""
    return serving


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    cert: str
    key: str


class Authority:
    """A certificate authority of this test, by the openssl binary."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.ca = str(directory / f"{name}.pem")
        self._key = str(directory / f"{name}.key")
        self._request(self.ca, self._key, name, "-x509", "-days", "2")

    def _request(self, out: str, key: str, name: str, *more: str) -> None:
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", key, "-out", out, *more)  # fmt: skip

    def issue(self, name: str) -> Pair:
        """A certificate for 127.0.0.1, signed by this authority."""
        pair = Pair(str(self._directory / f"{name}.pem"), str(self._directory / f"{name}.key"))
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        self._request(str(request), pair.key, name)
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._openssl("x509", "-req", "-in", str(request), "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial",
                      "-days", "2", "-extfile", str(extensions), "-out", pair.cert)  # fmt: skip
        return pair

    @staticmethod
    def _openssl(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Authority]:
    """Makes a certificate authority by name."""
    if shutil.which("openssl") is None:
        pytest.skip("TLS tests make their certificates with the openssl command, which is not installed")
    return lambda name: Authority(tmp_path_factory.mktemp(name), name)
