"""Connections to the source: one place for session settings, deadlines and what a refusal means."""

from __future__ import annotations

import asyncio

import psycopg
from dbmazz.errors import ConfigError, SourceError, SourceUnavailable
from psycopg import conninfo, pq

from dbmazz_reader.postgres.errors import first_line

CONNECT_S = 10
# A value's text must be the same in the stream, in a read-back and in a snapshot, whatever role or database says.
_SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmlbinary": "base64",
}
# A machine that vanished is noticed within half a minute, whether data is on its way or not.
_DEFAULTS = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "fallback_application_name": "dbmazz reader",
}
_FORM = "It takes postgresql://user:password@host:5432/database"


def parse(source_url: str) -> dict[str, object]:
    """libpq parameters from SOURCE_URL, with ours; ConfigError when it cannot be read."""
    try:
        given = conninfo.conninfo_to_dict(source_url)
    except psycopg.ProgrammingError:
        # libpq's message would quote the URL, and with it the password.
        raise ConfigError("SOURCE_URL is not a PostgreSQL URL", _FORM) from None
    if not given.get("dbname"):
        raise ConfigError("SOURCE_URL names no database", _FORM)
    if not all(port.isdigit() or not port for port in str(given.get("port") or "").split(",")):
        raise ConfigError("SOURCE_URL has a port that is not a number", _FORM)  # libpq would call it a bad connection
    ours = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    # Of two settings of one name the last wins.
    options = f"{given.get('options') or ''} {ours}".strip()
    return {**_DEFAULTS, **given, "options": options, "client_encoding": "UTF8"}


async def connect(source_url: str, *, replication: bool = False) -> psycopg.AsyncConnection:
    """An autocommit connection. SourceUnavailable when nobody takes it, SourceError when the server refuses us."""
    parameters = parse(source_url)
    if replication:
        parameters["replication"] = "database"
    answer, text = pq.Ping.NO_RESPONSE, ""
    while True:
        # A server that was starting up when it refused us can be ready when it is asked why: a refusal counts as one only
        # from a server that took connections before.
        was_ready = answer == pq.Ping.OK
        try:
            return await psycopg.AsyncConnection.connect(**parameters, autocommit=True, prepare_threshold=None)
        except psycopg.ProgrammingError as error:
            raise ConfigError(f"SOURCE_URL cannot be used: {first_line(str(error))}", _FORM) from None
        except psycopg.errors.ConnectionTimeout as error:
            # Nothing to ask a server that says nothing; and PQping blocks the process while it waits.
            raise _unreachable(first_line(str(error))) from None
        except psycopg.OperationalError as error:
            text = first_line(str(error))
        # The exception holds the password, so it ends here.
        answer = await _ping(parameters, text)
        if answer == pq.Ping.NO_ATTEMPT:
            raise ConfigError(f"SOURCE_URL cannot be used: {text}", _FORM)
        if answer != pq.Ping.OK:
            raise _unreachable(text)
        if was_ready:
            raise SourceError(f"PostgreSQL refuses the connection: {text}", _way_out(replication))


def _unreachable(text: str) -> SourceUnavailable:
    return SourceUnavailable(f"PostgreSQL cannot be reached: {text}", "It is tried again; is SOURCE_URL right?")


async def _ping(parameters: dict[str, object], text: str) -> pq.Ping:
    """Why a connection failed: OK when the server takes connections but not this one (wrong password, database, role,
    pg_hba.conf), REJECT while it starts, stops or recovers, NO_ATTEMPT for a parameter that libpq does not take.

    libpq has no SQLSTATE for a failed connection. Only "too many clients" looks like OK and passes by itself.
    """
    if "too many" in text or "connection slots" in text:
        return pq.Ping.REJECT
    information = conninfo.make_conninfo(**parameters).encode()
    return pq.Ping(await asyncio.to_thread(pq.PGconn.ping, information))


def _way_out(replication: bool) -> str:
    if replication:
        return "Give the role of SOURCE_URL the right: ALTER ROLE ... REPLICATION"
    return "Correct user, password or database in SOURCE_URL, or pg_hba.conf"
