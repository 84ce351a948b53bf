"""The FE's part of a load: the transaction begins (loadTxnBegin), and the plan is made (streamLoadPut)."""

from __future__ import annotations

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.labels import MAX_RUNNING, Source, Transaction
from dbmazz_sandbox.starrocks.protocol.headers import check_timeout

DISK_FULL = "disk {path} on backend {backend} exceed limit usage"  # SystemInfoService.checkExceedDiskCapacityLimit
_PATH_HASH = 4611686018427387904  # of the only data path of the first BE; a real one is any 64-bit number


def begin(
    cluster: Cluster, database: str, name: str, label: str, *, timeout: int, denied: str, deadline: bool = False
) -> tuple[Table, Transaction]:
    """Step 8 of starrocks.md 10. `denied`: why the credentials are refused, or ""; `deadline`: whether the manager aborts
    the transaction after `timeout` seconds. Raises LoadError."""
    if denied:
        raise LoadError(denied)
    cluster.check_frontend()
    if database not in cluster.catalog.databases:
        raise LoadError(f"unknown database, database={database}")
    table = cluster.catalog.get(database, name)
    if table is None:
        raise LoadError(f'unknown table "{database}.{name}"')
    check_timeout(timeout)
    _refused(cluster, database, f"{database}.{name}", label)
    transaction = cluster.labels.begin(
        database, label, cluster.now(), source=Source.STREAM_LOAD, timeout=timeout if deadline else 0
    )
    transaction.table_names = (name,)
    if deadline:
        cluster.arm()
    return table, transaction


def _refused(cluster: Cluster, database: str, table: str, label: str) -> None:
    """The refusals that a test can ask for: the label is taken, too much runs."""
    if cluster.faults.take(Fault.LABEL_RUNNING, table):
        raise LabelExists(label, "RUNNING")
    if cluster.faults.take(Fault.LABEL_FINISHED, table):
        raise LabelExists(label, "FINISHED")
    if cluster.faults.take(Fault.RUNNING_TXNS, table):
        limit = int(cluster.settings.get("max_running_txn_num_per_db", MAX_RUNNING))
        raise cluster.labels.too_many_running(database, limit, limit)


def check_disks(cluster: Cluster, table: str) -> None:
    """The last check of the plan: whether the disks have room. Raises LoadError."""
    if cluster.faults.take(Fault.DISK_FULL, table):
        raise LoadError(DISK_FULL.format(path=_PATH_HASH, backend=cluster.backends[0].ident))
