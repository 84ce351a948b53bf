"""No recorded case is forgotten: each is held by a test, or refused by name with a reason."""

from tests.conformance.starrocks.cases import CASES, NOT_EMULATED
from tests.conformance.starrocks.registry import registry


def test_every_case_is_held_by_a_test_or_refused_by_name() -> None:
    forgotten = [ident for ident, case in registry().items() if not case.emulated and not case.refused]
    assert not forgotten, f"recorded cases that no test names: {' '.join(forgotten)}"


def test_a_case_is_either_emulated_or_refused() -> None:
    cases = registry()
    assert {ident for ident, case in cases.items() if case.refused} == set(NOT_EMULATED)
    assert not [ident for ident, case in cases.items() if case.emulated and case.refused]
    assert all(NOT_EMULATED.values())


def test_what_is_recorded_nowhere_is_marked_as_inferred() -> None:
    unmarked = [ident for ident, case in registry().items() if ident.startswith("J") and not case.inferred]
    assert not unmarked, f"cases of section J need inferred=True: {' '.join(unmarked)}"


def test_the_list_is_whole() -> None:
    assert len(CASES) == 133
