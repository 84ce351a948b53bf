"""Which tables are shown: those that the reader lists, and those that are in the source and in the target."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dbmazz.target import target_table_name

from dbmazz_monitor.protocol.sample import SourceSeen, Table, TargetSeen

# What dbmazz itself makes is called like this, in either database.
OWN = "dbmazz_"


class Discovery:
    """Finds anew only when one of its inputs is another one: the same thousand tables come every second."""

    def __init__(self) -> None:
        self._inputs: tuple[object, ...] = ()
        self._found: tuple[Table, ...] = ()
        self._dropped: frozenset[str] = frozenset()

    def tables(
        self,
        listed: tuple[Table, ...] | None,
        source: SourceSeen | None,
        target: TargetSeen | None,
        busy_lanes: Collection[int] = (),
    ) -> tuple[Table, ...]:
        """By name. `listed` is None before the reader has listed any.

        A table that was dropped goes, as soon as nothing waits in its lane; until the reader's next session it is listed.
        """
        inputs = (listed, source, target)
        if not self._inputs or any(new is not old for new, old in zip(inputs, self._inputs, strict=True)):
            self._inputs = inputs
            found = {table.name: table for table in [*_unlisted(listed, source, target), *(listed or ())]}
            self._found = tuple(found[name] for name in sorted(found))
            self._dropped = _dropped(listed or (), source)
        if not self._dropped:
            return self._found
        return tuple(t for t in self._found if t.name not in self._dropped or t.lane in busy_lanes)


def _unlisted(
    listed: tuple[Table, ...] | None, source: SourceSeen | None, target: TargetSeen | None
) -> Iterator[Table]:
    """In both databases, and not in a target table that is another one's."""
    if source is None or target is None:
        return
    taken = {table.target_table for table in listed or ()}
    for name, table in source.tables.items():
        here = target_table_name(table.schema, table.table)
        own = table.table.startswith(OWN) or here.startswith(OWN)
        if own or table.partition or here in taken or here not in target.audit_columns:
            continue
        replicated = None if listed is None and table.published else False
        yield Table(name, table.schema, table.table, here, replicated=replicated)


def _dropped(listed: tuple[Table, ...], source: SourceSeen | None) -> frozenset[str]:
    """Listed, and no longer in the source. Nothing is said of them when the source may be another database."""
    if source is None or not source.ours:
        return frozenset()
    return frozenset(table.name for table in listed if table.name not in source.tables)
