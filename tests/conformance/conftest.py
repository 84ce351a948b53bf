"""Counts the recorded cases of a run and prints how they fared."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

KINDS = {"case": "pass", "refused": "refused"}
OUTCOMES = pytest.StashKey[dict[str, set[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = defaultdict(set)
    config.addinivalue_line("markers", "case(*ids, inferred=False): holds these recorded cases of StarRocks")
    config.addinivalue_line("markers", "refused(*ids): shows that the sandbox refuses these cases by name")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A case passes when all of its tests do; a skipped test shows nothing."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    for mark, passed in KINDS.items():
        for marker in item.iter_markers(mark):
            for ident in marker.args:
                if report.failed:
                    item.config.stash[OUTCOMES][ident].add("fail")
                elif report.when == "call" and report.passed:
                    item.config.stash[OUTCOMES][ident].add(passed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    outcomes = config.stash[OUTCOMES]
    if not outcomes:
        return
    failed = sorted(ident for ident, kinds in outcomes.items() if "fail" in kinds)
    refused = sum(kinds == {"refused"} for kinds in outcomes.values())
    passed = len(outcomes) - len(failed) - refused
    terminalreporter.write_line(f"recorded cases: {passed} pass, {refused} refused by name, {len(failed)} fail")
    if failed:
        terminalreporter.write_line(f"recorded cases that fail: {' '.join(failed)}", red=True)
