"""Configuration: sources and their precedence, unknown names, ranges, secrets."""

import dataclasses
import os
from pathlib import Path

import pytest
from dbmazz import settings_field
from dbmazz.config import Settings, load_settings
from dbmazz.errors import ConfigError

FIELDS = dataclasses.fields(Settings)


def load(directory: Path, **environment: str) -> Settings:
    return load_settings(environment, directory)


def refused(directory: Path, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, **environment)
    assert caught.value.exit_code == 2
    assert caught.value.way_out
    return str(caught.value)


def test_nothing_set_is_all_defaults(tmp_path):
    assert load(tmp_path) == Settings()


def test_the_predecessors_names_work(tmp_path):
    settings = load(
        tmp_path,
        SOURCE_URL="postgresql://me:secret@host/db",
        SOURCE_SLOT_NAME="s",
        SOURCE_PUBLICATION_NAME="p",
        TABLES="public.orders, public.items_*",
        SINK_URL="http://fe:8030",
        SINK_PORT="9031",
        SINK_DATABASE="d",
        SINK_USER="u",
        SINK_PASSWORD="pw",
        FLUSH_SIZE="5",
        FLUSH_INTERVAL_MS="250",
        DO_SNAPSHOT="false",
        SNAPSHOT_CHUNK_SIZE="7",
    )
    assert settings.tables == ("public.orders", "public.items_*")
    assert (settings.sink_port, settings.flush_size, settings.do_snapshot) == (9031, 5, False)


def test_environment_beats_dotenv_beats_yaml(tmp_path):
    (tmp_path / "ring.yaml").write_text("flush_size: 1\nsink_user: yaml\nsink_database: yaml\ntables: [a.b, c.d]\n")
    (tmp_path / ".env").write_text("FLUSH_SIZE=2\nSINK_USER=dotenv\n")
    settings = load(tmp_path, DBMAZZ_CONFIG="ring.yaml", FLUSH_SIZE="3")
    assert (settings.flush_size, settings.sink_user, settings.sink_database) == (3, "dotenv", "yaml")
    assert settings.tables == ("a.b", "c.d")


def test_the_yaml_file_may_be_named_in_dotenv(tmp_path):
    (tmp_path / "ring.yaml").write_text("FLUSH_SIZE: 1\n")
    (tmp_path / ".env").write_text("DBMAZZ_CONFIG=ring.yaml\n")
    assert load(tmp_path).flush_size == 1


def test_yaml_values_as_the_variables_would_have_them(tmp_path):
    (tmp_path / "ring.yaml").write_text(
        "soft_delete: false\nsink_password:\nflush_bytes: 64MB\nstatus_interval_s: 1.5\n"
    )
    settings = load(tmp_path, DBMAZZ_CONFIG="ring.yaml")
    assert (settings.soft_delete, settings.sink_password) == (False, "")
    assert (settings.flush_bytes, settings.status_interval_s) == (64 << 20, 1.5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("SOURCE_SLOTNAME", "Did you mean SOURCE_SLOT_NAME?"),
        ("SINK_PASWORD", "Did you mean SINK_PASSWORD?"),
        ("FLUSH_INTERVAL", "Did you mean FLUSH_INTERVAL_MS?"),
        ("GRPC_TLS_CERTIFICATE", "Did you mean GRPC_TLS_CERT?"),
        ("DBMAZZ_CONFIGS", "Did you mean DBMAZZ_CONFIG?"),
        ("DBMAZZ_WHATEVER_ELSE", "`dbmazz config` lists all settings"),
    ],
)
def test_unknown_names_in_the_environment(tmp_path, name, says):
    message = refused(tmp_path, **{name: "hunter2"})
    assert message == f"{name} in the environment is not a setting of dbmazz. {says}"


def test_unknown_names_in_files(tmp_path):
    (tmp_path / ".env").write_text("FLUSH_SIZ=2\n")
    assert "FLUSH_SIZ in line 1 of .env is not a setting" in refused(tmp_path)
    (tmp_path / ".env").unlink()
    (tmp_path / "ring.yaml").write_text("path: /bin\n")
    assert "PATH in line 1 of ring.yaml is not a setting" in refused(tmp_path, DBMAZZ_CONFIG="ring.yaml")


