"""Random loads of every kind against a slow reference of the apply algorithm (starrocks.md 10.1)."""

import random
from typing import Any

from tests.unit.sandbox_starrocks.conftest import ndjson

COLUMNS = ("id", "a", "b", "v")
DEFAULTS = {"a": None, "b": 9, "v": None}
Rows = dict[int, dict[str, Any]]


def lower(left: int | None, right: int | None) -> bool:
    """left < right, NULL lowest."""
    return right is not None and (left is None or left < right)


def apply(table: Rows, rows: list[dict[str, Any]], columns: tuple[str, ...], partial: bool, condition: bool) -> None:
    """One load, one row after the other, as section 10.1 says."""
    folded: Rows = {}
    for row in rows:
        best = folded.get(row["id"])
        if not (condition and best is not None and lower(row.get("v"), best.get("v"))):
            folded[row["id"]] = row
    for key, row in folded.items():
        stored = table.get(key)
        if row.get("__op"):
            table.pop(key, None)
            continue
        new = {column: row.get(column) if column in columns else DEFAULTS[column] for column in COLUMNS[1:]}
        if condition and stored is not None and lower(new["v"], stored["v"]):
            continue
        if partial and stored is not None:
            stored.update({column: row.get(column) for column in columns[1:]})
        else:
            table[key] = new


def load(rng: random.Random) -> tuple[list[dict[str, Any]], tuple[str, ...], bool, bool]:
    partial, condition = rng.random() < 0.5, rng.random() < 0.4
    columns = ("id", *(c for c in COLUMNS[1:] if rng.random() < 0.7 or (c == "v" and condition)))
    rows = []
    for _ in range(rng.randrange(1, 30)):
        row = {c: rng.choice([None, *range(6)]) for c in columns if rng.random() < 0.9} | {"id": rng.randrange(12)}
        if not condition and rng.random() < 0.2:
            row["__op"] = 1
        rows.append(row)
    return rows, columns, partial, condition


async def test_loads_end_as_the_reference_says(db, seed: int) -> None:
    rng = random.Random(seed)
    await db.sql("CREATE TABLE t (id INT, a INT, b INT DEFAULT '9', v INT) PRIMARY KEY(id)")
    expected: Rows = {}
    for number in range(80):
        rows, columns, partial, condition = load(rng)
        headers = {"columns": ",".join(columns)}
        headers |= {"partial_update": "true"} if partial else {}
        headers |= {"merge_condition": "v"} if condition else {}
        reply = await db.load("t", ndjson(*rows), **headers)
        assert (reply["Status"], reply["NumberLoadedRows"]) == ("Success", len(rows)), reply
        apply(expected, rows, columns, partial, condition)
        stored = {row[0]: dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in await db.sql("SELECT * FROM t")}
        assert stored == expected, f"load {number} of seed {seed}: {headers}"
