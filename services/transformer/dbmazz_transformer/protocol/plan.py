"""A window as the loads that it becomes: fold, group, encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from dbmazz.errors import DbmazzError
from dbmazz.target import CDC_VERSION, IS_DELETED, OP_TYPE, SYNCED_AT

from dbmazz_transformer.protocol.kernel import Group, fold
from dbmazz_transformer.protocol.label import load_label
from dbmazz_transformer.protocol.layout import Layout, json_key, quoted
from dbmazz_transformer.protocol.window import Window

# What follows a row's columns, for an insert, an update, a delete; the moment stands for %b, and the version comes behind it.
_TAILS = tuple(
    b",%b%d,%b%b,%b" % (json_key(OP_TYPE), op, json_key(IS_DELETED), deleted, json_key(SYNCED_AT))
    + b'"%b",'
    + json_key(CDC_VERSION)
    for op, deleted in enumerate((b"false", b"false", b"true"))
)
_REMOVAL = (b',"__op":1',) * len(_TAILS)
# Commit times told per load, at most: with one row per transaction they would be as many as the rows, and each is a message.
# The times of a load are then right within a 256th of the span between its first commit and its last.
COMMIT_RUNS = 256
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
    folded = fold(
        batches,
        layout.relation.key_indices,
        non_key_bitmap=layout.non_key_bitmap,
        soft_delete=options.soft_delete,
    )
    tails = _tails(options.synced_at)
    loads, policy_count = [], 0
    for part, group in enumerate(folded.groups):
        progress = Progress(key, ids, safe_lsns, part, len(folded.groups))
        body, changed = layout.writer.encode(group, _REMOVAL if group.removes else tails)
        policy_count += changed
        loads.append(_load(progress, group, layout, options, body))
    sent = sum(load.row_count for load in loads)
    if window.row_count != sent + folded.folded_count:
        raise PlanError(f"{window.row_count} rows came in, {sent} went out and {folded.folded_count} were folded")
    return Plan(tuple(loads), window.row_count, folded.folded_count, policy_count)


def _label(key: LaneKey, ids: Sequence[int], part: int) -> str:
    return load_label(key.slot, key.epoch, key.lane, ids[0], ids[-1], part)


def _tails(synced_at: str) -> tuple[bytes, bytes, bytes]:
    insert, update, delete = (tail % synced_at.encode() for tail in _TAILS)
    return insert, update, delete


def _load(progress: Progress, group: Group, layout: Layout, options: PlanOptions, body: bytes) -> Load:
    items = tuple(chain.from_iterable(column.items for column in layout.present(group.bitmap)))
    return Load(
        progress=progress,
        label=_label(progress.key, progress.batch_ids, progress.part),
        table=layout.target.table,
        columns=(*items, "`__op`") if group.removes else (*items, *_AUDIT_ITEMS),
        partial_update=group.removes or group.bitmap != 0,
        # A load that removes rows cannot carry a condition: StarRocks fails it as a whole.
        version_column=CDC_VERSION if options.version_guard and not group.removes else "",
        row_count=group.row_count,
        body=body,
        commit_runs=group.commit_runs(COMMIT_RUNS),
        absent_columns=layout.absent_names(group.bitmap),
        insert_count=group.insert_count,
        update_count=group.update_count,
        delete_count=group.delete_count,
    )
