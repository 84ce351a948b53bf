"""Every setting of dbmazz, declared once: name, type, default with its reason, range, help.

The variable is the upper-case name of the field. Values come from the environment, then `.env`, then the YAML file named
by DBMAZZ_CONFIG; the first that has one wins. Unknown names in the files are errors, because a typing slip must not
silently mean the default; in the environment, which others write to as well, those that only we would use (SINK_, ...) and
those that come close to one of ours.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbmazz import settings_field, settings_sources
from dbmazz.errors import ConfigError, ConfigErrors
from dbmazz.settings_field import setting
from dbmazz.settings_sources import CONFIG, ENVIRONMENT, Given

# Nobody else's variables begin like this.
_PREFIXES = ("SINK_", "FLUSH_", "GRPC_TLS_", "DBMAZZ_")
# Read elsewhere.
_FOREIGN = frozenset({CONFIG, "DBMAZZ_TEST_SEED", "DBMAZZ_TEST_DOCKER"})
# How like one of ours a name must be to be taken for a slip: SOURCE_UR and SOURCE_URRL are, SOURCE_DATE_EPOCH is not.
_SLIP = 0.9


@dataclass(frozen=True)
class Settings:
    """The effective configuration. Each service reads the fields that it needs."""

    source_url: str = setting(
        "",
        "PostgreSQL, as a libpq URL: postgresql://user:password@host:5432/database?sslmode=verify-full",
        secret=True,
    )
    source_slot_name: str = setting(
        "dbmazz_slot",
        "Replication slot. Created when missing; never dropped",
        why="the predecessor's name",
        pattern=("[a-z0-9_]{1,63}", "1 to 63 lower-case letters, digits and _, as PostgreSQL wants it"),
    )
    source_publication_name: str = setting(
        "dbmazz_pub",
        "Publication. Created for TABLES when missing; never dropped",
        why="the predecessor's name",
    )
    source_set_replica_identity: bool = setting(
        False,
        "Let dbmazz run ALTER TABLE ... REPLICA IDENTITY FULL where a table has no usable one",
        why="user tables are not altered unasked",
    )
    tables: tuple = setting(
        (),
        "Tables to replicate: schema.table, with * as wildcard, separated by commas. Empty: what the publication has;"
        " all of the database when there is none",
        kind="list",
    )
    sink_url: str = setting(
        "", "StarRocks FE over HTTP: http://host:8030. Several, separated by commas, are tried in turn"
    )
    sink_port: int = setting(9030, "MySQL port of the StarRocks FE", low=1, high=65535, why="StarRocks' default")
    sink_database: str = setting("dbmazz", "Target database; created when missing")
    sink_user: str = setting("root", "StarRocks user", why="what a new cluster has")
    sink_password: str = setting("", "Password of the StarRocks user", secret=True)
    sink_replication_num: int = setting(
        0,
        "replication_num of the tables that dbmazz creates; 0: three, or the number of backends when there are fewer",
        low=0,
        high=10,
    )
    flush_size: int = setting(
        10_000, "Rows in a window at most", low=1, high=1_000_000, why="StarRocks wants few and large loads"
    )
    flush_interval_ms: int = setting(
        1_000,
        "Age of a window at most, in milliseconds; the same for reader and transformers, since the reader collects most of it",
        low=10,
        high=600_000,
        why="one version per second and table is what compaction keeps up with; lag stays under 5 s",
    )
    flush_bytes: int = setting(
        32 << 20,
        "Bytes in a window at most",
        kind="size",
        low=1 << 16,
        why="bounds memory and the size of a Stream Load; one larger row still goes, alone",
    )
    do_snapshot: bool = setting(
        True,
        "Load the rows that were there before the slot, or before their table was replicated, beside the stream",
        why="a target without them is not a copy",
    )
    initial_snapshot_only: bool = setting(
        False, "End the reader, with exit code 0, as soon as every table is loaded; the slot stays"
    )
    snapshot_chunk_size: int = setting(
        10_000, "Rows per chunk of a load", low=1, high=10_000_000, why="the predecessor's default"
    )
    snapshot_workers: int = setting(
        2, "Tables, or ranges of one, that are loaded at the same time", low=1, high=32, why="spares the source"
    )
    snapshot_bytes: int = setting(
        64 << 20,
        "Rows of loads that are read, or on their way to the target, in bytes, over all tables",
        kind="size",
        low=1 << 20,
        why="leaves most of RETAINED_BYTES to the stream",
    )
    soft_delete: bool = setting(
        True,
        "Keep deleted rows, marked with dbmazz_is_deleted and their last values; false: remove them, without version guard",
    )
    version_guard: str = setting(
        "auto",
        "Send merge_condition: dbmazz_cdc_version, so that a late duplicate never wins over a newer row",
        choices=("auto", "on", "off"),
        why="auto asks the target's version and kind",
    )
    toast_readback: bool = setting(True, "Read a row's large values from the source when the target never had the row")
    retained_bytes: int = setting(
        256 << 20,
        "Batches that the reader keeps until they are durable, in bytes; at the bound the socket is not read",
        kind="size",
        low=1 << 20,
        why="bounds the reader's memory and, with it, that of everything behind it",
    )
    batch_rows: int = setting(
        4_000, "Rows in a ChangeBatch at most", low=1, high=1_000_000, why="a hop costs least from 1 MB on"
    )
    batch_bytes: int = setting(
        1 << 20, "Bytes in a ChangeBatch at most; one larger row still goes, alone", kind="size", low=1 << 10
    )
    batch_interval_ms: int = setting(
        1_000,
        "How long the reader collects a batch at most, in milliseconds; never longer than FLUSH_INTERVAL_MS, which counts"
        " from there on",
        low=0,
        high=10_000,
        why="what is collected in the reader costs no messages",
    )
    coalesce_max_ms: int = setting(
        250,
        "How long the reader lets PostgreSQL's socket fill before it reads, under load at most, in milliseconds; never"
        " longer than half of FLUSH_INTERVAL_MS; 0: not at all",
        low=0,
        high=1_000,
        why="fewer and larger gulps cost the reader and the walsender less",
    )
    status_interval_s: float = setting(
        5.0,
        "How often the confirmed LSN is sent to PostgreSQL unasked, in seconds",
        low=0.1,
        high=30.0,
        why="far below wal_sender_timeout (60 s)",
    )
    load_timeout_s: int = setting(
        600, "Time that StarRocks has for one load, in seconds", low=1, high=259_200, why="its own default"
    )
    load_compression: str = setting(
        "none",
        "How the bodies of loads are compressed on their way to StarRocks (3.2.7 or later)",
        choices=("none", "lz4", "zstd", "gzip"),
        why="costs more CPU than making the body; lz4 and zstd are for slow links, gzip for proxies that know nothing else",
    )
    reader_address: str = setting("127.0.0.1:50051", "Where transformers dial the reader", kind="addresses")
    transformer_address: str = setting(
        "127.0.0.1:50052", "Where `dbmazz status` and the monitor dial the transformer", kind="addresses"
    )
    loader_address: str = setting(
        "127.0.0.1:50053", "Where transformers dial the loaders; a DNS name reaches all its addresses", kind="addresses"
    )
    checkpoint_address: str = setting(
        "127.0.0.1:50054", "Where reader and loaders dial the checkpoint", kind="addresses"
    )
    listen: str = setting(
        "", "Address to bind, host:port; empty: loopback and the service's own port. Port 0: a free one"
    )
    checkpoint_url: str = setting(
        "sqlite:///data/checkpoint.db",
        "Where positions are stored: sqlite:///relative or sqlite:////absolute path",
        secret=False,
    )
    grpc_max_message_bytes: int = setting(
        512 << 20,
        "Largest gRPC message taken",
        kind="size",
        low=4 << 20,
        why="a 64 MB row, escaped as JSON, can grow sixfold",
    )
    grpc_compression: str = setting(
        "none",
        "How this service compresses what it sends to the other services",
        choices=("none", "gzip"),
        why="for slow links between the services; any side can be set alone",
    )
    grpc_tls_cert: str = setting("", "Certificate chain of this service, PEM file; with GRPC_TLS_KEY it turns TLS on")
    grpc_tls_key: str = setting("", "Private key of this service, PEM file")
    grpc_tls_ca: str = setting(
        "",
        "Certificate authority that peers must be signed by, PEM file; turns TLS on for calls, and mTLS for served ones",
    )
    grpc_allow_plaintext: bool = setting(
        False, "Serve without TLS on addresses other than loopback", why="plaintext is asked for by name"
    )
    control_token: str = setting(
        "",
        "What callers of Pause, Resume, Drain, StartSnapshot and ReloadConfig must know; the same for the reader and for"
        " `dbmazz pause` and the like. Empty: they are taken from the reader's own machine only",
        secret=True,
        pattern=("([!-~]{16,256})?", "nothing, or 16 to 256 letters, digits and signs of ASCII, without spaces"),
    )
    log_level: str = setting("INFO", "Lowest level that is logged", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting("console", "Form of the logs", choices=("console", "json"))
    metrics_port: int = setting(
        0, "Port of the Prometheus endpoint, plain HTTP on the host of LISTEN; 0: none", low=0, high=65535
    )

    def replace(self, **changes: object) -> Settings:
        """A copy with some fields changed, checked like the rest."""
        for field in dataclasses.fields(self):
            if field.name in changes:
                settings_field.check(field, field.name.upper(), changes[field.name])
        return dataclasses.replace(self, **changes)

    def shown(self) -> dict[str, str]:
        """Variable names to values for people, secrets hidden."""
        return {f.name.upper(): settings_field.shown(f, getattr(self, f.name)) for f in dataclasses.fields(self)}

    def require(self, *names: str) -> None:
        """ConfigError when one of these fields is empty."""
        for field in dataclasses.fields(self):
            if field.name in names and not getattr(self, field.name):
                raise ConfigError(f"{field.name.upper()} is not set", field.metadata["help"])

    def to_environment(self) -> dict[str, str]:
        """The variables that give a child process the same settings; holds secrets, so never to be logged."""
        defaults = Settings()
        return {
            field.name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != getattr(defaults, field.name)
        }


@dataclass(frozen=True)
class Configuration:
    """Settings, and where each that is given stands: variable name to `line 3 of .env`; what is missing is the default."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(environment: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """Reads and checks all sources; ConfigError names the variable, where it stands, and the way out.

    Several mistakes are one ConfigErrors, so that they are mended in one go.
    """
    return load_configuration(environment, directory).settings


def load_configuration(environment: Mapping[str, str] | None = None, directory: Path | None = None) -> Configuration:
    """As `load_settings`, with origins."""
    configuration, mistakes = read_sources(environment, directory)
    if mistakes:
        raise mistakes[0] if len(mistakes) == 1 else ConfigErrors(mistakes)
    return configuration


def read_sources(
    environment: Mapping[str, str] | None = None, directory: Path | None = None, *, shadowed: bool = False
) -> tuple[Configuration, list[ConfigError]]:
    """What could be read, with the default for what could not, and all mistakes.

    `shadowed`: a value that does not fit is a mistake also where a stronger source has another one.
    """
    environment = os.environ if environment is None else environment
    fields = {field.name.upper(): field for field in dataclasses.fields(Settings)}
    given, mistakes = settings_sources.files(environment, directory or Path.cwd())
    unknown = [one for one in given if one.name not in fields and one.name not in _FOREIGN]
    for name, text in environment.items():
        if name in fields:
            given.append(Given(name, text, ENVIRONMENT))
        elif name not in _FOREIGN and (name.startswith(_PREFIXES) or _close(name, fields, _SLIP)):
            unknown.append(Given(name, text, ENVIRONMENT))
    known = [one for one in given if one.name in fields]
    effective = {one.name: one for one in known}
    values, origins = {}, {}
    for one in known if shadowed else effective.values():
        try:
            # Of several the last wins, which is the strongest.
            values[one.name.lower()] = settings_field.read(fields[one.name], one.name, one.text, one.where)
            origins[one.name] = one.where
        except ConfigError as error:
            mistakes.append(error)
    mistakes += [_unknown(one, fields) for one in unknown]
    return Configuration(Settings(**values), origins), mistakes


def _close(name: str, fields: Mapping[str, object], cutoff: float) -> list[str]:
    return difflib.get_close_matches(name, fields, n=1, cutoff=cutoff)


def _unknown(given: Given, fields: Mapping[str, object]) -> ConfigError:
    close = _close(given.name.upper(), {**fields, CONFIG: None}, 0.6)
    way_out = f"Did you mean {close[0]}?" if close else "`dbmazz config` lists all settings"
    return ConfigError(f"{given.name} in {given.where} is not a setting of dbmazz", way_out)
