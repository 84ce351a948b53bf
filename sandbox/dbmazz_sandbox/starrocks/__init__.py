"""A look-alike of StarRocks for tests and demos: Stream Load, the MySQL port, faults on demand. No real cluster."""

from dbmazz_sandbox.starrocks.background import BackgroundStarRocks
from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.faults import Fault, Faults
from dbmazz_sandbox.starrocks.sandbox import StarRocksSandbox

__all__ = ["BackgroundStarRocks", "Fault", "Faults", "SandboxError", "StarRocksSandbox"]
