"""What this replica has done since it started: counters, and the histogram of TOAST signatures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from dbmazz.telemetry import LatencyHistogram

from dbmazz_transformer.protocol.plan import Load, Plan


@dataclass
class SignatureTally:
    """How often one set of absent columns was loaded into one table."""

    load_count: int = 0
    row_count: int = 0
    insert_count: int = 0
    update_count: int = 0
    delete_count: int = 0


@dataclass
class TableTally:
    """Counters of one target table."""

    folded_row_count: int = 0
    policy_value_count: int = 0
    loaded_row_count: int = 0
    body_bytes: int = 0


@dataclass
class Tally:
    """Counters; every row received is at last folded or loaded, unless its lane went to another transformer."""

    row_count: int = 0
    folded_row_count: int = 0
    loaded_row_count: int = 0
    full_load_count: int = 0
    partial_load_count: int = 0
    partial_row_count: int = 0
    policy_value_count: int = 0
    signatures: dict[tuple[str, tuple[str, ...]], SignatureTally] = field(default_factory=dict)
    tables: defaultdict[str, TableTally] = field(default_factory=lambda: defaultdict(TableTally))
    step_durations: LatencyHistogram = field(default_factory=LatencyHistogram)

    def planned(self, plan: Plan) -> None:
        """A window was folded and encoded."""
        self.folded_row_count += plan.folded_count
        self.policy_value_count += plan.policy_count
        if plan.row_count:
            table = self.tables[plan.loads[0].table]
            table.folded_row_count += plan.folded_count
            table.policy_value_count += plan.policy_count

    def loaded(self, load: Load) -> None:
        """A load was acknowledged."""
        if not load.row_count:
            return
        self.loaded_row_count += load.row_count
        table = self.tables[load.table]
        table.loaded_row_count += load.row_count
        table.body_bytes += len(load.body)
        if load.partial_update:
            self.partial_load_count += 1
            self.partial_row_count += load.row_count
        else:
            self.full_load_count += 1
        signature = self.signatures.setdefault((load.table, load.absent_columns), SignatureTally())
        signature.load_count += 1
        signature.row_count += load.row_count
        signature.insert_count += load.insert_count
        signature.update_count += load.update_count
        signature.delete_count += load.delete_count
