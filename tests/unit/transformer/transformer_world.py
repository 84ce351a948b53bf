"""What the transformer's tests measure it against: plain event histories, a packer, a slow reference of folding and
encoding, and a Primary Key table that behaves as StarRocks does (full, partial and conditional loads, deletes)."""

from __future__ import annotations

import base64
import json
import random
import struct
from array import array
from dataclasses import dataclass, field, replace

from dbmazz.relation import Column, Relation, ReplicaIdentity
from dbmazz.rows import pack_bitmaps, to_little_endian
from dbmazz.signature import from_indices
from dbmazz.target import AUDIT_COLUMNS
from dbmazz.v1 import change_pb2
from dbmazz.wire import relation_to_proto
from dbmazz_transformer.protocol.batch import Batch, LaneDecoder
from dbmazz_transformer.protocol.layout import Layout, Target, make_layout
from dbmazz_transformer.protocol.plan import LaneKey, Load, Plan, PlanOptions, plan_window
from dbmazz_transformer.protocol.window import Window

INSERT, UPDATE, DELETE, READ = 1, 2, 3, 4
INT4, INT8, TEXT, JSONB, BYTEA = 23, 20, 25, 3802, 17
SYNCED_AT = "2026-01-02 03:04:05.678901"


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
Value = bytes | None | _Absent


@dataclass(frozen=True)
class Event:
    """One row event. `version` is the LSN that guards it, `commit_lsn` that of its transaction."""

    op: int
    values: tuple[Value, ...]
    commit_lsn: int
    change_lsn: int = 0
    commit_time: int = 0

    @property
    def bitmap(self) -> int:
        return from_indices(index for index, value in enumerate(self.values) if value is ABSENT)


@dataclass(frozen=True)
class EventBatch:
    """Events of one ChangeBatch; `open_tail`: the last transaction goes on in a later batch."""

    batch_id: int
    events: tuple[Event, ...]
    open_tail: bool = False

    def version(self, index: int) -> int:
        event = self.events[index]
        mid_transaction = self.open_tail and event.commit_lsn == self.events[-1].commit_lsn
        return event.change_lsn if mid_transaction else event.commit_lsn


def relation(
    *columns: tuple[str, int], keys: tuple[str, ...] = ("id",), name: str = "t", schema: str = "public"
) -> Relation:
    """A relation of (name, type oid) columns."""
    return Relation(
        relation_id=4711,
        schema=schema,
        name=name,
        replica_identity=ReplicaIdentity.DEFAULT,
        schema_version=1,
        columns=tuple(
            Column(column, oid, key_position=keys.index(column) + 1 if column in keys else 0) for column, oid in columns
        ),
    )


def target_of(source: Relation, **changes: object) -> Target:
    names = (*(column.name for column in source.columns), *(name for name, _ in AUDIT_COLUMNS))
    return replace(Target(source.name, names), **changes)


def layout_of(source: Relation) -> Layout:
    return make_layout(source, target_of(source))


def to_proto(source: Relation, batch: EventBatch, **fields: object) -> change_pb2.ChangeBatch:
    """Packs events as the reader does (change.proto), by the book and without its code."""
    lengths, data, runs = array("i"), [], []
    for event in batch.events:
        if not runs or runs[-1][0] != event.commit_lsn:
            runs.append([event.commit_lsn, event.commit_time, 0])
        runs[-1][2] += 1
        for value in event.values:
            lengths.append(-2 if value is ABSENT else -1 if value is None else len(value))
            data.append(value if isinstance(value, bytes) else b"")
    last_lsn = batch.events[-1].commit_lsn if batch.events else 0
    changes = [event.change_lsn for event in batch.events if event.commit_lsn == last_lsn] if batch.open_tail else []
    defaults = {
        "epoch": 1,
        "lane": 1,
        "generation": 1,
        "kind": change_pb2.BATCH_KIND_ROWS,
        "safe_lsn": last_lsn,
        "relation_id": source.relation_id,
    }
    return change_pb2.ChangeBatch(
        **{**defaults, **fields},
        batch_id=batch.batch_id,
        row_count=len(batch.events),
        ops=bytes(event.op for event in batch.events),
        run_row_counts=struct.pack(f"<{len(runs)}I", *(run[2] for run in runs)),
        commit_lsns=struct.pack(f"<{len(runs)}Q", *(run[0] for run in runs)),
        commit_times=struct.pack(f"<{len(runs)}q", *(run[1] for run in runs)),
        xids=struct.pack(f"<{len(runs)}I", *range(len(runs))),
        change_lsns=struct.pack(f"<{len(changes)}Q", *changes),
        absent_bitmaps=pack_bitmaps([event.bitmap for event in batch.events], len(source.columns)),
        lengths=to_little_endian(lengths),
        data=b"".join(data),
    )


def decode(source: Relation, batches: list[EventBatch]) -> list[Batch]:
    """The batches as the lane's decoder gives them."""
    decoder, decoded = LaneDecoder(), []
    for number, batch in enumerate(batches):
        extra = {"relation": relation_to_proto(source)} if number == 0 else {}
        decoded.append(decoder.decode(to_proto(source, batch, **extra)))
    return decoded


