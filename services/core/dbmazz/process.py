"""What every service process does around its own `run`: settings, logs, signals, one line when it serves, exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

from dbmazz.allocator import keep_freed_memory
from dbmazz.config import Settings, load_settings
from dbmazz.errors import DbmazzError
from dbmazz.telemetry import NO_ROOM, configure_logging

log = structlog.get_logger("dbmazz.process")


def run_service(service: str, run: Callable[[Settings], Awaitable[int]]) -> int:
    """Runs a service until it ends by itself or by SIGTERM; returns the exit code.

    An error that a person must see is one line on stderr: what is wrong, and the way out.
    """
    keep_freed_memory()
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        return asyncio.run(run(settings))
    except DbmazzError as error:
        return _tell(service, error)
    except BaseExceptionGroup as group:
        # A TaskGroup wraps what its tasks raise. Anything but our own errors is a defect and keeps its traceback.
        ours, others = group.split(DbmazzError)
        if others is not None or ours is None:
            raise
        return max(_tell(service, error) for error in flatten(ours))


def flatten(group: BaseExceptionGroup) -> list[BaseException]:
    """The leaves of a group of exceptions."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(flatten(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def _tell(service: str, error: DbmazzError) -> int:
    for line in str(error).split("\n"):
        sys.stderr.write(f"dbmazz {service}: {line}\n")
    return error.exit_code


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; to be called inside the running loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def announce(service: str, address: str) -> None:
    """One line of JSON on stdout once the service is bound: a supervisor learns the port from it."""
    try:
        sys.stdout.write(json.dumps({"service": service, "address": address, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        log.warning("address_not_written", service=service, address=address, error=error.strerror)
