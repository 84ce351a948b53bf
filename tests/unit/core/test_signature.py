"""TOAST signatures of any width against lists of booleans."""

import random

import pytest
from dbmazz import signature


@pytest.mark.parametrize(
    ("columns", "words"), [(0, 1), (1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3), (1600, 25)]
)
def test_word_count(columns, words):
    assert signature.word_count(columns) == words


@pytest.mark.parametrize("width", [1, 64, 65, 130, 1600])
def test_bit_walks_equal_the_slow_ones(seed: int, width: int):
    rng = random.Random(f"{seed}/{width}")
    for _ in range(50):
        absent = [rng.random() < rng.choice((0.01, 0.5)) for _ in range(width)]
        indices = [column for column, is_absent in enumerate(absent) if is_absent]
        bitmap = signature.from_indices(indices)
        assert signature.toast_indices(bitmap) == indices
        assert signature.toast_count(bitmap) == len(indices)
        assert signature.has_toast(bitmap) is bool(indices)
        assert [signature.is_toast_column(bitmap, column) for column in range(width)] == absent
