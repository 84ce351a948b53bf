"""The rules by which docs/grpcurl.md is compared with a ring: what each lets pass, and what it finds."""

import pytest
from dbmazz.v1 import loader_pb2, reader_pb2

from tests.fixtures.reflection_client import Answer
from tests.fixtures.tour import differences, read_answer, steps

LOAD = loader_pb2.LoadRecord.DESCRIPTOR


def differ(shown: str, found: dict, fields=None) -> list[str]:
    return differences(read_answer(shown), Answer(messages=[found]), fields)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ('"0/28B0A38"', "16/B374D848"),
        ('"2026-11-20T12:22:03.769693Z"', "2027-01-01T00:00:00Z"),
        ('"4.2s"', "0.000001s"),
        ('"12"', "-7"),
        ("3", 1.5),
        ('"vm-29711"', "other-host.example-1"),
        ('"0.1.0"', "1.20.3"),
        ('"3.3.7 sandbox"', "3.3.11"),
        ('"dbmazz_slot_1_2_3-4_5"', "dbmazz_slot_1795177585_3_588-588_0"),
        ('"tablet 10002: 1001/1000"', "tablet 7: 9/10"),
        ('"from 0/2EF6450 on: 12,182,736 bytes"', "from 16/B374D848 on: 7 bytes"),
        ('"orders"', "orders"),
        ("true", True),
        ("null", None),
    ],
)
def test_what_varies_is_of_the_same_kind(shown, found):
    assert differ(f'{{"key": {shown}}}', {"key": found}) == []


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ('"0/28B0A38"', "684354"),
        ('"2026-11-20T12:22:03Z"', "2026-11-20 12:22:03"),
        ('"4.2s"', "4.2"),
        ('"12"', 12),
        ("12", "12"),
        ("1", True),
        ("true", False),
        ('"dbmazz_slot_1_2_3-4_5"', "other_slot_1_2_3-4_5"),
        ('"VERDICT_LOADED"', "VERDICT_RETRY"),
        ('"VERDICT_LOADED"', 1),
        ('"orders"', "orders "),
        ('"from 0/2EF6450 on"', "from 12 on"),
        ("null", ""),
        ('["a"]', ["a", "b"]),
        ('["a", "b"]', ["b", "a"]),
        ('{"a": "x"}', {"a": "x", "b": "y"}),
        ('{"a": "x", "b": "y"}', {"a": "x"}),
    ],
)
def test_everything_else_is_exact(shown, found):
    assert differ(f'{{"key": {shown}}}', {"key": found})


def test_only_a_number_may_be_missing_and_only_when_there_is_such_a_field():
    assert differ('{"rowCount": "3", "durationMs": "9"}', {}, LOAD) == []
    assert differ('{"rows": "3"}', {}, LOAD) == ["message 1.rows is no field of dbmazz.v1.LoadRecord"]
    assert differ('{"label": "l"}', {}, LOAD) == ["message 1.label is missing"]
    assert differ('{"endTime": "2026-11-20T12:22:03Z"}', {}, LOAD) == ["message 1.endTime is missing"]
    assert differ('{"loads": [{"lines": "3"}]}', {"loads": [{}]}, loader_pb2.ListLoadsResponse.DESCRIPTOR)


def test_rows_have_the_columns_that_are_shown():
    fields = reader_pb2.TailChangesResponse.DESCRIPTOR
    assert differ('{"row": {"id": "1", "note": null}}', {"row": {"id": "x", "note": "y"}}, fields) == []
    for found in ({"id": "1"}, {"id": "1", "note": None, "more": "z"}, [], None):
        assert differ('{"row": {"id": "1", "note": null}}', {"row": found}, fields)
    assert differ('{"firstRows": [{"id": 1}]}', {"firstRows": [{"id": 2}]}) == []
    assert differ('{"firstRows": [{"id": 1}]}', {"firstRows": []})


MEMBERS = """{
  ...
  "state": "on",
  ...
  "list": [
    ...
    {
      "name": "b"
    },
    ...
  ]
}"""


def test_dots_stand_for_members_and_elements():
    b, c = {"name": "b"}, {"name": "c"}
    assert differ(MEMBERS, {"state": "on", "list": [c, b, c], "more": 1}) == []
    assert differ(MEMBERS, {"state": "on", "list": [b]}) == []
    assert differ(MEMBERS, {"state": "on", "list": [c]})
    assert differ(MEMBERS, {"state": "off", "list": [b]})
    assert differ(MEMBERS, {"list": [b]})
    assert differ(MEMBERS, {"state": "on", "list": [{"name": "b", "more": 1}]})
    assert differ('{\n  "list": [\n    "a",\n    ...\n    "b"\n  ]\n}', {"list": ["b", "a"]})


ERROR = """ERROR:
  Code: NotFound
  Message: no table 'x'. Known: a
  Details:
  1)\t{
    \t  "reason": "NOT_FOUND"
    \t}"""


def test_errors_are_compared_by_code_message_and_reason():
    error = ("NotFound", "no table 'x'. Known: a", ("NOT_FOUND",))
    assert differences(read_answer(ERROR), Answer(error=error)) == []
    for wrong in (("Unknown", *error[1:]), (error[0], "no", error[2]), (*error[:2], ("BAD_REQUEST",))):
        assert differences(read_answer(ERROR), Answer(error=wrong))
    assert differences(read_answer(ERROR), Answer(messages=[{}]))
    assert differences(read_answer("{}"), Answer(error=error))


def test_text_and_the_number_of_messages_are_exact():
    assert differences(read_answer("a\nb"), Answer(text="a\nb")) == []
    assert differences(read_answer("a\nb"), Answer(text="a"))
    assert differences(read_answer("{}\n{}"), Answer(messages=[{}, {}])) == []
    assert differences(read_answer("{}\n{}"), Answer(messages=[{}]))


def test_steps_of_a_page():
    page = "# Title\n```\n$ not this\n```\n```console\n$ one -d '{\"a\": 1}' \\\n    two\n{\n}\n\n$ three\n```\n"
    first, second = steps(page)
    assert (first.line, first.words, first.shown) == (6, ("one", "-d", '{"a": 1}', "two"), "{\n}")
    assert (second.line, second.words, second.shown) == (11, ("three",), "")
