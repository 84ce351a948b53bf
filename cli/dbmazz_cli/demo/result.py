"""What a demo run found, for programs and for people."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from dbmazz_cli.comparison import TableDifference
from dbmazz_cli.demo.meter import Cost

_SHOWN_COLUMNS = 3


@dataclass(frozen=True)
class Signature:
    """How often rows of one table came without these columns, which kept their values in the target."""

    table: str
    absent_columns: tuple[str, ...]
    loads: int
    updates: int
    # With REPLICA IDENTITY DEFAULT a delete carries its key only.
    deletes: int

    def line(self) -> str:
        """For people; a long list of columns is cut."""
        shown = ", ".join(self.absent_columns[:_SHOWN_COLUMNS])
        more = len(self.absent_columns) - _SHOWN_COLUMNS
        columns = f"{shown} and {more} more" if more > 0 else shown
        return f"{self.table} without {columns}: {self.loads} loads, {self.updates:,} updates, {self.deletes:,} deletes"


@dataclass
class Result:
    """Filled in as the demo goes. `seconds` is the length of the traffic; latencies are commit to visible."""

    events: int = 0
    seconds: float = 0.0
    lag_ms: dict[str, float] = field(default_factory=lambda: {"p50": 0.0, "p99": 0.0, "max": 0.0})
    partial_updates: int = 0
    rows_unaccounted: int = 0
    tables: list[TableDifference] = field(default_factory=list)
    services: list[Cost] = field(default_factory=list)
    # The TOAST signatures that are not empty.
    signatures: list[Signature] = field(default_factory=list)
    # What went wrong besides differences, e.g. a deadline.
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """True when every row and value of every table is the same on both sides."""
        return bool(self.tables) and all(table.equal for table in self.tables)

    @property
    def good(self) -> bool:
        """True when the exit code is 0."""
        return self.equal and not self.rows_unaccounted and not self.problems

    @property
    def events_per_second(self) -> float:
        return round(self.events / self.seconds, 1) if self.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """The line of --json."""
        return {
            "equal": self.equal,
            "events": self.events,
            "events_per_second": self.events_per_second,
            "lag_ms": self.lag_ms,
            "partial_updates": self.partial_updates,
            "rows_unaccounted": self.rows_unaccounted,
            "tables": [
                {
                    "name": table.name,
                    "source_rows": table.source_rows,
                    "target_rows": table.target_rows,
                    "different_rows": table.different_rows,
                }
                for table in self.tables
            ],
            "services": [dataclasses.asdict(cost) for cost in self.services],
        }

    def lines(self) -> list[str]:
        """The report for people."""
        lag = self.lag_ms
        lines = [
            "",
            f"{self.events:,} row events in {self.seconds:.1f} s: {self.events_per_second:,.0f} per second",
            f"commit to visible: p50 {lag['p50']:,.0f} ms, p99 {lag['p99']:,.0f} ms, max {lag['max']:,.0f} ms",
            f"rows shipped as partial updates: {self.partial_updates:,}; rows unaccounted: {self.rows_unaccounted}",
        ]
        lines += [f"    {signature.line()}" for signature in self.signatures]
        lines += ["", f"{'service':<14}{'CPU millicores':>16}{'memory MB':>12}"]
        lines += [f"{cost.name:<14}{cost.cpu_millicores:>16}{cost.rss_bytes / 1e6:>12.0f}" for cost in self.services]
        if self.tables:
            lines += ["", f"{'table':<22}{'source rows':>12}{'target rows':>12}{'different':>11}"]
        for table in self.tables:
            lines.append(f"{table.name:<22}{table.source_rows:>12}{table.target_rows:>12}{table.different_rows:>11}")
            lines += [f"    {example}" for example in [table.problem, *table.examples_of_keys] if example]
        lines += [f"problem: {problem}" for problem in self.problems]
        return lines

    def verdict(self) -> str:
        """The last line for people."""
        if self.good:
            return "source and target are equal, row by row and value by value"
        if self.problems or self.equal:
            return "the run is not good; see above"
        return "source and target DIFFER; see above"
