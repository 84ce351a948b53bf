"""Random histories: what arrives in a Primary Key table equals applying the events one by one; replays change nothing."""

import random

import pytest

from tests.unit.transformer.transformer_world import (
    ABSENT,
    BYTEA,
    DELETE,
    INSERT,
    INT4,
    INT8,
    JSONB,
    READ,
    TEXT,
    UPDATE,
    Event,
    EventBatch,
    parsed,
    plan_of,
    reference_fold,
    reference_rows,
    reference_value,
    relation,
    table_for,
)

ROUNDS = 60
COLUMNS = (
    ("tenant", TEXT),
    ("id", INT4),
    ("n", INT8),
    ("body", TEXT),
    ("doc", JSONB),
    ("raw", BYTEA),
    ('x y"z\\', TEXT),
)
TEXTS = ("", "plain", 'q"uote', "back\\slash", "tab\tnl\nnul", "\u2028 é 漢 😀", "\x01\x1f\x7f", "\\u0000", "x" * 3000)


class History:
    """A random but possible history: PostgreSQL inserts only keys that are not there, and so on."""

    def __init__(self, rng: random.Random, columns=COLUMNS, keys=("id", "tenant")) -> None:
        self.rng = rng
        self.relation = relation(*columns, keys=keys)
        self.alive: set[tuple] = set()
        self.lsn = 1000
        self.toasted = [i for i, column in enumerate(self.relation.columns) if not column.key_position]

    def batches(self, count: int) -> list[EventBatch]:
        batches, events, batch_id = [], [], 0
        while len(batches) < count:
            transaction = self.transaction()
            while transaction:
                size = self.rng.choice((1, 3, 8, 20))
                events += transaction[:size]
                transaction = transaction[size:]
                if self.rng.random() < 0.6:
                    batch_id += self.rng.randint(1, 3)
                    batches.append(EventBatch(batch_id, tuple(events), open_tail=bool(transaction)))
                    events = []
        return batches

    def transaction(self) -> list[Event]:
        draft = [self.change() for _ in range(self.rng.randint(1, 12))]
        self.lsn += 8
        return [Event(op, values, self.lsn, lsn, self.lsn * 10) for op, values, lsn in draft]

    def change(self) -> tuple:
        self.lsn += 8
        key = (self.rng.choice(("a", "b")), self.rng.randint(1, 6))
        if key not in self.alive:
            self.alive.add(key)
            return self.rng.choice((INSERT, INSERT, READ)), self.image(key, 0), self.lsn
        if self.rng.random() < 0.25:
            self.alive.discard(key)
            return DELETE, self.image(key, self.rng.choice((1, 1, 0))), self.lsn
        return UPDATE, self.image(key, self.rng.choice((0, 0.2, 0.6))), self.lsn

    def image(self, key: tuple, absent: float) -> tuple:
        values = []
        for column in self.relation.columns:
            if column.key_position:
                values.append(str(key[1] if column.name == "id" else key[0]).encode())
            elif self.rng.random() < absent:
                values.append(ABSENT)
            else:
                values.append(self.value(column.type_oid))
        return tuple(values)

    def value(self, oid: int) -> bytes | None:
        if self.rng.random() < 0.15:
            return None
        text = self.rng.choice(TEXTS)
        if oid == INT8:
            return b"%d" % self.rng.randint(-(2**63), 2**63 - 1)
        if oid == JSONB:
            return b'{"k": "%d",\n "f": 1.50}' % self.rng.randint(0, 9)
        if oid == BYTEA:
            return b"\\x" + (text.encode() or b"\0").hex().encode()
        return text.encode()


def windows_of(rng: random.Random, batches: list[EventBatch]) -> list[list[EventBatch]]:
    windows, at = [], 0
    while at < len(batches):
        size = rng.randint(1, 4)
        windows.append(batches[at : at + size])
        at += size
    return windows


def one_by_one(history: History, batches: list[EventBatch]) -> dict[tuple, dict]:
    """The live rows after each event in turn: what PostgreSQL has."""
    rows: dict[tuple, dict] = {}
    for batch in batches:
        for event in batch.events:
            named = list(zip(history.relation.columns, event.values, strict=True))
            texts = {column.name: value for column, value in named}
            key = (int(texts["id"]), texts["tenant"].decode())
            if event.op == DELETE:
                del rows[key]
                continue
            row = rows.setdefault(key, {})
            for column, value in named:
                if value is not ABSENT:
                    (json_value,) = reference_value(column, value).values()
                    row[column.name] = (
                        bytes.fromhex(value[2:].decode()) if value and column.name == "raw" else json_value
                    )
    return rows


