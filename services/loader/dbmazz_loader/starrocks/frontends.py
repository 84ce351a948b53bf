"""The frontends (FE) of the target: where they are, and which one to ask next."""

from __future__ import annotations

from dataclasses import dataclass

from dbmazz.errors import ConfigError
from yarl import URL

_LIKE = "It takes the HTTP address of the FE, like http://host:8030; several are separated by commas"


@dataclass(frozen=True, slots=True)
class Frontend:
    """One FE: its HTTP address, and host and port of its MySQL protocol."""

    http: URL
    mysql_port: int

    @property
    def host(self) -> str:
        return self.http.host or ""

    @property
    def mysql_address(self) -> str:
        return f"{self.host}:{self.mysql_port}"


class Frontends:
    """The FEs in their order of trial: the last that answered comes first, so one that is down costs one call."""

    def __init__(self, frontends: list[Frontend]) -> None:
        self._frontends = frontends

    @classmethod
    def parse(cls, sink_url: str, sink_port: int) -> Frontends:
        """From SINK_URL and SINK_PORT; ConfigError when an address is none."""
        if not sink_url.strip():
            raise ConfigError("SINK_URL is not set", _LIKE)
        return cls([Frontend(_address(text.strip()), sink_port) for text in sink_url.split(",") if text.strip()])

    def in_turn(self) -> list[Frontend]:
        """All of them, the preferred one first."""
        return list(self._frontends)

    def prefer(self, frontend: Frontend) -> None:
        """To be called with the one that answered."""
        if self._frontends[0] != frontend and frontend in self._frontends:
            self._frontends.remove(frontend)
            self._frontends.insert(0, frontend)

    def __str__(self) -> str:
        return ",".join(str(frontend.http) for frontend in self._frontends)


def _address(text: str) -> URL:
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ConfigError("SINK_URL is not an address", _LIKE) from None
    if url.user or url.password:
        # Not shown: it holds a secret.
        raise ConfigError("SINK_URL holds a user or a password", "Set SINK_USER and SINK_PASSWORD instead")
    if url.scheme not in ("http", "https") or not url.host or port is None:
        raise ConfigError(f"SINK_URL={text} is not an address", _LIKE)
    if url.path not in ("", "/") or url.query_string or url.fragment:
        raise ConfigError(f"SINK_URL={text} holds more than an address", _LIKE)
    return url.origin()
