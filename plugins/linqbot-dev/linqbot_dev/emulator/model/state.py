"""Everything that the emulator remembers: its records, the feed of all changes, and the timers of its clock."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeAlias

from linqbot.clock import MovableClock
from linqbot_dev.emulator.model import records
from linqbot_dev.emulator.model.answers import encode, existing
from linqbot_dev.emulator.model.documents import new_id


class EmulatorState:
    """The records by kind.

    Attributes:
        keys: Idempotency key to message id. A key outlives its message, so that the message is never sent again.
        opted_out: Handles that wrote STOP and nothing since.
        services: The service of a person's phone, for people without iMessage.
        shares: Locations by (handle, line).
        released: Lines that the account no longer has. Work in progress on them still ends.
        received_cards: The card that each person last shared with each line.
        payment_keys: Idempotency key with its purpose, to the id of the payment or request that was made.
        is_sandbox: A sandbox account: people must write first, and 100 messages a day are the limit (R15).
        sends: The times at which each (line, recipient) pair was last written to, for the rate limit.
    """

    def __init__(self) -> None:
        self.lines: dict[str, records.Line] = {}
        self.chats: dict[str, records.ChatRecord] = {}
        self.messages: dict[str, records.MessageRecord] = {}
        self.attachments: dict[str, records.AttachmentRecord] = {}
        self.subscriptions: dict[str, records.SubscriptionRecord] = {}
        self.cards: dict[str, records.ContactCardRecord] = {}
        self.blocked: dict[str, records.BlockedHandleRecord] = {}
        self.shares: dict[tuple[str, str], records.Share] = {}
        self.payment_requests: dict[str, records.PaymentRequestRecord] = {}
        self.payments: dict[str, records.PaymentRecord] = {}
        self.payment_keys: dict[str, str] = {}
        self.connections: dict[str, records.ConnectionRecord] = {}
        self.providers: dict[str, str] = dict.fromkeys(("stripe", "natural", "agentcard"), "ready")
        self.audits: dict[str, records.Audit] = {}
        self.released: dict[str, records.Line] = {}
        self.received_cards: dict[tuple[str, str], tuple[str, str, str | None]] = {}
        self.is_sandbox = False
        self.sandbox_day: tuple[int, int] = (0, 0)
        self.opted_out: set[str] = set()
        self.services: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.card_writes: dict[str, list[float]] = defaultdict(list)
        self.sends: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._direct: dict[tuple[str, str], records.ChatRecord] = {}
        self._handle_ids: dict[str, str] = {}
        self._seq = itertools.count(1)

    def next_seq(self) -> int:
        """Return the next sequence number. Later records have higher numbers."""
        return next(self._seq)

    def chat(self, chat_id: str) -> records.ChatRecord:
        return existing(self.chats.get(chat_id), "chat")

    def message(self, message_id: str) -> records.MessageRecord:
        return existing(self.messages.get(message_id), "message")

    def poll(self, message_id: str) -> tuple[records.ChatRecord, records.MessageRecord, records.PollRecord]:
        message = self.message(message_id)
        return self.chats[message.chat_id], message, existing(message.poll, "message")

    def attachment(self, attachment_id: str) -> records.AttachmentRecord:
        return existing(self.attachments.get(attachment_id), "attachment")

    def subscription(self, subscription_id: str) -> records.SubscriptionRecord:
        return existing(self.subscriptions.get(subscription_id), "webhook subscription")

    def service_of(self, handle: str) -> str:
        return self.services.get(handle, "iMessage")

    def handle_id(self, handle: str, given: str | None = None) -> str:
        """Return the id of a handle, which is the same in every chat: its first one, by default a new one."""
        return self._handle_ids.setdefault(handle, given or new_id())

    def add_chat(self, chat: records.ChatRecord) -> None:
        self.chats[chat.id] = chat
        for member in chat.others if not chat.is_group else ():
            self._direct[chat.line, member.handle] = chat

    def add_message(self, chat: records.ChatRecord, message: records.MessageRecord) -> None:
        chat.messages.append(message)
        self.messages[message.id] = message
        if message.idempotency_key:
            self.keys[message.idempotency_key] = message.id

    def remove_message(self, message: records.MessageRecord) -> None:
        """Remove a message. Its idempotency key stays."""
        del self.messages[message.id]
        self.chats[message.chat_id].messages.remove(message)

    def remove_line(self, line: records.Line) -> None:
        """Remove a line from the account, with its card, its chats and their messages."""
        self.released[line.phone_number] = self.lines.pop(line.phone_number)
        self.cards.pop(line.phone_number, None)
        for chat in [chat for chat in self.chats.values() if chat.line == line.phone_number]:
            del self.chats[chat.id]
            for message in chat.messages:
                del self.messages[message.id]
        self._direct = {key: chat for key, chat in self._direct.items() if chat.line != line.phone_number}

    def chats_with(self, line: str, people: Iterable[str]) -> Iterator[records.ChatRecord]:
        """Yield the chats that our line has with exactly these people and has not left, most recently active first."""
        wanted = frozenset(people)
        if len(wanted) == 1:
            chat = self._direct.get((line, next(iter(wanted))))
            found = [chat] if chat else []
        else:
            found = [chat for chat in self.chats.values() if chat.is_group and chat.line == line]
            found = [chat for chat in found if chat.people == wanted and not chat.has_left]
        yield from sorted(found, key=lambda chat: (chat.updated_at, chat.seq), reverse=True)


BACKLOG = 1000
KEEP_ALIVE_S = 15.0

HELLO = b": hello\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class Feed:
    """Server-Sent Events for all readers.

    A reader that is `BACKLOG` events behind is disconnected. The reader connects again and reads the whole state, so
    that the emulator does not buffer without limit.
    """

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes | None]] = set()

    def publish(self, name: str, data: Callable[[], Any]) -> None:
        """Send an event to every reader. `data` is called only if there is a reader."""
        if not self._readers:
            return
        event = _event(name, data())
        for reader in list(self._readers):
            if reader.qsize() >= BACKLOG:
                self._disconnect(reader)
            else:
                reader.put_nowait(event)

    async def read(self, state: Callable[[], Any]) -> AsyncIterator[bytes]:
        """Yield the stream of one reader.

        Args:
            state: Returns what the reader needs to know before the first event.
        Yields:
            The state at once, as the event `state`, then events, and comments while nothing happens.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            # No event comes between the state and the first one in the queue: nothing is awaited before.
            yield HELLO + _event("state", state())
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._readers.discard(queue)

    def close(self) -> None:
        for reader in self._readers:
            reader.put_nowait(None)
        self._readers.clear()

    def _disconnect(self, reader: asyncio.Queue[bytes | None]) -> None:
        self._readers.discard(reader)
        while not reader.empty():
            reader.get_nowait()
        reader.put_nowait(None)


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))


