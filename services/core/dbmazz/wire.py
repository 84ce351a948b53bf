"""Frozen values to protos and back, at the edge."""

from __future__ import annotations

from dbmazz.errors import WireError
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily
from dbmazz.v1 import relation_pb2


class RelationError(WireError, ValueError):
    """A relation whose replica identity or type family this version does not know."""


def relation_to_proto(relation: Relation) -> relation_pb2.Relation:
    """The proto of a relation."""
    return relation_pb2.Relation(
        relation_id=relation.relation_id,
        schema=relation.schema,
        name=relation.name,
        replica_identity=int(relation.replica_identity),
        schema_version=relation.schema_version,
        columns=[
            relation_pb2.Column(
                name=column.name,
                type_oid=column.type_oid,
                type_modifier=column.type_modifier,
                key_position=column.key_position,
                type_name=column.type_name,
                family=int(column.family),
                base_type_oid=column.base_type_oid,
                element_type_oid=column.element_type_oid,
                not_null=column.not_null,
                attribute_number=column.attribute_number,
            )
            for column in relation.columns
        ],
    )


def relation_from_proto(proto: relation_pb2.Relation) -> Relation:
    """The relation of a proto; an unspecified type family reads as SCALAR. RelationError for unknown enum numbers."""
    try:
        return _relation(proto)
    except ValueError as error:
        raise RelationError(f"relation {proto.schema}.{proto.name} of the peer: {error}") from None


def _relation(proto: relation_pb2.Relation) -> Relation:
    return Relation(
        relation_id=proto.relation_id,
        schema=proto.schema,
        name=proto.name,
        replica_identity=ReplicaIdentity(proto.replica_identity),
        schema_version=proto.schema_version,
        columns=tuple(
            Column(
                name=column.name,
                type_oid=column.type_oid,
                type_modifier=column.type_modifier,
                key_position=column.key_position,
                type_name=column.type_name,
                family=TypeFamily(column.family or TypeFamily.SCALAR),
                base_type_oid=column.base_type_oid,
                element_type_oid=column.element_type_oid,
                not_null=column.not_null,
                attribute_number=column.attribute_number,
            )
            for column in proto.columns
        ),
    )
