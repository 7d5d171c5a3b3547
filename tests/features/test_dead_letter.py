"""`on_dead_letter`: it runs once for an event that was given up, survives crashes, and never runs for itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from engine_turns import turns_of
from fakes import CHAT, NOW, PERSON, delivery, envelope, handle, text_body
from simulated_crash import Life, begun, crash

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.router import Router
from linqbot.client.call import Call
from linqbot.engine.failure import Failure, RetryPolicy
from linqbot.errors import LinqApiError
from linqbot.features import notices
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived, ReactionAdded
from linqbot.storage.inbox import DeadLetter, Lease

pytestmark = pytest.mark.anyio


class Harness(Life):
    """A bot whose only handler fails, its storage in a file, and a frozen clock."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(folder, stack)
        self.bot = Bot(read=False, typing=False)
        self.failures: list[Failure] = []
        self.after_apology: Callable[[], Awaitable[None]] | None = None

        @self.bot.on_message
        async def failing(message: MessageReceived, ctx: Context) -> None:
            raise ValueError("the kitchen is closed")

    def apologise(self) -> None:
        @self.bot.on_dead_letter
        async def sorry(failure: Failure, message: MessageReceived, ctx: Context) -> None:
            self.failures.append(failure)
            await ctx.reply(f"Sorry about {message.text}")
            after, self.after_apology = self.after_apology, None
            if after is not None:
                await after()

    async def turn(self, *, fire: bool = True) -> bool:
        """Run the next turn, after due timers have fired. Return False if there is none."""
        if fire:
            await self.storage.fire(self.clock.now())
        leases = await self.storage.take(1, lease_s=1000)
        for lease in leases:
            turns = turns_of(self.bot, self.linq, self.storage, self.clock, retry_policy=RetryPolicy(attempts=1))
            await turns.run(lease)
        return bool(leases)

    async def turns(self) -> int:
        count = 0
        while await self.turn():
            count += 1
        return count

    async def crash_in_next_turn(self) -> None:
        async def run() -> None:
            await self.turn()

        assert await self.crashable.run(run())
        await self.restart()

    async def dead(self) -> list[str]:
        return [letter.delivery.id for letter in await self.storage.dead_letters()]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with begun(Harness, tmp_path) as opened:
        yield opened


async def test_the_person_hears_once_that_a_message_was_given_up(harness: Harness) -> None:
    harness.apologise()
    arrived = delivery(text_body("soup"))
    await harness.storage.put(arrived)
    assert await harness.turns() == 2
    assert harness.linq.said() == ["Sorry about soup"]
    (failure,) = harness.failures
    assert "ValueError: the kitchen is closed" in failure.reason
    assert (failure.handler or "").endswith("failing")
    assert failure.attempts == 1
    assert await harness.dead() == [arrived.id]


async def test_without_a_handler_nothing_is_stored_for_it(harness: Harness) -> None:
    await harness.storage.put(delivery(text_body("soup")))
    assert await harness.turns() == 1
    assert await harness.storage.next_timer() is None


@pytest.mark.parametrize("moment", ["before Linq answered", "after Linq answered"])
async def test_a_crash_sends_the_apology_under_one_key(harness: Harness, moment: str) -> None:
    harness.apologise()
    await harness.storage.put(delivery(text_body("soup")))
    await harness.turn()

    async def crash_at(_: Call) -> None:
        await crash()

    if moment == "before Linq answered":
        harness.linq.before = crash_at
    else:
        harness.after_apology = crash
    await harness.crash_in_next_turn()
    await harness.turns()
    keys = {call.key for call in harness.linq.calls if call.safety == "keyed"}
    assert len(keys) == 1
    assert set(harness.linq.said()) == {"Sorry about soup"}


