"""A Stream Load target that takes every load and stores none: what is left is what dbmazz itself costs.

FE and BE over HTTP, threads that block in the kernel, no parsing beyond the head. DDL goes to a StarRocks sandbox's MySQL
port beside it. The bodies are written to a file as they come, so that they can be loaded into the sandbox afterwards and
compared with the source: a bench of loads that were wrong would measure nothing.

    python -m tests.bench.null_target RECORD_DIRECTORY

prints `{"sink_url"}` when it serves, and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_HEAD_BYTES = 64 << 10
_READ_BYTES = 1 << 20
# What a replay needs of a load's headers.
_KEPT = ("label", "columns", "partial_update", "merge_condition")


class Recorder:
    """Bodies in one file, and one JSON line for each load in the order of their answers."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._bodies = os.open(directory / "bodies", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._index = (directory / "loads.jsonl").open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._end = 0
        self.labels: set[str] = set()

    def reserve(self, size: int) -> int:
        """Where a body of `size` bytes goes."""
        with self._lock:
            start, self._end = self._end, self._end + size
            return start

    def write(self, chunk: memoryview, offset: int) -> None:
        written = os.pwrite(self._bodies, chunk, offset)
        if written != len(chunk):
            raise OSError(f"only {written} of {len(chunk)} bytes could be written")

    def done(self, load: dict[str, object]) -> None:
        """The load is complete and will be answered."""
        with self._lock:
            self.labels.add(str(load["label"]))
            self._index.write(json.dumps(load) + "\n")
            self._index.flush()


class Connection:
    """One HTTP/1.1 connection of the loader."""

    def __init__(self, peer: socket.socket, recorder: Recorder, backend_port: int) -> None:
        self._peer = peer
        self._recorder = recorder
        self._backend_port = backend_port
        self._buffer = bytearray(_READ_BYTES)
        self._rest = b""

    def serve(self) -> None:
        """Until the client hangs up."""
        with self._peer:
            while head := self._head():
                line, *fields = head.decode("latin-1").split("\r\n")
                method, target, _ = line.split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
                if method == "PUT" and "columns" in headers:
                    self._load(target, headers)
                elif method == "PUT":
                    self._redirect(target)
                else:
                    self._state(target)

    def _head(self) -> bytes:
        held = self._rest
        while b"\r\n\r\n" not in held:
            if len(held) > _HEAD_BYTES:
                raise ValueError("the head of a request is too long")
            got = self._peer.recv(_HEAD_BYTES)
            if not got:
                return b""
            held += got
        head, _, self._rest = held.partition(b"\r\n\r\n")
        return head

    def _load(self, target: str, headers: dict[str, str]) -> None:
        if headers.get("expect"):
            self._peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = int(headers["content-length"])
        start = self._recorder.reserve(size)
        rows = self._body(size, start)
        table = target.split("/")[3]
        kept = {name: headers[name] for name in _KEPT if name in headers}
        self._recorder.done({"table": table, "rows": rows, "offset": start, "size": size, **kept})
        answer = {"TxnId": 1, "Label": headers["label"], "Status": "Success", "Message": "OK", "NumberFilteredRows": 0}
        self._answer({**answer, "NumberTotalRows": rows, "NumberLoadedRows": rows, "LoadBytes": size})

    def _body(self, size: int, start: int) -> int:
        """Reads and records a body of newline-delimited JSON; its rows."""
        view, taken, breaks = memoryview(self._buffer), 0, 0
        while taken < size:
            if self._rest:
                count = min(len(self._rest), size, len(view))
                view[:count], self._rest = self._rest[:count], self._rest[count:]
            else:
                count = self._peer.recv_into(view[: min(len(view), size - taken)])
            if not count:
                raise ConnectionError("the client left in the middle of a body")
            breaks += self._buffer.count(b"\n", 0, count)
            self._recorder.write(view[:count], start + taken)
            taken += count
            ends_line = view[count - 1] == 0x0A
        return breaks + (not ends_line)

    def _redirect(self, target: str) -> None:
        location = f"http://127.0.0.1:{self._backend_port}{target}"
        self._peer.sendall(
            f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    def _state(self, target: str) -> None:
        label = parse_qs(urlsplit(target).query).get("label", [""])[0]
        self._answer({"state": "VISIBLE" if label in self._recorder.labels else "UNKNOWN", "status": "OK"})

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self._peer.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )


def _listen(recorder: Recorder, backend_port: int) -> int:
    """Serves on a free port, a thread for each connection; returns the port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = server.getsockname()[1]

    def accept() -> None:
        while True:
            peer, _ = server.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(peer, recorder, backend_port or port)
            threading.Thread(target=connection.serve, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return port


def main() -> None:
    """Serves until standard input ends."""
    recorder = Recorder(Path(sys.argv[1]))
    port = _listen(recorder, _listen(recorder, 0))
    print(json.dumps({"sink_url": f"http://127.0.0.1:{port}"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
