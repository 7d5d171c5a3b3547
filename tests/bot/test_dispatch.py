from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from direct_dispatch import handled
from fakes import CHAT, LINE, NOW, PERSON, Linq, delivery, envelope, handle, message
from linq_events import EXAMPLES, example, understood
from one_handler import bot_of, says

from linqbot import (
    Bot,
    BotError,
    BroadcastDone,
    Context,
    Event,
    LinkPart,
    LinqApiError,
    MessageReceived,
    Router,
    ScheduleDue,
)
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.router import Next
from linqbot.clock import MovableClock
from linqbot.engine.filters import exact, regex, replies_to_bot
from linqbot.features.posts import post_delivery
from linqbot.linq.events.message import MessageDelivered
from linqbot.linq.events.parse import parse
from linqbot.testing import HandlerFailed, talking


async def test_the_first_handler_that_fits_takes_the_event_in_the_order_in_which_routers_were_included() -> None:
    bot, router = Bot(), Router()
    bot.on_message("hi")(says("bot"))
    router.on_message(regex("h"))(says("router"))
    bot.include(router)
    bot.on_message(says("rest"))
    for text, said in (("hi", "bot"), ("oh", "router"), ("yes", "rest")):
        assert (await handled(bot, message(text))).said() == [said]


async def test_middleware_wraps_from_the_outside_in() -> None:
    bot, router = Bot(), Router()
    seen: list[str] = []

    def noting(name: str) -> Any:
        def middleware(next_: Next) -> Next:
            async def handle(event: Event, ctx: Context) -> None:
                seen.append(f"{name} in")
                await next_(event, ctx)
                seen.append(f"{name} out")

            return handle

        return middleware

    bot.use(noting("one"))
    bot.use(noting("two"))
    router.use(noting("router"))
    router.on_message("a")(says("routed"))
    bot.include(router)
    bot.on_message(says("rest"))
    await handled(bot, message("a"))
    assert seen == ["one in", "two in", "router in", "router out", "two out", "one out"]
    seen.clear()
    await handled(bot, message("b"))
    assert seen == ["one in", "two in", "two out", "one out"]


async def test_a_plain_function_runs_in_a_thread_and_its_return_value_is_sent() -> None:
    bot = Bot()

    @bot.on_message
    def both(message: MessageReceived, ctx: Context) -> list[Any]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return ["one", LinkPart(value="https://x.test")]

    linq = await handled(bot, message())
    assert linq.said() == ["one"]
    assert linq.names() == ["chats.messages.send"] * 2


async def test_what_a_handler_returns_is_sent_unless_it_is_a_message_that_was_sent() -> None:
    async def text(message: MessageReceived, ctx: Context) -> str:
        return "hello"

    async def reply(message: MessageReceived, ctx: Context) -> Any:
        return await ctx.reply("hello")

    async def replies(message: MessageReceived, ctx: Context) -> Any:
        return [await ctx.reply("hello")]

    async def nothing(message: MessageReceived, ctx: Context) -> None:
        found: list[str] = []
        await ctx.reply(*found)

    def number(message: MessageReceived, ctx: Context) -> Any:
        return 5

    for handler in (text, reply, replies):
        bot = bot_of(handler)
        assert (await handled(bot, message())).said() == ["hello"]
    for handler, problem in ((nothing, "There is nothing to send"), (number, "object of type int cannot be sent")):
        bot = bot_of(handler)
        with pytest.raises(BotError, match=problem):
            await handled(bot, message())


# The default settings of a Bot


def edited(direction: str) -> Event:
    sender = handle(LINE, is_me=True) if direction == "outbound" else handle(PERSON)
    chat = {"id": CHAT, "is_group": False, "owner_handle": handle(LINE, is_me=True)}
    part = {"index": 0, "text": "x"}
    data = {"id": "m", "chat": chat, "direction": direction, "sender_handle": sender, "part": part}
    return parse(delivery(envelope("message.edited", data)))


def loved(by: str, *, is_from_me: bool) -> Event:
    data = {"chat_id": CHAT, "message_id": "m", "reaction_type": "love", "is_from_me": is_from_me}
    return parse(delivery(envelope("reaction.added", data | {"from_handle": handle(by, is_me=is_from_me)})))


