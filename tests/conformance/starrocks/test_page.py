"""The sandbox's page says what the tests hold, and names every fault."""

import pytest
from dbmazz_sandbox.starrocks import Fault

from tests.conformance.starrocks import page


def test_the_table_is_made_from_the_tests() -> None:
    text = page.PAGE.read_text()
    assert text == page.rewritten(text), "run `python -m tests.conformance.starrocks.page`"


def test_every_fault_is_on_the_page() -> None:
    text = page.PAGE.read_text()
    assert [fault for fault in Fault if f"`{fault}`" not in text] == []


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a line <!-- cases -->"):
        page.rewritten("nothing")
