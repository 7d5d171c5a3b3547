"""A model that says nothing when its tools have acted: it is asked for words once, and then linqbot says that it was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from answers import answers
from fake_provider import Asked, Raw, Reply, providing
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent, Say, Silence
from linqbot_agent.plugin import DONE
from linqbot_agent.run import ASK_FOR_WORDS
from real_clients import CLIENTS, SORRY, Client, asking, each_client  # noqa: F401 - a fixture

from linqbot import Context
from linqbot.testing import killed_between_calls, talking

BOOK: Final = Reply(calls=[Call("book", "c1")])


class Silent:
    """A model that calls a tool, and then says nothing; `then` is what it answers when it is asked for words.

    Attributes:
        booked: How often the tool has acted.
    """

    def __init__(self, then: Reply | Raw = Reply()) -> None:  # noqa: B008 - never changed
        self.then = then
        self.booked = 0

    def answer(self, asked: Asked) -> Reply | Raw:
        if any(ASK_FOR_WORDS in text for _, text in asked.said):
            return self.then
        return Reply() if asked.results else BOOK

    async def book(self) -> str:
        """Book a table."""
        self.booked += 1
        return "booked"


ROWS: Final[dict[str, tuple[Reply | Raw, list[str]]]] = {
    "says it then": (Reply(["A table is booked."]), ["A table is booked."]),
    "says nothing again": (Reply(), [DONE]),
    "says spaces": (Reply([" \n"]), [DONE]),
    "calls the tool again": (Reply(calls=[Call("book", "c2")]), [DONE]),
    "is cut off": (Reply(stop="max_tokens"), [DONE]),
    "has failed": (Raw(b"{}", status=500), [DONE]),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_says_nothing_after_an_act_is_asked_once_and_then_it_is_said(
    client: Client, stream: bool, subtests: pytest.Subtests
) -> None:
    for name, (then, said) in ROWS.items():
        with subtests.test(name):
            silent = Silent(then)
            async with asking(client, silent.answer, [silent.book], LinqAgent(sorry=SORRY), stream=stream) as (
                ann,
                model,
            ):
                assert await answers(ann, "A table, please") == said
                assert (silent.booked, len(model.requests)) == (1, 3)
                model.answer = lambda _: Reply(["Fine."])
                assert await answers(ann, "And you?") == ["Fine."]
                assert said[0] in model.requests[-1].texts
                assert await ann.errors() == []


async def test_a_model_that_answers_with_an_output_may_do_so_when_it_is_asked_for_words() -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    client = CLIENTS["anthropic"]
    for kind, given, said in (("say", '{"text": "Booked."}', ["Booked."]), ("silence", "{}", [])):
        silent = Silent(Reply(calls=[Call(f"answer_with_{kind}", "c2", given)]))
        async with asking(client, silent.answer, [silent.book], output_type=[str, Say, Silence]) as (phone, model):
            assert await answers(phone, "A table, please") == said
            assert (silent.booked, len(model.requests)) == (1, 3)


async def test_an_author_may_want_silence(client: Client) -> None:
    silent = Silent()
    async with asking(client, silent.answer, [silent.book], LinqAgent(done=None)) as (phone, model):
        assert await answers(phone, "A table, please") == []
        assert len(model.requests) == 2


async def test_a_tool_that_has_itself_said_something_is_enough(client: Client) -> None:
    turn = list[Context]()

    def acting(act: Callable[[], Any]) -> Callable[[], Any]:
        async def book() -> str:
            """Book a table."""
            await act()
            return "booked"

        return book

    acts = [lambda: turn[0].reply("It is booked."), lambda: turn[0].react("love")]
    for act, said in zip(acts, (["It is booked."], []), strict=True):
        async with providing(Silent().answer) as model:
            inner = client(model, [acting(act)])

            async def chat(ctx: Context) -> None:
                turn[:] = [ctx]
                await inner(ctx)  # noqa: B023 - within this round

            async with talking(bot_of(Outside(), chat)) as phone:
                assert await answers(phone, "A table, please") == said
            assert len(model.requests) == 2


async def test_a_call_that_was_not_made_is_no_act(client: Client) -> None:
    silent = Silent()

    def answer(asked: Asked) -> Reply:
        return Reply([""]) if asked.results else BOOK

    async with asking(client, answer, [silent.book], LinqAgent(needs_approval=["book"])) as (phone, _):
        await answers(phone, "A table, please")
        assert await answers(phone, "no") == []
    assert silent.booked == 0


async def test_it_is_said_once_wherever_the_bot_is_killed(client: Client) -> None:
    silent = Silent()
    async with providing(silent.answer) as model:

        async def scenario(phone: Any) -> None:
            await phone.text("A table, please")

        async for phone in killed_between_calls(bot_of(Outside(), client(model, [silent.book])), scenario):
            assert phone.messages[1:] == [DONE], phone.killed
