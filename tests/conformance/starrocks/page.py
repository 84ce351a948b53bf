"""The table of recorded cases in sandbox/README.md, made from the tests: `python -m tests.conformance.starrocks.page`."""

import sys
from pathlib import Path

from tests.conformance.starrocks.cases import SECTIONS
from tests.conformance.starrocks.registry import registry

PAGE = Path(__file__).resolve().parents[3] / "sandbox" / "README.md"
START, END = "<!-- cases -->\n", "<!-- /cases -->\n"


def table() -> str:
    """Every recorded case, by section: emulated, or refused by name and why; † where a fact behind it is inferred."""
    cases = registry().values()
    refused = [case for case in cases if case.refused]
    lines = [
        f"{len(cases)} recorded cases: {len(cases) - len(refused)} emulated, {len(refused)} refused by name. "
        "† marks what is inferred from the source or the documentation and recorded nowhere.",
        "",
        "| Case | What it shows | |",
        "|---|---|---|",
    ]
    section = ""
    for case in cases:
        if case.ident[0] != section:
            section = case.ident[0]
            lines.append(f"| **{section}** | **{SECTIONS[section]}** | |")
        mark = " †" if case.inferred else ""
        what = f"refused: {case.reason}" if case.refused else "emulated" if case.emulated else "no test"
        lines.append(f"| {case.ident}{mark} | {case.title.replace('|', chr(92) + '|')} | {what} |")
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """The page with the table of now. Raises ValueError when it has no place for one."""
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{PAGE.name} needs a line {START.strip()} and one {END.strip()}")
    return head + START + table() + END + tail


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
    sys.exit(0)