def window_of(batches: list[Batch]) -> Window:
    window = Window(batches[0].relation, 0.0)
    for batch in batches:
        window.add(batch, 0.0)
    return window


KEY = LaneKey("slot", 7, 1, 1)


def plan_of(
    source: Relation, batches: list[EventBatch], *, soft_delete: bool = True, version_guard: bool = True
) -> Plan:
    options = PlanOptions(soft_delete, version_guard, SYNCED_AT)
    return plan_window(window_of(decode(source, batches)), layout_of(source), KEY, options)


def plan_events(source: Relation, *events: Event, **options: bool) -> Plan:
    return plan_of(source, [EventBatch(1, events)], **options)


def parsed(load: Load) -> list[dict]:
    """The rows of a load, read by the standard library; every line is one object."""
    lines = load.body.decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) == load.row_count
    return [json.loads(line) for line in lines]


# The slow reference: one event after the other, one cell after the other.


@dataclass
class Image:
    op: int  # dbmazz_op_type
    values: list[Value]
    version: int
    commit_time: int
    born: bool


def reference_fold(source: Relation, batches: list[EventBatch]) -> dict[tuple, Image]:
    """The folded rows of a window, by key."""
    images: dict[tuple, Image] = {}
    for batch in batches:
        for index, event in enumerate(batch.events):
            key = tuple(event.values[at] for at in source.key_indices)
            before = images.get(key)
            comes = event.op in (INSERT, READ)
            values = list(event.values)
            born = comes
            if before:
                values = [old if new is ABSENT else new for old, new in zip(before.values, values, strict=True)]
                born = before.born or (comes and before.op == 2)
            op = 2 if event.op == DELETE else 0 if born else 1
            images[key] = Image(op, values, batch.version(index), event.commit_time, born)
    return images


def reference_rows(source: Relation, batches: list[EventBatch]) -> dict[frozenset, dict[tuple, dict]]:
    """Folded rows as JSON values, by absent columns and key; for text, integer, JSON and bytea columns."""
    groups: dict[frozenset, dict[tuple, dict]] = {}
    for key, image in reference_fold(source, batches).items():
        absent = frozenset(c.name for c, v in zip(source.columns, image.values, strict=True) if v is ABSENT)
        row: dict = {}
        for column, value in zip(source.columns, image.values, strict=True):
            if value is not ABSENT:
                row.update(reference_value(column, value))
        row["dbmazz_op_type"] = image.op
        row["dbmazz_is_deleted"] = image.op == 2
        row["dbmazz_synced_at"] = SYNCED_AT
        row["dbmazz_cdc_version"] = image.version
        groups.setdefault(absent, {})[key] = row
    return groups


def reference_value(column: Column, value: bytes | None) -> dict:
    if column.type_oid == BYTEA and not column.key_position:
        text = None if value is None else base64.b64encode(bytes.fromhex(value[2:].decode())).decode()
        return {f"{column.name}__b64": text}
    if value is None:
        return {column.name: None}
    if column.type_oid in (INT4, INT8):
        return {column.name: int(value)}
    return {column.name: json.loads(value) if column.type_oid == JSONB else value.decode()}


# A Primary Key table of StarRocks, as reference/starrocks.md 10.1 gives its rules.


@dataclass
class PrimaryKeyTable:
    """Rows by key, each a dict with all columns; what was never written is None."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: dict[tuple, dict] = field(default_factory=dict)

    def load(self, load: Load) -> None:
        """One Stream Load: rows of one column set."""
        bodies = parsed(load)
        removing = any(row.get("__op") == 1 for row in bodies)
        assert not (removing and load.version_column), "memtable: delete with condition column"
        listed = {item.strip("`") for item in load.columns if "=" not in item} - {"__op"}
        mapped = {item.split(" = ")[0].strip("`") for item in load.columns if "=" in item}
        for row in bodies:
            assert set(row) - {"__op"} == listed, "a key that is missing would be written as NULL"
            key = tuple(row[name] for name in self.keys)
            if row.pop("__op", 0) == 1:
                self.rows.pop(key, None)
                continue
            for name in mapped:
                text = row.pop(f"{name}__b64")
                row[name] = text and base64.b64decode(text)
            assert load.partial_update or set(row) == set(self.columns), "a full load lacks columns"
            stored = self.rows.get(key)
            if load.version_column and stored and stored[load.version_column] > row[load.version_column]:
                continue
            base = stored if load.partial_update and stored else dict.fromkeys(self.columns)
            self.rows[key] = {**base, **row}

    def apply(self, plan: Plan, rng: random.Random | None = None) -> None:
        """All parts of a window, in any order."""
        loads = list(plan.loads)
        if rng:
            rng.shuffle(loads)
        for load in loads:
            if load.row_count:
                self.load(load)

    def live(self) -> dict[tuple, dict]:
        """Live rows without what tells only how they came."""
        kept = [
            name for name in self.columns if name not in ("dbmazz_op_type", "dbmazz_synced_at", "dbmazz_cdc_version")
        ]
        return {key: {n: row[n] for n in kept} for key, row in self.rows.items() if not row["dbmazz_is_deleted"]}


def table_for(source: Relation) -> PrimaryKeyTable:
    target = target_of(source)
    return PrimaryKeyTable(tuple(source.columns[index].name for index in source.key_indices), target.columns)
