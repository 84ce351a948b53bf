"""The services of a ring on this machine, as programs for the supervisor: addresses, variables, drain order."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dbmazz.config import Settings
from dbmazz.errors import ConfigError

from dbmazz_cli.child import Program
from dbmazz_cli.ports import free_addresses

# Drain order: who makes work stops before who takes it.
STAGES = ("reader", "transformer", "loader", "checkpoint")


@dataclass(frozen=True)
class Ring:
    """Programs in drain order, and the settings that reach them."""

    settings: Settings
    stages: list[list[Program]]

    @property
    def addresses(self) -> dict[str, str]:
        """Where each service is dialled; replicas separated by commas."""
        return {stage: getattr(self.settings, f"{stage}_address") for stage in STAGES}


def plan(settings: Settings, *, ports: str, replicas: Mapping[str, int] | None = None) -> Ring:
    """`ports`: "default" binds where the *_ADDRESS settings say, "auto" takes free ports. `replicas`: how many of a service
    that can have several (transformer, loader); those beyond the first always take free ports."""
    counts = {stage: (replicas or {}).get(stage, 1) for stage in STAGES}
    free = iter(free_addresses(sum(counts.values())))
    listen: dict[str, list[str]] = {}
    for stage in STAGES:
        first = _to_bind(stage, settings) if ports == "default" else next(free)
        listen[stage] = [first, *(next(free) for _ in range(counts[stage] - 1))]
    settings = settings.replace(**{f"{stage}_address": ",".join(listen[stage]) for stage in STAGES})
    stages = [_programs(stage, listen[stage], settings) for stage in STAGES]
    return Ring(settings, stages)


def _to_bind(stage: str, settings: Settings) -> str:
    address = getattr(settings, f"{stage}_address")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"{stage.upper()}_ADDRESS={address} is not an address on this machine",
            "`dbmazz run` serves there: give host:port, or use --ports auto",
        )
    return address


def _programs(stage: str, addresses: list[str], settings: Settings) -> list[Program]:
    programs = []
    for number, address in enumerate(addresses, start=1):
        own = settings.replace(listen=address)
        if settings.metrics_port:
            own = own.replace(metrics_port=settings.metrics_port + STAGES.index(stage) + len(STAGES) * (number - 1))
        name = stage if len(addresses) == 1 else f"{stage}-{number}"
        programs.append(service_program(stage, own, name=name))
    return programs


def service_program(service: str, settings: Settings, *, name: str = "") -> Program:
    """One service as a child of this process."""
    return Program(name or service, (sys.executable, "-m", f"dbmazz_{service}"), environment(settings))


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings.

    All of them, not only those that differ from the defaults as Settings.to_environment gives them: the child reads
    `.env` too, and what stands there must not come back where this process has decided otherwise.
    """
    fields = {field.name.upper(): getattr(settings, field.name) for field in dataclasses.fields(settings)}
    texts = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in fields.items()}
    return {**os.environ, **texts}
