"""wait_until: conditions of both kinds, the deadline, and errors that are not waited out."""

import asyncio

import pytest

from tests.fixtures.waiting import wait_until


async def test_returns_the_first_true_value():
    values = iter([0, "", None, "found"])
    assert await wait_until(lambda: next(values)) == "found"


async def test_takes_async_conditions():
    values = iter([False, 7])

    async def condition() -> int:
        await asyncio.sleep(0)
        return next(values)

    assert await wait_until(condition) == 7


async def test_a_deadline_names_what_was_waited_for_and_what_was_seen():
    with pytest.raises(TimeoutError, match=r"not within 0.05 s: the moon \(last value 0\)"):
        await wait_until(lambda: 0, timeout=0.05, what="the moon")


async def test_a_condition_that_hangs_meets_the_deadline_too():
    with pytest.raises(TimeoutError, match=r"not within 0.05 s: hang \(no answer\)"):

        async def hang() -> bool:
            await asyncio.Event().wait()
            return True

        await wait_until(hang, timeout=0.05)


async def test_an_error_in_the_condition_is_not_waited_out():
    with pytest.raises(ZeroDivisionError):
        await wait_until(lambda: 1 / 0)
