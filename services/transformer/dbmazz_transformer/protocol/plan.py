"""A window as the loads that it becomes: fold, group, encode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

from dbmazz.errors import DbmazzError
from dbmazz.rows import PackedRows
from dbmazz.target import CDC_VERSION, IS_DELETED, OP_TYPE, SYNCED_AT

from dbmazz_transformer.protocol.encode import Part, encode
from dbmazz_transformer.protocol.fold import DELETE, INSERT, UPDATE, Folded, fold
from dbmazz_transformer.protocol.grouping import Group, group
from dbmazz_transformer.protocol.label import load_label
from dbmazz_transformer.protocol.layout import Layout, json_key, quoted
from dbmazz_transformer.protocol.window import Window

# dbmazz_op_type and dbmazz_is_deleted, which always go together.
_MARKS = [
    b"%d,%bfalse" % (INSERT, json_key(IS_DELETED)),
    b"%d,%bfalse" % (UPDATE, json_key(IS_DELETED)),
    b"%d,%btrue" % (DELETE, json_key(IS_DELETED)),
]
_AUDIT_ITEMS = tuple(quoted(name) for name in (OP_TYPE, IS_DELETED, SYNCED_AT, CDC_VERSION))


class PlanError(DbmazzError):
    """Rows got lost between window and loads: a defect, found before anything was sent."""

    reason = "INTERNAL"


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Which lane, of whom, in which epoch and generation."""

    slot: str
    epoch: int
    lane: int
    generation: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The batches that a load, together with its sister parts, makes durable."""

    key: LaneKey
    batch_ids: tuple[int, ...]
    safe_lsns: tuple[int, ...]
    part: int = 0
    part_count: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """One Stream Load; the fields are those of dbmazz.v1 LoadRequest."""

    progress: Progress
    label: str
    table: str = ""
    columns: tuple[str, ...] = ()
    partial_update: bool = False
    version_column: str = ""
    row_count: int = 0
    body: bytes = field(default=b"", repr=False)
    commit_runs: tuple[tuple[int, int], ...] = ()
    absent_columns: tuple[str, ...] = ()
    insert_count: int = 0
    update_count: int = 0
    delete_count: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The loads of a window, in a fixed order: the same window gives the same parts. `row_count`: rows that came in."""

    loads: tuple[Load, ...]
    row_count: int = 0
    folded_count: int = 0
    policy_count: int = 0


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """`synced_at`: the moment in UTC, as `YYYY-MM-DD HH:MM:SS.ffffff`. `version_guard`: loads carry merge_condition."""

    soft_delete: bool
    version_guard: bool
    synced_at: str


def plan_window(window: Window, layout: Layout | None, key: LaneKey, options: PlanOptions) -> Plan:
    """The loads of a window; a single one without rows when there is nothing to load but progress to report.

    `layout` may be None for a window without rows.
    """
    ids = tuple(batch.batch_id for batch in window.batches)
    safe_lsns = tuple(batch.safe_lsn for batch in window.batches)
    batches = [batch.rows for batch in window.batches if batch.row_count]
    if not batches or layout is None:
        if window.row_count:
            raise PlanError(f"batches {ids[0]} to {ids[-1]} have rows, but their table is not known")
        return Plan((Load(Progress(key, ids, safe_lsns), _label(key, ids, 0)),))
    folded = fold(batches, layout.relation.key_indices)
    groups = group(folded, non_key_bitmap=layout.non_key_bitmap, soft_delete=options.soft_delete)
    versions = list(chain.from_iterable(rows.versions() for rows in batches))
    commit_times = _commit_times(batches)
    loads, policy_count = [], 0
    for part, members in enumerate(groups):
        progress = Progress(key, ids, safe_lsns, part, len(groups))
        body, changed = _encode_group(batches, members, folded, layout, versions, options)
        policy_count += changed
        runs = Counter(map(commit_times.__getitem__, members.rows))
        loads.append(_load(progress, members, layout, options, body, tuple(sorted(runs.items()))))
    sent = sum(load.row_count for load in loads)
    if window.row_count != sent + folded.folded_count:
        raise PlanError(f"{window.row_count} rows came in, {sent} went out and {folded.folded_count} were folded")
    return Plan(tuple(loads), window.row_count, folded.folded_count, policy_count)


def _label(key: LaneKey, ids: Sequence[int], part: int) -> str:
    return load_label(key.slot, key.epoch, key.lane, ids[0], ids[-1], part)


def _commit_times(batches: Sequence[PackedRows]) -> list[int]:
    """Commit time of each row, in microseconds since 1970."""
    runs = chain.from_iterable(zip(rows.commit_times, rows.run_row_counts, strict=True) for rows in batches)
    return list(chain.from_iterable(repeat(time, count) for time, count in runs))


def _encode_group(
    batches: Sequence[PackedRows],
    members: Group,
    folded: Folded,
    layout: Layout,
    versions: Sequence[int],
    options: PlanOptions,
) -> tuple[bytes, int]:
    columns = layout.present(members.bitmap)
    if members.removes:
        return encode(batches, members.rows, columns, folded.patches, [b',"__op":1'])
    version_tokens = {version: b"%d" % version for version in set(versions)}
    tail: list[Part] = [
        b"," + json_key(OP_TYPE),
        [_MARKS[op] for op in members.ops],
        b',%b"%b",%b' % (json_key(SYNCED_AT), options.synced_at.encode(), json_key(CDC_VERSION)),
        [version_tokens[versions[row]] for row in members.rows],
    ]
    return encode(batches, members.rows, columns, folded.patches, tail)


def _load(
    progress: Progress,
    members: Group,
    layout: Layout,
    options: PlanOptions,
    body: bytes,
    runs: tuple[tuple[int, int], ...],
) -> Load:
    items = tuple(chain.from_iterable(column.items for column in layout.present(members.bitmap)))
    counts = Counter(members.ops)
    return Load(
        progress=progress,
        label=_label(progress.key, progress.batch_ids, progress.part),
        table=layout.target.table,
        columns=(*items, "`__op`") if members.removes else (*items, *_AUDIT_ITEMS),
        partial_update=members.removes or members.bitmap != 0,
        # A load that removes rows cannot carry a condition: StarRocks fails it as a whole.
        version_column=CDC_VERSION if options.version_guard and not members.removes else "",
        row_count=len(members.rows),
        body=body,
        commit_runs=runs,
        absent_columns=layout.absent_names(members.bitmap),
        insert_count=counts[INSERT],
        update_count=counts[UPDATE],
        delete_count=counts[DELETE],
    )
