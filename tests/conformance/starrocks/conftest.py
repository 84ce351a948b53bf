"""The sandbox of the unit tests: one look-alike per release, a database per test."""

from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.sandbox_starrocks.conftest import db, db34, db40, http, sandbox33, sandbox34, sandbox40

__all__ = ["db", "db34", "db40", "http", "sandbox33", "sandbox34", "sandbox40"]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The servers live for the session, so all tests of this folder share the session's event loop.
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
