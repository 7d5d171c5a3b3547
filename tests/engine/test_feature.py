"""Features: the engine runs a bot without any, and calls the drawers of those that it is given, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine_turns import turns_of
from fakes import CHAT, NOW, Linq, delivery, text_body

from linqbot import Bot, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.engine.feature import Feature, GuardedCall
from linqbot.engine.turn import Kind, Turn
from linqbot.engine.turns import Turns
from linqbot.errors import Stopped
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.inbox import Ack, Commit, Lease, Outcome
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.timers import Timer


class Stage:
    """A bot that echoes, with the features that a test gives it, and a storage in memory."""

    def __init__(self, features: Callable[[Turns], Sequence[Feature]] = lambda _: ()) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.linq = Linq()
        self.storage = MemoryStorage(clock=self.clock)
        self.bot = Bot(read=False, typing=False)
        self.bot.on_message(self._echo)
        self._make = features
        self.statuses: list[str] = []

    async def _echo(self, message: MessageReceived, ctx: Context) -> None:
        self.statuses.append((await ctx.reply(message.text)).status)

    async def handle(self, *deliveries: Delivery) -> None:
        """Store deliveries, and run the turns of all that are ready."""
        turns = turns_of(self.bot, self.linq, self.storage, self.clock, features=self._make)
        for each in deliveries:
            await self.storage.put(each)
        while leases := await self.storage.take(1, lease_s=1000):
            await turns.run(leases[0])

    async def text(self, text: str) -> None:
        await self.handle(delivery(text_body(text)))


async def test_an_echo_runs_without_any_feature() -> None:
    stage = Stage()
    await stage.text("hello")
    assert (stage.linq.said(), stage.statuses) == (["hello"], ["accepted"])
    assert await stage.storage.depth() == 0


class Night(Stopped):
    """The bot says nothing at night."""

    word = "night"
    by = "the night"
    why = "it is night"


async def test_a_guard_stops_calls_while_its_container_is_not_empty_and_its_reason_is_on_record() -> None:
    nights: list[str] = []

    class Nights(TurnFeature):
        guards_while = nights

        async def guard(self, asked: GuardedCall) -> None:
            raise Night(f"{asked.call.name} waits for the day.", until=NOW + 60)

    stage = Stage(lambda turns: [Nights(turns)])
    await stage.text("day")
    nights.append("now")
    await stage.text("night")
    assert (stage.linq.said(), stage.statuses) == (["day"], ["accepted", "waiting"])
    _, row = sorted(await stage.storage.outcomes([CHAT]), key=lambda each: str(each.calls))
    assert row.calls is not None
    assert '"by": "the night"' in row.calls


async def test_a_call_that_was_stopped_stays_stopped_in_later_runs() -> None:
    nights = ["now"]

    class Nights(TurnFeature):
        guards_while = nights

        async def guard(self, asked: GuardedCall) -> None:
            raise Night("It is night.")

    stage = Stage(lambda turns: [Nights(turns)])
    statuses: list[str] = []

    async def fail_once(message: MessageReceived, ctx: Context) -> None:
        statuses.append((await ctx.reply("hi")).status)
        if nights:
            nights.clear()
            raise ValueError

    stage.bot = Bot(read=False, typing=False)
    stage.bot.on_message(fail_once)
    await stage.text("hello")
    stage.clock.advance(10)
    await stage.handle()
    assert (statuses, stage.linq.said()) == (["refused", "refused"], [])


async def test_drawers_are_called_in_the_order_of_the_catalogue_and_a_sleeping_feature_is_not_called() -> None:
    called: list[str] = []

    class Noted(TurnFeature):
        def __init__(self, turns: Turns, label: str, **drawers: Any) -> None:
            super().__init__(turns)
            self._label = label
            vars(self).update(drawers)

        def concerns(self, lease: Lease) -> bool:
            called.append(f"{self._label} concerns")
            return True

        async def open(self, turn: Turn) -> Outcome | None:
            called.append(f"{self._label} opens")
            return None

        async def begin(self, turn: Turn) -> None:
            called.append(f"{self._label} begins")

        def stop(self, turn: Turn) -> None:
            called.append(f"{self._label} stops")

        def end(self, turn: Turn, commit: Commit) -> None:
            called.append(f"{self._label} ends")

    stage = Stage(
        lambda turns: [
            Noted(turns, "one"),
            Noted(turns, "asleep", turns_while=()),
            Noted(turns, "of edits", types=frozenset({"message.edited"})),
            Noted(turns, "two"),
        ]
    )
    await stage.text("hello")
    points = ("concerns", "opens", "begins", "stops", "ends")
    assert called == [f"{label} {point}" for point in points for label in ("one", "two")]


async def test_a_feature_has_kinds_of_deliveries_and_data_of_a_turn() -> None:
    @dataclass(slots=True)
    class Greeted:
        names: tuple[str, ...] = ()

    class Greetings(TurnFeature):
        def __init__(self, turns: Turns) -> None:
            super().__init__(turns)
            self.kinds = {"greet": Kind(open=self._note, end=self._count)}
            self.seen: list[tuple[str, ...]] = []

        async def _note(self, turn: Turn) -> Ack:
            turn.data.put(Greeted(("Ann",)))
            self.seen.append(turn.data.of(Greeted).names)
            return Ack()

        def _count(self, delivery: Delivery, commit: Commit) -> None:
            self.seen.append((delivery.id, type(commit.outcome).__name__))

    made: list[Greetings] = []

    def features(turns: Turns) -> list[Feature]:
        made.append(Greetings(turns))
        return [*made]

    stage = Stage(features)
    async with stage.storage:
        await stage.storage.schedule(Timer("1", NOW, "c:1", "greet", b"{}"))
        await stage.storage.fire(NOW)
        await stage.handle()
    assert made[0].seen == [("Ann",), ("i.greet.1", "Ack")]


async def test_a_delivery_that_a_feature_does_not_know_reaches_the_handlers_of_the_bot() -> None:
    stage = Stage()
    await stage.storage.schedule(Timer("1", NOW, "c:1", "greet", b"{}"))
    await stage.storage.fire(NOW)
    await stage.handle()
    assert (stage.linq.said(), await stage.storage.depth()) == ([], 0)