async def test_a_failing_handler_is_logged_and_never_runs_for_itself(harness: Harness) -> None:
    @harness.bot.on_dead_letter(Event)
    async def sorry(failure: Failure, event: Event, ctx: Context) -> None:
        raise KeyError("no words")

    await harness.storage.put(delivery(text_body("soup")))
    with structlog.testing.capture_logs() as logs:
        assert await harness.turns() == 2
    places = [line["handler"].rpartition(".")[2] for line in logs if line["event"] == "turn.dead_lettered"]
    assert places == ["failing", "sorry"]
    assert await harness.turns() == 0


async def test_an_outage_of_linq_delays_the_apology(harness: Harness) -> None:
    harness.apologise()
    await harness.storage.put(delivery(text_body("soup")))
    await harness.turn()
    harness.linq.will_answer("chats.messages.send", LinqApiError("no", status=401, code=2004))
    await harness.turn()
    assert await harness.dead() != []
    harness.clock.advance(60)
    await harness.turns()
    assert harness.linq.said()[-1] == "Sorry about soup"
    assert len(await harness.dead()) == 1


async def test_a_retried_dead_letter_that_fails_again_is_no_second_apology(harness: Harness) -> None:
    harness.apologise()
    arrived = delivery(text_body("soup"))
    await harness.storage.put(arrived)
    await harness.turns()
    assert await harness.storage.retry([arrived.id]) == 1
    await harness.turns()
    assert harness.linq.said() == ["Sorry about soup"]
    assert await harness.dead() == [arrived.id]


async def test_other_events_than_messages_have_a_handler_of_their_own(harness: Harness) -> None:
    harness.apologise()
    heard: list[str] = []

    @harness.bot.on(ReactionAdded)
    async def failing(event: ReactionAdded, ctx: Context) -> None:
        raise ValueError

    data = {
        "message_id": "m",
        "reaction_type": "love",
        "is_from_me": False,
        "chat_id": CHAT,
        "from_handle": handle(PERSON),
    }
    await harness.storage.put(delivery(envelope("reaction.added", data)))
    assert await harness.turns() == 1

    router = Router()

    @router.on_dead_letter(ReactionAdded)
    async def note(failure: Failure, event: ReactionAdded, ctx: Context) -> None:
        heard.append(event.reaction_type)

    harness.bot.include(router)
    await harness.storage.put(delivery(envelope("reaction.added", data)))
    assert await harness.turns() == 2
    assert heard == ["love"]


async def test_people_whom_the_bot_ignores_hear_nothing(harness: Harness) -> None:
    harness.apologise()

    @harness.bot.use
    def failing(handle: Any) -> Any:
        async def around(event: Event, ctx: Context) -> None:
            raise ValueError

        return around

    await harness.storage.put(delivery(text_body("soup", is_group=True)))
    assert await harness.turns() == 2
    assert harness.linq.said() == []


async def test_forgetting_a_person_forgets_the_waiting_apology(harness: Harness) -> None:
    harness.apologise()
    await harness.storage.put(delivery(text_body("soup")))
    await harness.turn()
    await harness.storage.forget(PERSON)
    assert await harness.storage.next_timer() is None


async def test_a_line_that_keeps_nothing_marks_the_notice() -> None:
    arrived = delivery(text_body("soup", zero_retention=True))
    timer = notices.dead_letter_timer(Lease(arrived, 1), DeadLetter("why"), NOW)
    assert timer.is_off_the_record
    assert not notices.dead_letter_timer(
        Lease(delivery(text_body("soup")), 1), DeadLetter("why"), NOW
    ).is_off_the_record


async def test_a_waiting_apology_is_no_scheduled_send_of_the_chat(harness: Harness) -> None:
    harness.apologise()
    listed: list[int] = []

    @harness.bot.use
    def list_first(next_: Any) -> Any:
        async def around(event: Event, ctx: Context) -> None:
            listed.append(len(await ctx.scheduled()))
            await next_(event, ctx)

        return around

    await harness.storage.put(delivery(text_body("soup")))
    await harness.storage.put(delivery(text_body("salad")))
    await harness.turn(fire=False)
    assert await harness.storage.next_timer() is not None
    await harness.turn(fire=False)
    assert listed == [0, 0]