def live(table) -> dict[tuple, dict]:
    return {
        (int(key[0]), key[1]): {name: value for name, value in row.items() if name != "dbmazz_is_deleted"}
        for key, row in table.live().items()
    }


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_loads_equal_the_reference_and_the_events(seed, round_number):
    rng = random.Random(seed * 1000 + round_number)
    history = History(rng)
    batches = history.batches(rng.randint(1, 14))
    windows = windows_of(rng, batches)
    table = table_for(history.relation)
    plans = [plan_of(history.relation, window) for window in windows]
    for window, plan in zip(windows, plans, strict=True):
        assert written(history, plan) == reference_rows(history.relation, window)
        assert plan.row_count == sum(load.row_count for load in plan.loads) + plan.folded_count
        table.apply(plan, rng)
    expected = one_by_one(history, batches)
    assert live(table) == expected
    # Any prefix again, in any order of parts, and then any single window: the guard holds.
    everything = dict(table.rows)
    for plan in plans[: rng.randint(0, len(plans))]:
        table.apply(plan, rng)
    assert table.rows == everything
    table.apply(rng.choice(plans), rng)
    assert table.rows == everything


@pytest.mark.parametrize("round_number", range(20))
def test_batches_cut_anew_after_a_restart_change_nothing(seed, round_number):
    """A new epoch reads the same transactions again, cut into other batches and windows, from any commit on."""
    rng = random.Random(seed * 1000 + 500 + round_number)
    history = History(rng)
    transactions = [history.transaction() for _ in range(12)]
    table = table_for(history.relation)
    for window in windows_of(rng, recut(rng, transactions)):
        table.apply(plan_of(history.relation, window), rng)
    before = live(table)
    start = rng.randint(0, len(transactions) - 1)
    for window in windows_of(rng, recut(rng, transactions[start:])):
        table.apply(plan_of(history.relation, window), rng)
    assert live(table) == before == one_by_one(history, recut(rng, transactions))


@pytest.mark.parametrize("round_number", range(20))
def test_real_deletes_end_the_same(seed, round_number):
    rng = random.Random(seed * 1000 + 700 + round_number)
    history = History(rng)
    batches = history.batches(rng.randint(1, 14))
    table = table_for(history.relation)
    for window in windows_of(rng, batches):
        table.apply(plan_of(history.relation, window, soft_delete=False), rng)
    assert not any(row["dbmazz_is_deleted"] for row in table.rows.values())
    assert live(table) == one_by_one(history, batches)


@pytest.mark.parametrize("round_number", range(10))
def test_the_same_window_gives_the_same_parts(seed, round_number):
    rng = random.Random(seed * 1000 + 900 + round_number)
    history = History(rng)
    batches = history.batches(5)
    assert plan_of(history.relation, batches) == plan_of(history.relation, batches)


def recut(rng: random.Random, transactions: list[list[Event]]) -> list[EventBatch]:
    batches, events = [], []
    for transaction in transactions:
        for number, event in enumerate(transaction):
            events.append(event)
            if rng.random() < 0.15:
                last = number == len(transaction) - 1
                batches.append(EventBatch(len(batches) + 1, tuple(events), open_tail=not last))
                events = []
    return [*batches, EventBatch(len(batches) + 1, tuple(events))] if events else batches


def written(history: History, plan) -> dict[frozenset, dict[tuple, dict]]:
    groups: dict[frozenset, dict[tuple, dict]] = {}
    for load in plan.loads:
        rows = groups.setdefault(frozenset(load.absent_columns), {})
        for row in parsed(load):
            rows[str(row["id"]).encode(), row["tenant"].encode()] = row
    return groups


def test_the_reference_itself_knows_a_folded_insert():
    """A guard against a reference that has gone blind."""
    history = History(random.Random(1))
    key = (b"a", b"1")
    first = Event(INSERT, (*key, b"1", b"t", b"{}", b"\\x00", b"z"), 10)
    second = Event(UPDATE, (*key, b"2", ABSENT, ABSENT, ABSENT, ABSENT), 20)
    ((_, image),) = reference_fold(history.relation, [EventBatch(1, (first, second))]).items()
    assert (image.op, image.values[2], image.values[3], image.version) == (0, b"2", b"t", 20)
