"""Names and limits that people give, and what they are told when one is wrong."""

import pytest
from dbmazz.asking import BadQuestion, NotThere, TableName, hint, meant, not_negative

KNOWN = (TableName("public.orders", "orders"), TableName("sales.orders", "sales__orders"), TableName("", "old"))


def test_a_table_is_meant_by_either_name():
    assert meant(["public.orders", "sales__orders", "old"], KNOWN) == set(KNOWN)
    assert meant(["orders", "public.orders"], iter(KNOWN)) == {KNOWN[0]}
    assert meant([], KNOWN) == frozenset()


@pytest.mark.parametrize("word", ["", "order", "public.Orders", "x" * 5000])
def test_an_unknown_table_is_named_with_those_that_there_are(word):
    with pytest.raises(NotThere) as caught:
        meant(["orders", word], KNOWN, ". Elsewhere")
    message = str(caught.value)
    assert message.endswith("Known: old, public.orders, sales.orders. Elsewhere")
    assert repr(word[:200])[:-1] in message and len(message) < 400


def test_hints():
    assert hint("toast", ["public.toast_test", "public.orders"]).startswith("Did you mean public.toast_test? Known: ")
    assert hint("qqq", ["b", "a"]) == "Known: a, b"
    assert hint("a", []) == "None is known"
    many = hint("t", [f"public.t{number:04d}" for number in range(1000)])
    assert many.endswith("public.t0009 and 990 more")


def test_limits():
    not_negative(row_limit=0, value_limit=2**62)
    with pytest.raises(BadQuestion, match="value_limit is -1"):
        not_negative(row_limit=0, value_limit=-1)