async def test_own_echoes_never_reach_a_handler() -> None:
    bot = Bot()

    @bot.on(Event)
    async def hear(event: Event, ctx: Context) -> None:
        await ctx.reply("heard")

    assert (await handled(bot, edited("outbound"))).said() == []
    assert (await handled(bot, loved(LINE, is_from_me=True))).said() == []
    assert (await handled(bot, edited("inbound"))).said() == ["heard"]
    assert (await handled(bot, loved(PERSON, is_from_me=False))).said() == ["heard"]


async def test_in_a_group_the_bot_answers_only_when_addressed() -> None:
    bot = Bot()
    bot.on_message(replies_to_bot)(says("reply"))
    bot.on_message(says("mention"))
    mention = {"mentions": [{"handle": LINE, "is_me": True, "range": [0, 4]}]}
    replied = message(is_group=True).model_copy(update={"replies_to_me": True})
    assert (await handled(bot, message(is_group=True))).calls == []
    assert (await handled(bot, message(is_group=True, part=mention))).said() == ["mention"]
    assert (await handled(bot, replied)).said() == ["reply"]
    for option, said in (("all", ["x"]), ("never", [])):
        changed = Bot(groups=option)  # type: ignore[arg-type]
        changed.on_message(says("x"))
        assert (await handled(changed, message(is_group=True))).said() == said


async def test_a_handled_message_is_marked_read_and_others_are_not() -> None:
    bot = Bot()
    bot.on_message("hi")(says("hello"))
    linq = await handled(bot, message("hi"))
    assert sorted(call.name for call in linq.calls) == ["chats.mark_as_read", "chats.messages.send"]
    assert (await handled(bot, message("else"))).calls == []


async def test_a_failing_read_receipt_does_not_fail_the_handler() -> None:
    linq = Linq()
    linq.will_answer("chats.mark_as_read", LinqApiError("gone", status=409, code=2001))
    bot = Bot()
    bot.on_message(says("hello"))
    assert (await handled(bot, message(), linq=linq)).said() == ["hello"]


async def test_strangers_get_no_reply_no_receipt_and_no_dots() -> None:
    bot = Bot(allow=["+15550000000"])
    bot.on_message(says("hello"))
    assert (await handled(bot, message())).calls == []
    assert (await handled(bot, message(sender="+15550000000"))).said() == ["hello"]


async def test_the_receipts_of_the_bots_messages_reach_it_whomever_it_allows() -> None:
    bot = Bot(allow=["+15550000000"])
    seen: list[str] = []

    @bot.on_delivery("delivered")
    async def note(event: MessageDelivered, ctx: Context) -> None:
        seen.append(event.type)

    await handled(bot, understood(example("message.delivered")))
    assert seen == ["message.delivered"]


async def test_events_that_no_person_causes_reach_their_handlers_whomever_the_bot_allows() -> None:
    bot, seen = Bot(allow=lambda event: event.actor == PERSON), list[str]()

    async def note(event: Event, ctx: Context) -> None:
        seen.append(event.type)

    bot.every("hour", timezone="UTC", name="report")(note)
    bot.on_broadcast_done(note)
    bot.on_post("paid")(note)
    at = datetime.fromtimestamp(NOW, UTC)
    said = {"event_id": "1", "created_at": at}
    due = ScheduleDue(event_type="linqbot.schedule", name="report", due=at, **said)
    done = BroadcastDone(event_type="linqbot.broadcast_done", name="july", began_at=at, **said)
    post = parse(post_delivery("paid", {}, NOW, post_id="7"))
    await handled(bot, due, done, post)
    assert seen == ["linqbot.schedule", "linqbot.broadcast_done", "linqbot.post"]


@pytest.mark.parametrize(
    "changes", [{"reconciled_at": "2026-11-05T17:33:20Z"}, {"sent_at": "2026-11-04T17:33:19Z"}], ids=["found late", "old"]
)  # fmt: skip
async def test_late_messages_reach_only_late_handlers(changes: dict[str, str]) -> None:
    bot = Bot()
    bot.on_message(says("news"))
    assert (await handled(bot, message(**changes))).calls == []
    bot.on_message(late=True)(says("history"))
    assert (await handled(bot, message(**changes))).said() == ["history"]
    assert (await handled(bot, message())).said() == ["news"]


