"""What the children of `dbmazz run` are told."""

import io
import json
import os

import pytest
from dbmazz.config import Settings, load_settings
from dbmazz.errors import ConfigError
from dbmazz_cli.demo.stack import with_monitor
from dbmazz_cli.ports import free_addresses
from dbmazz_cli.relay import StderrRelay
from dbmazz_cli.ring import environment, plan

SETTINGS = Settings(source_url="postgresql://u:p@h/d", sink_url="http://fe:8030", tables=("public.a", "public.b"))


def test_default_ports_are_where_the_addresses_say() -> None:
    settings = SETTINGS.replace(loader_address="127.0.0.1:6000", metrics_port=9100)
    ring = plan(settings, ports="default")
    assert ring.addresses == {
        "reader": "127.0.0.1:50051",
        "transformer": "127.0.0.1:50052",
        "loader": "127.0.0.1:6000",
        "checkpoint": "127.0.0.1:50054",
    }
    programs = [program for stage in ring.stages for program in stage]
    assert [program.name for program in programs] == ["reader", "transformer", "loader", "checkpoint"]
    for program in programs:
        assert program.command[-2:] == ("-m", f"dbmazz_{program.name}")
        assert program.environment["LISTEN"] == ring.addresses[program.name]
    assert [program.environment["METRICS_PORT"] for program in programs] == ["9100", "9101", "9102", "9103"]


def test_replicas_have_names_ports_and_peers() -> None:
    ring = plan(SETTINGS, ports="auto", replicas={"transformer": 2, "loader": 3})
    assert [[program.name for program in stage] for stage in ring.stages] == [
        ["reader"],
        ["transformer-1", "transformer-2"],
        ["loader-1", "loader-2", "loader-3"],
        ["checkpoint"],
    ]
    loaders = ring.addresses["loader"].split(",")
    assert [program.environment["LISTEN"] for program in ring.stages[2]] == loaders
    assert len({address for stage in ring.addresses.values() for address in stage.split(",")}) == 7
    for program in ring.stages[1]:
        assert program.environment["LOADER_ADDRESS"] == ",".join(loaders)
        assert program.environment["READER_ADDRESS"] == ring.addresses["reader"]


def test_an_address_that_cannot_be_bound_is_named() -> None:
    with pytest.raises(ConfigError, match="LOADER_ADDRESS=dns:///loader is not an address"):
        plan(SETTINGS.replace(loader_address="dns:///loader"), ports="default")


def test_a_child_reads_the_same_settings_whatever_its_env_file_says(tmp_path) -> None:
    settings = SETTINGS.replace(flush_bytes=5 << 20, soft_delete=False, status_interval_s=0.5)
    (tmp_path / ".env").write_text("FLUSH_SIZE=7\nTABLES=public.wrong\nSINK_PASSWORD=other\n")
    told = {name: value for name, value in environment(settings).items() if name not in os.environ}
    assert load_settings(told, tmp_path) == settings
    assert load_settings({}, tmp_path).flush_size == 7


def test_secrets_are_not_shown() -> None:
    assert "u:p" not in repr(plan(SETTINGS, ports="auto").stages)


def test_free_addresses_differ_and_stay_below_the_ephemeral_range() -> None:
    ports = [int(address.rpartition(":")[2]) for address in free_addresses(20)]
    assert len(set(ports)) == 20
    assert all(15_000 <= port < 32_000 for port in ports)


def test_lines_are_relayed_with_the_name() -> None:
    stream = io.StringIO()
    relay = StderrRelay(stream)
    relay("reader", "2026-01-01 [info] serving")
    relay("loader-2", '{"event": "serving", "level": "info"}')
    plain, document = stream.getvalue().splitlines()
    assert plain.split() == ["reader", "2026-01-01", "[info]", "serving"]
    assert json.loads(document) == {"process": "loader-2", "event": "serving", "level": "info"}


def test_the_monitors_metrics_come_behind_those_of_the_ring():
    ring = plan(SETTINGS.replace(metrics_port=9100), ports="default", replicas={"loader": 2})
    (monitor,) = with_monitor(ring, "default")[0]
    taken = {program.environment["METRICS_PORT"] for stage in ring.stages for program in stage}
    assert monitor.environment["METRICS_PORT"] == "9108"
    assert "9108" not in taken
    (silent,) = with_monitor(plan(SETTINGS, ports="default"), "default")[0]
    assert silent.environment.get("METRICS_PORT", "0") == "0"
