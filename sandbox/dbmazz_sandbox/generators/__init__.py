"""Traffic for the sandbox's PostgreSQL: orders with their items, and rows with large values."""

from dbmazz_sandbox.generators.counters import Counters, ToastCounters
from dbmazz_sandbox.generators.orders import OrdersGenerator
from dbmazz_sandbox.generators.schema import TABLES, create_schema
from dbmazz_sandbox.generators.toast import ToastGenerator
from dbmazz_sandbox.generators.traffic import TrafficRun, TrafficTotals

__all__ = [
    "TABLES",
    "Counters",
    "OrdersGenerator",
    "ToastCounters",
    "ToastGenerator",
    "TrafficRun",
    "TrafficTotals",
    "create_schema",
]