async def test_an_unhandled_type_is_logged_once_with_a_handler_to_paste() -> None:
    with structlog.testing.capture_logs() as logs:
        await handled(Bot(), *[loved(PERSON, is_from_me=False)] * 2)
    logged = [entry["to_handle_it"] for entry in logs if "to_handle_it" in entry]
    code = (
        "from linqbot.events import ReactionAdded\n\n"
        "@bot.on(ReactionAdded)\nasync def on_reaction_added(event: ReactionAdded, ctx: Context) -> None:\n    ..."
    )
    assert logged == [code]


async def test_a_type_without_any_handler_is_known_after_it_was_logged_once() -> None:
    bot, around = Bot(), Bot()
    bot.on_message("order")(says("never"))
    around.use(lambda after: after)
    for each, unhandled in ((bot, {"reaction.added"}), (around, set[str]())):
        dispatcher = Dispatcher(each, MovableClock(NOW, frozen=True))
        assert not dispatcher.has_no_handler("reaction.added")
        new_type = parse(delivery(envelope("new.type", {})))
        await handled(dispatcher, loved(PERSON, is_from_me=False), message("hi"), new_type)
        types = ("reaction.added", "message.received", "new.type")
        assert {kind for kind in types if dispatcher.has_no_handler(kind)} == unhandled


async def test_unmatched_and_ignored_events_are_logged_once_with_the_reason() -> None:
    bot = Bot(allow=[PERSON])
    bot.on_message("order")(says("never"))
    stranger = message("hi", sender="+15550000000")
    with structlog.testing.capture_logs() as logs:
        await handled(bot, message("hi"), message("hello"), stranger, message(is_group=True))
    logged = [entry for entry in logs if entry["log_level"] == "info"]
    assert [entry["event"] for entry in logged] == ["event.unmatched", "event.ignored", "event.ignored"]
    assert logged[0]["tried"][0].endswith("answer")
    assert [entry["reason"] for entry in logged[1:]] == [
        "the sender is not allowed",
        "the message neither mentions the bot nor replies to it",
    ]


@pytest.mark.parametrize("late_s", [0.0, 1.3])
async def test_a_loop_is_logged_once_with_its_end_even_if_linqs_clock_is_late(late_s: float) -> None:
    bot = Bot(read=False, typing=False)
    bot.on_message(says("I am a bot."))
    clock = MovableClock(NOW, frozen=True)
    dispatcher, linq = Dispatcher(bot, clock), Linq()
    with structlog.testing.capture_logs() as logs:
        for _ in range(10):
            clock.advance(1)
            sent_at = datetime.fromtimestamp(clock.now() - late_s, UTC).isoformat()
            await handled(dispatcher, message("So am I.", sent_at=sent_at), linq=linq)
    assert 2 <= len(linq.said()) <= 5
    (logged,) = [entry for entry in logs if entry["event"] == "loop.broken"]
    assert "Bot(loop_breaker=False)" in logged["why"]


async def test_every_example_event_can_be_dispatched() -> None:
    bot = Bot(groups="all", max_age_s=None)
    seen: list[str] = []

    @bot.on(Event, late=True)
    async def everything(event: Event, ctx: Context) -> None:
        seen.append(event.type)

    await handled(bot, *map(understood, map(example, EXAMPLES)))
    assert len(EXAMPLES) == 81
    assert len(set(seen)) > 60


async def test_a_handler_without_a_match_says_so_when_it_asks_for_one() -> None:
    async def menu(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(ctx.match["day"])

    async with talking(bot_of(menu, exact("menu") | regex(r"menu (?P<day>\w+)"))) as phone:
        await phone.text("menu friday")
        assert await phone.next_reply() == "friday"
        await phone.text("menu")
        with pytest.raises(HandlerFailed, match=r"this event fits .*menu without one\. Give the handler a regex"):
            await phone.next_reply()
