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
from linqbot.emulator import person, statefile
from linqbot.emulator.api import CALLS_KEPT
from linqbot.emulator.endpoints import contact_cards, lines, subscriptions
from linqbot.emulator.endpoints.payments import payments
from linqbot.emulator.engine.sending import line_of_account
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

    # What a person does. All raise ApiError when it cannot be done.

    def inbound(
        self,
        from_: str,
        to: str,
        parts: Sequence[Mapping[str, Any]],
        *,
        chat_id: str | None = None,
        group: Sequence[str] = (),
        reply_to: Mapping[str, Any] | None = None,
        effect: Mapping[str, Any] | None = None,
        service: str | None = None,
        sent_at: float | None = None,
        reconciled_at: float | None = None,
    ) -> dict[str, str | None]:
        """A person writes to our line `to`; a chat that does not exist yet begins.

        Args:
            parts: `{"type": "text", "value": …}`, `{"type": "link", "value": …}` or
                `{"type": "media", "filename": …, "mime_type": …, "data_base64": …}` (or `url`).
            group: The other people of a group.
            service: What the person's phone speaks from now on; iMessage unless said.
            sent_at, reconciled_at: Unix seconds, for a message that Linq found late.
        Returns:
            `chat_id` and `message_id`; both None when the person is blocked.
        """
        message = person.write(
            self.world,
            from_,
            to,
            parts,
            chat_id=chat_id,
            group=group,
            reply_to=reply_to,
            effect=effect,
            service=service,
            sent_at=sent_at,
            reconciled_at=reconciled_at,
        )
        if message is None:
            return {"chat_id": None, "message_id": None}
        return {"chat_id": message.chat_id, "message_id": message.id}

    def react(
        self,
        from_: str,
        message_id: str,
        type_: str,
        *,
        operation: str = "add",
        custom_emoji: str | None = None,
        part_index: int = 0,
        sticker: Mapping[str, Any] | None = None,
    ) -> None:
        """A person sets or takes back a tapback; `sticker` says what it shows: `emoji`, `url` or `attachment_id`."""
        asked = {"type": type_, "operation": operation, "custom_emoji": custom_emoji, "part_index": part_index}
        person.react(self.world, from_, message_id, asked | dict(sticker or {}))

    def read(self, from_: str, chat_id: str, message_id: str | None = None) -> None:
        """A person reads our messages, all or up to `message_id`."""
        person.read(self.world, from_, self.state.chat(chat_id), message_id)

    def typing(self, from_: str, chat_id: str, *, is_typing: bool = True) -> None:
        """A person begins or stops typing."""
        person.type_(self.world, self.state.chat(chat_id), from_, is_typing=is_typing)

    def poll(self, from_: str, chat_id: str, options: Sequence[str]) -> str:
        """A person makes a poll; returns its message id."""
        return person.make_poll(self.world, from_, self.state.chat(chat_id), options).id

    def add_options(self, from_: str, message_id: str, options: Sequence[str]) -> None:
        """A person adds options to a poll."""
        person.add_options(self.world, from_, message_id, options)

    def vote(self, from_: str, message_id: str, option_id: str, *, is_on: bool = True) -> None:
        """A person votes for an option, or takes the vote back."""
        person.vote(self.world, from_, message_id, option_id, is_on=is_on)

    def share_location(
        self, from_: str, chat_id: str, latitude: float, longitude: float, *, for_s: float | None = None
    ) -> None:
        """A person shares where they are, in degrees, for a time or (None) until they stop; or has moved on."""
        person.share_location(self.world, from_, self.state.chat(chat_id), latitude, longitude, for_s=for_s)

    def stop_sharing_location(self, from_: str, chat_id: str) -> None:
        """A person no longer shares where they are."""
        person.stop_sharing_location(self.world, from_, self.state.chat(chat_id))

    def edit(self, from_: str, message_id: str, text: str, part_index: int = 0) -> None:
        """A person changes what they wrote."""
        person.edit(self.world, from_, message_id, text, part_index)

    def leave(self, from_: str, chat_id: str, handle: str | None = None) -> None:
        """A person leaves a group, or takes `handle` out of it."""
        person.leave(self.world, from_, self.state.chat(chat_id), handle)

    def join(self, from_: str, chat_id: str, handle: str | None = None) -> None:
        """A person joins a group, or brings `handle` into it."""
        person.join(self.world, from_, self.state.chat(chat_id), handle)

    def share_card(
        self, from_: str, to: str, first_name: str, last_name: str = "", *, media_url: str | None = None
    ) -> None:
        """A person shares name and photo with our line `to`. Told once, and again when they change."""
        person.share_card(self.world, from_, to, (first_name, last_name, media_url))

    def pay(self, payment_id: str) -> None:
        """The payer pays a payment request, or approves a payment."""
        person.pay(self.world, payment_id)

    def decline(self, payment_id: str) -> None:
        """The payer, or their bank, says no to a payment request or a payment."""
        person.decline(self.world, payment_id)

    def connect(self, from_: str) -> None:
        """A customer goes through with connecting, so that they can be charged."""
        payments.complete(self.world, from_)

    def disconnect(self, from_: str) -> None:
        """A customer takes the connection back."""
        payments.disconnect(self.world, from_)

    # What Linq, or the team on its dashboard, does. All raise ApiError when it cannot be done.

    def assign_line(self, phone_number: str, *, line_type: str = "iMessage") -> None:
        """The account gets a line."""
        lines.assign(self.world, phone_number, line_type=line_type)

    def release_line(self, phone_number: str) -> None:
        """The account loses a line, and with it its chats."""
        lines.release(self.world, line_of_account(self.world, phone_number))

    def set_zero_retention(self, phone_number: str, *, is_on: bool) -> None:
        """Linq keeps nothing of what is said on a line from now on; or does so again."""
        lines.set_zero_retention(self.world, line_of_account(self.world, phone_number), is_on=is_on)

    def delete_card(self, phone_number: str) -> None:
        """A line's contact card is deleted."""
        contact_cards.delete(self.world, phone_number)

    def set_provider(self, provider: str, status: str) -> None:
        """A provider of payments is `ready`, `onboarding` or `disabled`; `stripe` not ready answers 403."""
        payments.set_provider(self.world, provider, status)

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
