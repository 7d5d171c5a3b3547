"""The emulator: a Linq on this machine to try a bot with, and the person's phone.

It knows Linq and nothing of linqbot, so that any program that speaks Linq's API can use it. `web/app.py` serves it over
HTTP; tests use it in their own process, without a socket.
With a `BotRunner` such as that of `linqbot dev`, the page can look into the bot's storage, and the clock, a reset and a restart
concern the bot too. Without one the emulator knows only the bot's webhook address.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx

from linqbot.clock import MovableClock
from linqbot.errors import ConfigError
from linqbot_dev.emulator.acts.conversation import Act, Result_co, Write
from linqbot_dev.emulator.api import CALLS_KEPT
from linqbot_dev.emulator.declared_world import DeclaredWorld
from linqbot_dev.emulator.endpoints import subscriptions
from linqbot_dev.emulator.engine.deliveries import RETRY_WINDOW_S
from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, shapes
from linqbot_dev.emulator.model.answers import conflict
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.records import SubscriptionRecord
from linqbot_dev.emulator.model.state import EmulatorState
from linqbot_dev.emulator.statefile import dump, load


class BotRunner:
    """Runs the bot of an emulator; this base class is for an emulator that does not run its bot.

    Every method raises ApiError if what it does is not possible now.
    """

    runs_bot = False

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def write(self, message: Write) -> dict[str, str | None]:
        """Keep what is needed to restart from this message, then perform the act."""
        return self._emulator.do(message)

    async def move_to(self, at: float) -> str | None:
        """Move the clocks of emulator and bot forward to a time, in Unix seconds.

        What is due on the way happens at its time and in its order.

        Returns:
            Why the clocks stopped before that time; None if they got there.
        """
        self._emulator.advance_to(at)
        return None

    async def follow_clock(self) -> None:
        """Give the bot the emulator's clock, after it was stopped or started."""

    async def stored(self, chat_id: str | None) -> dict[str, Any]:
        """Return what the bot stores, as JSON: scheduled sends of all chats, the bot's state, and the rest of one chat."""
        return {"available": False}

    async def run_again(self, message_id: str) -> None:
        """Let the bot handle a person's message again, and send everything again. Raises ApiError if it cannot."""
        raise conflict(_NO_BOT)

    async def restart_from(self, message_id: str) -> dict[str, str | None]:
        """Return emulator and bot to the state before a message, and write it again. Raises ApiError if it cannot."""
        raise conflict(_NO_BOT)

    async def reset(self) -> None:
        """Empty the emulator and the bot's storage, and return to real time."""
        self._emulator.reset()
        if not self._emulator.clock.is_frozen:
            self._emulator.return_to_real_time()


_NO_BOT = "This emulator does not run the bot. Start both with linqbot dev."
SHOWN = 200
"""The deliveries, calls and reports of turns that a page shows at first."""
REPORTS_KEPT = 1000


