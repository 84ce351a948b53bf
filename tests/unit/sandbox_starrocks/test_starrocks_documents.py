"""The JSON body cut into rows: the recorded scanner cases, and the quick reader against the exact one."""

import json
import random

import pytest
from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.documents import Documents, Number

PREFIX = "parse error. "


def read(body: bytes | str, *, strip: bool = False, keys: tuple[str, ...] = ()) -> Documents:
    body = body.encode() if isinstance(body, str) else body
    return Documents(body, strip_outer_array=strip, prefix=PREFIX, keys=keys)


def refused(body: bytes | str, *, strip: bool = False) -> str:
    with pytest.raises(LoadError) as caught:
        read(body, strip=strip)
    return caught.value.message


def test_concatenated_objects() -> None:
    assert read('{"key1": 1, "key2": 2 }{"key1": 3, "key2": 4 }').rows == [
        {"key1": 1, "key2": 2},
        {"key1": 3, "key2": 4},
    ]


def test_outer_array() -> None:
    assert read('[{"k": 8.95}, {"k": 12.99}]', strip=True).rows == [{"k": 8.95}, {"k": 12.99}]


def test_pretty_printed_objects() -> None:
    assert read('{\n  "a": 1\n}\n\n{\n  "a": 2\n}\n').rows == [{"a": 1}, {"a": 2}]


def test_first_of_equal_keys_wins() -> None:
    documents = read('{"k1": 1,"k2": 1,"k2": 2}\n{"k1": 2,"k2": 3}', keys=("k1", "k2"))
    assert documents.rows == [{"k1": 1, "k2": 1}, {"k1": 2, "k2": 3}]
    assert read('[{"k2": 1,"k2": 2}]', strip=True, keys=("k2",)).rows == [{"k2": 1}]


def test_illegal_start() -> None:
    assert refused('"f_float": 3.14, "f_bool": true') == 'parse error. illegal json started with ["]'


def test_null_body() -> None:
    assert "should be object type" in refused("null")


def test_array_without_strip() -> None:
    assert refused('[{"a": 1}]') == (
        "parse error. The value is array type in json document stream, you can set strip_outer_array=true to parse "
        "each element of the array as individual rows"
    )


def test_object_with_strip() -> None:
    assert (
        refused('{"a":1}', strip=True)
        == 'parse error. the value should be array type with strip_outer_array=true, value: {"a":1}'
    )


@pytest.mark.parametrize("garbage", ["{xxxxxxxxxxx}", "adasdas"])
def test_garbage_between_documents(garbage: str) -> None:
    assert refused('{"a":1}\n' + garbage + '\n{"a":2}').startswith("parse error. ")


def test_truncated_tail_is_ignored() -> None:
    rows = read('{"key1": 1} {"key2": 2} {"key3": 3} {"key4":').rows
    assert rows == [{"key1": 1}, {"key2": 2}, {"key3": 3}]
    assert read('{"key1": "a"}\n{"key2": "b').rows == [{"key1": "a"}]


@pytest.mark.parametrize("body", [b'{"a":"\xff"}', b'{"a":"x\ny"}', b'{"a":NaN}', b'{"a":1,}', b"{"])
def test_malformed_bodies_fail_as_a_whole(body: bytes) -> None:
    assert refused(body).startswith("parse error. ")


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    refused('{"a":' + "[" * 200_000 + "]" * 200_000 + "}")


def test_member_text_keeps_what_was_sent() -> None:
    documents = read('{"x": 1, "o" : { "b": 1.0, "a" : "p q" , "n": 12345678901234567890123 } }\n{"o":[1.50]}')
    assert documents.member_text(0, "o") == '{"b":1.0,"a":"p q","n":12345678901234567890123}'
    assert documents.member_text(1, "o") == "[1.50]"


def test_quick_and_exact_readers_agree(seed: int) -> None:
    rng = random.Random(seed)

    def value(depth: int = 0):
        kinds = [
            rng.randrange(-(2**63), 2**64),
            rng.uniform(-1e9, 1e9),
            rng.choice(["", "é😀", 'q"\\\n', "\u0000"]),
            None,
            True,
        ]
        if depth < 3:
            kinds += [
                [value(depth + 1) for _ in range(rng.randrange(3))],
                {f"k{i}": value(depth + 1) for i in range(2)},
            ]
        return rng.choice(kinds)

    rows = [{f"c{i}": value() for i in range(rng.randrange(6))} for _ in range(200)]
    body = "\n".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows)
    quick = read(body)
    assert not quick.exact and quick.rows == rows
    quick.make_exact()
    assert quick.rows == rows == read("[" + body.replace("\n", ",") + "]", strip=True).rows
    floats = [v for row in quick.rows for v in row.values() if type(v) is not int and isinstance(v, float)]
    assert floats and all(isinstance(number, Number) and float(number.raw) == number for number in floats)
