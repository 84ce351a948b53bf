"""Results as a table, as a page with charts, and against a kept baseline. Values in, text out."""

from __future__ import annotations

import json
from importlib.resources import files

from tests.bench.workloads import WORKLOADS

# A ratio may be this much worse than the kept one: more is no noise.
TOLERANCE = 0.15
# The references are plain Python, whose own speed goes up and down more.
KERNEL_TOLERANCE = 0.4
# (key, larger is better)
_RATIOS = (("ratio_to_pg_recvlogical", True), ("cpu_ratio_to_pg_recvlogical", False))
_HEAD = (
    "",
    "rows/s",
    "pg_recvlogical",
    "ratio",
    "reader",
    "transformer",
    "loader",
    "checkpoint",
    "services",
    "walsender",
)
_SERVICES = ("reader", "transformer", "loader", "checkpoint", "services", "walsender")


def line(name: str, result: dict) -> str:
    """One result in words, as soon as it is there."""
    if name in WORKLOADS:
        peer = result["pg_recvlogical"]
        return (
            f"\r{name}: {result['rows_per_second']:,} rows/s, {result['ratio_to_pg_recvlogical']:.2f} x pg_recvlogical"
            f" ({peer['rows_per_second']:,}); {result['cpu_us_per_row']['services']:.2f} us CPU per row,"
            f" walsender {result['cpu_us_per_row']['walsender']:.2f}; {result['rows_compared']:,} rows equal"
        )
    lag = result["lag_ms"] or {"p50": 0, "p99": 0, "max": 0}
    return (
        f"\r{name}: {result['events_per_second']:,.0f} events/s, {result['millicores']['services']:.1f} millicores,"
        f" {result['rss_bytes']['services'] / 1e6:.0f} MB; commit to visible p50 {lag['p50']:.0f} ms,"
        f" p99 {lag['p99']:.0f} ms, max {lag['max']:.0f} ms; {result['rows_compared']:,} rows equal"
    )


def table(results: dict) -> str:
    """Markdown tables: drains (CPU in microseconds per row), steady loads, kernels (microseconds per row)."""
    rows = [_HEAD, ("---",) + ("---:",) * (len(_HEAD) - 1)]
    for name in (name for name in results if name in WORKLOADS):
        one = results[name]
        cpu = [f"{one['cpu_us_per_row'][service]:.2f}" for service in _SERVICES]
        peer = f"{one['pg_recvlogical']['rows_per_second']:,}"
        rows.append((name, f"{one['rows_per_second']:,}", peer, f"{one['ratio_to_pg_recvlogical']:.2f}", *cpu))
    steady = [
        ("", "events/s", "millicores", "events per millicore", "p50 ms", "p99 ms", "max ms", "MB", "MB shared once"),
        ("---",) + ("---:",) * 8,
    ]
    for name in (
        name for name in results if "millicores" in (results[name] if isinstance(results[name], dict) else {})
    ):
        one = results[name]
        lag = one["lag_ms"] or {}
        steady.append(
            (
                name,
                f"{one['events_per_second']:,.0f}",
                f"{one['millicores']['services']:.1f}",
                _known(one["events_per_millicore"]),
                *(_known(lag.get(key)) for key in ("p50", "p99", "max")),
                f"{one['rss_bytes']['services'] / 1e6:.0f}",
                f"{one['pss_bytes'] / 1e6:.0f}",
            )
        )
    tables = [block for block in (rows, steady, _kernels(results.get("kernels", {}))) if len(block) > 2]
    return "\n\n".join("\n".join(f"| {' | '.join(row)} |" for row in block) for block in tables)


def _kernels(found: dict) -> list[tuple[str, ...]]:
    """A row for each workload."""
    head = [name for service in found for name in (f"{service} kernel", "reference", "times")]
    rows = [("", *head), ("---",) + ("---:",) * len(head)]
    for workload in next(iter(found.values()), {}):
        figures = [found[service][workload] for service in found]
        cells = [(one["us_per_row"], one["reference_us_per_row"], one["ratio_to_reference"]) for one in figures]
        rows.append((workload, *(f"{value:,.3g}" for cell in cells for value in cell)))
    return rows


def fallen(results: dict, baseline: dict) -> list[str]:
    """A line for every ratio that is worse than the baseline's by more than the tolerance, or that is missing."""
    found = []
    for name in (name for name in baseline if name in WORKLOADS and name in results):
        for key, larger_is_better in _RATIOS:
            kept, now = baseline[name][key], results[name][key]
            limit = kept * (1 - TOLERANCE) if larger_is_better else kept * (1 + TOLERANCE)
            if now is None or (now < limit if larger_is_better else now > limit):
                found.append(f"{name}: {key} is {now}, the baseline has {kept} (limit {limit:.3f})")
    for service, workloads in baseline.get("kernels", {}).items():
        for workload, figures in workloads.items():
            now = results.get("kernels", {}).get(service, {}).get(workload)
            # The reference runs on the same machine in the same minute, so the ratio holds on another one, too.
            limit = figures["ratio_to_reference"] * (1 - KERNEL_TOLERANCE)
            if "kernels" in results and (now is None or now["ratio_to_reference"] < limit):
                found.append(f"kernels: {service} {workload} is {now}, the baseline has {figures} (limit {limit:.1f})")
    return found


def page(results: dict) -> str:
    """Throughput and lag over time of the steady loads, as one HTML file that loads nothing from elsewhere."""
    vendor = files("dbmazz_monitor") / "page" / "vendor" / "uplot"
    series = {name: one["points"] for name, one in results.items() if isinstance(one, dict) and one.get("points")}
    data = json.dumps(series).replace("<", "\\u003c")
    return _PAGE.format(
        css=(vendor / "uPlot.min.css").read_text(),
        library=(vendor / "uPlot.esm.js").read_text().replace("export { uPlot as default };", ""),
        data=data,
        table=table(results),
    )


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


_PAGE = """<!doctype html>
<meta charset="utf-8"><title>dbmazz bench</title>
<style>{css} body {{ font: 14px system-ui; margin: 2rem; }} pre {{ overflow-x: auto; }}</style>
<h1>dbmazz bench</h1><pre>{table}</pre><div id="charts"></div>
<script type="module">
{library}
for (const [name, points] of Object.entries({data})) {{
  const rate = points.map((point, n) => n ? (point.events - points[n - 1].events) / (point.t - points[n - 1].t) : null);
  new uPlot({{
    title: name, width: 900, height: 260, scales: {{ x: {{ time: false }} }},
    series: [{{ label: "seconds" }}, {{ label: "events/s", stroke: "#2563eb" }},
             {{ label: "lag, KB", stroke: "#c2410c", scale: "lag" }}],
    axes: [{{}}, {{}}, {{ scale: "lag", side: 1 }}],
  }}, [points.map((p) => p.t), rate, points.map((p) => p.lag_bytes / 1024)], document.getElementById("charts"));
}}
</script>
"""