class Emulator:
    """A stateful Linq on this machine.

    `async with` runs the background work: deliveries, receipts, timers. It may be entered again inside, as `create_app`
    does when served. Methods change the state at once; webhooks follow in the background, and `flush` waits for them.

    Args:
        clock: The emulator's time; None is a clock that follows the wall clock and can be moved.
        api_key: The bearer token that the API accepts; None accepts any token.
        public_url: The address of the emulator; upload and download addresses begin with it.
        delivery_transport: The transport of webhooks; None is HTTP. An `httpx.ASGITransport` delivers in this process.
        declared: The people, groups and lines at the beginning, and again after a `reset`; None is two healthy lines.
    Attributes:
        calls: The latest calls to the API, oldest first.
        observations: The latest reports of turns that a bot has shown on the page, oldest first.
        bot: The latest report about the start of the bot; None if there was none.
        runner: The program that runs the bot, which the page asks about it.
    """

    def __init__(
        self,
        *,
        clock: MovableClock | None = None,
        api_key: str | None = None,
        public_url: str = "http://127.0.0.1:4010",
        delivery_transport: httpx.AsyncBaseTransport | None = None,
        declared: DeclaredWorld | None = None,
    ) -> None:
        self.declared = declared or DeclaredWorld()
        self.clock = clock or MovableClock()
        self.api_key = api_key
        self.world = World(self.clock, public_url=public_url.rstrip("/"), delivery_transport=delivery_transport)
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.observations: deque[dict[str, Any]] = deque(maxlen=REPORTS_KEPT)
        self.bot: dict[str, Any] | None = None
        self.bot_starts: deque[str] = deque(maxlen=1000)  # the times at which its file was loaded
        self.runner = BotRunner(self)
        self._own_subscriptions: list[SubscriptionRecord] = []
        self._entered = 0
        self._timers: asyncio.Task[None] | None = None
        self._seed()

    async def __aenter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            await self.world.deliveries.start()
            self._timers = asyncio.create_task(self.world.timers.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered == 0:
            self.end_streams()
            assert self._timers is not None
            self._timers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timers
            await self.world.deliveries.stop()

    @property
    def state(self) -> EmulatorState:
        return self.world.state

    @property
    def public_url(self) -> str:
        return self.world.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self.world.public_url = url.rstrip("/")

    def do(self, act: Act[Result_co]) -> Result_co:
        """Perform an act of a person, of Linq or of the account's team, see `plugins/linqbot-dev/linqbot_dev/emulator/acts`.

        Returns:
            The result of the act: the ids of what is new, or None.
        Raises:
            ApiError: the act is not possible now.
        Example:
            `emulator.do(Write(from_="+14155550142", to="+12025550100", parts=[Text(value="hi")]))`
        """
        return act.perform(self.world)

    # Subscriptions, clock

    def subscribe(self, target_url: str, events: Sequence[str] | None = None) -> SubscriptionRecord:
        """Deliver events to `target_url`; None is all types. The secret is the `secret` of the result.

        Unlike subscriptions made through the API, this one survives `reset`: it belongs to the program that runs the
        emulator.

        Raises:
            ApiError: 400, the address is not valid; 409, another subscription has this address.
        """
        subscription = subscriptions.subscribe(self.world, target_url, events)
        self._own_subscriptions.append(subscription)
        return subscription

    def change_events(self, subscription: SubscriptionRecord, events: Sequence[str]) -> None:
        """Deliver other types of events to a subscription made with `subscribe`. No event reports the change."""
        subscription.subscribed_events = list(events)
        subscription.updated_at = self.clock.now()

    def retry_unanswered(self, subscription: SubscriptionRecord) -> None:
        """Deliver again now what a subscription's receiver has not answered, because it is known to be back."""
        self.world.deliveries.retry_unanswered(subscription.id)

    def advance(self, seconds: float) -> float:
        """Move the clock forward, do everything that is due by then, and return the time in Unix seconds."""
        self.clock.advance(seconds)
        self.world.timers.run_due()
        self.world.show_conditions()
        return self.clock.now()

    def advance_to(self, at: float) -> None:
        """Move the clock to a time, in Unix seconds, and do everything that is due by then."""
        # In a loop: a sum of floats may fall short of `at` by the last bit, and what is due at `at` would not be done.
        while (now := self.clock.now()) < at:
            self.advance(max(at - now, math.ulp(at)))

    def return_to_real_time(self) -> None:
        """Let the clock show real time again. The state must be empty: nothing in it may lie in the future."""
        self.clock.run_ahead(0.0)
        self.world.show_conditions()

    def freeze(self, *, frozen: bool = True) -> float:
        """Stop the clock, or let it run again, and return the time in Unix seconds."""
        if frozen:
            self.clock.stop_at(self.clock.now())
        else:
            self.clock.run_ahead(self.clock.ahead_s)
        self.world.show_conditions()
        return self.clock.now()

    async def flush(self) -> None:
        """Return when nothing is in progress: messages have arrived, and their events were delivered.

        A retry that is not due yet does not count. Neither does anything that waits for the clock while it stands still.
        """
        if not self.clock.is_frozen:
            self.world.timers.run_due()  # the task that runs them may not have noticed yet that the clock was moved
        await self.world.deliveries.settled()
        while not self.clock.is_frozen and self.clock.now() < self.world.settles_at:
            await self.clock.wait_until(self.world.settles_at)
            self.world.timers.run_due()
            await self.world.deliveries.settled()

    def observe(self, report: Mapping[str, Any]) -> None:
        """Show a report of the bot on the page: of a turn, or of its start. Of the latter only the latest is kept.

        Args:
            report: As `linqbot dev` makes it. The time on the emulator's clock is added as `at`, if it has none.
        """
        shown = {**report, "at": report.get("at") or iso(self.clock.now())}
        if report.get("kind") == "bot":
            self.bot = shown
            if report.get("status") == "loaded":
                self.bot_starts.append(shown["at"])
        else:
            self.observations.append(shown)
        self.world.feed.publish("observation", lambda: shown)

    def end_streams(self) -> None:
        """End the event streams of all pages, so that a server can stop."""
        self.world.feed.close()

    # The whole state

    def reset(self, seed: Mapping[str, Any] | None = None) -> None:
        """Start again with the declared world, by default two healthy lines; or with `seed`, as `save_state` or a person has written it.

        Raises:
            ConfigError: the seed does not have this shape; the state is then that without a seed.
        """
        self._clear()
        try:
            self._seed() if seed is None else self._load(seed)
        finally:
            for subscription in self._own_subscriptions:
                self.state.subscriptions[subscription.id] = subscription
                self.world.deliveries.open(subscription)
            self.world.show_all()

    def save_state(self, *, with_files: bool = True) -> dict[str, Any]:
        """Return everything as one JSON object in the shapes of the API. It holds signing secrets: keep it private.

        Args:
            with_files: False leaves out the attachments, which may be large.
        """
        own = {subscription.id for subscription in self._own_subscriptions}
        data = dump(self.world, with_files=with_files)
        data["webhook_subscriptions"] = [one for one in data["webhook_subscriptions"] if one["id"] not in own]
        return data

    def rewinder(self, *, stored_until: float) -> Callable[[], None]:
        """Return a function that returns the emulator to its present state, whenever and however often it is called.

        It keeps what `save_state` saves and, in addition, the latest webhooks, the page's records and the faults. Rate
        limits, typing and shared locations start again.

        Args:
            stored_until: The time of the copy of the receiver's storage that belongs to this state, in Unix seconds on
                the emulator's clock. Events that were delivered later are not in the copy, and are delivered again.
        """
        world, now, ahead_s = self.world, self.clock.now(), self.clock.ahead_s
        state = self.save_state(with_files=False)
        files = list(map(replace, self.state.attachments.values()))
        deliveries = list(map(_copied, list(world.deliveries.history)[-SHOWN:]))
        undelivered = dict.fromkeys(one.event_id for one in deliveries if _is_undelivered(one, stored_until, now))
        calls, observations = list(self.calls), list(self.observations)
        faults = [fault.model_copy() for fault in world.faults.active]

        def rewind() -> None:
            self.reset(state)
            self.state.attachments.update({one.id: replace(one) for one in files})
            self.clock.run_ahead(ahead_s)
            world.deliveries.history.extend(map(_copied, deliveries))
            self.calls.extend(calls)
            self.observations.extend(observations)
            for fault in faults:
                world.faults.add(fault.model_copy())
            world.show_conditions()
            for event_id in undelivered:
                world.deliveries.replay(event_id)

        return rewind

    def snapshot(self, *, latest: int | None = None) -> dict[str, Any]:
        """Return everything that the page shows: chats with messages, payments, subscriptions, deliveries, calls.

        Args:
            latest: At most this many messages of each chat, the newest; `earlier` is then the number of the others. None
                is all messages.
        """
        return {
            "now": iso(self.clock.now()),
            "people": [{"handle": person.handle, "name": person.name} for person in self.declared.people],
            "lines": [documents.shown(line) | {"status": line.status} for line in self.state.lines.values()],
            "chats": [
                shapes.watched_chat(chat, self.state)
                | {"earlier": (earlier := 0 if latest is None else max(0, len(chat.messages) - latest))}
                | {"messages": [shapes.watched_message(one) for one in chat.messages[earlier:]]}
                | {"typing": list(chat.typing)}
                for chat in self.state.chats.values()
            ],
            "payments": [
                *map(shapes.watched_payment, self.state.payment_requests.values()),
                *map(shapes.watched_payment, self.state.payments.values()),
            ],
            "subscriptions": [documents.shown(one) for one in self.state.subscriptions.values()],
            "deliveries": list(map(documents.shown, list(self.world.deliveries.history)[-SHOWN:])),
            "calls": list(self.calls)[-SHOWN:],
            "observations": list(self.observations)[-SHOWN:],
            "bot": self.bot,
            "conditions": self.world.conditions(),
            "has_runner": self.runner.runs_bot,
        }

    def _clear(self) -> None:
        world = self.world
        world.timers.clear()
        world.faults.clear()
        world.deliveries.clear()
        world.state = EmulatorState()
        world.settles_at = 0.0
        self.calls.clear()
        self.observations.clear()

    def _seed(self) -> None:
        # Each line has a card, as a sandbox line that was set up: Linq's example bots share it before their first answer.
        load(self.world, self.declared.state())

    def _load(self, data: Mapping[str, Any]) -> None:
        try:
            load(self.world, data)
        except ValueError as error:
            self._clear()
            self._seed()
            raise ConfigError(f"{error}. See what `save_state` writes.") from error
        if not self.state.lines:
            self._seed()


def _copied(delivery: WebhookDelivery) -> WebhookDelivery:
    return replace(delivery, attempts=list(delivery.attempts))


def _is_undelivered(delivery: WebhookDelivery, stored_until: float, now: float) -> bool:
    """Return True if the receiver may not have stored an event at `stored_until`, and Linq would still deliver it."""
    if delivery.created_at + RETRY_WINDOW_S < now:
        return False
    if not delivery.attempts:
        return True
    last = delivery.attempts[-1]
    return last.is_repeated or last.at + last.ms / 1000 >= stored_until
