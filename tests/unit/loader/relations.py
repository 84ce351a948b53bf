"""Relations for tests, in few words."""

from __future__ import annotations

from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily

OIDS = {
    "bool": 16, "bytea": 17, "int8": 20, "int2": 21, "int4": 23, "text": 25, "json": 114, "float4": 700, "float8": 701,
    "bpchar": 1042, "varchar": 1043, "date": 1082, "timestamp": 1114, "timestamptz": 1184, "numeric": 1700, "uuid": 2950,
    "jsonb": 3802,
}  # fmt: skip


def column(name: str, kind: str = "text", *, key: int = 0, modifier: int = -1) -> Column:
    """`kind` is PostgreSQL's type name; `int4[]` is an array."""
    if kind.endswith("[]"):
        return Column(name, 1007, family=TypeFamily.ARRAY, element_type_oid=OIDS[kind[:-2]], key_position=key)
    return Column(name, OIDS[kind], type_modifier=modifier, key_position=key)


def numeric(precision: int, scale: int) -> int:
    """atttypmod of numeric(precision, scale)."""
    return (precision << 16 | scale & 0x7FF) + 4


def relation(*columns: Column, name: str = "orders", schema: str = "public") -> Relation:
    return Relation(1, schema, name, ReplicaIdentity.DEFAULT, 1, columns)
