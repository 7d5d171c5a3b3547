"""Approvals by an owner in their own chat, killed between every two steps: writes of the storage and calls to Linq."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from killed_everywhere import killed_everywhere
from postgres_server import empty_storage_url
from refunds import ANN, BOB, DANA, LATE, asked_for, refunds

from linqbot.testing import Phone, killed_between_calls

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Returns the URL of a new storage with each call, of each backend in turn."""
    numbers = itertools.count()
    if request.param == "postgres":
        return lambda: empty_storage_url("killed")
    return lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"


async def test_of_two_open_approvals_the_right_one_is_answered_and_no_guest_approves(
    storage: Callable[[], str],
) -> None:
    async def scenario(ann: Phone) -> None:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await ann.text("refund")
        await bob.text("refund")
        await ann.quiet()
        await dana.text("yes")
        await ann.text("yes")
        await bob.text("yes")
        await ann.quiet()
        await dana.text("no")

    async for ann in killed_everywhere(refunds(), scenario, handle=ANN, storage=storage):
        guests, dana = {asked_for(ANN): ann, asked_for(BOB): ann.person(BOB)}, ann.person(DANA)
        asked = [str(each) for each in await dana.replies()]
        assert sorted(asked) == sorted(guests), (ann.killed, asked)
        for question, decided in zip(asked, (True, False), strict=True):
            said = [str(each) for each in await guests[question].replies()]
            wanted = ["I have asked Dana.", f"decided: {decided}", "heard yes"]
            assert sorted(said) == wanted, (ann.killed, question, said)


async def test_a_guest_who_opts_out_while_the_owner_is_being_asked_ends_it_for_both() -> None:
    async def scenario(ann: Phone) -> None:
        dana = ann.person(DANA)
        await dana.text("hello")
        await ann.quiet()
        await ann.text("refund")
        await ann.opt_out()
        await ann.quiet()
        await dana.text("yes")

    async for ann in killed_between_calls(refunds(), scenario, handle=ANN):
        heard, *said = [str(each) for each in await ann.person(DANA).replies()]
        assert heard == "heard hello"
        # What she was asked reads that it is over, and what she was not is a message.
        assert said in ([asked_for(ANN), LATE], ["heard yes"]), (ann.killed, said)
        assert await ann.replies() in ([], ["I have asked Dana."]), ann.killed
