"""What people ask of the RPCs that are made for them: tables by either name, limits, and what is said when one is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

import grpc

from dbmazz.errors import BAD_REQUEST, NOT_FOUND, NOT_READY, DbmazzError, abort

# As many names as a person reads in an error.
_TOLD = 10
_LONGEST = 200


class BadQuestion(DbmazzError):
    """A request that is wrong whatever the state of the service."""

    reason = BAD_REQUEST
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotThere(BadQuestion):
    """A thing by a name that nobody here has."""

    reason = NOT_FOUND
    code = grpc.StatusCode.NOT_FOUND


class NotYet(BadQuestion):
    """A question that can be answered a little later."""

    reason = NOT_READY
    code = grpc.StatusCode.UNAVAILABLE


class TableName(NamedTuple):
    """One table: `schema.table` at the source, "" when that is not known here; and its name in the target."""

    source: str
    target: str


async def refuse(context: grpc.aio.ServicerContext, question: BadQuestion):
    """Ends the RPC with what was wrong with it; does not return."""
    await abort(context, question.code, question.reason, str(question))


def not_negative(**limits: int) -> None:
    """BadQuestion for the first limit below 0; in all of them 0 stands for the default or for no limit."""
    for name, value in limits.items():
        if value < 0:
            raise BadQuestion(f"{name} is {value}", "It takes 1 or more; 0, or nothing at all, for the default")


def meant(asked: Iterable[str], known: Iterable[TableName], elsewhere: str = "") -> frozenset[TableName]:
    """The tables that were named, as the source or as the target calls them.

    NotThere for a name that is neither; `elsewhere` is added to it: where else the table may be.
    """
    known = sorted(set(known))
    found = set()
    for word in asked:
        tables = [table for table in known if word and word in table]
        if not tables:
            names = [table.source or table.target for table in known]
            raise NotThere(f"there is no table {_cut(word)!r} here", f"{hint(word, names)}{elsewhere}")
        found.update(tables)
    return frozenset(found)


def hint(word: str, names: Iterable[str]) -> str:
    """The nearest name, and those that there are: `Did you mean public.orders? Known: ...`."""
    names = sorted(set(names))
    if not names:
        return "None is known"
    bare = {name.rpartition(".")[2]: name for name in names}
    near = difflib.get_close_matches(word[:_LONGEST], [*names, *bare], n=1)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    guess = f"Did you mean {bare.get(near[0], near[0])}? " if near else ""
    return f"{guess}Known: {', '.join(names[:_TOLD])}{more}"


def _cut(word: str) -> str:
    return word if len(word) <= _LONGEST else word[:_LONGEST] + "…"
