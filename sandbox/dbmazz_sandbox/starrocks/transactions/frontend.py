"""What the FE does with a request of the transaction interface: answers it, or names the BE to go to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from dbmazz_sandbox.starrocks.backends import BackendNode
from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import LabelExists, LoadError
from dbmazz_sandbox.starrocks.labels import State, Transaction
from dbmazz_sandbox.starrocks.transactions.multi import MultiTable
from dbmazz_sandbox.starrocks.transactions.operation import (
    MULTI_SINCE,
    Operation,
    Parameters,
    Refused,
    general,
    read_parameters,
)
from dbmazz_sandbox.starrocks.transactions.reply import frontend

COORDINATORS = 2048  # labels whose BE the FE remembers


class TransactionFrontend:
    """One per FE. `handle` gives a body to answer with, or the BE to redirect to."""

    def __init__(self, cluster: Cluster, multi: MultiTable) -> None:
        self._cluster, self._multi = cluster, multi
        self._coordinators: OrderedDict[str, int] = OrderedDict()

    async def handle(self, operation: str, headers: Mapping[str, str], content_length: int | None) -> str | BackendNode:
        try:
            given = read_parameters(operation, headers, self._cluster.version)
            if given.multi:
                return await self._several(given, headers, content_length)
            return await self._single(given)
        except Refused as refused:
            return frontend("FAILED", refused.message)
        except LabelExists as error:
            return frontend("LABEL_ALREADY_EXISTS", error.message, ExistingJobStatus=error.existing)
        except LoadError as error:
            return frontend("FAILED", f"class {general(self._cluster.version)}: {error.message}")

    def restart(self) -> None:
        self._coordinators.clear()
        self._multi.restart()

    async def _several(self, given: Parameters, headers: Mapping[str, str], length: int | None) -> str | BackendNode:
        if given.operation is Operation.BEGIN:
            return self._multi.begin(given)
        if given.operation is Operation.LOAD:
            return self._multi.place(given, headers, length)
        if given.operation is Operation.COMMIT:
            return await self._multi.commit(given)
        if given.operation is Operation.ROLLBACK:
            return self._multi.roll_back(given)
        raise self._refused("Unsupported operation: TXN_PREPARE")

    async def _single(self, given: Parameters) -> str | BackendNode:
        if given.operation in (Operation.COMMIT, Operation.ROLLBACK):
            transaction = self._transaction(given)
            end = self._commit if given.operation is Operation.COMMIT else self._roll_back
            if (answer := await end(transaction, given)) is not None:
                return answer
        elif given.operation is Operation.PREPARE and given.label not in self._coordinators:
            self._transaction(given)
        elif given.database not in self._cluster.catalog.databases:
            raise self._refused(f"Database[{given.database}] does not exist.")
        return self._coordinator(given)

    def _transaction(self, given: Parameters) -> Transaction:
        """Raises Refused."""
        if given.database not in self._cluster.catalog.databases:
            raise self._refused(f"Database[{given.database}] does not exist.")
        found = self._cluster.labels.get(given.database, given.label, self._cluster.now())
        if found is not None:
            return found
        if self._cluster.version.numbers >= MULTI_SINCE and given.label not in self._coordinators:
            raise self._refused(f"No transaction found with db[{given.database}] and label[{given.label}]")
        raise self._refused(f"No transaction found by label {given.label}")

    async def _commit(self, transaction: Transaction, given: Parameters) -> str | None:
        label, ident, state = transaction.label, transaction.ident, transaction.state
        if state is State.PREPARED:
            if not await self._cluster.publisher.commit_prepared(transaction, given.timeout):
                raise self._refused(f"publish timeout: {given.timeout * 1000}, transactionId={ident}")
            return frontend("OK", "", TxnId=ident, Label=label)
        if state in (State.COMMITTED, State.VISIBLE):
            said = f"Transaction {ident} has already committed, label is {label}"
            return frontend("OK", said, TxnId=ident, Label=label)
        if state is State.ABORTED:
            raise self._refused(f"Can not commit ABORTED transaction {ident}, label is {label}")
        return None

    async def _roll_back(self, transaction: Transaction, given: Parameters) -> str | None:
        label, ident, state = transaction.label, transaction.ident, transaction.state
        if state is State.PREPARED:
            await self._cluster.publisher.abort_prepared(transaction, "User Aborted")
            return frontend("OK", "", TxnId=ident, Label=label)
        if state is State.ABORTED:
            return frontend(
                "OK", f"Transaction {ident} has already aborted, label is {label}", TxnId=ident, Label=label
            )
        if state in (State.COMMITTED, State.VISIBLE):
            raise self._refused(f"Can not abort {state} transaction {ident}, label is {label}")
        return None

    def _coordinator(self, given: Parameters) -> BackendNode:
        """The BE of a label: chosen when it begins, the same from then on. Raises Refused."""
        backends, label = self._cluster.backends, given.label
        known = backends.find(self._coordinators.get(label, 0))
        newer = self._cluster.version.numbers >= MULTI_SINCE
        if given.operation is Operation.BEGIN:
            # Up to 3.4 every begin takes the next BE, also one that repeats a label.
            node = known if known is not None and newer else backends.pick()
            if node is None:
                raise self._refused("No backend alive.")
            self._coordinators[label] = node.ident
            self._coordinators.move_to_end(label)
            while len(self._coordinators) > COORDINATORS:
                self._coordinators.popitem(last=False)
            return node
        if known is None and newer:
            known = self._of_transaction(given)
        if known is None:
            raise self._refused(f"Transaction with op[{given.operation}] and label[{label}] has no node.")
        return known

    def _of_transaction(self, given: Parameters) -> BackendNode | None:
        found = self._cluster.labels.get(given.database, given.label, self._cluster.now())
        if found is None:
            raise self._refused(
                f"Can't find the transaction with db [{given.database}] and label[{given.label}]. "
                "The possible reasons: 1. FE leader is started or switched; "
                "2. The transaction timeouts and is cleaned."
            )
        return self._cluster.backends.find(found.backend)

    def _refused(self, message: str) -> Refused:
        return Refused(message, general(self._cluster.version))
