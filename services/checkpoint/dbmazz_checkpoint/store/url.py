"""CHECKPOINT_URL: which store, and where."""

from __future__ import annotations

from pathlib import Path

from dbmazz.errors import ConfigError

_TAKES = "It takes sqlite:///relative/path or sqlite:////absolute/path"


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///` URL names, as SQLAlchemy reads it: three slashes relative, four absolute.

    ConfigError for anything else. The URL itself is not repeated there, since it could hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgresql", "postgres"):
        raise ConfigError(
            "CHECKPOINT_URL names PostgreSQL, and storing positions there is not in this version",
            "Use sqlite:///data/checkpoint.db, on a disk that outlives the process",
        )
    if scheme != "sqlite" or not separator:
        raise ConfigError("CHECKPOINT_URL does not begin with sqlite://", _TAKES)
    if not rest.startswith("/"):
        raise ConfigError("CHECKPOINT_URL names a host, and SQLite has none: a slash is missing", _TAKES)
    path = rest[1:]
    if not path or path.endswith("/"):
        raise ConfigError("CHECKPOINT_URL names no file", _TAKES)
    if path == ":memory:":
        raise ConfigError("CHECKPOINT_URL=sqlite:///:memory: would forget every position with the process", _TAKES)
    if "?" in path:
        raise ConfigError("CHECKPOINT_URL has options behind a `?`, and there are none", _TAKES)
    return Path(path)
