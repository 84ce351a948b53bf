"""Events have fixed names, keys that cannot hold rows or secrets, and a page that is made from the code."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("log_events", ROOT / "docs" / "log_events.py")
assert SPEC is not None and SPEC.loader is not None
log_events = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = log_events  # dataclasses look for it there
SPEC.loader.exec_module(log_events)
# What would invite a row or a secret. Errors come as `reason`, which the services make without either.
FORBIDDEN = re.compile(r"^(row|rows|value|key|keys|cell|cells|body|dsn|password|token|settings|environment)$")


def test_names_are_fixed_and_plain() -> None:
    found = log_events.events()
    assert len(found) > 50
    for event in found:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event.name), event
        assert not [key for key in event.keys if FORBIDDEN.match(key)], event


def test_an_event_has_the_same_level_everywhere_unless_it_repeats_itself() -> None:
    levels: dict[str, set[str]] = {}
    for event in log_events.events():
        levels.setdefault(event.name, set()).add(event.level)
    # The first of a kind is told, further ones only to who looks for them.
    assert {name for name, found in levels.items() if len(found) > 1} <= {"load_not_done"}


def test_the_page_is_made_from_the_code() -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    assert page == log_events.markdown(), "run `python docs/log_events.py > docs/logs.md`"


@pytest.mark.parametrize("call", ['log.info(f"a_{b}")', "log.info(name, a=1)", "log.warning()"])
def test_a_name_that_is_made_at_run_time_is_found(tmp_path: Path, call: str) -> None:
    (tmp_path / "loader" / "dbmazz_loader").mkdir(parents=True)
    (tmp_path / "loader" / "dbmazz_loader" / "a.py").write_text(f"\n{call}\n")
    with pytest.raises(log_events.NotFixed, match=r"a\.py:2 "):
        log_events.events(tmp_path)
