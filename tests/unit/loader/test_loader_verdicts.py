"""What each answer of StarRocks means: every row of the table, with messages as the servers write them."""

from __future__ import annotations

import pytest
from dbmazz_loader.protocol import verdicts
from dbmazz_loader.protocol.answers import (
    AnswerError,
    LabelState,
    LoadAnswer,
    NotStarRocks,
    parse_label_state,
    parse_load_answer,
)
from dbmazz_loader.protocol.verdicts import (
    Outcome,
    Peer,
    judge_broken,
    judge_load,
    judge_refusal,
    judge_sql,
    judge_state,
    judge_state_error,
)

# One message per row of the table, as recorded or as the server's code formats it.
MESSAGES = {
    "too many filtered rows": Outcome.PARK,
    "Access denied; you need (at least one of) the INSERT privilege(s) for this operation": Outcome.STOP,
    "no valid Basic authorization": Outcome.STOP,
    "Need auth information.": Outcome.STOP,
    "class com.starrocks.common.DdlException: There is no 100-continue header": Outcome.STOP,
    "10.0.0.1: primary key size exceed the limit.": Outcome.PARK,
    "partial update and condition update at the same time": Outcome.PARK,
    "Only primary key table support partial update": Outcome.PARK,
    "Column has no default value. column: note": Outcome.PARK,
    "key column id not in partial update columns": Outcome.PARK,
    "partial update on table with sort key must provide all sort key columns": Outcome.PARK,
    "Merge condition column v6 does not exist. If you are doing partial update with": Outcome.PARK,
    "memtable of tablet 1 delete with condition column v": Outcome.PARK,
    'unknown table "dbmazz.orders"': Outcome.PARK,
    "unknown database, database=dbmazz": Outcome.PARK,
    "Getting analyzing error. Detail message: Label format error. regex: ^[-\\w]{1,128}$, label: a b": Outcome.PARK,
    "Duplicate column: note": Outcome.PARK,
    "Mapping column is not in table. column: c": Outcome.PARK,
    "Referenced column 'x' in expr 'e' can't be found in column list, derived column is 'y'": Outcome.PARK,
    "generated column: c can not be specified": Outcome.PARK,
    "body size 9 exceed limit: 8, id=1. You can increase the limit by setting streaming_load_max_mb in be.conf.": Outcome.PARK,
    "The size of this batch exceed the max size [104857600]  of json type data  data [ 9 ]. Set ignore_json": Outcome.PARK,
    "memtable of tablet 1 reache the capacity limit, detail msg: x": Outcome.PARK,
    "No partitions have data available for loading. If you are sure": Outcome.PARK,
    "No rows were imported from upstream. Possible causes: 1)": Outcome.PARK,
    "Failed to load data into tablet 10, because of too many versions, current/limit: 1001/1000.": Outcome.RETRY,
    "reject ingestion: compaction score 2001 is too high": Outcome.RETRY,
    "current running txns on db 1 is 1000, larger than limit 1000": Outcome.RETRY,
    "primary key memory usage exceeds the limit. tablet_id: 1": Outcome.RETRY,
    "memory limit exceeded, please reduce load frequency or increase config": Outcome.RETRY,
    "Memory of process exceed limit. Used: 1": Outcome.RETRY,
    "Stream Load exceed http cuncurrent limit 1, please try again later": Outcome.RETRY,
    "class com.starrocks.common.DdlException: No backend alive.": Outcome.RETRY,
    "No alive backend": Outcome.RETRY,
    "No compute node alive": Outcome.RETRY,
    "Service is shutting down, please retry later!": Outcome.RETRY,
    "Table[orders]'s state is not in NORMAL state": Outcome.RETRY,
    "Fail to get tablet, perhaps this table is doing schema change, or it has already been deleted.": Outcome.RETRY,
    "get database read lock timeout, database=dbmazz, timeout=1ms": Outcome.RETRY,
    "receive body don't equal with body bytes": Outcome.RETRY,
    "rpc timeout": Outcome.RETRY,
    "call timed out": Outcome.RETRY,
    "parse error. The value should be object type in json document stream": Outcome.PARK,
    "TAPE_ERROR: The JSON document has an improper structure: missing or superfluous commas": Outcome.PARK,
    "DEPTH_ERROR: The JSON document was too deep (too many nested objects and arrays)": Outcome.PARK,
    "STRING_ERROR: Problem while parsing a string": Outcome.PARK,
    "NUMBER_ERROR: Problem while parsing a number": Outcome.PARK,
    "UTF8_ERROR: The input is not valid UTF-8": Outcome.PARK,
    "UNESCAPED_CHARS: Within strings, some characters must be escaped": Outcome.PARK,
    "UNCLOSED_STRING: A string is opened, but never closed.": Outcome.PARK,
    "illegal json started with [x]": Outcome.PARK,
    "The value is array type in json document stream, you can set strip_outer_array=true": Outcome.PARK,
    "The value should be object type in json document stream": Outcome.PARK,
    "Getting analyzing error. Detail message: something": Outcome.PARK,
    "Getting syntax error at line 1, column 2.": Outcome.PARK,
    "something that nobody has ever seen": Outcome.RETRY,
}


