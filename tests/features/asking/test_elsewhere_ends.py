"""A question to a person in their own chat ends without their answer: the handler and each person learn it, once."""

from __future__ import annotations

from typing import Any

import pytest
from refunds import ANN, BOB, DANA, EVE, LATE, UNREACHABLE, asked_for, refunds
from refusing import Refusing

from linqbot import (
    Bot,
    Context,
    LinkPart,
    MessageContent,
    MessageReceived,
    PersonUnreachable,
    Running,
    TextPart,
    hookimpl,
)
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.testing import talking

OPTED_OUT = f"{UNREACHABLE} The person has opted out of messages."


async def test_an_owner_who_opts_out_ends_all_that_they_are_asked() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await ann.text("refund")
        await bob.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await dana.opt_out()
        for guest in (ann, bob):
            assert await guest.replies() == ["I have asked Dana.", OPTED_OUT]
        await ann.text("refund")
        assert await ann.replies() == [OPTED_OUT]
        assert await dana.replies() == []


async def test_an_answer_to_a_question_that_was_over_before_linqs_answer_came_is_late() -> None:
    async with talking(refunds(timeout_s=2), handle=ANN) as ann:
        dana = ann.person(DANA)
        await dana.text("hello")
        assert await dana.replies() == ["heard hello"]
        ann.drop_next(f"chats/{dana.chat_id}/messages", times=30)
        await ann.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await dana.text("yes")
        await ann.advance(3600)
        assert await ann.replies() == ["no answer"]
        assert await dana.replies() == [LATE]


async def test_a_guest_who_opts_out_ends_the_question_and_reads_nothing_more() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        await ann.replies()
        await ann.opt_out()
        await dana.text("yes")
        assert await dana.replies() == [asked_for(ANN), LATE]
        assert await ann.replies() == []


async def test_a_word_such_as_never_mind_of_the_owner_ends_it_and_one_of_the_guest_is_a_message() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        await ann.text("never mind")
        assert await ann.replies() == ["I have asked Dana.", "heard never mind"]
        await dana.text("never mind")
        assert await ann.replies() == ["cancelled: word"]
        assert await dana.replies() == [asked_for(ANN)]


async def test_what_ends_questions_in_the_owners_chat_ends_it_for_the_guest_only_as_an_operator_would() -> None:
    def register(bot: Bot) -> None:
        @bot.on_message("own", during_ask=True)
        async def own(message: MessageReceived, ctx: Context) -> str:
            ctx.end_questions()
            return "ended my own"

        @bot.on_message("all", during_ask=True)
        async def all_(message: MessageReceived, ctx: Context) -> str:
            await ctx.bot.end_questions(ctx.chat_id)
            return "ended all"

    async with talking(refunds(first=register, repeat=False), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        await dana.text("own")
        assert [await dana.replies(), await ann.replies()] == [
            [asked_for(ANN), "ended my own"],
            ["I have asked Dana."],
        ]
        await dana.text("all")
        assert [await dana.replies(), await ann.replies()] == [["ended all"], ["cancelled: operator"]]


@pytest.mark.parametrize("has_chat", [True, False], ids=["known", "new"])
async def test_a_plugin_that_refuses_the_question_is_an_error_in_the_handler_at_once(has_chat: bool) -> None:
    bot = refunds()
    bot.plugins = (Refusing(lambda call: "May I refund?" in str(call.body), "not to owners"),)
    async with talking(bot, handle=ANN) as ann:
        if has_chat:
            await ann.person(DANA).text("hello")
        await ann.text("refund")
        assert await ann.replies() == [f"{UNREACHABLE} policy: not to owners"]


@pytest.mark.parametrize("has_chat", [True, False], ids=["known", "new"])
async def test_a_question_that_breaks_a_rule_of_linq_is_an_error_in_the_handler_at_once(has_chat: bool) -> None:
    broken = MessageContent(parts=(TextPart(value="See"), LinkPart(value="https://example.com")))

    def register(bot: Bot) -> None:
        @bot.on_message("order")
        async def order(message: MessageReceived, ctx: Context) -> str:
            try:
                return f"sent: {await ctx.ask(broken, yes='like', who=DANA)}"
            except PersonUnreachable as error:
                return str(error)

    async with talking(refunds(first=register), handle=ANN) as ann:
        if has_chat:
            await ann.person(DANA).text("hello")
        await ann.text("order")
        (said,) = await ann.replies()
        assert said.startswith(f"{UNREACHABLE} R"), said


class MutedMeanwhile:
    """A plugin by which everything is muted for ten minutes, once, when a call with a text is about to be made."""

    name = "hush"

    def __init__(self, text: str) -> None:
        self._text = text
        self._running: Running | None = None

    async def start(self, running: Running) -> None:
        self._running = running

    @hookimpl
    def register_outbound(self) -> list[Any]:
        def wrap(run: Run) -> Run:
            async def muted(call: Call) -> ApiResponse:
                if self._text in str(call.body) and (running := self._running) is not None:
                    self._running = None
                    await mute_chat(running.storage, Mute(EVERY_CHAT, running.clock.now() + 600, ""))
                return await run(call)

            return muted

        return [wrap]


@pytest.mark.parametrize("has_chat", [True, False], ids=["known", "new"])
async def test_a_question_waits_if_everything_is_muted_just_when_it_is_sent(has_chat: bool) -> None:
    bot = refunds()
    hush = MutedMeanwhile("May I refund?")
    bot.plugins = (hush,)
    bot.on_start(hush.start)
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        if has_chat:
            await dana.text("hello")
            assert await dana.replies() == ["heard hello"]
        await ann.text("refund")
        assert [await ann.replies(), await dana.replies()] == [[], []]
        await ann.advance(601)
        assert [await ann.replies(), await dana.replies()] == [["I have asked Dana."], [asked_for(ANN)]]
        await dana.text("yes")
        assert await ann.replies() == ["decided: True"]


async def test_the_guest_reads_once_who_is_asked_also_after_a_restart_and_an_invalid_answer() -> None:
    async with talking(refunds(also=[EVE]), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await ann.restart()
        await dana.text("how much?")
        assert await dana.replies() == ["Please answer yes or no.", asked_for(ANN)]
        await ann.restart()
        await dana.text("yes")
        assert await ann.replies() == ["I have asked Dana.", "decided: True"]


async def test_a_question_with_a_link_opens_the_chat_by_a_message_without_one() -> None:
    def register(bot: Bot) -> None:
        @bot.on_message("order")
        async def order(message: MessageReceived, ctx: Context) -> str:
            return f"sent: {await ctx.ask('Send https://example.com/order/7 now?', yes='like', who=DANA)}"

    async with talking(refunds(first=register), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("order")
        first, *others = await dana.replies()
        assert first == f"For {ANN}:"
        assert others[0] == "Send https://example.com/order/7 now?"
        await dana.react(others[0], "like")
        assert await ann.replies() == ["sent: True"]
