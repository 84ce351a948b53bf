"""The probe of the containers' health checks: gRPC health, HTTP, a bare port; ready, not ready, away, nonsense."""

import asyncio
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from dbmazz.config import Settings
from dbmazz.probe import main, trouble

SETTINGS = Settings(listen="127.0.0.1:0")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No .env of the developer."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def website():
    """Answers /ready with 200 and everything else with 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 503)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_grpc_service_is_ready_when_it_says_so(serve) -> None:
    async with serve(SETTINGS) as running:
        assert await trouble(running.address) == ""
        await running.server.set_ready(False)
        assert await trouble(running.address) == "NOT_SERVING"


async def test_nobody_there_is_told_within_the_deadline(closed_port: int) -> None:
    started = asyncio.get_running_loop().time()
    assert await trouble(f"127.0.0.1:{closed_port}", 0.5) in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    assert asyncio.get_running_loop().time() - started < 5
    assert "refused" in (await trouble(f"tcp://127.0.0.1:{closed_port}")).lower()
    assert "refused" in (await trouble(f"http://127.0.0.1:{closed_port}/")).lower()


async def test_http_and_tcp(website: str) -> None:
    assert await trouble(f"{website}/ready") == ""
    assert await trouble(f"{website}/other") == "HTTP status 503"
    assert await trouble(website.replace("http://", "tcp://")) == ""


async def test_a_grpc_probe_of_something_else(website: str) -> None:
    assert await trouble(website.removeprefix("http://"), 1.0) != ""


@pytest.mark.parametrize("address", ["reader", "reader:", ":50051", "ftp://127.0.0.1:1/", "tcp://127.0.0.1", "http://"])
def test_no_address_is_one_line_and_2(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([address]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_exit_codes(website: str, closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{website}/ready"]) == 0
    assert capsys.readouterr().err == ""
    assert main([f"tcp://127.0.0.1:{closed_port}"]) == 1
    assert f"tcp://127.0.0.1:{closed_port} is not ready: " in capsys.readouterr().err
    assert main([]) == 2
