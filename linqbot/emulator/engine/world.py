"""What every noun works on: the state, the clock, and the two ways out, webhooks and the page's feed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx

from linqbot.clock import MovableClock
from linqbot.emulator.engine.deliveries import Deliveries
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.faults import Faults
from linqbot.emulator.model.feed import Feed
from linqbot.emulator.model.records import ChatRecord, Line, MessageRecord
from linqbot.emulator.model.state import State
from linqbot.emulator.model.timers import ClockTimers

SWEEP_EVERY_S = 300.0


class World:
    """One pretend Linq.

    Attributes:
        public_url: Where we are reached: the beginning of upload and download addresses.
        has_network: False in-process, where no address leads anywhere.
        settles_at: When the last message under way will have reached its end, on the emulator's clock.
    """

    def __init__(
        self, clock: MovableClock, *, public_url: str, delivery_transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.clock = clock
        self.public_url = public_url
        self.state = State()
        self.timers = ClockTimers(clock)
        self.faults = Faults()
        self.feed = Feed()
        self.deliveries = Deliveries(clock, self.timers, self.faults, self.feed, delivery_transport)
        self.has_network = delivery_transport is None
        self.settles_at = 0.0

    def now(self) -> float:
        return self.clock.now()

    def line_of(self, chat: ChatRecord) -> Line:
        return self.state.lines.get(chat.line) or self.state.released[chat.line]

    def remember(self, chat: ChatRecord, message: MessageRecord) -> None:
        """A message is in its chat now: for good, or on an account that keeps none, until the next sweep after its time."""
        self.state.add_message(chat, message)
        if self.state.keeps_s is not None:
            due = message.created_at + self.state.keeps_s
            self.timers.at(math.ceil(due / SWEEP_EVERY_S) * SWEEP_EVERY_S, lambda _: self._forget(message))

    def _forget(self, message: MessageRecord) -> None:
        if self.state.messages.get(message.id) is message:
            self.state.remove_message(message)
            self.feed.publish("message_deleted", lambda: {"chat_id": message.chat_id, "id": message.id})

    # Webhooks

    def emit(self, event_type: str, data: Callable[[], dict[str, Any]], chat: ChatRecord) -> None:
        """An event of a chat, alike in all payload versions."""
        self._emit(event_type, lambda _: data(), chat)

    def emit_message(self, event_type: str, chat: ChatRecord, message: MessageRecord) -> None:
        """`message.sent`, `.received`, `.delivered` or `.read`, in the shape of each subscription's version."""
        quiet = self.line_of(chat).zero_retention

        def data(version: str) -> dict[str, Any]:
            if version == payloads.OLD:
                return payloads.old_message(chat, message, event_type)
            return payloads.message(chat, message, zero_retention=quiet)

        self._emit(event_type, data, chat)

    def emit_edited(self, chat: ChatRecord, message: MessageRecord, index: int, at: float) -> None:
        quiet = self.line_of(chat).zero_retention

        def data(version: str) -> dict[str, Any] | None:
            if version == payloads.OLD:
                return None
            return payloads.edited(chat, message, index, at, zero_retention=quiet)

        self._emit("message.edited", data, chat)

    def emit_account(self, event_type: str, data: dict[str, Any], *, line: str | None = None) -> None:
        """An event of the account or of a line, in no chat."""
        self.deliveries.emit(event_type, lambda _: data, line=line, chat_id=None, subjects=())

    def _emit(self, event_type: str, data: Callable[[str], dict[str, Any] | None], chat: ChatRecord) -> None:
        self.deliveries.emit(event_type, data, line=chat.line, chat_id=chat.id, subjects=chat.people)

    # The page's feed

    def show_chat(self, chat: ChatRecord) -> None:
        self.feed.publish("chat", lambda: shapes.watched_chat(chat))

    def show_message(self, message: MessageRecord) -> None:
        self.feed.publish("message", lambda: shapes.watched_message(message))

    def show_typing(self, chat: ChatRecord, handle: str, state: str) -> None:
        self.feed.publish(
            "typing",
            lambda: {"chat_id": chat.id, "handle": handle, "is_me": handle == chat.line, "state": state},
        )
