"""Recorded cases A: basics, labels, errors."""

import pytest


@pytest.mark.case("A4")
async def test_a_load_without_a_label_gets_one(db) -> None:
    await db.sql("CREATE TABLE t (id INT) PRIMARY KEY(id)")
    labels = {(await db.load("t", b'{"id":1}'))["Label"] for _ in range(2)}
    assert len(labels) == 2 and all(labels)
