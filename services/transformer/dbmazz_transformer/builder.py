"""From batches to steps: collects a lane's windows, and builds the next one while the last one loads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from dbmazz.asking import TableName
from dbmazz.errors import DbmazzError, WireError
from dbmazz.relation import Relation
from dbmazz.target import target_table_name

from dbmazz_transformer.backlog import Covered
from dbmazz_transformer.loaders import ENSURE, TRUNCATE, Loaders
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.protocol.batch import Batch, BatchKind, LaneDecoder
from dbmazz_transformer.protocol.layout import Layout, Target, make_layout
from dbmazz_transformer.protocol.plan import LaneKey, Load, PlanOptions, Progress, plan_window
from dbmazz_transformer.protocol.window import Collector, Window, WindowLimits
from dbmazz_transformer.steps import HoldStep, LoadStep, SchemaStep, Step
from dbmazz_transformer.tally import Tally

log = structlog.get_logger("dbmazz.transformer")


class Builder:
    """Takes ChangeBatches, gives steps in the queue `steps`, which holds one beside the one that is being sent.

    `broken` says why the lane cannot go on behind what was taken so far; empty while it can. `loaded` is told of each load
    that is durable.
    """

    def __init__(
        self, key: LaneKey, options: LaneOptions, loaders: Loaders, tally: Tally, loaded: Callable[[Load], None]
    ) -> None:
        self.steps: asyncio.Queue[Step] = asyncio.Queue(maxsize=1)
        self.broken = ""
        self._key = key
        self._options = options
        self._loaders = loaders
        self._tally = tally
        self._loaded = loaded
        self._decoder = LaneDecoder()
        self._collector = Collector(options.limits)
        self._layout: Layout | None = None
        self._flushing = False
        self._outstanding = 0
        self._wake = asyncio.Event()

    @property
    def table(self) -> str:
        """schema.table; empty before the first relation."""
        return self._decoder.relation.qualified_name if self._decoder.relation else ""

    @property
    def table_name(self) -> TableName | None:
        """The table by both names; None before the first relation."""
        relation = self._decoder.relation
        return relation and TableName(relation.qualified_name, target_table_name(relation.schema, relation.name))

    def offer(self, proto) -> Batch | None:
        """Takes a ChangeBatch; None when it is malformed, as it would be the next time, too."""
        batch = None
        try:
            batch = self._decoder.decode(proto)
            self._collector.add(batch, self._now())
        except WireError as error:
            self.broken = str(error)
            log.error("batch_malformed", **self.names(), batch_id=proto.batch_id, error=self.broken)
        self._wake.set()
        return batch

    def flush(self) -> None:
        """From now on whatever there is, is due at once."""
        self._flushing = True
        self._wake.set()

    def change_limits(self, limits: WindowLimits) -> None:
        """Other limits, from the next window on."""
        self._collector.change(limits)
        self._wake.set()

    def done(self) -> None:
        """The step that was taken last is durable."""
        self._outstanding -= 1
        self.steps.task_done()
        self._wake.set()

    def clear(self) -> None:
        """Forgets what was collected."""
        self._collector.clear()

    def names(self) -> dict[str, object]:
        """Which lane, for the logs."""
        return {"lane": self._key.lane, "generation": self._key.generation, "table": self.table}

    async def run(self) -> None:
        """Works until cancelled, or until the lane cannot go on; the last step then says why."""
        try:
            while (item := await self._next_item()) is not None:
                await self._put_item(item)
            message = self.broken
        except DbmazzError as error:
            message = str(error)
            log.error("window_not_built", **self.names(), error=message)
        await self._put(HoldStep(message))

    async def _next_item(self) -> Window | Batch | None:
        """The next window or barrier that is due; None when a batch was malformed and all before it is taken."""
        while True:
            self._wake.clear()
            now, idle = self._now(), self._outstanding == 0
            item = self._collector.take(now, idle=idle, flush=self._flushing or bool(self.broken))
            if item is not None:
                return item
            due = self._collector.due_time()
            if self.broken and due is None:
                return None
            try:
                async with asyncio.timeout(due - now if due is not None and idle else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _put_item(self, item: Window | Batch) -> None:
        relation = item.relation
        if isinstance(item, Window):
            if relation is not None and item.row_count:
                await self._ensure(relation)
            await self._put(self._load_step(item))
            return
        progress = Progress(self._key, (item.batch_id,), (item.safe_lsn,))
        covered = Covered(item.batch_id, 1)
        if item.kind is BatchKind.SCHEMA:
            await self._ensure(relation, progress, covered)
            return
        await self._ensure(relation)
        request = (relation, TRUNCATE, item.barrier_lsn, progress, covered)
        await self._put(SchemaStep(*request, self._loaders.apply_schema, lambda target: None))

    async def _ensure(
        self, relation: Relation, progress: Progress | None = None, covered: Covered | None = None
    ) -> None:
        """Has the target table brought in line, unless this worker has already and nobody waits for the barrier."""
        if progress is None and self._layout is not None and self._layout.relation is relation:
            return

        def applied(target: Target) -> None:
            self._layout = make_layout(relation, target)

        request = (relation, ENSURE, 0, progress, covered or Covered())
        await self._put(SchemaStep(*request, self._loaders.apply_schema, applied))
        # What comes next is written for the table as it is then.
        await self.steps.join()

    def _load_step(self, window: Window) -> LoadStep:
        guard = self._options.version_guard
        if guard == "auto" and self._layout is not None:
            guard = "on" if self._layout.target.version_guard else "off"
        synced_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        options = PlanOptions(self._options.soft_delete, guard == "on", synced_at)
        plan = plan_window(window, self._layout, self._key, options)
        self._tally.planned(plan)
        if plan.policy_count:
            log.info("values_changed_by_policy", **self.names(), values=plan.policy_count)
        covered = Covered(window.batches[-1].batch_id, len(window.batches), window.row_count, window.byte_count)
        return LoadStep(plan.loads, covered, self._loaders.load, self._loaded)

    async def _put(self, step: Step) -> None:
        self._outstanding += 1
        await self.steps.put(step)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
