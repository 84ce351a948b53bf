"""Free ports on loopback for services that must keep theirs over restarts."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from dbmazz.errors import DbmazzError

HOST = "127.0.0.1"
# Below the ephemeral range of Linux (32768) and macOS (49152): while a service restarts, a peer that keeps dialling its
# port must not be given that very port as its own end.
_RANGE = range(15_000, 32_000)
_ATTEMPTS = 200


def free_addresses(count: int) -> list[str]:
    """`count` different host:port that nobody listens on right now."""
    addresses: list[str] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(_RANGE, _ATTEMPTS):
            probe = held.enter_context(socket.socket())
            # As servers do it, so that connections of an earlier one in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            addresses.append(f"{HOST}:{port}")
            if len(addresses) == count:
                return addresses
    raise DbmazzError(f"no {count} free ports on {HOST} between {_RANGE.start} and {_RANGE.stop}")
