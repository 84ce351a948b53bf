"""The import rules of the house, by the syntax trees of every module; each rule is shown to find what breaks it.

A service imports `dbmazz`, itself, the standard library and what its pyproject.toml declares, never another service.
`protocol/` is sans-IO. Drivers stay in the services that are named after what they talk to.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = {"dbmazz_reader", "dbmazz_transformer", "dbmazz_loader", "dbmazz_checkpoint", "dbmazz_monitor"}

# Who may talk to PostgreSQL, to StarRocks, and keep a database of its own.
DRIVERS = {
    "psycopg": {"dbmazz_reader", "dbmazz_monitor", "dbmazz_sandbox", "dbmazz_cli"},
    "aiohttp": {"dbmazz_loader", "dbmazz_monitor", "dbmazz_sandbox", "dbmazz_cli"},
    "pymysql": {"dbmazz_loader", "dbmazz_monitor", "dbmazz_sandbox", "dbmazz_cli"},
    "sqlite3": {"dbmazz_checkpoint"},
}
# Names that say nothing about what is inside.
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}
# What a sans-IO module has no use for: loops, sockets, files of others, clocks, drivers, gRPC.
IO_MODULES = {
    *("asyncio", "concurrent", "multiprocessing", "sched", "select", "selectors", "signal", "socket", "socketserver"),
    *("ssl", "subprocess", "threading", "time", "http", "urllib", "grpc", "structlog", "logging"),
    *(*DRIVERS, "duckdb", "mysql_mimic"),
}
# Parts of the core that do I/O or read clocks or the environment, and what is pure in them.
IO_CORE = ("dbmazz.serving.", "dbmazz.calling.", "dbmazz.process.", "dbmazz.config.", "dbmazz.telemetry.")
PURE = {"dbmazz.telemetry.LatencyHistogram"}
CLOCK = re.compile(r"\b(datetime|date)\.(now|utcnow|today)$")
# Polls of a synchronous start-up, each with a deadline.
SLEEPERS = {"dbmazz_sandbox/postgres/cluster.py", "dbmazz_sandbox/postgres/server.py"}


@dataclass(frozen=True)
class Distribution:
    """A folder with a pyproject.toml and one import package."""

    package: str
    folder: Path
    declared: frozenset[str]

    @cached_property
    def modules(self) -> dict[str, "Module"]:
        """Every module by its path."""
        paths = (path for path in sorted((self.folder / self.package).rglob("*.py")) if "_pb2" not in path.name)
        found = [Module(self, path.relative_to(self.folder).as_posix(), path.read_text()) for path in paths]
        return {module.path: module for module in found}

    def module_of(self, name: str) -> "Module | None":
        """The module that an imported name of this package comes from."""
        path = name.replace(".", "/")
        for candidate in (f"{path}.py", f"{path}/__init__.py", f"{path.rpartition('/')[0]}.py"):
            if candidate in self.modules:
                return self.modules[candidate]
        return None


@dataclass(frozen=True)
class Module:
    """One source file; `path` is relative to its distribution's folder."""

    distribution: Distribution
    path: str
    source: str

    @property
    def is_protocol(self) -> bool:
        return "protocol" in Path(self.path).parent.parts

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """The whole syntax tree, flat."""
        return list(ast.walk(ast.parse(self.source)))

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of every import, wherever it stands; `from a import b` gives a.b."""
        here = Path(self.path).with_suffix("").parts
        for node in self.nodes:
            match node:
                case ast.Import(names=names):
                    yield from ((node.lineno, name.name) for name in names)
                case ast.ImportFrom(module=module, names=names, level=level):
                    base = ".".join([*here[: len(here) - level], *([module] if module else [])]) if level else module
                    yield from ((node.lineno, f"{base}.{name.name}") for name in names)
                case ast.Call(
                    func=ast.Name("__import__") | ast.Attribute(attr="import_module"), args=[ast.Constant(name)]
                ):
                    yield node.lineno, str(name)


def normal(name: str) -> str:
    """A requirement's project name as PEP 503 writes it, without extras and version."""
    for end, character in enumerate(name):
        if not (character.isalnum() or character in "-_."):
            name = name[:end]
            break
    return name.lower().replace("_", "-").replace(".", "-")