def test_names_of_others_pass(tmp_path):
    others = {
        "PATH": "/bin",
        "GRPC_VERBOSITY": "debug",
        "GRPC_TRACE": "all",
        "DBMAZZ_TEST_SEED": "1",
        # Kubernetes, for services named reader and loader
        "READER_SERVICE_HOST": "10.0.0.1",
        "READER_PORT": "tcp://10.0.0.1:50051",
        "READER_PORT_50051_TCP_ADDR": "10.0.0.1",
        "LOADER_SERVICE_PORT_GRPC": "50053",
    }
    assert load(tmp_path, **others) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FLUSH_SIZE", "0", "out of range. It takes a whole number from 1 to 1000000"),
        ("FLUSH_SIZE", "1000001", "out of range"),
        ("FLUSH_SIZE", "many", "not valid. It takes a whole number from 1 to 1000000"),
        ("FLUSH_SIZE", "", "not valid"),
        ("FLUSH_SIZE", "1.5", "not valid"),
        ("SINK_PORT", "65536", "out of range"),
        ("SNAPSHOT_CHUNK_SIZE", "0", "out of range"),
        ("STATUS_INTERVAL_S", "0.01", "out of range"),
        ("STATUS_INTERVAL_S", "nan", "out of range"),
        ("STATUS_INTERVAL_S", "inf", "out of range"),
        ("SOFT_DELETE", "maybe", "It takes true or false"),
        ("VERSION_GUARD", "sometimes", "It takes one of auto, on, off"),
        ("FLUSH_BYTES", "64 potatoes", "a size in bytes, or like 64MB"),
        ("FLUSH_BYTES", "-1", "a size in bytes, or like 64MB"),
        ("FLUSH_BYTES", "1024", "out of range. It takes a size in bytes, or like 64MB, of at least 65536 bytes"),
        ("LOG_LEVEL", "verbose", "DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_values_that_do_not_fit_name_the_variable_and_what_it_takes(tmp_path, name, value, says):
    message = refused(tmp_path, **{name: value})
    assert message.startswith(f"{name}={value} in the environment is ")
    assert says in message


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("64MB", 64 << 20), ("64 mb", 64 << 20), ("1GB", 1 << 30), ("70000B", 70_000)],
)
def test_sizes(tmp_path, text, size):
    assert load(tmp_path, FLUSH_BYTES=text).flush_bytes == size


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on", " True "])
def test_true(tmp_path, text):
    assert load(tmp_path, SOURCE_SET_REPLICA_IDENTITY=text).source_set_replica_identity is True


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "False"])
def test_false(tmp_path, text):
    assert load(tmp_path, SOFT_DELETE=text).soft_delete is False


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2", "cannot be read"),
        (b"- a\n- b\n", "is not a mapping"),
        (b"just words", "is not a mapping"),
        (b"\xff\xfe\x00binary", "cannot be read"),
        (b"sink_url: {host: fe}\n", "sink_url in line 1 of ring.yaml is a mapping"),
    ],
)
def test_yaml_files_that_are_none(tmp_path, content, says):
    (tmp_path / "ring.yaml").write_bytes(content)
    assert says in refused(tmp_path, DBMAZZ_CONFIG="ring.yaml")


def test_a_yaml_file_that_is_missing(tmp_path):
    assert "DBMAZZ_CONFIG=none.yaml cannot be read (FileNotFoundError)" in refused(tmp_path, DBMAZZ_CONFIG="none.yaml")


def test_a_dotenv_that_is_binary(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    assert ".env cannot be read" in refused(tmp_path)


def test_secrets_are_hidden_for_people_and_in_errors(tmp_path):
    settings = load(tmp_path, SOURCE_URL="postgresql://me:hunter2@h/d", SINK_PASSWORD="hunter2")
    shown = settings.shown()
    assert (shown["SOURCE_URL"], shown["SINK_PASSWORD"]) == ("***", "***")
    assert "hunter2" not in str(shown)
    assert Settings().shown()["SINK_PASSWORD"] == ""  # one sees that none is set
    secret = next(field for field in FIELDS if field.name == "sink_password")
    assert settings_field.shown(secret, "hunter2") == "***"


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("SINK_URL", "http://me:hunter2@h:8030,https://me:hun/ter2@g:8030", "http://***@h:8030,https://***@g:8030"),
        ("CHECKPOINT_URL", "postgresql://me:hunter2@h/d", "postgresql://***@h/d"),
        ("READER_ADDRESS", "me:hunter2@h:1", "***@h:1"),
        ("SINK_URL", "http://h:8030", "http://h:8030"),
        ("SINK_USER", "me@team", "me@team"),
    ],
)
def test_a_login_where_none_belongs_is_hidden(name, text, shown):
    field = next(field for field in FIELDS if field.name == name.lower())
    assert settings_field.shown(field, text) == shown


@pytest.mark.parametrize(
    "name", [field.name for field in FIELDS if "password" in field.name or field.name == "source_url"]
)
def test_whatever_can_hold_a_password_is_declared_secret(name):
    assert next(field for field in FIELDS if field.name == name).metadata["secret"]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_has_help_and_a_default_that_passes_its_own_check(field):
    assert len(field.metadata["help"]) > 10
    assert settings_field.takes(field)
    settings_field.check(field, field.name, field.default)
    low = field.metadata.get("low")
    if low is not None:
        with pytest.raises(ConfigError):
            settings_field.check(field, field.name, low - 1)


def test_a_child_process_gets_the_same_settings(tmp_path):
    settings = Settings(
        source_url="postgresql://me:secret@host/db",
        tables=("a.b", "c.*"),
        soft_delete=False,
        flush_bytes=1 << 20,
        status_interval_s=0.5,
        sink_user="",
        version_guard="off",
    )
    environment = settings.to_environment()
    assert load(tmp_path, **environment) == settings
    assert set(environment) == {
        "SOURCE_URL",
        "TABLES",
        "SOFT_DELETE",
        "FLUSH_BYTES",
        "STATUS_INTERVAL_S",
        "SINK_USER",
        "VERSION_GUARD",
    }


def test_replace_checks_and_require_names(tmp_path):
    assert Settings().replace(flush_size=5).flush_size == 5
    with pytest.raises(ConfigError, match="FLUSH_SIZE=0 is out of range"):
        Settings().replace(flush_size=0)
    Settings(source_url="x").require("source_url")
    with pytest.raises(ConfigError, match=r"SOURCE_URL is not set\. PostgreSQL, as a libpq URL"):
        Settings().require("source_url")


def test_the_process_environment_and_directory_are_the_default(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith(("SOURCE_", "SINK_", "FLUSH_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLUSH_SIZE", "77")
    assert load_settings().flush_size == 77
