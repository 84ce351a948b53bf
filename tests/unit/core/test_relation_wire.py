"""Relations to protos and back."""

import pytest
from dbmazz.errors import WireError
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily
from dbmazz.v1 import relation_pb2
from dbmazz.wire import relation_from_proto, relation_to_proto

ORDERS = Relation(
    16_384,
    "public",
    "Orders",
    ReplicaIdentity.FULL,
    3,
    (
        Column("id", 20, -1, 1, "bigint", TypeFamily.SCALAR, 20, 0, True),
        Column("tags", 1009, -1, 0, "text[]", TypeFamily.ARRAY, 1009, 25, False),
    ),
)


def test_there_and_back():
    assert relation_from_proto(relation_to_proto(ORDERS)) == ORDERS


def test_the_numbers_of_the_enums_are_those_of_the_proto():
    for ours, theirs, prefix in (
        (ReplicaIdentity, relation_pb2.ReplicaIdentity, "REPLICA_IDENTITY_"),
        (TypeFamily, relation_pb2.TypeFamily, "TYPE_FAMILY_"),
    ):
        wire = {name: number for name, number in theirs.items() if number}
        assert {prefix + member.name: member.value for member in ours} == wire


def test_an_unspecified_family_reads_as_scalar():
    proto = relation_to_proto(ORDERS)
    proto.columns[0].family = 0
    assert relation_from_proto(proto).columns[0].family is TypeFamily.SCALAR


def test_numbers_that_this_version_does_not_know_are_a_wire_error():
    for break_it in (
        lambda proto: setattr(proto, "replica_identity", 0),
        lambda proto: setattr(proto, "replica_identity", 77),
        lambda proto: setattr(proto.columns[0], "family", 77),
    ):
        proto = relation_to_proto(ORDERS)
        break_it(proto)
        with pytest.raises(WireError, match=r"relation public\.Orders of the peer: (0|77) is not a valid"):
            relation_from_proto(proto)


@pytest.mark.parametrize(("letter", "identity"), [("d", 1), ("n", 2), ("f", 3), ("i", 4)])
def test_relreplident(letter, identity):
    assert ReplicaIdentity.from_relreplident(letter) == identity
