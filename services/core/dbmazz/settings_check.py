"""`python -m dbmazz.settings_check`: are the settings of the whole ring good? One line on stderr for each that is not.

The containers run it before anything else, so that a slip is told once instead of by every service, again and again. Exit
codes: 0 all is well, 2 not.
"""

from __future__ import annotations

import sys

from dbmazz.config import load_settings
from dbmazz.errors import ConfigError

# What a ring cannot be without: the reader asks for the first, loaders for the second.
_REQUIRED = ("source_url", "sink_url")


def mistakes() -> list[str]:
    """What is wrong with the settings of the environment and the working directory, a line each. Never has a secret."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return str(error).splitlines()
    found = []
    for name in _REQUIRED:
        try:
            settings.require(name)
        except ConfigError as error:
            found.append(str(error))
    return found


def main() -> int:
    """The exit code."""
    found = mistakes()
    for line in found:
        sys.stderr.write(f"dbmazz settings: {line}\n")
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main())
