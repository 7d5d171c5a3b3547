"""Testing a bot by talking to it: no sockets, no sleeps, one clock, and failures that show what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from answers import answers
from one_handler import bot_of, does, notes, says
from patience import PATIENCE_S

from linqbot import Bot, BotError, Context, Event, MessageReceived, hookimpl, in_group
from linqbot.bot.router import Next
from linqbot.errors import ConfigError
from linqbot.linq.events.message import MessageFailed
from linqbot.testing import HandlerFailed, NothingCame, Phone, talking
from linqbot.turn_events import Observers, TurnEnded


def saying(**options: Any) -> Bot:
    return bot_of(says("hello"), **options)


async def test_each_reply_comes_once_and_in_order_and_compares_with_its_text() -> None:
    async with talking(bot_of(says("hello", "two", "three"))) as phone:
        said = await phone.text("hi")
        assert said == "hi"
        reply = await phone.next_reply()
        assert reply == "hello"
        assert reply.startswith("hell")
        assert (said.from_bot, reply.from_bot, said.sender, reply.sender) == (False, True, phone.handle, phone.line)
        assert await phone.replies() == ["two", "three"]
        assert await phone.replies() == []
        assert phone.messages == ["hi", "hello", "two", "three"]


async def test_after_its_block_a_phone_shows_what_happened_and_refuses_acts() -> None:
    async with talking(saying()) as phone:
        await phone.text("hi")
    assert await phone.next_reply() == "hello"
    assert await phone.replies() == []
    assert phone.messages == ["hi", "hello"]
    with pytest.raises(NothingCame):
        await phone.next_reply()
    for act in (phone.text("hi"), phone.advance(60), phone.restart()):
        with pytest.raises(ConfigError, match="block of its phone has ended"):
            await act


async def test_quiet_is_after_delivery_receipts() -> None:
    async with talking(saying()) as phone:
        await phone.text("hi")
        reply = await phone.next_reply()
        assert reply.status == "pending"
        await phone.quiet()
        assert reply.status == "delivered"
        await phone.read()
        assert reply.status == "read"


async def test_a_failed_wait_shows_what_happened() -> None:
    async def other(message: MessageReceived, ctx: Context) -> None: ...

    async with talking(bot_of(other, "other")) as phone:
        await phone.text("hi")
        with pytest.raises(NothingCame, match="No reply came") as caught:
            await phone.next_reply()
        assert f"{phone.handle} writes 'hi'" in str(caught.value)
        assert "message.received: no handler took it: no filter fits (tried " in str(caught.value)
        assert "chat.created" not in str(caught.value)
        said = await phone.text("other")
        with pytest.raises(NothingCame, match=r"message.received: taken by \S*other"):
            await phone.next_tapback()
        for tapback in ("like", "love"):  # no turn reads the event of the second one
            await phone.react(said, tapback)
        with pytest.raises(NothingCame) as caught:
            await phone.next_reply()
        unread = "reaction.added: no handler took it: the bot has no handler for this event type"
        assert str(caught.value).count(unread) == 2


async def test_a_call_that_a_task_makes_after_its_turn_fails_the_test() -> None:
    end = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def late(ctx: Context) -> None:
        await end.wait()
        with suppress(BotError):
            await ctx.send("late")

    async def leave(message: MessageReceived, ctx: Context) -> None:
        tasks.append(asyncio.create_task(late(ctx)))

    async with talking(bot_of(leave)) as phone:
        assert await answers(phone, "hi") == []
        end.set()
        with pytest.raises(
            HandlerFailed, match=r"chats.messages.send was called at test_talking.py:\d+ when its turn had ended"
        ):
            await phone.quiet()


async def test_a_failed_wait_shows_that_the_group_did_not_address_the_bot() -> None:
    async with talking(saying()) as phone:
        group = phone.group("+14155550143")
        await group.text("anybody?")
        with pytest.raises(NothingCame, match=r"neither mentions the bot nor replies to it; see Bot\(groups=\)"):
            await group.next_reply()


async def test_a_wait_ends_when_a_handler_waits_for_something_else_for_too_long() -> None:
    go = asyncio.Event()
    async with talking(bot_of(does(lambda ctx: go.wait())), handler_timeout_s=0.02) as phone:
        await phone.text("hi")
        with pytest.raises(NothingCame, match=r"still at work after 0.02 s of real time"):
            await phone.next_reply()
        go.set()


async def test_a_process_that_stood_still_is_no_handler_that_works_for_too_long() -> None:
    async def paused(message: MessageReceived, ctx: Context) -> None:
        await asyncio.sleep(0.05)
        time.sleep(1)  # noqa: ASYNC251 - as if the machine were suspended while the test waits
        for _ in range(10):
            await asyncio.sleep(0)
        await ctx.reply("hi")

    async with talking(bot_of(paused), handler_timeout_s=0.8) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hi"


async def broken(message: MessageReceived, ctx: Context) -> None:
    raise KeyError("price")


async def test_what_a_handler_raises_fails_the_test_with_its_traceback() -> None:
    error = r"KeyError in \S*broken at test_talking.py:\d+: 'price'. It runs again"
    with pytest.raises(HandlerFailed, match=error) as caught:
        async with talking(bot_of(broken)) as phone:
            await phone.text("hi")
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__traceback__ is not None
    async with talking(bot_of(broken)) as phone:
        await phone.text("hi")
        with pytest.raises(HandlerFailed):
            await phone.next_reply()


async def test_an_error_that_ends_with_a_question_mark_gets_no_full_stop() -> None:
    async def asks_back(message: MessageReceived, ctx: Context) -> None:
        raise AttributeError("linqbot.parse has no date. Did you mean day?")

    with pytest.raises(HandlerFailed, match=r"Did you mean day\? It runs again"):
        async with talking(bot_of(asks_back)) as phone:
            await phone.text("hi")


@pytest.mark.parametrize("returned", [5, ""])
async def test_a_failure_without_a_line_of_the_author_names_the_handler_as_the_log_does(returned: Any) -> None:
    def answers_wrongly(message: MessageReceived, ctx: Context) -> Any:
        return returned

    async with talking(bot_of(answers_wrongly)) as phone:
        await phone.text("hi")
        with structlog.testing.capture_logs() as logs, pytest.raises(HandlerFailed) as failed:
            await phone.next_reply()
    [place] = {entry["at"] for entry in logs if "at" in entry}
    assert place.startswith("test_talking.py:")
    assert f"answers_wrongly at {place}: " in str(failed.value)


async def test_expected_failures_are_returned_by_errors() -> None:
    async def fails_twice(message: MessageReceived, ctx: Context) -> None:
        tries.append(message.text)
        if len(tries) < 3:
            raise ValueError(len(tries))
        await ctx.reply("at last")

    tries: list[str] = []
    async with talking(bot_of(fails_twice)) as phone:
        await phone.text("hi")
        assert [type(error) for error in await phone.errors()] == [ValueError]
        with pytest.raises(HandlerFailed):
            await phone.advance(1)
        await phone.advance(2)
        assert await phone.next_reply() == "at last"
        assert await phone.errors() == []


async def test_an_exception_that_an_error_handler_handles_is_no_failure() -> None:
    bot = saying()

    @bot.use
    def broken(handle: Next) -> Next:
        async def run(event: Event, ctx: Context) -> None:
            if isinstance(event, MessageReceived):
                raise {"a": ValueError, "b": KeyError}[event.text]

        return run

    @bot.on_error(ValueError)
    async def sorry(error: ValueError, event: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Sorry.")

    @bot.on_error(KeyError)
    async def worse(error: KeyError, event: MessageReceived, ctx: Context) -> None:
        raise RuntimeError from error

    async with talking(bot) as phone:
        await phone.text("a")
        assert await phone.next_reply() == "Sorry."
        await phone.text("b")
        (error,) = await phone.errors()
        assert isinstance(error, RuntimeError)
    # The test has not changed the bot.
    assert len(bot.added_middleware) == 1
    assert len(bot.error_handlers) == 2


async def test_a_broken_body_shows_the_test_s_own_error() -> None:
    never = asyncio.Event()

    async def talk() -> None:
        async with talking(bot_of(does(lambda ctx: never.wait()))) as phone:
            await phone.text("hi")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await talk()


async def test_a_broken_body_also_shows_what_a_handler_raised_before() -> None:
    async def talk() -> None:
        async with talking(bot_of(broken)) as phone:
            await phone.text("price")
            assert await phone.waiting() == 1
            assert phone.messages == ["price", "$5"]

    with pytest.raises(AssertionError, match=r"\$5") as caught:
        await talk()
    (note,) = caught.value.__notes__
    assert "KeyError in" in note
    assert "broken at test_talking.py" in note


async def test_a_wait_that_fails_says_if_the_bot_wrote_in_another_chat() -> None:
    async with talking(bot_of(says("here"), in_group)) as ann:
        group = ann.group("+14155550143")
        await group.text("anybody?", mention=True)
        with pytest.raises(NothingCame) as caught:
            await ann.next_reply()
        where = "The bot's last message is in another chat, with +14155550142, +14155550143: 'here'."
        assert str(caught.value).startswith(f"No reply came. {where}\n")
        assert await group.next_reply() == "here"
        with pytest.raises(NothingCame, match=r"^No reply came\.\n"):
            await group.next_reply()


def test_another_event_loop_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match='anyio_backend return "asyncio"'):
        talking(saying()).__aenter__().__await__().__next__()


async def test_time_passes_only_by_advance_and_everything_happens_at_its_time() -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        # Each is far later than the other's time limit: a clock that jumped would miss the first.
        await ctx.send_later("in an hour", after_s=3600, grace_s=60)
        await ctx.send_later("tomorrow", after_s=86_400, grace_s=60)

    start = datetime(2030, 1, 1, tzinfo=UTC)
    async with asyncio.timeout(PATIENCE_S), talking(bot_of(remind), start=start) as phone:
        assert phone.now == start.timestamp()
        assert await answers(phone, "remind me") == []
        await phone.advance(3599)
        assert await phone.replies() == []
        await phone.advance(1)
        assert await phone.replies() == ["in an hour"]
        with pytest.raises(NothingCame, match=r"a message waits to be sent in 86400.0 s"):
            await phone.next_reply()
        await phone.advance(86_400)
        assert await phone.replies() == ["tomorrow"]


async def test_a_failed_wait_shows_how_long_a_deferred_delivery_waits() -> None:
    async with talking(saying()) as phone:
        phone.fail_next("POST /v3/chats", status=429, retry_after_s=3600)
        await phone.text("hi")
        with pytest.raises(NothingCame, match=r"waits for 3600.0 s more"):
            await phone.next_reply()
        await phone.advance(3600)
        assert await phone.next_reply() == "hello"


async def test_a_call_that_fails_is_repeated_without_a_sleep_and_sends_nothing_twice(subtests: pytest.Subtests) -> None:
    send = "POST /v3/chats"
    rows: list[tuple[list[int | None], Callable[[Phone], None]]] = [
        ([500], lambda phone: phone.fail_next(send)),
        ([503] * 3, lambda phone: phone.fail_next(send, status=503, times=3)),
        ([429], lambda phone: phone.fail_next(send, status=429, retry_after_s=9)),
        ([None], lambda phone: phone.drop_next(send, lost="answer")),
        ([None], lambda phone: phone.drop_next(send, lost="request")),
        ([None], lambda phone: phone.drop_next(send, lost="connection")),
    ]
    for statuses, fail in rows:
        with subtests.test(statuses=statuses):
            async with asyncio.timeout(PATIENCE_S), talking(saying(read=False)) as phone:
                fail(phone)
                assert await answers(phone, "hi") == ["hello"]
                assert [call.status for call in phone.calls] == [*statuses, 202]


async def test_a_slow_call_is_answered_when_the_emulated_time_has_passed() -> None:
    async with talking(saying(read=False)) as phone:
        started = phone.now
        phone.slow_next("chats.messages.send", delay_s=20)
        await phone.text("hi")
        assert await phone.next_reply() == "hello"
        assert phone.now - started >= 20


async def test_in_one_advance_linq_repeats_each_failed_delivery_at_its_time() -> None:
    tells_time = does(lambda ctx: ctx.reply(f"{ctx.now():%H:%M:%S}"))
    async with talking(bot_of(tells_time), start=datetime(2030, 1, 1, tzinfo=UTC)) as phone:
        phone.fail_next_delivery("message.received", times=6)
        await phone.text("hi")
        await phone.advance(600)
        # After 1, 2, 4, 8, 16 and 32 seconds.
        assert await phone.replies() == ["00:01:03"]


async def test_a_message_is_marked_as_read_once_however_often_its_handler_runs() -> None:
    runs = list[str]()

    async def flaky(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        if len(runs) < 3:
            raise ValueError("not yet")
        await ctx.reply("done")

    async with talking(bot_of(flaky)) as phone:
        await phone.text("hi")
        for _ in range(2):
            await phone.errors()
            with suppress(HandlerFailed):
                await phone.advance(3)
        assert await phone.next_reply() == "done"
        await phone.quiet()
        assert [call.name for call in phone.calls].count("chats.mark_as_read") == 1
    assert len(runs) == 3


async def test_a_refused_call_fails_the_test_and_says_why() -> None:
    async with talking(saying()) as phone:
        phone.fail_next("POST /v3/chats", status=403, code=2026)
        await phone.text("hi")
        with pytest.raises(HandlerFailed) as caught:
            await phone.next_reply()
        assert "403/2026" in str(caught.value.__cause__)


async def test_the_bot_learns_that_a_message_could_not_be_delivered() -> None:
    bot, failed = saying(), list[int]()
    bot.on(MessageFailed)(notes(failed, lambda event: event.code))

    async with talking(bot) as phone:
        phone.fail_next_message(4005)
        await phone.text("hi")
        reply = await phone.next_reply()
        await phone.quiet()
        assert reply.status == "failed"
    assert failed == [4005]


@pytest.mark.parametrize("version", ["2025-01-01", "2026-02-03"])
async def test_both_payload_versions_can_be_asked_for(version: str) -> None:
    async def tell(message: MessageReceived, ctx: Context) -> str | None:
        return message.webhook_version

    async with talking(bot_of(tell), version=version) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == version


async def test_two_waits_at_once_each_get_their_own() -> None:
    async with talking(saying()) as ann:
        bob = ann.person("+14155550143")
        ann.fail_next("POST /v3/chats", times=2)
        await asyncio.gather(ann.text("hi"), bob.text("hi"))
        assert set(await asyncio.gather(ann.next_reply(), bob.next_reply())) == {"hello"}


@pytest.mark.parametrize("fails", [False, True])
async def test_a_plugin_that_was_disabled_shows(fails: bool) -> None:
    class Audit:
        name = "audit"

        @hookimpl
        def register_observers(self) -> Observers:
            return {TurnEnded: self.turn_ended}

        def turn_ended(self, turn: TurnEnded) -> None:
            if fails:
                raise KeyError(turn.outcome)

    async with talking(bot_of(says("{}"), plugins=[Audit])) as phone:
        assert await phone.plugins() == {"audit": "active"}
        await phone.text("hi")
        assert await phone.next_reply() == "hi"
        (status,) = (await phone.plugins()).values()
    assert status.startswith(
        "disabled: its observer of TurnEnded raised KeyError at test_talking.py:" if fails else "active"
    )


@pytest.mark.parametrize(("given", "shown"), [(Bot, "the class Bot"), ("bot.py", "str"), (None, "NoneType")])
async def test_what_is_no_bot_is_refused(given: Any, shown: str) -> None:
    with pytest.raises(BotError, match=rf"^talking\(…\) takes a Bot, not {shown}\.$"):
        async with talking(given):
            pass


async def test_a_test_prints_warnings_only_unless_its_author_has_configured_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def hello(message: MessageReceived, ctx: Context) -> None:
        ctx.log.info("said.info")
        ctx.log.warning("said.warning")

    async def printed() -> str:
        async with talking(bot_of(hello)) as phone:
            await phone.text("hi")
        return capsys.readouterr().out

    said = await printed()
    assert [line for line in said.splitlines() if "said.warning" not in line] == []
    with structlog.testing.capture_logs() as logs:
        await printed()
    assert "said.info" in [entry["event"] for entry in logs]
    structlog.reset_defaults()
    structlog.configure()
    assert "said.info" in await printed()
