"""What a service has in memory once it serves: nothing that it does not use, however much else is installed."""

import os
import subprocess
import sys

import pytest

# Installed here for the command, the monitor, the tests or the build.
NEVER = {"rich", "pygments", "grpc_tools", "numpy", "duckdb", "prometheus_client", "opentelemetry", "textual", "click"}
USED = {
    "reader": {"psycopg"},
    "transformer": set(),
    "loader": {"aiohttp", "pymysql"},
    "checkpoint": {"sqlite3"},
}
DRIVERS = set().union(*USED.values())

# As `python -m dbmazz_reader`, without a setting that it needs: it ends when everything is imported.
_PROGRAM = """
import runpy, sys
try:
    runpy.run_module("dbmazz_{service}", run_name="__main__")
except SystemExit as end:
    print(end.code)
print(" ".join(name for name, module in sys.modules.items() if module is not None and "." not in name))
"""
_BROKEN = {"FLUSH_SIZE": "none"}


@pytest.mark.parametrize("service", USED)
def test_a_service_imports_what_it_uses(service: str) -> None:
    command = [sys.executable, "-c", _PROGRAM.format(service=service)]
    environment = {**os.environ, **_BROKEN}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    code, names = done.stdout.splitlines()
    assert code != "0" and "FLUSH_SIZE" in done.stderr
    imported = set(names.split())
    assert {"grpc", "structlog", *USED[service]} <= imported
    assert imported & (NEVER | (DRIVERS - USED[service])) == set()
