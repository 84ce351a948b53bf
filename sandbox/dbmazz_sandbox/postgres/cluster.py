"""The data directory: made once by initdb, checked before each start, freed of a killed server's traces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from dbmazz_sandbox.postgres.binaries import Binaries
from dbmazz_sandbox.postgres.errors import EmbeddedPostgresError
from dbmazz_sandbox.postgres.identity import Identity

INITDB_SECONDS = 120.0
SUPERUSER = "postgres"
# A server whose parent was killed a moment ago is still shutting down; it is given this long.
OLD_SERVER_SECONDS = 10.0
POLL_SECONDS = 0.02
NETWORK_HBA = "pg_hba.network.conf"
# initdb's own file admits this machine only. The second line is for physical replication, which "all" leaves out.
_NETWORK_HBA = """\
host all all all scram-sha-256
host replication all all scram-sha-256
"""


def prepare(data_dir: Path, binaries: Binaries, identity: Identity, password: str | None) -> None:
    """Leave a data directory of `binaries.major` that nothing else is using, making it if it is empty."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    version_file = data_dir / "PG_VERSION"
    if not data_dir.exists() or not any(data_dir.iterdir()):
        identity.check_reachable(data_dir.parent)
        _initdb(data_dir, binaries, identity, password)
        return
    if not version_file.is_file():
        raise EmbeddedPostgresError(
            f"{data_dir} is neither empty nor a PostgreSQL data directory: choose another directory"
        )
    version = version_file.read_text(encoding="ascii").strip()
    if version != str(binaries.major):
        raise EmbeddedPostgresError(
            f"{data_dir} was made by PostgreSQL {version}, but {binaries.major} is asked for: "
            f"ask for {version} or choose another directory"
        )
    identity.own(data_dir)
    identity.check_reachable(data_dir)
    _clear_stale_pid(data_dir)


def admit_network(data_dir: Path, identity: Identity) -> None:
    """Writes the pg_hba file of a server that is reached from elsewhere, with the password; beside initdb's."""
    path = data_dir / NETWORK_HBA
    path.write_text(_NETWORK_HBA)
    identity.own(path)


def _initdb(data_dir: Path, binaries: Binaries, identity: Identity, password: str | None) -> None:
    # Beside the target and renamed when complete: a killed initdb leaves no half-made data directory behind.
    draft = data_dir.with_name(f".{data_dir.name}.initdb")
    password_file = data_dir.with_name(f".{data_dir.name}.password")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    identity.own(draft)
    command = [binaries.initdb, "-D", str(draft), "-U", SUPERUSER, "-E", "UTF8", "--no-sync"]
    command.append("--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C")
    try:
        if password is None:
            command += ["-A", "trust"]
        else:
            password_file.touch(mode=0o600)
            password_file.write_text(f"{password}\n", encoding="utf-8")
            identity.own(password_file)
            command += ["-A", "scram-sha-256", f"--pwfile={password_file}"]
        answer = subprocess.run(
            identity.command(command),
            capture_output=True,
            text=True,
            cwd="/",
            timeout=INITDB_SECONDS,
            check=False,
            **identity.process_options(),
        )
        if answer.returncode != 0:
            reason = (answer.stderr.strip().splitlines() or [f"exit {answer.returncode}"])[0]
            raise EmbeddedPostgresError(f"initdb of {data_dir} failed: {reason}")
        _move_into_place(draft, data_dir)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(draft, ignore_errors=True)


def _move_into_place(draft: Path, data_dir: Path) -> None:
    try:
        draft.rename(data_dir)
    except OSError:
        # An empty data directory that is a mount point (a container's volume) cannot be replaced, only
        # filled; PG_VERSION goes last because it is what marks the directory as complete.
        for entry in sorted(draft.iterdir(), key=lambda path: path.name == "PG_VERSION"):
            shutil.move(entry, data_dir / entry.name)
        shutil.copystat(draft, data_dir)
        owner = draft.stat()
        os.chown(data_dir, owner.st_uid, owner.st_gid)


def _clear_stale_pid(data_dir: Path) -> None:
    """Wait for, or refuse, a server that still runs here; drop the pid file of one that does not.

    PostgreSQL itself only asks whether *some* process has that number, which after a reboot, or in another
    container, is often true.
    """
    deadline = time.monotonic() + OLD_SERVER_SECONDS
    while (pid := read_pid(data_dir)) is not None and serves(pid, data_dir):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"{data_dir} is in use by a running PostgreSQL (process {pid}): stop it or choose another directory"
            )
        time.sleep(POLL_SECONDS)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)


def read_pid(data_dir: Path) -> int | None:
    """The process number in postmaster.pid, None without one."""
    lines = _pid_file(data_dir)
    return abs(int(lines[0])) if lines and lines[0].lstrip("-").isdigit() else None


def is_ready(data_dir: Path, pid: int) -> bool:
    """True when postmaster `pid` takes connections, by line 8 of its pid file (which pg_ctl reads too)."""
    lines = _pid_file(data_dir)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _pid_file(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def serves(pid: int, data_dir: Path) -> bool:
    """True when process `pid` serves `data_dir`: every PostgreSQL process works in its data directory."""
    proc = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            return (proc / "cwd").samefile(data_dir)
        except (FileNotFoundError, ProcessLookupError):
            return False  # gone, or a zombie
        except PermissionError:
            # Root in a container may not look into nobody's processes, but everybody may read a command line.
            return os.fsencode(data_dir) in (proc / "cmdline").read_bytes().split(b"\0")
    answer = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)
    return "postgres" in answer.stdout