def load_distributions() -> list[Distribution]:
    """The distributions of the workspace, as the root pyproject.toml lists them."""
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [load_distribution(ROOT / folder) for folder in workspace["tool"]["dbmazz"]["distributions"]]


def load_distribution(folder: Path) -> Distribution:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return Distribution(
        package=project["name"].replace("-", "_"),
        folder=folder,
        declared=frozenset(
            normal(requirement)
            for group in (project.get("dependencies", []), *project.get("optional-dependencies", {}).values())
            for requirement in group
        ),
    )


DISTRIBUTIONS = load_distributions()
CORE = next(distribution for distribution in DISTRIBUTIONS if distribution.package == "dbmazz")
PROVIDERS = {package: {normal(name) for name in names} for package, names in packages_distributions().items()}


# The rules. Each takes a module and gives what is wrong with it, line by line.


def undeclared_imports(module: Module) -> Iterator[str]:
    """What comes with `dbmazz` (gRPC, structlog, ...) counts as declared by whoever declares `dbmazz`."""
    own = module.distribution
    declared = own.declared | (CORE.declared if "dbmazz" in own.declared else frozenset())
    for line, name in module.imports():
        top = name.partition(".")[0]
        if top == own.package or top in sys.stdlib_module_names:
            continue
        if top in SERVICES and own.package in SERVICES | {"dbmazz"}:
            yield f"{module.path}:{line} imports {name}: services meet through protos/, never by import"
        elif not PROVIDERS.get(top, {normal(top)}) & declared:
            yield f"{module.path}:{line} imports {name}, which its pyproject.toml does not declare"


def misplaced_drivers(module: Module) -> Iterator[str]:
    for line, name in module.imports():
        allowed = DRIVERS.get(name.partition(".")[0])
        if allowed is not None and module.distribution.package not in allowed:
            yield f"{module.path}:{line} imports {name}, which belongs in {', '.join(sorted(allowed))}"


def io_in_protocol(module: Module) -> Iterator[str]:
    """No module of protocol/, and none of its own package that it reaches, does I/O, waits or reads a clock."""
    if not module.is_protocol:
        return
    yield from impurities(module)
    for reached in reach(module):
        if not reached.is_protocol:
            yield from (f"{module.path} reaches {finding}" for finding in impurities(reached))


def impurities(module: Module) -> Iterator[str]:
    for line, name in module.imports():
        in_core = f"{name}.".startswith(IO_CORE) and name not in PURE
        if name.partition(".")[0] in IO_MODULES or in_core or "_pb2_grpc" in name:
            yield f"{module.path}:{line} imports {name}: protocol/ is sans-IO, values in and values out"
    for node in module.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{module.path}:{node.lineno} waits: protocol/ is sans-IO"
        elif isinstance(node, ast.Call) and CLOCK.search(ast.unparse(node.func)):
            yield f"{module.path}:{node.lineno} reads the clock: protocol/ is given the time"


def reach(module: Module) -> list[Module]:
    """The modules of the same package that a module imports, and those that they import."""
    reached: dict[str, Module] = {}
    left = [module]
    while left:
        for _, name in left.pop().imports():
            found = module.distribution.module_of(name)
            if found is not None and found.path not in reached:
                reached[found.path] = found
                left.append(found)
    return list(reached.values())


def detached_tasks(module: Module) -> Iterator[str]:
    """`group.create_task` of a TaskGroup is how tasks are made; of asyncio or of a loop nobody waits for them."""
    for line, name in module.imports():
        if name in ("asyncio.create_task", "asyncio.ensure_future"):
            yield f"{module.path}:{line} imports {name}: tasks belong to a TaskGroup"
    for node in module.nodes:
        match node:
            case ast.Attribute(value=ast.Name("asyncio"), attr="ensure_future" | "create_task"):
                yield f"{module.path}:{node.lineno} uses asyncio.{node.attr}: tasks belong to a TaskGroup"
            case ast.Call(func=ast.Attribute(value=receiver, attr="create_task")) if "loop" in ast.unparse(receiver):
                yield f"{module.path}:{node.lineno} makes a task of the loop: tasks belong to a TaskGroup"


