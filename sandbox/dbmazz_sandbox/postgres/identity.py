"""Which user the server runs as: PostgreSQL refuses to run as root, and a sandbox creates no system user."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbmazz_sandbox.postgres.binaries import PROBE_SECONDS, Binaries
from dbmazz_sandbox.postgres.errors import EmbeddedPostgresError

NOBODY = 65534
# Same files, same permissions, another user id as seen from inside: works under a 0700 home and leaves every
# file root's. A default Docker container forbids it (EPERM).
USER_NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")


@dataclass(frozen=True)
class Identity:
    """How to start a program as the server's user: a command prefix, or a user id to switch to."""

    name: str
    owner: int
    """User id, as seen from outside, that owns the data directory."""
    prefix: tuple[str, ...] = ()
    switch: tuple[int, int] | None = None

    def command(self, argv: list[str]) -> list[str]:
        return [*self.prefix, *argv]

    def process_options(self) -> dict[str, Any]:
        """Keyword arguments for subprocess.Popen, without the PG* variables of the caller."""
        options: dict[str, Any] = {"env": {k: v for k, v in os.environ.items() if not k.startswith("PG")}}
        if self.switch is not None:
            user, group = self.switch
            options |= {"user": user, "group": group, "extra_groups": []}
        return options

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(argv),
            capture_output=True,
            text=True,
            cwd="/",
            timeout=PROBE_SECONDS,
            check=False,
            **self.process_options(),
        )

    def own(self, path: Path) -> None:
        """Hand `path`, with everything in it, to this identity if it is somebody else's."""
        if os.geteuid() != 0 or path.stat().st_uid == self.owner:
            return
        group = self.switch[1] if self.switch else 0
        os.chown(path, self.owner, group)
        for entry in path.rglob("*"):
            os.chown(entry, self.owner, group, follow_symlinks=False)

    def check_reachable(self, directory: Path) -> None:
        """Raise EmbeddedPostgresError when this identity cannot enter `directory`."""
        if self.run(["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]).returncode == 0:
            return
        closed = next((p for p in reversed(directory.parents) if not p.stat().st_mode & 0o001), directory)
        raise EmbeddedPostgresError(
            f"data directory {directory} cannot be reached by {self.name}: {closed} is closed to it; "
            f"choose a data directory below an open folder, or start as an ordinary user"
        )


def choose_identity(binaries: Binaries, data_dir: Path) -> Identity:
    """The first that really runs these binaries: ourselves, the data's owner, a user namespace, nobody."""
    user = os.geteuid()
    if user != 0:
        return Identity("the current user", user)
    failures: list[str] = []
    for identity in _for_root(data_dir):
        try:
            answer = identity.run([binaries.postgres, "-V"])
        except OSError as error:
            failures.append(f"{identity.name}: {error.strerror or error}")
            continue
        if answer.returncode == 0:
            return identity
        failures.append(f"{identity.name}: {answer.stderr.strip() or f'exit {answer.returncode}'}")
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and no other way works ({'; '.join(failures)}): start as an "
        f"ordinary user, or install into a folder that user {NOBODY} can read"
    )


def _for_root(data_dir: Path) -> list[Identity]:
    owner = data_dir.stat().st_uid if data_dir.is_dir() and any(data_dir.iterdir()) else 0
    if owner != 0:
        # Data of an ordinary user, or of nobody in a container, stays theirs.
        return [Identity(f"user {owner}, who owns the data", owner, switch=(owner, data_dir.stat().st_gid))]
    try:
        nobody = pwd.getpwnam("nobody")
        user, group = nobody.pw_uid, nobody.pw_gid
    except KeyError:
        user, group = NOBODY, NOBODY
    return [
        Identity("a user namespace of root", 0, prefix=USER_NAMESPACE),
        Identity(f"user {user} (nobody)", user, switch=(user, group)),
    ]