log = logging.getLogger("linqbot.emulator")

Action: TypeAlias = Callable[[float], None]
"""Called with the time at which it was due, so that a far jump of the clock still produces the right times."""


ClockTimer: TypeAlias = tuple[float, Action]


class ClockTimers:
    """Actions in the order of their times.

    `run` executes them while the clock runs; `run_due` executes those that are due after the clock was moved.
    """

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._timers: list[ClockTimer] = []  # the first is due first
        self._sooner = asyncio.Event()

    def at(self, due: float, action: Action) -> ClockTimer:
        timer = (due, action)
        bisect.insort(self._timers, timer, key=itemgetter(0))
        if self._timers[0] is timer:
            self._sooner.set()
        return timer

    def cancel(self, timer: ClockTimer) -> None:
        self._timers.remove(timer)

    @property
    def next_due(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def clear(self) -> None:
        self._timers.clear()

    def run_due(self) -> None:
        """Execute all actions that are due, including those that an executed action schedules."""
        while self._timers and self._timers[0][0] <= self._clock.now():
            due, action = self._timers.pop(0)
            try:
                action(due)
            except Exception:
                # An action that fails must not prevent the actions after it.
                log.exception("timer.crashed")

    async def run(self) -> None:
        while True:
            self._sooner.clear()
            self.run_due()
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._sooner.wait())]
            if self._timers:
                waits.append(asyncio.create_task(self._clock.wait_until(self._timers[0][0])))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