def sleeps(module: Module) -> Iterator[str]:
    if module.path in SLEEPERS:
        return
    for line, name in module.imports():
        if name == "time.sleep":
            yield f"{module.path}:{line} imports time.sleep: wait for a condition with a deadline"
    for node in module.nodes:
        match node:
            case ast.Attribute(value=ast.Name("time"), attr="sleep"):
                yield f"{module.path}:{node.lineno} uses time.sleep: wait for a condition with a deadline"


def empty_names(module: Module) -> Iterator[str]:
    for name in Path(module.path).with_suffix("").parts:
        if name in EMPTY_NAMES:
            yield f"{module.path}: {name!r} says nothing about what is inside"


RULES = [undeclared_imports, misplaced_drivers, io_in_protocol, detached_tasks, sleeps, empty_names]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda distribution: distribution.package)
def test_the_house_keeps_the_rule(distribution: Distribution, rule: Callable[[Module], Iterator[str]]):
    assert [finding for module in distribution.modules.values() for finding in rule(module)] == []


def test_no_service_declares_another_one():
    services = {normal(service) for service in SERVICES}
    for distribution in DISTRIBUTIONS:
        if distribution.package in SERVICES | {"dbmazz"}:
            assert not distribution.declared & services, distribution.package


def test_tests_do_not_sleep_and_have_names():
    tests = Distribution("tests", ROOT, frozenset())
    findings = [
        finding for module in tests.modules.values() for rule in (sleeps, empty_names) for finding in rule(module)
    ]
    assert findings == []


def test_test_files_have_unique_names():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_every_package_is_looked_at():
    assert {distribution.package for distribution in DISTRIBUTIONS} >= SERVICES | {
        "dbmazz",
        "dbmazz_sandbox",
        "dbmazz_cli",
    }
    found = {module.path for distribution in DISTRIBUTIONS for module in distribution.modules.values()}
    assert {"dbmazz/lsn.py", "dbmazz_checkpoint/protocol/ledger.py", "dbmazz_checkpoint/store/sqlite.py"} <= found


# Each rule finds what breaks it, and lets pass what does not.

READER = Distribution("dbmazz_reader", ROOT, frozenset({"dbmazz", "psycopg"}))
CHECKPOINT = Distribution("dbmazz_checkpoint", ROOT, frozenset({"dbmazz"}))
CLI = Distribution("dbmazz_cli", ROOT, frozenset({"dbmazz", "dbmazz-reader"}))


def findings(rule: Callable, source: str, path: str = "app.py", distribution: Distribution = READER) -> list[str]:
    return list(rule(Module(distribution, f"{distribution.package}/{path}", source)))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import dbmazz_loader", "never by import"),
        ("from dbmazz_loader.app import main", "never by import"),
        ("def late():\n    from dbmazz_checkpoint import store", "app.py:2 imports dbmazz_checkpoint.store"),
        ("import importlib\nimportlib.import_module('dbmazz_loader.app')", "never by import"),
        ("__import__('dbmazz_loader')", "never by import"),
        ("import orjson", "does not declare"),
        ("import nobody_has_this", "does not declare"),
        ("from dbmazz_cli import command", "does not declare"),
    ],
)
def test_undeclared_imports_are_found(source, says):
    (finding,) = findings(undeclared_imports, source)
    assert says in finding


@pytest.mark.parametrize(
    "source",
    [
        "import os, json.decoder",
        "import psycopg.pq",
        "from dbmazz.lsn import Lsn",
        "from dbmazz_reader.protocol import frames",
        "from . import protocol\nfrom .protocol.frames import XLogData",
        "import grpc, structlog",  # dbmazz declares them
        "from google.rpc import status_pb2",
    ],
)
def test_declared_imports_pass(source):
    assert findings(undeclared_imports, source) == []


def test_the_command_may_import_a_service_that_it_declares():
    assert findings(undeclared_imports, "import dbmazz_reader", distribution=CLI) == []
    assert len(findings(undeclared_imports, "import dbmazz_loader", distribution=CLI)) == 1


