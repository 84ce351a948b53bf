"""Settings that change while the reader runs: which, to what, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from dbmazz import settings_field
from dbmazz.config import Settings
from dbmazz.errors import ConfigError

_TABLES = next(declared for declared in fields(Settings) if declared.name == "tables")


@dataclass(frozen=True, slots=True)
class Change:
    """What a caller wants; None: unchanged."""

    tables: tuple[str, ...] | None = None
    flush_size: int | None = None
    flush_interval_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings that hold, and the names of those that were not so at the start of the process."""

    settings: Settings
    reloaded: frozenset[str] = field(default_factory=frozenset)

    def changed(self, change: Change) -> Effective:
        """With the change; ConfigError names the variable and what it takes."""
        values = {name: value for name in Change.__slots__ if (value := getattr(change, name)) is not None}
        if change.tables is not None:
            values["tables"] = words = settings_field.read(_TABLES, "TABLES", ",".join(change.tables))
            if not words:
                raise ConfigError("TABLES has no name in it", "It takes schema.table, with * as wildcard")
        return Effective(self.settings.replace(**values), self.reloaded | values.keys())

    @property
    def variables(self) -> list[str]:
        """Names of the variables that were reloaded."""
        return sorted(name.upper() for name in self.reloaded)

    def told(self, name: str) -> int | None:
        """What transformers are told of flush_size or flush_interval_ms; None leaves it to them."""
        return getattr(self.settings, name) if name in self.reloaded else None
