"""`Bot(on_trouble=…)`: a person who waits hears of it once per outage of their chat, whatever crashes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from answers import answers
from asking_talk import Talk
from fakes import NOW, PERSON, delivery, text_body
from one_handler import says
from refusing import Refusing

from linqbot import Bot, Context, Failure, LinqApiError, LinqUnavailable, MessageReceived
from linqbot.events import TypingEvent
from linqbot.features.notices import leaves_waiting
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Lease, Outcome, Retry
from linqbot.testing import Phone, killed_between_calls, talking

MOMENT = "One moment, please."
STATUS = "https://status.example"
SECRET = "the password of the database is swordfish"


class Kitchen:
    """Gives the bot of these tests its answers, or an error, with which it cannot answer."""

    error: BaseException | None = None


def troubled(kitchen: Kitchen, **settings: Any) -> Bot:
    bot = Bot(loop_breaker=False, **{"on_trouble": MOMENT, **settings})
    bot.on_message("hello")(says("Hello!"))

    @bot.on_message(attempts=2)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        if kitchen.error is not None:
            raise kitchen.error
        await ctx.reply(f"{message.text}!")

    return bot


def away() -> LinqUnavailable:
    return LinqUnavailable(SECRET, call="chats.retrieve")


async def test_a_person_who_waits_hears_of_it_once_and_gets_the_answer_later() -> None:
    kitchen = Kitchen()
    async with talking(troubled(kitchen)) as phone:
        kitchen.error = away()
        assert await answers(phone, "soup") == [MOMENT]
        await phone.advance(120)  # deferred three more times
        assert await phone.replies() == []
        kitchen.error = None
        await phone.advance(60)
        assert await phone.replies() == ["soup!"]


async def test_messages_that_are_given_up_in_one_outage_are_mentioned_once_and_no_error_is_shown() -> None:
    kitchen = Kitchen()
    async with talking(troubled(kitchen)) as phone:
        kitchen.error = OSError(SECRET)
        for dish in ("soup", "trout"):
            await phone.text(dish)
            await phone.errors()
            assert MOMENT not in await phone.replies()  # it will try again
            await fail(phone)
            assert (await phone.replies() == [MOMENT]) == (dish == "soup")
        assert await answers(phone, "hello") == ["Hello!"]
        await phone.text("tart")
        await phone.errors()
        await fail(phone)
        assert await phone.replies() == [MOMENT]
        assert not any(SECRET in str(message) for message in phone.messages)


async def fail(phone: Phone) -> None:
    try:
        await phone.advance(60)
    except AssertionError:
        return


async def test_while_linq_is_away_it_waits_and_is_not_said_after_the_answer() -> None:
    bot = troubled(Kitchen())
    async with talking(bot) as phone:
        phone.fail_next("chats.messages.send", status=503, times=24)
        await phone.text("soup")
        await phone.advance(600)
        said = await phone.replies()
        assert said[-1] == "soup!"
        assert said[:-1] in ([], [MOMENT])


def apologising(kitchen: Kitchen) -> Bot:
    bot = troubled(kitchen)

    @bot.on_dead_letter
    async def apologise(failure: Failure, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Sorry.")

    return bot


async def test_a_handler_of_dead_letters_speaks_instead() -> None:
    kitchen = Kitchen()
    async with talking(apologising(kitchen)) as phone:
        kitchen.error = OSError(SECRET)
        await phone.text("soup")
        await phone.errors()
        await fail(phone)
        assert await phone.replies() == ["Sorry."]


async def test_only_people_who_would_get_an_answer_hear_of_trouble() -> None:
    kitchen = Kitchen()
    bot = troubled(kitchen, allow=[PERSON])

    @bot.on_typing
    async def typing(event: TypingEvent, ctx: Context) -> None:
        if kitchen.error is not None:
            raise kitchen.error

    async with talking(bot) as phone:
        await phone.text("hello")
        stranger, group = phone.person("+14155550143"), phone.group("+14155550143")
        kitchen.error = away()
        await stranger.text("soup")
        await group.text("soup")
        await phone.typing()
        assert [await each.replies() for each in (phone, stranger, group)] == [["Hello!"], [], []]
        await group.text("soup", mention=True)
        assert await group.replies() == [MOMENT]
        kitchen.error = None
        await phone.advance(60)


@pytest.mark.slow
@pytest.mark.parametrize("gives_up", [False, True])
async def test_a_crash_at_any_point_says_it_once_and_loses_no_answer(gives_up: bool) -> None:
    kitchen = Kitchen()

    async def scenario(phone: Phone) -> None:
        kitchen.error = OSError(SECRET) if gives_up else away()
        await phone.text("soup")
        await phone.errors()
        await fail(phone)
        kitchen.error = None
        await phone.text("trout")
        await phone.advance(60)

    async for phone in killed_between_calls(troubled(kitchen), scenario, copies=3):
        answers = ["trout!"] if gives_up else ["soup!", "trout!"]
        assert [message for message in phone.messages if message.from_bot] == [MOMENT, *answers]


def test_a_person_waits_if_the_turn_of_the_message_ends_later_or_never() -> None:
    soup = Lease(delivery(text_body("soup")), 1)
    note = Lease(replace(soup.delivery, type="reaction.added"), 1)
    rows: list[tuple[Lease, Outcome, float, bool]] = [
        (soup, DeadLetter("why"), NOW, True),
        (soup, Defer(NOW + 30, "away"), NOW, True),
        (soup, Defer(NOW + 1, "a moment"), NOW, False),
        (soup, Defer(NOW + 61, "a moment, for the second minute"), NOW + 60, True),
        (soup, Defer(NOW + 60, "at once, after a long run"), NOW + 60, False),
        (soup, Retry(NOW + 30, "why"), NOW, False),
        (soup, Ack(), NOW, False),
        (note, DeadLetter("why"), NOW, False),
    ]
    assert [row for row in rows if leaves_waiting(*row[:3]) != row[3]] == []


async def test_an_apology_does_not_end_the_outage_in_which_it_is_said() -> None:
    kitchen = Kitchen()
    async with talking(apologising(kitchen)) as phone:
        kitchen.error = away()
        assert await answers(phone, "soup") == [MOMENT]
        kitchen.error = OSError(SECRET)
        await fail(phone)
        await fail(phone)
        assert await phone.replies() == ["Sorry."]
        kitchen.error = away()
        assert await answers(phone, "trout") == []
        kitchen.error = None
        await phone.advance(60)


async def crashed(talk: Talk, sender: str = PERSON, **changes: Any) -> None:
    """Let a message crash the process too often."""
    await talk.put(text_body("soup", sender=sender, **changes))
    (lease,) = await talk.storage.take(1, lease_s=1000)
    await talk.turns().run(replace(lease, crashes=5))


@pytest.mark.parametrize("sender", [PERSON, "+14155550143"])
async def test_a_message_that_crashes_the_process_is_mentioned_if_the_bot_would_answer_the_person(
    talk: Talk, sender: str
) -> None:
    talk.bot = troubled(Kitchen(), allow=[PERSON])
    await crashed(talk, sender)
    await talk.run()
    assert talk.said == ([MOMENT] if sender == PERSON else [])


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "no text"])
async def test_an_outage_that_is_over_or_that_the_new_release_has_no_text_for_is_not_mentioned(
    talk: Talk, *, is_over: bool
) -> None:
    talk.bot = troubled(Kitchen())
    await crashed(talk)
    await talk.storage.fire(talk.clock.now())
    (notice,) = await talk.storage.take(1, lease_s=1000)
    if is_over:
        await talk.say("hello")
    else:
        talk.bot = troubled(Kitchen(), on_trouble=None)
    await talk.turns().run(notice)
    assert talk.said == ["Hello!"] * is_over
    assert len(await talk.storage.dead_letters()) == 1


async def test_the_notice_and_what_it_says_in_a_group_belong_to_the_person_who_wrote(talk: Talk) -> None:
    talk.bot = troubled(Kitchen(), groups="all")
    await crashed(talk, is_group=True)
    assert (await talk.storage.export(PERSON)).counts["timer"] == 1
    await talk.run()
    assert (talk.said, (await talk.storage.export(PERSON)).counts["journal"]) == ([MOMENT], 1)


async def test_a_notice_that_a_plugin_refuses_is_dropped() -> None:
    kitchen, no_sends = Kitchen(), Refusing(lambda call: call.name == "chats.messages.send", "not now")
    async with talking(troubled(kitchen, plugins=[no_sends])) as phone:
        kitchen.error = away()
        assert await answers(phone, "soup") == []
        assert await phone.dead_letters() == []
        assert await phone.waiting() == 1


async def test_a_notice_goes_on_after_a_message_that_was_deleted_before_its_answer_came(talk: Talk) -> None:
    talk.bot = troubled(Kitchen(), on_trouble=f"{MOMENT}\n\n{STATUS}")
    await crashed(talk)
    talk.crash_before_the_answer()
    assert await talk.crashable.run(talk.run())
    await talk.restart()
    talk.linq.will_answer("chats.messages.send", LinqApiError("deleted", status=404, code=2002))
    await talk.run()
    assert talk.said == [MOMENT, STATUS]
    assert await talk.storage.depth() == 0


async def test_an_outage_that_linq_does_not_take_now_is_mentioned_later(talk: Talk) -> None:
    talk.bot = troubled(Kitchen())
    await crashed(talk)
    talk.linq.will_answer("chats.messages.send", LinqApiError("no", status=401, code=2004))
    for times in (1, 2, 2):
        await talk.pass_time(600)
        assert talk.linq.said() == [MOMENT] * times