def test_drivers_are_found_where_they_do_not_belong():
    for driver in ("psycopg", "psycopg.pq", "aiohttp", "pymysql.cursors"):
        assert len(findings(misplaced_drivers, f"import {driver}", distribution=CHECKPOINT)) == 1
    assert findings(misplaced_drivers, "import sqlite3", distribution=CHECKPOINT) == []
    assert findings(misplaced_drivers, "import psycopg") == []
    assert len(findings(misplaced_drivers, "import sqlite3\nimport aiohttp")) == 2


@pytest.mark.parametrize(
    "source",
    [
        *(
            f"import {name}"
            for name in ("asyncio", "socket", "time", "grpc", "psycopg", "aiohttp", "pymysql", "sqlite3")
        ),
        "from time import monotonic",
        "from concurrent.futures import Future",
        "from dbmazz.serving import Server",
        "from dbmazz import telemetry",
        "from dbmazz.v1 import reader_pb2_grpc",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\nx = datetime.utcnow()",
        "from datetime import date\nx = date.today()",
        "async def wait(): pass",
    ],
)
def test_io_in_protocol_is_found(source):
    assert len(findings(io_in_protocol, source, "protocol/frames.py")) == 1
    assert len(findings(io_in_protocol, source, "protocol/deeper/frames.py")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import struct, bisect, dataclasses",
        "from datetime import datetime, timedelta\nx = datetime(2000, 1, 1) + timedelta(1)",
        "from dbmazz.lsn import Lsn\nfrom dbmazz.errors import WireError",
        "from dbmazz.v1 import change_pb2",
        "from dbmazz_reader.protocol.tuples import decode",
        "from dbmazz_reader.protocol import tuples",
        "from .tuples import decode",
    ],
)
def test_values_in_protocol_pass(source):
    assert findings(io_in_protocol, source, "protocol/frames.py") == []


def test_io_that_protocol_reaches_through_its_own_package_is_found(tmp_path: Path):
    sources = {
        "app.py": "import asyncio",
        "words.py": "WORDS = 1",
        "middle.py": "from dbmazz_reader.app import run",
        "protocol/frames.py": "from dbmazz_reader.words import WORDS\nfrom ..words import WORDS",
        "protocol/far.py": "from .near import decode",
        "protocol/near.py": "from dbmazz_reader import middle",
    }
    for name, source in sources.items():
        path = tmp_path / "dbmazz_reader" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    modules = Distribution("dbmazz_reader", tmp_path, frozenset()).modules
    assert list(io_in_protocol(modules["dbmazz_reader/protocol/frames.py"])) == []
    for name in ("far", "near"):
        (finding,) = io_in_protocol(modules[f"dbmazz_reader/protocol/{name}.py"])
        assert finding.startswith(f"dbmazz_reader/protocol/{name}.py reaches dbmazz_reader/app.py:1 imports asyncio")


def test_io_outside_of_protocol_passes():
    assert findings(io_in_protocol, "import asyncio, socket, time") == []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.create_task(run())",
        "import asyncio\ntask = asyncio.ensure_future(run())",
        "import asyncio\nspawn = asyncio.create_task",
        "from asyncio import create_task",
        "from asyncio import ensure_future as later",
        "loop.create_task(run())",
        "asyncio.get_running_loop().create_task(run())",
        "self._loop.create_task(run())",
    ],
)
def test_detached_tasks_are_found(source):
    assert len(findings(detached_tasks, source)) == 1


def test_tasks_of_a_group_pass():
    source = "async def run():\n    async with asyncio.TaskGroup() as tasks:\n        tasks.create_task(work())"
    assert findings(detached_tasks, source) == []


def test_sleeps_are_found():
    assert len(findings(sleeps, "import time\ntime.sleep(1)")) == 1
    assert len(findings(sleeps, "from time import sleep")) == 1
    assert findings(sleeps, "import time\ntime.monotonic()") == []


@pytest.mark.parametrize(
    "path", ["utils.py", "utils/words.py", "protocol/helpers.py", "manager.py", "common/__init__.py"]
)
def test_empty_names_are_found(path):
    assert len(findings(empty_names, "", path)) == 1


def test_requirements_are_read_as_projects():
    assert [normal(one) for one in ("psycopg[binary]>=3", "PyMySQL", "google_api.core ; python_version<'4'")] == [
        "psycopg",
        "pymysql",
        "google-api-core",
    ]
