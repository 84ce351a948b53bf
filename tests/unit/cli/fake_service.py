"""A service for the supervisor's tests: announces itself, writes down what happens to it, and ends as it is told.

`fake_service.py JOURNAL NAME BEHAVIOUR`. Each line of the journal is `NAME EVENT DETAIL`.
"""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    journal, name, behaviour = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    def note(event: str, detail: object = "") -> None:
        with journal.open("a") as file:
            file.write(f"{name} {event} {detail}\n")

    def announce() -> None:
        listen = os.environ.get("LISTEN", "127.0.0.1:0")
        address = "127.0.0.1:4711" if listen.endswith(":0") else listen
        print(json.dumps({"service": name, "address": address, "pid": os.getpid()}), flush=True)

    signals = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    note("start", os.getpid())
    note("listen", os.environ.get("LISTEN", ""))
    if behaviour == "bad-config":
        sys.stderr.write(f"dbmazz {name}: SOURCE_URL is not set. It takes a URL\n")
        return 2
    if behaviour == "refused":
        sys.stderr.write("a log line\n")
        sys.stderr.write(f"dbmazz {name}: the slot is lost. Choose\n")
        return 1
    if behaviour == "crash-at-start":
        sys.stderr.write("Traceback (most recent call last):\ndbmazz.errors.WireError: not a line for people\n")
        return 1
    announce()
    if behaviour == "long-line":
        print("x" * 200_000, flush=True)
    if behaviour == "deaf":
        while True:
            signal.sigwait({signal.SIGUSR1})
    signal.sigwait({signal.SIGTERM})
    note("drained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
