"""Where the embedded servers keep their files: a directory that was named and is kept, or one that goes away again."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dbmazz.errors import ConfigError


@contextlib.contextmanager
def data_directory(named: Path | None, prefix: str) -> Iterator[Path]:
    """`named`, made when it is missing; without one a temporary directory, removed at the end."""
    if named is not None:
        try:
            named.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--data {named} cannot be made ({error.strerror})", "Give a directory") from None
        yield named.absolute()
        return
    temporary = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root; where it must run as nobody it has to get through to its own directory.
        temporary.chmod(0o711)
    try:
        yield temporary
    finally:
        # What a killed server still writes for a moment must not make the removal an error.
        shutil.rmtree(temporary, ignore_errors=True)
