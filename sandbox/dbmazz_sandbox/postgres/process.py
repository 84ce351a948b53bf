"""The server as a child process that does not outlive this one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import structlog

from dbmazz_sandbox.postgres.identity import Identity

log = structlog.get_logger("dbmazz.sandbox")


class ServerProcess:
    """One running `postgres`, started and reaped by a thread of its own.

    The kernel sends the parent-death signal when the *thread* that started the child ends (prctl(2),
    PR_SET_PDEATHSIG), not the process. So the thread that starts the server is the one that waits for it:
    whoever calls start() from a worker pool keeps the server when that worker is gone.
    """

    def __init__(self, argv: list[str], identity: Identity, log_file: Path) -> None:
        self._argv = identity.command(dies_with_parent(argv))
        self._identity = identity
        self._log_file = log_file
        self._popen: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._spawned = threading.Event()
        self._exited = threading.Event()
        threading.Thread(target=self._hold, name="postgres", daemon=True).start()
        self._spawned.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        # unshare and setpriv replace themselves by the program they run, so this is the postmaster itself.
        assert self._popen is not None
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._popen.returncode if self._popen is not None and self._exited.is_set() else None

    def running(self) -> bool:
        return not self._exited.is_set()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """True when the process has ended within `timeout` seconds."""
        return self._exited.wait(timeout)

    def _hold(self) -> None:
        try:
            with self._log_file.open("ab") as output:
                self._popen = subprocess.Popen(
                    self._argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    # Ctrl-C reaches a terminal's foreground group, but the services drain before this stops.
                    start_new_session=True,
                    **self._identity.process_options(),
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._spawned.set()
        self._popen.wait()
        self._exited.set()


def dies_with_parent(argv: list[str]) -> list[str]:
    """`argv`, wrapped so that the kernel ends it when its parent dies; unchanged where the system cannot.

    SIGQUIT, PostgreSQL's immediate shutdown: a fast one waits for replication clients to catch up, and those
    may have died with the parent. Committed data is safe, the next start recovers from the WAL. setpriv does
    it because preexec_fn may deadlock in a process with threads.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        log.warning("postgres_outlives_parent", reason="setpriv is not available")
        return argv
    return [setpriv, "--pdeathsig", "QUIT", *argv]
