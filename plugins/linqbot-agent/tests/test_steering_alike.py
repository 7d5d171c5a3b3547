"""Messages that come while an agent of any framework works: the next request has them, once, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from frameworks import (
    FRAMEWORKS,
    Answer,
    Call,
    Outside,
    Response,
    each_framework,  # noqa: F401 - a fixture
)
from linqbot_agent import LinqAgent
from linqbot_agent.memory import TALK, Kept
from one_handler import bot_of, does
from slow_work import Work

from linqbot import Bot
from linqbot.options import OverlapMode
from linqbot.testing import Bubble, Phone, killed_between_calls, talking


class Waiting(Outside):
    """A model that looks something up, charges, and then says what it was asked since."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()
        self.during_last: Phone | None = None

    def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
        self.requests.append(messages)
        asked = [text for role, said in messages if role == "user" for text in said.split("\n\n")]
        asked = [each for each in asked if each and not each.startswith("[")]
        if asked[-1] != "Thanks" and results < 2:
            return Response((), [Call(["look", "charge"][results], f"c{results}")])
        return Response([f"Heard: {', '.join(asked)}"])

    def tools(self) -> list[Callable[..., Any]]:
        async def look() -> str:
            """Look something up."""
            await self.work()
            return self.note("look")

        async def charge() -> str:
            """Charge the card."""
            if self.during_last is not None:
                phone, self.during_last = self.during_last, None
                await phone.text("Thanks")
            return self.note("charge")

        return [look, charge]


def steered(framework: Answer, outside: Outside, *, overlap: OverlapMode = "steer", **how: Any) -> Bot:
    plugin = LinqAgent(memory="person", **how)
    return bot_of(does(framework(outside)), overlap=overlap, plugins=[plugin], read=False, typing=False)


async def meanwhile(phone: Phone, outside: Waiting, text: str) -> list[Bubble]:
    """Ask for a table, and write a text while the first tool works. Return what the bot says."""
    await phone.text("A table")
    await outside.work.begun.wait()
    await phone.text(text)
    outside.work.end.set()
    return await phone.replies()


# `test_steering` shows it of pydantic-ai.
@pytest.mark.parametrize("framework", sorted(FRAMEWORKS.keys() - {"pydantic-ai"}), indirect=True)
async def test_a_message_that_comes_during_a_tool_reaches_the_next_request_behind_its_result(framework: Answer) -> None:
    outside = Waiting()
    async with talking(steered(framework, outside)) as phone:
        assert await meanwhile(phone, outside, "for two") == ["Heard: A table, for two"]
        (talk,) = (await phone.state(Kept, name=TALK)).by_message.values()
    assert len(outside.requests) == 3
    for request in outside.requests[1:]:
        assert sum("for two" in text for _, text in request) == 1
        assert [text for _, text in request].index("for two") >= 2  # behind the call and its result
    assert [part["content"] for each in talk for part in each["parts"] if part["part_kind"] == "user-prompt"] == [
        "A table",
        "for two",
    ]


async def test_a_message_that_comes_during_the_last_tool_reaches_the_last_request(framework: Answer) -> None:
    outside = Waiting()
    outside.work.end.set()
    async with talking(steered(framework, outside)) as phone:
        outside.during_last = phone
        await phone.text("A table")
        assert await phone.replies() == ["Heard: A table, Thanks"]


async def test_a_handler_that_is_not_steered_leaves_messages_for_their_own_turns(framework: Answer) -> None:
    outside = Waiting()
    async with talking(steered(framework, outside, overlap="queue")) as phone:
        assert await meanwhile(phone, outside, "Thanks") == ["Heard: A table", "Heard: A table, Thanks"]


@pytest.mark.slow
@pytest.mark.parametrize("framework", sorted(FRAMEWORKS.keys() - {"pydantic-ai"}), indirect=True)
async def test_no_message_is_lost_or_heard_twice_wherever_the_bot_is_killed(framework: Answer) -> None:
    outside, points = Waiting(), 0

    async def scenario(phone: Phone) -> None:
        outside.reset()
        outside.work.begun.clear()
        outside.work.end.clear()
        await phone.text("A table")
        await phone.next_reply()
        await phone.text("yes")
        await outside.work.begun.wait()
        await phone.text("for two")
        outside.work.end.set()
        await phone.quiet()

    async for phone in killed_between_calls(steered(framework, outside, needs_approval=["look"]), scenario):
        points += 1
        last = [message for message in phone.messages if message.startswith("Heard")]
        assert last == ["Heard: A table, for two"], phone.killed
        assert sorted(tool for tool, _ in outside.effects) == ["charge", "look"], phone.killed
    assert points > 15
