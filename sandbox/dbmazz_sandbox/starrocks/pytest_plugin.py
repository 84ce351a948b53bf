"""Fixtures: `pytest_plugins = ["dbmazz_sandbox.starrocks.pytest_plugin"]` in the conftest.py at the root of the tests.

SANDBOX_STARROCKS_VERSION (3.3) and SANDBOX_STARROCKS_BACKENDS (1) choose what is emulated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dbmazz_sandbox.starrocks.background import BackgroundStarRocks


@pytest.fixture(scope="session")
def starrocks_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStarRocks]:
    """One look-alike for all tests of the run, on free ports."""
    version = os.environ.get("SANDBOX_STARROCKS_VERSION") or "3.3"
    backends = int(os.environ.get("SANDBOX_STARROCKS_BACKENDS") or 1)
    with BackgroundStarRocks(tmp_path_factory.mktemp("starrocks"), version=version, backends=backends) as running:
        yield running


@pytest.fixture
def starrocks(starrocks_sandbox: BackgroundStarRocks) -> Iterator[BackgroundStarRocks]:
    """The same, with no fault left over, and the FE and every BE up, when the test is through."""
    yield starrocks_sandbox
    starrocks_sandbox.clear_faults()
    for number in range(1, len(starrocks_sandbox.be_urls) + 1):
        starrocks_sandbox.start_backend(number)
    starrocks_sandbox.start_frontend()
