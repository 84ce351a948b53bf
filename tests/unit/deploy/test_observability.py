"""Prometheus' and Grafana's configuration: that it parses, fits compose.yaml, and reaches every service."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dbmazz.metrics import SERVICES

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
[DATASOURCE] = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
    "datasources"
]
[PROVIDER] = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "dashboards" / "dbmazz.yaml").read_text())[
    "providers"
]
GRAFANA = configparser.ConfigParser()
GRAFANA.read(DEPLOY / "grafana" / "grafana.ini")
OBSERVERS = ("prometheus", "grafana")
RING = ("reader", "transformer", "loader", "checkpoint")


def mounts(name: str) -> dict[str, Path]:
    """Where a container finds files of this repository."""
    found = {}
    for volume in COMPOSE["services"][name]["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"], f"{name} could write to {source}"
            found[target] = (ROOT / "compose" / source).resolve()
        else:
            assert source in COMPOSE["volumes"], f"{name} has no volume {source}"
    return found


def inside(name: str, path: str) -> Path:
    """The file of this repository that a container finds at a path."""
    for target, source in mounts(name).items():
        if path == target or path.startswith(f"{target}/"):
            return source / path.removeprefix(target).lstrip("/")
    raise AssertionError(f"{name} has nothing at {path}")


@pytest.mark.parametrize("name", OBSERVERS)
def test_what_is_mounted_is_there(name: str) -> None:
    assert mounts(name)
    for source in mounts(name).values():
        assert source.exists() and source.is_relative_to(DEPLOY), source


@pytest.mark.parametrize("name", OBSERVERS)
def test_images_are_pinned_official_and_can_be_replaced(name: str) -> None:
    official = {"prometheus": "prom/prometheus:v", "grafana": "grafana/grafana:"}[name]
    variable, _, image = COMPOSE["services"][name]["image"].removeprefix("${").removesuffix("}").partition(":-")
    assert variable == f"{name.upper()}_IMAGE"
    assert re.fullmatch(rf"{re.escape(official)}\d+\.\d+\.\d+", image)


def test_every_service_is_scraped_with_all_its_replicas() -> None:
    """By DNS, which has an address for each; the port is the one that the container serves."""
    scraped = {}
    for job in PROMETHEUS["scrape_configs"]:
        [discovery] = job["dns_sd_configs"]
        [name] = discovery["names"]
        assert discovery["type"] == "A"
        assert job["job_name"] == f"dbmazz-{name}", "alerts and dashboard know the jobs by this"
        assert discovery["port"] == int(COMPOSE["services"][name]["environment"]["METRICS_PORT"])
        scraped[name] = job
    assert set(scraped) == {*SERVICES, *RING, "monitor"}
    for name in scraped:
        ports = COMPOSE["services"][name]["ports"]
        assert not any(port.endswith(":9100") for port in ports), "metrics are for the network of the containers"


def test_prometheus_finds_its_configuration_and_the_rules() -> None:
    [option] = [word for word in COMPOSE["services"]["prometheus"]["command"] if word.startswith("--config.file=")]
    path = option.partition("=")[2]
    assert inside("prometheus", path).samefile(DEPLOY / "prometheus" / "prometheus.yaml")
    [rules] = PROMETHEUS["rule_files"]
    assert inside("prometheus", f"{Path(path).parent}/{rules}").samefile(DEPLOY / "prometheus" / "alerts.yaml")


def test_a_service_of_the_ring_that_is_gone_altogether_is_an_alert() -> None:
    [rule] = [rule for rule in ALERTS["groups"][0]["rules"] if rule["alert"] == "DbmazzServiceMissing"]
    named = re.findall(r'absent\(dbmazz_build_info\{service="(\w+)"\}\)', rule["expr"])
    assert sorted(named) == sorted(RING)


def test_grafana_has_the_datasource_and_the_dashboard() -> None:
    assert DATASOURCE["type"] == "prometheus" and DATASOURCE["isDefault"] is True
    host, _, port = DATASOURCE["url"].removeprefix("http://").partition(":")
    assert COMPOSE["services"][host]["ports"][0].endswith(f":{port}")
    assert DATASOURCE["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    provisioning = inside("grafana", "/etc/grafana/provisioning")
    assert {path.name for path in provisioning.iterdir()} == {"datasources", "dashboards"}
    assert inside("grafana", "/etc/grafana/grafana.ini").is_file()
    home = GRAFANA["dashboards"]["default_home_dashboard_path"]
    assert PROVIDER["type"] == "file" and Path(home).parent == Path(PROVIDER["options"]["path"])
    dashboard = json.loads(inside("grafana", home).read_text())
    assert dashboard["uid"] and dashboard["panels"]
    [variable] = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert variable["query"] == DATASOURCE["type"], "the only one of its kind is chosen by itself"


def test_grafana_shows_and_lets_nobody_change() -> None:
    """No account at all unless a password is given; what is empty in the environment leaves the file as it is."""
    assert GRAFANA["auth.anonymous"]["enabled"] == "true" and GRAFANA["auth.anonymous"]["org_role"] == "Viewer"
    assert GRAFANA["security"]["disable_initial_admin_creation"] == "true"
    assert GRAFANA["users"]["allow_sign_up"] == "false"
    assert "admin_password" not in GRAFANA["security"]
    assert COMPOSE["services"]["grafana"]["environment"] == {
        "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_ADMIN_PASSWORD:-}",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "${GRAFANA_ADMIN_PASSWORD:+false}",
    }


def test_nothing_is_asked_of_the_outside() -> None:
    assert all(GRAFANA["analytics"][name] == "false" for name in GRAFANA["analytics"])
    assert GRAFANA["plugins"]["preinstall_disabled"] == "true"
    assert GRAFANA["news"]["news_feed_enabled"] == "false"


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checks; without them the files are only read as YAML."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool (Debian: package prometheus)")
    return found


def test_prometheus_takes_the_configuration(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = sum(len(group["rules"]) for group in ALERTS["groups"])
    assert f"{rules} rules found" in done.stdout


# For each rule: series from which it is to fire, and how many alerts that makes, after ten minutes (twenty for Slow).
FIRING = {
    "DbmazzServiceDown": ({'up{job="dbmazz-reader", instance="a"}': "0+0x60"}, 1),
    "DbmazzServiceMissing": ({'dbmazz_build_info{service="reader"}': "1+0x60"}, 3),
    "DbmazzServiceRetrying": ({'dbmazz_service_state{state="retrying"}': "1+0x60"}, 1),
    "DbmazzRowsUnaccounted": ({"dbmazz_rows_unaccounted": "0+0x59 7"}, 1),
    "DbmazzLaneParked": ({'dbmazz_lanes{state="parked"}': "1+0x60", 'dbmazz_lanes{state="idle"}': "1+0x60"}, 1),
    "DbmazzSlotInDanger": ({'dbmazz_slot_wal_status{slot="s", wal_status="unreserved"}': "0+0x59 1"}, 1),
    "DbmazzSlotRetainsMuchWal": ({'dbmazz_slot_retained_wal_bytes{slot="s"}': "20000000000+0x60"}, 1),
    "DbmazzNothingConfirmed": ({"dbmazz_lag_bytes": "90000000+1000x60", "dbmazz_confirmed_lsn": "5+0x60"}, 1),
    "DbmazzSlow": (
        {
            'dbmazz_commit_to_visible_seconds_bucket{le="30"}': "0+1x120",
            'dbmazz_commit_to_visible_seconds_bucket{le="60"}': "0+10x120",
            'dbmazz_commit_to_visible_seconds_bucket{le="+Inf"}': "0+10x120",
        },
        1,
    ),
    "DbmazzReaderFull": ({"dbmazz_retained_bytes": "256+0x60", "dbmazz_retained_limit_bytes": "256+0x60"}, 1),
    "DbmazzNoTransformer": ({"dbmazz_transformers": "0+0x60"}, 1),
    "DbmazzPeerDown": ({'dbmazz_peer_up{peer="BE"}': "0+0x60", 'dbmazz_peer_up{peer="FE"}': "1+0x60"}, 1),
    "DbmazzReportsFenced": (
        {"dbmazz_checkpoint_fenced_reports_total": "0+1x60", "dbmazz_checkpoint_epoch": "0+1x60"},
        1,
    ),
    "DbmazzStoreFailing": ({"dbmazz_checkpoint_store_failing": "1+0x60"}, 1),
}


def test_every_rule_fires_when_it_should_and_only_then(promtool: str, tmp_path: Path) -> None:
    """By Prometheus itself: each rule with its series, and none with those of a ring that is well."""
    rules = {rule["alert"]: rule for rule in ALERTS["groups"][0]["rules"]}
    assert set(FIRING) == set(rules)
    well = {f'dbmazz_build_info{{service="{name}"}}': "1+0x120" for name in RING}
    # In a ring that is well the same series have the value of their beginning, or move as they should.
    quiet = {
        **well,
        'up{job="dbmazz-reader"}': "1+0x120",
        'dbmazz_service_state{state="retrying"}': "0+0x120",
        "dbmazz_rows_unaccounted": "0+0x120",
        "dbmazz_lag_bytes": "90000000+0x120",
        "dbmazz_confirmed_lsn": "5+10x120",
        "dbmazz_retained_bytes": "255+0x120",
        "dbmazz_retained_limit_bytes": "256+0x120",
        "dbmazz_transformers": "1+0x120",
        'dbmazz_commit_to_visible_seconds_bucket{le="30"}': "0+10x120",
        'dbmazz_commit_to_visible_seconds_bucket{le="+Inf"}': "0+10x120",
        "dbmazz_checkpoint_fenced_reports_total": "0+1x120",
        "dbmazz_checkpoint_epoch": "5+0x120",
        'dbmazz_slot_wal_status{slot="s", wal_status="reserved"}': "1+0x120",
    }

    def given(series: dict[str, str]) -> list[dict]:
        return [{"series": name, "values": values} for name, values in series.items()]

    tests = []
    for alert, (series, count) in FIRING.items():
        minute = 20 if alert == "DbmazzSlow" else 10
        present = series if alert == "DbmazzServiceMissing" else {**well, **series}
        expression = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
        tests.append(
            {
                "interval": "10s",
                "input_series": given(present),
                "promql_expr_test": [
                    {"expr": expression, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": count}]}
                ],
            }
        )
    tests.append(
        {
            "interval": "10s",
            "input_series": given(quiet),
            "promql_expr_test": [{"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": "20m", "exp_samples": []}],
        }
    )
    file = tmp_path / "rules.test.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(DEPLOY / "prometheus" / "alerts.yaml")], "evaluation_interval": "10s", "tests": tests}
        )
    )
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
