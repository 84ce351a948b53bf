"""Error texts without row values, whatever the values are."""

from __future__ import annotations

import pytest
from dbmazz_loader.protocol.redaction import plain_line, reasons_of_log, redact_message
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = ("id", "note", "it's")
TEMPLATES = (
    "Value '{}' is out of range. The type of 'note' is DECIMAL128(10,2)",
    "Decimal '{}' is out of range. The type of 'note' is DECIMAL128(38,9)",
    "String '{}'(length=2000) is too long. The max length of 'note' is 100",
    "Value is overflow. column=note, value={}",
    "Unable to cast string value to BIGINT. value={}",
    "Failed to convert simdjson value, json={}, error=whatever",
    "Unsupported value type. Numeric type is required. column=note, value={}",
    "something new: {}",
)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (TEMPLATES[0].format("x"), "column note: value is out of range for DECIMAL128(10,2)"),
        (TEMPLATES[1].format("1e9"), "column note: value is out of range for DECIMAL128(38,9)"),
        (TEMPLATES[2].format("abc"), "column note: text is longer than 100 bytes"),
        (TEMPLATES[3].format("9" * 30), "column note: number is too large"),
        (TEMPLATES[4].format("abc"), "text cannot be cast to BIGINT"),
        (TEMPLATES[5].format("{"), "a document that a JSON column cannot hold (docs/types.md)"),
        (TEMPLATES[6].format("[1]"), "column note: not a number"),
        ("NULL value in non-nullable column 'it's'", "column it's: NULL in a column that is NOT NULL"),
        ("Value length is beyond the capacity. column=note, capacity=3", "column note: text is longer than 3 bytes"),
        ("Failed to parse value as array, column=note", "column note: not an array"),
        ("Value count does not match column count. Expect 2, but got 1", "value count does not match column count"),
        # A column that the load does not have may be a value.
        ("NULL value in non-nullable column 'hunter2'", "NULL in a column that is NOT NULL"),
        ("hunter2", "a reason that may quote row values"),
    ],
)
def test_reasons(reason, shown):
    assert reasons_of_log(f"Error: {reason}. Row: [1, 2]\n", COLUMNS) == f"1 × {shown}"


def test_counts_and_sorts_the_reasons():
    line = "Error: NULL value in non-nullable column 'note'. Row: {}\n"
    log = "Error: x. Row: y\n" + 3 * line + "  continued: secret\n"
    assert reasons_of_log(log, COLUMNS) == (
        "3 × column note: NULL in a column that is NOT NULL; 1 × a reason that may quote row values"
    )
    assert reasons_of_log("", COLUMNS) == ""


MARK = "s3cr3t"
SECRETS = st.lists(
    st.sampled_from(
        ["'", '"', " ", ". Row: ", "value=", "Error: ", "\n", " is out of range. The type of '", "' is ", "{", ","]
    )
    | st.just(MARK),
    max_size=12,
).map("".join)


@given(value=SECRETS, row=SECRETS, template=st.sampled_from(TEMPLATES))
def test_no_value_comes_through_the_log(value, row, template):
    shown = reasons_of_log(f"Error: {template.format(value)}. Row: {row}\n", COLUMNS)
    assert MARK not in shown


@given(value=SECRETS.map(lambda text: f"'{text}'"))
def test_no_quoted_value_comes_through_a_message(value):
    assert MARK not in redact_message(f"cannot take {value} here")
    assert MARK not in redact_message(f"bad thing, value={value}")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("too many filtered rows", "too many filtered rows"),
        ("Bad thing. Row: 1,2", "Bad thing. …"),
        ("cast failed value: 12 x", "cast failed …"),
        ("illegal json started with [x]", "illegal json …"),
        ("no table \"d.t\" for 'x'", "no table …"),
        ("two\nlines\t and  spaces", "two lines and spaces"),
        ("it's unbalanced", "it…"),
        (
            "Failed to load data into tablet 10, because of too many versions, current/limit: 1001/1000.",
            "Failed to load data into tablet 10, because of too many versions, current/limit: 1001/1000.",
        ),
    ],
)
def test_messages(message, shown):
    assert redact_message(message) == shown


def test_long_texts_are_cut():
    assert len(redact_message("x" * 1000)) == 300
    assert len(plain_line("x" * 1000)) == 300
