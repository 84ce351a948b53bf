"""LoadRequest taken off the wire without copying its body: the same as the generated parser reads."""

from __future__ import annotations

import pytest
from dbmazz.v1 import load_pb2
from dbmazz_loader.incoming import IncomingLoad
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.loader.conftest import load_request

REQUESTS = st.builds(
    load_pb2.LoadRequest,
    table=st.text(max_size=200),
    label=st.text(max_size=5),
    columns=st.lists(st.text(max_size=5), max_size=3),
    partial_update=st.booleans(),
    row_count=st.integers(-(2**63), 2**63 - 1),
    body=st.binary(max_size=300),
    progress=st.builds(
        load_pb2.LoadProgress, slot=st.text(max_size=3), batch_ids=st.lists(st.integers(0, 99), max_size=3)
    ),
    commit_runs=st.lists(st.builds(load_pb2.CommitRun, row_count=st.integers(0, 9)), max_size=3),
)


def whole(incoming: IncomingLoad) -> load_pb2.LoadRequest:
    request = load_pb2.LoadRequest()
    request.CopyFrom(incoming.message)
    request.body = bytes(incoming.body)
    return request


@given(REQUESTS)
def test_reads_as_the_generated_parser_does(request):
    assert whole(IncomingLoad.parse(request.SerializeToString())) == request


@given(REQUESTS, REQUESTS)
def test_of_a_field_that_comes_twice_the_last_counts(first, second):
    wire = first.SerializeToString() + second.SerializeToString()
    assert whole(IncomingLoad.parse(wire)) == load_pb2.LoadRequest.FromString(wire)


@given(REQUESTS, st.integers(1, 50))
def test_what_is_cut_off_is_refused_alike(request, missing):
    wire = request.SerializeToString()[:-missing]
    try:
        expected = load_pb2.LoadRequest.FromString(wire)
    except DecodeError:
        with pytest.raises(DecodeError):
            IncomingLoad.parse(wire)
    else:
        assert whole(IncomingLoad.parse(wire)) == expected


@given(st.binary(max_size=60))
def test_garbage_is_refused_alike(wire):
    try:
        expected = load_pb2.LoadRequest.FromString(wire)
    except DecodeError:
        with pytest.raises(DecodeError):
            IncomingLoad.parse(wire)
    else:
        assert whole(IncomingLoad.parse(wire)) == expected


def test_the_body_stays_where_it_is():
    wire = load_request(body=b"x" * 10_000).SerializeToString()
    incoming = IncomingLoad.parse(wire)
    assert incoming.body.obj is wire
    assert incoming.message.body == b""
    assert IncomingLoad.parse(load_pb2.LoadRequest(table="t").SerializeToString()).body == b""
