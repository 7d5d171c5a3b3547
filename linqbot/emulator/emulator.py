"""The emulator: a pretend Linq to write a bot against, with the person's phone in your hand.

It knows Linq and nothing of linqbot: whatever speaks Linq's API can be tried on it. `app.py` serves it; in tests it
is used as it is, without a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from linqbot.clock import MovableClock
from linqbot.emulator import statefile
from linqbot.emulator.acts.act import Act, Result_co
from linqbot.emulator.api import CALLS_KEPT
from linqbot.emulator.endpoints import subscriptions
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import shapes
from linqbot.emulator.model.faults import Fault
from linqbot.emulator.model.records import Line, SubscriptionRecord, iso
from linqbot.emulator.model.state import State
from linqbot.errors import ConfigError

LINES = ("+12025550100", "+12025550101")
SHOWN = 200


class Emulator:
    """A stateful Linq on this machine.

    `async with` runs what happens by itself: deliveries, receipts, timers. It may be entered again inside, as
    `create_app` does when served. Methods change the state at once; webhooks follow by themselves, and `flush`
    waits for them.

    Args:
        clock: Whose time it is; None runs with the wall clock and can be moved.
        api_key: The bearer token the API lets in; None lets any in.
        public_url: Where it is reached; upload and download addresses begin with it.
        keeps_s: The account is of the ephemeral tier: messages are gone from the API after so many seconds (Linq: an
            hour to a day) and up to five minutes more. None keeps them.
        sandbox: The account is one (R15): people must write first, and 100 messages a day is all.
        delivery_transport: How webhooks leave; None is HTTP. An `httpx.ASGITransport` delivers in-process.
    """

    def __init__(
        self,
        *,
        clock: MovableClock | None = None,
        api_key: str | None = None,
        public_url: str = "http://127.0.0.1:4010",
        delivery_transport: httpx.AsyncBaseTransport | None = None,
        sandbox: bool = False,
        keeps_s: float | None = None,
    ) -> None:
        self.clock = clock or MovableClock()
        self.api_key = api_key
        self.world = World(self.clock, public_url=public_url.rstrip("/"), delivery_transport=delivery_transport)
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.observations: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._own_subscriptions: list[SubscriptionRecord] = []
        self._sandbox, self._keeps_s = sandbox, keeps_s
        self.state.is_sandbox, self.state.keeps_s = sandbox, keeps_s
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
    def state(self) -> State:
        """The records, to look at."""
        return self.world.state

    @property
    def public_url(self) -> str:
        return self.world.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self.world.public_url = url.rstrip("/")

    def do(self, act: Act[Result_co]) -> Result_co:
        """Perform an act of a person, of Linq or of the account's team, see `linqbot/emulator/acts`.

        Returns:
            The result of the act: the ids of what is new, or None.
        Raises:
            ApiError: the act is not possible now.
        Example:
            `emulator.do(Write(from_="+14155550142", to="+12025550100", parts=[Text(value="hi")]))`
        """
        return act.perform(self.world)

    # Around it

    def subscribe(
        self, target_url: str, events: Sequence[str] | None = None, *, phone_numbers: Sequence[str] | None = None
    ) -> SubscriptionRecord:
        """Deliver events to `target_url`; None is all types. The secret is in the answer's `secret`.

        Unlike those made through the API, such a subscription survives `reset`: it belongs to whoever runs us.
        """
        subscription = subscriptions.subscribe(self.world, target_url, events, phone_numbers=phone_numbers)
        self._own_subscriptions.append(subscription)
        return subscription

    def add_fault(self, fault: Fault) -> str:
        """Spoil the next things that match; returns the fault's id."""
        return self.world.faults.add(fault).id

    def clear_faults(self) -> None:
        self.world.faults.clear()

    def advance(self, seconds: float) -> float:
        """Move the clock and do what was due by then; returns the time."""
        self.clock.advance(seconds)
        self.world.timers.run_due()
        return self.clock.now()

    def freeze(self, *, frozen: bool = True) -> float:
        """Stop the clock, or let it run on; returns the time."""
        if frozen:
            self.clock.freeze()
        else:
            self.clock.run()
        return self.clock.now()

    async def flush(self) -> None:
        """Return when nothing is under way: messages on their way have arrived and their events were delivered.

        Retries that wait for their time do not count; nor does anything that waits for a clock that stands still.
        """
        await self.world.deliveries.settled()
        while not self.clock.is_frozen and self.clock.now() < self.world.settles_at:
            await self.clock.wait_until(self.world.settles_at)
            self.world.timers.run_due()
            await self.world.deliveries.settled()

    def observe(self, record: dict[str, Any]) -> None:
        """Show the page what a bot says about itself, such as the record of a turn."""
        self.observations.append(record)
        self.world.feed.publish("observation", lambda: record)

    def end_streams(self) -> None:
        """End every page's stream of events, so that a server can stop."""
        self.world.feed.close()

    # The whole state

    def reset(self, seed: Mapping[str, Any] | None = None) -> None:
        """Begin again: two healthy lines and no chats, or what `seed` says, in the shapes of `save_state`.

        Raises:
            ConfigError: the seed is not in those shapes; then it is as without one.
        """
        self._clear()
        try:
            self._seed() if seed is None else self._load(seed)
        finally:
            for subscription in self._own_subscriptions:
                self.state.subscriptions[subscription.id] = subscription
                self.world.deliveries.open(subscription)
            self.world.feed.publish("reset", dict)

    def load_state(self, data: Mapping[str, Any]) -> None:
        """Replace everything by a state saved earlier, or written by hand.

        Raises:
            ConfigError: it does not have the API's shapes; then the state is that of a new emulator.
        """
        self.reset(data)

    def save_state(self) -> dict[str, Any]:
        """Everything, as one JSON object in the API's own shapes. It holds signing secrets: keep it private."""
        own = {subscription.id for subscription in self._own_subscriptions}
        data = statefile.dump(self.world)
        data["webhook_subscriptions"] = [one for one in data["webhook_subscriptions"] if one["id"] not in own]
        return data

    def snapshot(self) -> dict[str, Any]:
        """What the page shows: chats with messages, subscriptions, and what went in and out lately."""
        return {
            "now": iso(self.clock.now()),
            "lines": [shapes.line(line) | {"status": line.status} for line in self.state.lines.values()],
            "chats": [
                shapes.watched_chat(chat)
                | {"messages": [shapes.watched_message(one) for one in chat.messages], "typing": list(chat.typing)}
                for chat in self.state.chats.values()
            ],
            "subscriptions": [shapes.subscription(one) for one in self.state.subscriptions.values()],
            "deliveries": [one.shape() for one in list(self.world.deliveries.history)[-SHOWN:]],
            "calls": list(self.calls),
            "observations": list(self.observations),
        }

    def _clear(self) -> None:
        world = self.world
        world.timers.clear()
        world.faults.clear()
        world.deliveries.clear()
        world.state = State()
        world.state.is_sandbox, world.state.keeps_s = self._sandbox, self._keeps_s
        world.settles_at = 0.0
        self.calls.clear()
        self.observations.clear()

    def _seed(self) -> None:
        for phone_number in LINES:
            self.state.lines[phone_number] = Line(phone_number)

    def _load(self, data: Mapping[str, Any]) -> None:
        try:
            statefile.load(self.world, data)
        except ValueError as error:
            self._clear()
            self._seed()
            raise ConfigError(f"{error}. See what `save_state` writes.") from error
        if not self.state.lines:
            self._seed()
