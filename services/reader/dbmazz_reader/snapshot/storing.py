"""Loads as the checkpoint stores them."""

from __future__ import annotations

from dbmazz.v1 import checkpoint_pb2

from dbmazz_reader.protocol.load import Key, KeyRange, Load, LoadState


def to_proto(load: Load) -> checkpoint_pb2.TableLoad:
    """What is durable of it."""
    done = load.state is LoadState.DONE
    proto = checkpoint_pb2.TableLoad(
        relation_id=load.relation_id,
        table=load.table,
        state=checkpoint_pb2.TABLE_LOAD_STATE_DONE if done else checkpoint_pb2.TABLE_LOAD_STATE_RUNNING,
        key_columns=load.key_columns,
        start_lsn=load.start_lsn,
        end_lsn=load.end_lsn,
        ranges=[_range(part) for part in load.ranges],
        row_count=load.row_count,
        byte_count=load.byte_count,
        row_estimate=load.row_estimate,
        on_demand=load.on_demand,
    )
    proto.begin_time.FromMicroseconds(int(load.begun_at * 1e6))
    return proto


def from_proto(proto: checkpoint_pb2.TableLoad) -> Load:
    """A load of an earlier session, DONE or still to be taken up."""
    return Load(
        relation_id=proto.relation_id,
        table=proto.table,
        key_columns=tuple(proto.key_columns),
        start_lsn=proto.start_lsn,
        end_lsn=proto.end_lsn,
        on_demand=proto.on_demand,
        ranges=[KeyRange(_key(part.after), _key(part.up_to), _key(part.cursor), part.done) for part in proto.ranges],
        state=LoadState.DONE if proto.state == checkpoint_pb2.TABLE_LOAD_STATE_DONE else LoadState.PENDING,
        row_estimate=proto.row_estimate,
        row_count=proto.row_count,
        byte_count=proto.byte_count,
        begun_at=proto.begin_time.ToMicroseconds() / 1e6,
    )


def _range(part: KeyRange) -> checkpoint_pb2.KeyRange:
    return checkpoint_pb2.KeyRange(after=part.after, up_to=part.up_to, cursor=part.stored, done=part.done)


def _key(texts) -> Key | None:
    return tuple(texts) or None
