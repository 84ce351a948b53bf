"""What reflection tells: our protos with their comments and JSON names.

The generated Python code has neither, so `grpcurl describe` would show bare fields and spell them otherwise than the answers
of every other client; and the library's pool does not find a method by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha import reflection


def enable_reflection(service_names: Iterable[str], server: grpc.aio.Server) -> None:
    """Serves reflection for these services."""
    reflection.enable_server_reflection(service_names, server, pool=Descriptions())


class _File:
    """As much of a FileDescriptor as the reflection servicer asks of one."""

    def __init__(self, proto: FileDescriptorProto, descriptions: Descriptions) -> None:
        self.name = proto.name
        self._proto = proto
        self._descriptions = descriptions

    @property
    def dependencies(self) -> list:
        return [self._descriptions.FindFileByName(name) for name in self._proto.dependency]

    def CopyToProto(self, proto: FileDescriptorProto) -> None:
        proto.CopyFrom(self._proto)


class Descriptions:
    """As much of a DescriptorPool as the reflection servicer asks of one. What is not ours comes from the default pool."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileByName(self, name: str):
        """A file by its name; KeyError when there is none."""
        proto = _ours()[0].get(name)
        return self._pool.FindFileByName(name) if proto is None else _File(proto, self)

    def FindFileContainingSymbol(self, symbol: str):
        """The file that declares a message, field, enum, value, service or method by its full name; KeyError for none."""
        name = _ours()[1].get(symbol)
        return self._pool.FindFileContainingSymbol(symbol) if name is None else self.FindFileByName(name)

    def __getattr__(self, name: str):
        """The rest is about extensions, of which we have none."""
        return getattr(self._pool, name)


@cache
def _ours() -> tuple[dict[str, FileDescriptorProto], dict[str, str]]:
    """Files by name, and symbols with the file that declares each; read when the first client asks."""
    # Here and not above: it brings compression along.
    from importlib.resources import files

    found = FileDescriptorSet.FromString((files("dbmazz.v1") / "descriptors.binpb").read_bytes())
    return (
        {file.name: file for file in found.file},
        {symbol: file.name for file in found.file for symbol in _symbols(file)},
    )


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _of_message(file.package, message)
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}"
        # A value is a sibling of its enum, as in C++.
        yield from (f"{file.package}.{value.name}" for value in enum.value)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)


def _of_message(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
    for nested in message.nested_type:
        yield from _of_message(name, nested)
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
        yield from (f"{name}.{value.name}" for value in enum.value)
