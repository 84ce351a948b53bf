"""What a look at the settings as a whole shows: values that a service would refuse at its start, and odd combinations.

The services' own parsers are asked, so that what is said here is what they would say.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dbmazz.config import Configuration, Settings
from dbmazz.errors import ConfigError
from dbmazz.serving import check_pair, is_loopback, read_pem
from dbmazz_checkpoint.store.url import sqlite_path
from dbmazz_loader.protocol.identifiers import BadName, quoted
from dbmazz_loader.starrocks.frontends import Frontends
from dbmazz_reader.postgres import connecting

_ADDRESSES = ("reader_address", "transformer_address", "loader_address", "checkpoint_address")
# What PostgreSQL keeps of a name.
_NAME_BYTES = 63


@dataclass(frozen=True)
class Note:
    """Odd, but not wrong; no service refuses it."""

    text: str


# A finding, and the setting that it is about.
Finding = tuple[str, ConfigError | Note]


def look(configuration: Configuration) -> tuple[list[ConfigError], list[str]]:
    """Mistakes, each with the place of its setting, and notes."""
    mistakes, notes = [], []
    for check in _CHECKS:
        for name, found in check(configuration.settings):
            where = configuration.origins.get(name.upper())
            place = f" ({where})" if where else ""
            if isinstance(found, Note):
                notes.append(f"{found.text}{place}")
            else:
                mistakes.append(ConfigError(f"{found.message}{place}", found.way_out))
    return mistakes, notes


def _refused(name: str, ask: Callable[[], object]) -> Iterator[Finding]:
    try:
        ask()
    except ConfigError as error:
        yield name, error


def _source(settings: Settings) -> Iterator[Finding]:
    if not settings.source_url:
        yield "source_url", Note("SOURCE_URL is not set: reader and `dbmazz run` need it")
        return
    yield from _refused("source_url", lambda: connecting.parse(settings.source_url))


def _tables(settings: Settings) -> Iterator[Finding]:
    takes = "It takes schema.table, with * as wildcard, separated by commas; names as PostgreSQL lists them"
    for word in settings.tables:
        schema, _, table = word.partition(".") if "." in word else ("public", ".", word)
        if '"' in word:
            wrong = "has quotes, which would be part of the name"
        elif not schema or not table:
            wrong = "lacks its schema or its table"
        elif any(len(part.encode()) > _NAME_BYTES for part in (schema, table)):
            wrong = f"is longer than a name of PostgreSQL ({_NAME_BYTES} bytes)"
        elif "." in table and any(letter.isspace() for letter in table):
            wrong = "seems to be two names without a comma"
        elif not word.isprintable():
            wrong = "has a character that cannot be seen"
        else:
            continue
        yield "tables", ConfigError(f"{word!r} in TABLES {wrong}", takes)


def _sink(settings: Settings) -> Iterator[Finding]:
    try:
        quoted(settings.sink_database)
    except BadName as error:
        yield "sink_database", ConfigError(f"SINK_DATABASE is not a name: {error.message}", "It takes one like dbmazz")
    if not settings.sink_url:
        yield "sink_url", Note("SINK_URL is not set: loader and `dbmazz run` need it")
        return
    try:
        frontends = Frontends.parse(settings.sink_url, settings.sink_port).in_turn()
    except ConfigError as error:
        yield "sink_url", error
        return
    if any(one.http.port == settings.sink_port for one in frontends):
        yield (
            "sink_url",
            ConfigError(
                f"SINK_URL and SINK_PORT name the same port, {settings.sink_port}",
                "SINK_URL takes the FE's HTTP port (8030), SINK_PORT that of its MySQL protocol (9030)",
            ),
        )


def _checkpoint(settings: Settings) -> Iterator[Finding]:
    yield from _refused("checkpoint_url", lambda: sqlite_path(settings.checkpoint_url))


def _listening(settings: Settings) -> Iterator[Finding]:
    host, _, port = settings.listen.rpartition(":")
    if settings.listen and (not host or not port.isdigit() or int(port) > 65535):
        message = f"LISTEN={settings.listen} is not an address"
        yield "listen", ConfigError(message, "It takes host:port, like 0.0.0.0:50051")
    elif settings.listen and not is_loopback(host) and not (settings.grpc_tls_cert or settings.grpc_allow_plaintext):
        yield (
            "listen",
            ConfigError(
                f"LISTEN={settings.listen} is not loopback and GRPC_TLS_CERT is not set",
                "Set GRPC_TLS_CERT and GRPC_TLS_KEY, or GRPC_ALLOW_PLAINTEXT=true on a network you trust "
                "(the monitor's page does without)",
            ),
        )
    elif port == str(settings.metrics_port) != "0":
        message = f"METRICS_PORT={port} is the port of LISTEN"
        yield "metrics_port", ConfigError(message, "They are two servers: give each its own")


def _tls(settings: Settings) -> Iterator[Finding]:
    cert, key, authority = settings.grpc_tls_cert, settings.grpc_tls_key, settings.grpc_tls_ca
    if bool(cert) != bool(key):
        there, missing = ("grpc_tls_cert", "GRPC_TLS_KEY") if cert else ("grpc_tls_key", "GRPC_TLS_CERT")
        yield there, ConfigError(f"{there.upper()} is set and {missing} is not", "TLS needs both")
    unread = 0
    for name in ("grpc_tls_cert", "grpc_tls_key", "grpc_tls_ca"):
        path = getattr(settings, name)
        found = list(_refused(name, lambda path=path, name=name: read_pem(path, name.upper()))) if path else []
        unread += len(found)
        yield from found
    if cert and key and not unread:
        yield from _refused("grpc_tls_cert", lambda: check_pair(settings))
    if authority and not unread:
        yield from _refused("grpc_tls_ca", lambda: _check_authority(authority))
    if cert and not authority:
        yield (
            "grpc_tls_cert",
            Note("GRPC_TLS_CERT without GRPC_TLS_CA: TLS is served, and calls to others are plaintext"),
        )


def _check_authority(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        reason = error.reason or error
        raise ConfigError(f"GRPC_TLS_CA={path} holds no certificates ({reason})", "It takes a PEM file") from None


def _addresses(settings: Settings) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in _ADDRESSES:
        for address in getattr(settings, name).split(","):
            other = seen.setdefault(address, name)
            if other != name:
                message = f"{name.upper()} and {other.upper()} are both {address}"
                yield name, ConfigError(message, "Each service has an address of its own")


def _sizes(settings: Settings) -> Iterator[Finding]:
    s = settings
    if s.grpc_max_message_bytes < max(s.batch_bytes, s.flush_bytes):
        bigger = "flush_bytes" if s.flush_bytes >= s.batch_bytes else "batch_bytes"
        yield (
            "grpc_max_message_bytes",
            ConfigError(
                f"GRPC_MAX_MESSAGE_BYTES={s.grpc_max_message_bytes} is less than "
                f"{bigger.upper()}={getattr(s, bigger)}, which goes as one message",
                "Give it sixfold, since JSON escapes",
            ),
        )
    if s.flush_size < s.batch_rows:
        yield "flush_size", Note(f"FLUSH_SIZE={s.flush_size} is less than BATCH_ROWS={s.batch_rows}: {_WHOLE}")
    if s.flush_bytes < s.batch_bytes:
        yield "flush_bytes", Note(f"FLUSH_BYTES={s.flush_bytes} is less than BATCH_BYTES={s.batch_bytes}: {_WHOLE}")
    if s.retained_bytes < s.flush_bytes:
        text = f"RETAINED_BYTES={s.retained_bytes} is less than FLUSH_BYTES={s.flush_bytes}: no window becomes full"
        yield "retained_bytes", Note(text)
    if not s.soft_delete and s.version_guard == "on":
        yield "version_guard", Note("VERSION_GUARD=on has no effect on deletes with SOFT_DELETE=false")


_WHOLE = "a batch is never split, so windows are as large as batches"
_CHECKS = (_source, _tables, _sink, _checkpoint, _listening, _tls, _addresses, _sizes)
