"""A dry deploy of questions to people in their own chats: what they would read is shown, and nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from fakes import PERSON, handle

from linqbot import AskTimeout, Bot, Context, MessageReceived
from linqbot.client.call import ApiResponse

OWNER, OWNERS_CHAT = "+14155550199", "00000000-0000-4000-8000-000000000099"
BY_OWNER = {"chat": OWNERS_CHAT, "sender": OWNER}
QUESTION = f"For {PERSON}: May I refund?\n[to {OWNER}]"


def refunds(question: str = "May I refund?", *, meanwhile: str = "One moment.", thanks: str = "{}") -> Bot:
    bot = Bot(read=False, typing=False)

    @bot.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> None:
        try:
            agreed = await ctx.ask(question, yes="like", who=OWNER, meanwhile=meanwhile, timeout_s=600)
        except AskTimeout:
            await ctx.reply("no answer")
        else:
            await ctx.reply(thanks.format(agreed))

    @bot.on_message("status", during_ask=True)
    async def status(message: MessageReceived, ctx: Context) -> str:
        return "All is well."

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> str:
        return f"heard {message.text}"

    return bot


def listed(*chats: str) -> ApiResponse:
    found = [{"id": each, "is_group": False, "handles": [handle(OWNER)], "updated_at": WHEN} for each in chats]
    return ApiResponse(200, {"chats": found, "next_cursor": None})


WHEN = "2026-11-05T17:33:20.000Z"


@pytest.fixture(params=[True, False], ids=["known", "new"])
async def refunded(request: pytest.FixtureRequest, day: Day) -> Day:
    """A day with a refund that the owner agrees to in the end."""
    opened: Any = {"chat": {"id": OWNERS_CHAT, "message": {"id": "m", "delivery_status": "pending", "parts": []}}}
    day.linq.will_answer("chats.list_chats", listed(OWNERS_CHAT) if request.param else listed())
    day.linq.will_answer("chats.list_chats", *[listed(OWNERS_CHAT)] * 20)
    day.linq.will_answer("chats.create", ApiResponse(202, opened))
    day.bot = refunds()
    await day.say("refund")
    await settled(day)
    await day.say("yes")
    for text in ("how much?", "status", "yes"):
        await day.say(text, **BY_OWNER)
        await settled(day)
    await day.say("thanks", **BY_OWNER)
    return day


async def settled(day: Day) -> None:
    """Run what one turn puts into another lane, and so on."""
    for _ in range(4):
        await day.run()


async def test_the_code_of_then_does_the_same_and_the_owners_answers_are_part_of_the_guests_turn(refunded: Day) -> None:
    report = await refunded.compared(refunds())
    # Of the guest "refund" and "yes", of the owner "status" and "thanks"; of the answers the endings too.
    assert report.counts == {"same": 4}
    assert report.groups == []


async def test_what_the_owner_and_the_guest_would_read_is_shown(refunded: Day) -> None:
    for new, said in (
        (refunds(thanks="OK: {}"), [("True", "OK: True")]),
        (refunds(meanwhile="Wait."), [("One moment.\n[meanwhile]", "Wait.\n[meanwhile]")]),
        # There is no answer on record to this question, so the run ends there.
        (refunds("Refund it?"), [(QUESTION, QUESTION.replace("May I refund", "Refund it")), ("True", None)]),
    ):
        group = the_group(await refunded.compared(new))
        assert (group.kind, texts(group)) == ("different answer", said)


async def test_a_late_answer_and_a_question_without_one_are_the_same(day: Day) -> None:
    day.linq.will_answer("chats.list_chats", *[listed(OWNERS_CHAT)] * 20)
    day.bot = refunds()
    await day.say("refund")
    await settled(day)
    day.clock.advance(700)
    await settled(day)
    await day.say("yes", **BY_OWNER)
    assert day.linq.said()[-2:] == ["no answer", "That question is over, so your answer came too late."]
    assert (await day.compared(refunds())).groups == []


async def test_a_question_that_new_code_would_ask_is_shown_and_brought_to_no_one(day: Day) -> None:
    day.bot = Bot(read=False, typing=False)
    day.bot.on_message(heard)
    await day.say("refund")
    group = the_group(await day.compared(refunds()))
    assert texts(group)[-2:] == [(None, QUESTION), (None, "One moment.\n[meanwhile]")]
    assert await day.storage.conversations() == []
    assert await day.storage.scheduled() == []


async def heard(message: MessageReceived, ctx: Context) -> str:
    return "heard"