@pytest.mark.parametrize(("message", "outcome"), MESSAGES.items(), ids=range(len(MESSAGES)))
def test_message(message, outcome):
    judgement = judge_load(LoadAnswer("Fail", message))
    assert judgement.outcome is outcome
    assert "StarRocks says Fail" in judgement.reason


def test_every_rule_is_met_by_a_message():
    met = {verdicts._find_rule(message) for message in MESSAGES}
    assert [rule.text for rule in verdicts._MESSAGES if rule not in met] == []


def test_frontend_failures_are_read_like_the_backends():
    answer = parse_load_answer(
        b'{\n  "Status": "FAILED",\n  "Message": "class com.starrocks.common.DdlException: No backend alive."\n}'
    )
    judgement = judge_load(answer)
    assert (judgement.outcome, judgement.peer) == (Outcome.RETRY, Peer.LOADING)


@pytest.mark.parametrize(
    ("status", "existing", "outcome"),
    [
        ("Success", "", Outcome.LOADED),
        ("OK", "", Outcome.LOADED),
        ("Publish Timeout", "", Outcome.COMMITTED),
        ("Label Already Exists", "FINISHED", Outcome.COMMITTED),
        ("Label Already Exists", "RUNNING", Outcome.RUNNING),
        ("Fail", "", Outcome.RETRY),
    ],
)
def test_status(status, existing, outcome):
    assert judge_load(LoadAnswer(status, "text", existing_job_status=existing)).outcome is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, Outcome.STOP), (403, Outcome.STOP), (404, Outcome.STOP), (302, Outcome.STOP), (400, Outcome.RETRY),
     (429, Outcome.RETRY), (500, Outcome.RETRY), (503, Outcome.RETRY)],
)  # fmt: skip
def test_http_status_of_the_frontend(status, outcome):
    judgement = judge_refusal(status)
    assert (judgement.outcome, judgement.peer) == (outcome, Peer.FRONTEND)
    assert str(status) in judgement.reason


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, Outcome.STOP), (413, Outcome.PARK), (408, Outcome.UNKNOWN), (502, Outcome.UNKNOWN), (404, Outcome.RETRY)],
)
def test_http_status_of_the_backend(status, outcome):
    assert judge_broken(status).outcome is outcome


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (LabelState.UNKNOWN, Outcome.ABSENT),
        (LabelState.PREPARE, Outcome.RUNNING),
        (LabelState.PREPARED, Outcome.RUNNING),
        (LabelState.COMMITTED, Outcome.COMMITTED),
        (LabelState.VISIBLE, Outcome.LOADED),
        (LabelState.ABORTED, Outcome.ABORTED),
    ],
)
def test_label_state(state, outcome):
    assert parse_label_state(f'{{"state":"{state.value}","status":"OK"}}'.encode()) is state
    assert judge_state(state).outcome is outcome


def test_label_state_that_cannot_be_had_leaves_the_outcome_open():
    with pytest.raises(AnswerError, match="unknown database"):
        parse_label_state(b'{"status":"FAILED","code":"1","msg":"unknown database, database=d"}')
    assert judge_state_error("unknown database, database=d").outcome is Outcome.UNKNOWN
    assert judge_state_error("Access denied for user").outcome is Outcome.STOP


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"\xff"])
def test_what_is_not_starrocks_is_named_so(body):
    with pytest.raises(NotStarRocks):
        parse_load_answer(body)


def test_answers_without_the_fields_are_errors_and_odd_fields_are_not_numbers():
    with pytest.raises(AnswerError):
        parse_load_answer(b'{"Message":"x"}')
    answer = parse_load_answer(b'{"Status":"Success","NumberLoadedRows":true,"NumberFilteredRows":"3"}')
    assert (answer.loaded, answer.filtered) == (0, 0)


@pytest.mark.parametrize(
    ("number", "message", "outcome", "peer"),
    [
        (1045, "Access denied for user 'u' (using password: YES)", Outcome.STOP, Peer.MYSQL),
        (5203, "Access denied; you need (at least one of) the CREATE DATABASE privilege(s)", Outcome.STOP, None),
        (2003, "Can't connect to MySQL server", Outcome.RETRY, Peer.MYSQL),
        (2013, "Lost connection to MySQL server during query", Outcome.RETRY, Peer.MYSQL),
        (1064, "Table[t]'s is not in NORMAL state", Outcome.RETRY, None),
        (
            1064,
            "Getting analyzing error. Detail message: Table replication num should be less than",
            Outcome.PARK,
            None,
        ),
    ],
)
def test_sql_errors(number, message, outcome, peer):
    judgement = judge_sql(number, message)
    assert (judgement.outcome, judgement.peer) == (outcome, peer)
    assert str(number) in judgement.reason
