"""Reflection: every symbol, every comment, JSON names; by the library's own client database, over a real server."""

import asyncio

import grpc
import pytest
import pytest_asyncio
from dbmazz.describing import Descriptions, enable_reflection
from dbmazz.v1 import loader_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


@pytest_asyncio.fixture
async def address():
    server = grpc.aio.server()
    enable_reflection(["dbmazz.v1.LoaderService"], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


def proto_of(file) -> FileDescriptorProto:
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    return proto


@pytest.mark.parametrize(
    "symbol",
    [
        "dbmazz.v1.LoaderService",
        "dbmazz.v1.LoaderService.ListLoads",
        "dbmazz.v1.LoadRecord",
        "dbmazz.v1.LoadRecord.label",
        "dbmazz.v1.SchemaAction",
        "dbmazz.v1.SCHEMA_ACTION_ENSURE",
    ],
)
def test_every_kind_of_symbol_is_found(symbol):
    assert Descriptions().FindFileContainingSymbol(symbol).name == "dbmazz/v1/loader.proto"


def test_nested_symbols_those_of_others_and_none():
    found = Descriptions()
    assert found.FindFileContainingSymbol("dbmazz.v1.ServiceStatus.ConfigEntry.key").name == "dbmazz/v1/types.proto"
    assert found.FindFileContainingSymbol("dbmazz.v1.Cell.value").name == "dbmazz/v1/reader.proto"
    assert found.FindFileContainingSymbol("google.protobuf.Duration").name == "google/protobuf/duration.proto"
    for wrong in ("dbmazz.v1.LoaderService.Nothing", "dbmazz.v1", ""):
        with pytest.raises(KeyError):
            found.FindFileContainingSymbol(wrong)


def test_comments_and_json_names_are_there():
    proto = proto_of(Descriptions().FindFileByName("dbmazz/v1/loader.proto"))
    comments = {tuple(one.path): one.leading_comments.strip() for one in proto.source_code_info.location}
    messages = [message.name for message in proto.message_type]
    record = messages.index("LoadRecord")
    assert comments[4, record] == "One load of the past."
    assert comments[4, record, 2, 0] == "Its label."
    names = {field.name: field.json_name for field in proto.message_type[record].field}
    assert names["row_count"] == "rowCount"


async def test_a_client_without_our_code_can_read_an_answer(address):
    def learn():
        with grpc.insecure_channel(address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            assert "dbmazz.v1.LoaderService" in database.get_services()
            pool = DescriptorPool(database)
            return GetMessageClass(pool.FindMessageTypeByName("dbmazz.v1.LoadRecord"))

    message = await asyncio.to_thread(learn)
    record = loader_pb2.LoadRecord(label="l", row_count=3)
    assert MessageToDict(message.FromString(record.SerializeToString())) == {"label": "l", "rowCount": "3"}
