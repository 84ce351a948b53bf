"""What differs between the emulated StarRocks releases, in one table."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The patch release that a bare "3.3" stands for, and the newest behaviour each minor release shows.
_RELEASES = {"3.3": "3.3.7", "3.4": "3.4.3", "4.0": "4.0.2"}

_EMPTY_33 = (
    "No partitions have data available for loading. If you are sure there may be no data to be loaded, "
    "you can use `ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'false')` to ensure such load jobs can succeed"
)
_EMPTY_40 = (
    "No rows were imported from upstream. Possible causes: 1) The input is empty. 2) All rows were filtered. "
    "If you are sure there may be no data to be loaded, set "
    "`ADMIN SET FRONTEND CONFIG ('empty_load_as_error' = 'false')` to ignore empty loads"
)


@dataclass(frozen=True, slots=True)
class Version:
    """One emulated release.

    `number` is "3.3.7"; `mysql` is what the handshake and `@@version` say; `names_table` tells whether load
    replies carry Db and Table; `parse_prefix` starts every JSON parse error; `empty_load` is the message of a
    load that brought no row.
    """

    number: str

    @classmethod
    def parse(cls, text: str) -> Version:
        """Take "3.3", "3.3.11", "4.0", …; raises ValueError that names the releases there are."""
        match = re.fullmatch(r"(\d+\.\d+)(\.\d+)?", text.strip())
        if match is None or match[1] not in _RELEASES:
            raise ValueError(f"StarRocks version {text!r} is not emulated: use one of {', '.join(_RELEASES)}")
        return cls(text.strip() if match[2] else _RELEASES[match[1]])

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.number.split("."))

    @property
    def mysql(self) -> str:
        return "5.1.0" if self.numbers < (3, 4) else "8.0.33"

    @property
    def current(self) -> str:
        return f"{self.number} sandbox"

    @property
    def names_table(self) -> bool:
        return self.numbers >= (4, 0)

    @property
    def parse_prefix(self) -> str:
        return "parse error. " if self.numbers >= (4, 0) else ""

    @property
    def empty_load(self) -> str:
        return _EMPTY_40 if self.numbers >= (4, 0) else _EMPTY_33

    @property
    def renames_columns(self) -> bool:
        return self.numbers >= (3, 3, 2)

    @property
    def random_refused(self) -> str:
        """Why a Primary Key table cannot be distributed by RANDOM, after the key's name."""
        return "cannot use random distribution" if self.numbers >= (4, 0) else "must use hash distribution"
