"""The table of metrics: Prometheus' naming practices, and that page, dashboard and alert rules name what is declared."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dbmazz.metrics import METRICS, SERVICES, Kind, markdown
from dbmazz.readings import one_of, service_state
from dbmazz.v1 import types_pb2
from prometheus_client import CollectorRegistry, ProcessCollector

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "dbmazz.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SUFFIXES = ("_bucket", "_sum", "_count")
BASE_UNITS = ("_seconds", "_bytes")
NOT_BASE_UNITS = re.compile(r"_(ms|milliseconds|us|minutes|hours|kb|kilobytes|mb|megabytes|percent)(_|$)")
# Of the Prometheus server, and what its client library collects about the process.
PROCESS = {family.name for family in ProcessCollector(registry=CollectorRegistry()).collect()}
THEIRS = {"up"} | PROCESS | {f"{name}_total" for name in PROCESS}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_follow_the_practices(metric):
    assert re.fullmatch(r"dbmazz(_[a-z]+)+", metric.name)
    assert not NOT_BASE_UNITS.search(metric.name)
    assert not metric.name.endswith(SUFFIXES)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith(BASE_UNITS)
    assert all(re.fullmatch(r"[a-z][a-z_]*", label) for label in metric.labels)
    assert not {"job", "instance", "le", "quantile"} & set(metric.labels)
    assert metric.services and set(metric.services) <= set(SERVICES)
    assert metric.help and not metric.help.endswith(".") and "|" not in metric.help


def test_a_choice_is_one_among_zeros():
    assert list(one_of("m", ("s",), "b", ("a", "b"))) == [("m", ("s", "a"), 0), ("m", ("s", "b"), 1)]
    assert list(one_of("m", (), "new", ("a",))) == [("m", ("a",), 0), ("m", ("new",), 1)]
    states = {labels[0]: value for _, labels, value in service_state(types_pb2.SERVICE_STATE_DRAINING)}
    assert states == {"starting": 0, "running": 0, "retrying": 0, "draining": 1, "stopped": 0, "paused": 0}


def test_the_page_is_made_from_the_table():
    assert (ROOT / "docs" / "metrics.md").read_text() == markdown(), "run `python -m dbmazz.metrics > docs/metrics.md`"
    printed = subprocess.run([sys.executable, "-m", "dbmazz.metrics"], capture_output=True, text=True, check=True)
    assert printed.stdout == markdown()


def names_in(expression: str) -> set[str]:
    """Names of metrics in PromQL: what stands before {, [, an operator or the end, and is no function or label."""
    without_strings = re.sub(r'"(?:\\.|[^"\\])*"', '""', expression)
    without_selectors = re.sub(r"\{[^}]*\}", "", without_strings)
    without_groups = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", without_selectors)
    words = re.findall(r"(?<![\w$\[:])[a-zA-Z_][\w:]*(?!\w*\s*\()", without_groups)
    keywords = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "by", "without"}
    return {word for word in words if word not in keywords}


def labels_in(expression: str) -> set[tuple[str, str]]:
    """(metric, label) of the selectors."""
    return {
        (metric, label)
        for metric, selector in re.findall(r"(\w+)\{([^}]*)\}", expression)
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"(?:\\.|[^"\\])*"', '""', selector))
    }


def declared(name: str) -> str:
    """The declared name of a series; "" when there is none."""
    if name in METRICS:
        return name
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in METRICS and METRICS[base].kind is Kind.HISTOGRAM else ""


def check(expression: str, where: str) -> None:
    names = names_in(expression)
    assert names, f"{where}: no metric in {expression}"
    for name in names:
        assert declared(name) or name in THEIRS, f"{where}: {name} is not declared"
        if metric := METRICS.get(name):
            rated = re.search(rf"\b(rate|increase|irate|resets)\({name}\b", expression)
            assert bool(rated) == (metric.kind is Kind.COUNTER), (
                f"{where}: rate() is for counters, as {name} is or is not"
            )
    for name, label in labels_in(expression):
        allowed = {"job", "instance", *(METRICS[declared(name)].labels if declared(name) else ())}
        assert label in allowed, f"{where}: {name} has no label {label}"


def panels() -> list[dict]:
    found = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [panel for panel in found if panel["type"] != "row"]


def test_the_dashboard_shows_what_is_declared():
    assert len(panels()) >= 10
    for panel in panels():
        assert panel["title"] and panel["targets"]
        for target in panel["targets"]:
            check(target["expr"], panel["title"])
    everything = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    for name in ("dbmazz_lag_bytes", "dbmazz_commit_to_visible_seconds_bucket", "dbmazz_rows_unaccounted"):
        assert name in everything


def test_the_variables_of_the_dashboard_come_from_what_is_declared():
    variables = [one for one in json.loads(DASHBOARD.read_text())["templating"]["list"] if one["type"] == "query"]
    assert variables
    for variable in variables:
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
        check(series, variable["name"])
        assert label in ("job", *METRICS[min(names_in(series))].labels)


def test_panels_have_ids_and_places_of_their_own():
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    cells = [
        (x, y)
        for panel in found
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert all(0 <= x < 24 for x, _ in cells)


def test_the_alerts_ask_for_what_is_declared():
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    assert len(group["rules"]) >= 8
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"])
    for rule in group["rules"]:
        check(rule["expr"], rule["alert"])
        assert re.fullmatch(r"Dbmazz[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("sum(rate(dbmazz_row_total[5m]))", "not declared"),
        ("dbmazz_rows_total", "rate"),
        ("rate(dbmazz_lag_bytes[5m])", "rate"),
        ('dbmazz_lanes{status="parked"}', "no label"),
        ("histogram_quantile(0.5, sum by (le) (rate(dbmazz_lag_bytes_bucket[5m])))", "not declared"),
        ("vector(1)", "no metric"),
    ],
)
def test_the_check_finds_what_is_wrong(expression, why):
    with pytest.raises(AssertionError, match=why):
        check(expression, "here")


def test_the_check_reads_promql():
    expression = 'sum by (table) (rate(dbmazz_rows_total{stage="read", table=~"$table"}[$__rate_interval])) / on (x) up'
    assert names_in(expression) == {"dbmazz_rows_total", "up"}
    assert labels_in(expression) == {("dbmazz_rows_total", "stage"), ("dbmazz_rows_total", "table")}
    check(expression, "here")
