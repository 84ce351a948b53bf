"""`dbmazz config`: docs, show, check; every mistake is a line, and no secret is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dbmazz.config import Configuration, Settings
from dbmazz_cli import settings_table
from dbmazz_cli.__main__ import main
from dbmazz_cli.settings_check import look

GOOD = {"source_url": "postgresql://me:hunter2@db:5432/shop", "sink_url": "http://fe:8030"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    names = {row.name for row in settings_table.rows()} | {"DBMAZZ_CONFIG"}
    for name in names & os.environ.keys():
        monkeypatch.delenv(name)
    return tmp_path


def mistakes(**settings: object) -> list[str]:
    found, _ = look(Configuration(Settings(**(GOOD | settings)), {}))
    return [str(one) for one in found]


def notes(**settings: object) -> list[str]:
    return look(Configuration(Settings(**(GOOD | settings)), {}))[1]


def test_docs_is_what_config_alone_prints(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for arguments in (["config"], ["config", "docs"], ["config", "--markdown"], ["config", "docs", "--markdown"]):
        assert main(arguments) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == settings_table.plain() + "\n"
    assert printed[2] == printed[3] == settings_table.markdown()
    assert main(["config", "--markdown", "check"]) == 2


def test_show_has_values_and_their_places(here: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "ring.yaml").write_text("tables: [public.a, public.b]\nsink_password: hunter2\n")
    (here / ".env").write_text("DBMAZZ_CONFIG=ring.yaml\n\nFLUSH_BYTES=64MB\n")
    monkeypatch.setenv("FLUSH_SIZE", "77")
    assert main(["config", "show"]) == 0
    text = capsys.readouterr().out
    assert "hunter2" not in text
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in text.splitlines()}
    assert lines["TABLES"] == ["public.a,public.b", "line 1 of ring.yaml"]
    assert lines["SINK_PASSWORD"] == ["***", "line 2 of ring.yaml"]
    assert lines["FLUSH_BYTES"] == ["64MB", "line 3 of .env"]
    assert lines["FLUSH_SIZE"] == ["77", "the environment"]
    assert lines["SINK_PORT"] == ["9030", "default"]
    assert main(["config", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["FLUSH_SIZE"] == {"value": "77", "origin": "the environment"}
    assert document["SINK_PASSWORD"]["value"] == "***"
    assert set(document) == {row.name for row in settings_table.rows()}


def test_check_says_in_one_line_that_all_is_fine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".env").write_text("SOURCE_URL=postgresql://me:hunter2@db/shop\nSINK_URL=http://fe:8030\n")
    assert main(["config", "check"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("the settings are fine: 2 given, the others have their defaults\n", "")


def test_check_tells_everything_at_once(here: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".env").write_text(
        "SOURCE_URL=postgresql://me:hunter2@db:port/shop\nFLUSH_SIZE=0\nTABELS=a.b\nGRPC_TLS_CERT=cert.pem\n"
    )
    monkeypatch.setenv("FLUSH_SIZE", "5000")  # stronger; what .env has is wrong all the same
    monkeypatch.setenv("SINK_PORT", "x")
    assert main(["config", "check"]) == 2
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
    assert [line.removeprefix("dbmazz config: ") for line in captured.err.splitlines()] == [
        "FLUSH_SIZE=0 in line 2 of .env is out of range. It takes a whole number from 1 to 1000000",
        "SINK_PORT=x in the environment is not valid. It takes a whole number from 1 to 65535",
        "TABELS in line 3 of .env is not a setting of dbmazz. Did you mean TABLES?",
        "SOURCE_URL has a port that is not a number (line 1 of .env). "
        "It takes postgresql://user:password@host:5432/database",
        "GRPC_TLS_CERT is set and GRPC_TLS_KEY is not (line 4 of .env). TLS needs both",
        "GRPC_TLS_CERT=cert.pem cannot be read (No such file or directory) (line 4 of .env). It takes a PEM file",
    ]
    assert main(["config", "check", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert len(document["mistakes"]) == 6
    assert any("SINK_URL is not set" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source_url": "postgresql://me:hunter2@["}, "SOURCE_URL is not a PostgreSQL URL"),
        ({"source_url": "postgresql://me:hunter2@db"}, "SOURCE_URL names no database"),
        ({"tables": ("a.", "b.c")}, "'a.' in TABLES lacks its schema or its table"),
        ({"tables": (".a",)}, "'.a' in TABLES lacks its schema or its table"),
        ({"tables": ('"A".b',)}, "has quotes, which would be part of the name"),
        ({"tables": ("a.b c.d",)}, "seems to be two names without a comma"),
        ({"tables": ("a." + "x" * 64,)}, "is longer than a name of PostgreSQL (63 bytes)"),
        ({"tables": ("a.\x1b[31m",)}, "has a character that cannot be seen"),
        ({"sink_url": "http://root:hunter2@fe:8030"}, "SINK_URL holds a user or a password"),
        ({"sink_url": "fe:8030"}, "SINK_URL=fe:8030 is not an address"),
        ({"sink_url": "http://fe:9030"}, "SINK_URL and SINK_PORT name the same port, 9030"),
        ({"sink_database": ""}, "SINK_DATABASE is not a name"),
        ({"checkpoint_url": "postgresql://me:hunter2@db/x"}, "CHECKPOINT_URL names PostgreSQL"),
        ({"listen": "50051"}, "LISTEN=50051 is not an address"),
        ({"listen": "0.0.0.0:70000"}, "LISTEN=0.0.0.0:70000 is not an address"),
        ({"listen": "0.0.0.0:50051"}, "LISTEN=0.0.0.0:50051 is not loopback and GRPC_TLS_CERT is not set"),
        ({"listen": "127.0.0.1:9100", "metrics_port": 9100}, "METRICS_PORT=9100 is the port of LISTEN"),
        ({"loader_address": "127.0.0.1:50051"}, "LOADER_ADDRESS and READER_ADDRESS are both 127.0.0.1:50051"),
        ({"grpc_tls_key": "key.pem"}, "GRPC_TLS_KEY is set and GRPC_TLS_CERT is not"),
        ({"grpc_tls_ca": "ca.pem"}, "GRPC_TLS_CA=ca.pem cannot be read"),
        ({"grpc_max_message_bytes": 8 << 20}, "GRPC_MAX_MESSAGE_BYTES=8388608 is less than FLUSH_BYTES=33554432"),
    ],
)
def test_what_a_look_at_the_whole_finds(settings: dict, says: str) -> None:
    found = mistakes(**settings)
    assert any(says in one for one in found), found
    assert "hunter2" not in "".join(found)
    assert "".join(found).isprintable()


def test_good_settings_have_no_findings() -> None:
    assert mistakes() == notes() == []
    plain = {"listen": "0.0.0.0:50051", "grpc_allow_plaintext": True}
    assert mistakes(tables=("public.orders", "sales.*", "my table", "*", "s.a.b"), **plain) == []
    assert mistakes(sink_url="http://fe-1:8030, https://fe-2:8443", listen="[::1]:0") == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source_url": ""}, "SOURCE_URL is not set"),
        ({"flush_size": 10}, "FLUSH_SIZE=10 is less than BATCH_ROWS=4000"),
        ({"flush_bytes": 1 << 16}, "FLUSH_BYTES=65536 is less than BATCH_BYTES=1048576"),
        ({"retained_bytes": 1 << 20}, "RETAINED_BYTES=1048576 is less than FLUSH_BYTES"),
        ({"soft_delete": False, "version_guard": "on"}, "VERSION_GUARD=on has no effect on deletes"),
    ],
)
def test_what_is_odd_is_a_note(settings: dict, says: str) -> None:
    assert mistakes(**settings) == []
    assert any(says in one for one in notes(**settings))
