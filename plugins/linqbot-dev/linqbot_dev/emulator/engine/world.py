"""The world that every endpoint and act works on: the state, the clock, webhooks, and the feed of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from linqbot.clock import MovableClock
from linqbot_dev.emulator.engine.deliveries import Deliveries
from linqbot_dev.emulator.model import payloads, shapes
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.faults import Faults
from linqbot_dev.emulator.model.records import ChatRecord, Line, MessageRecord, PaymentRecord, PaymentRequestRecord
from linqbot_dev.emulator.model.state import ClockTimers, EmulatorState, Feed


class World:
    """The state and the connections of one emulator.

    Attributes:
        public_url: The address of the emulator: the beginning of upload and download addresses.
        settles_at: The time at which the last message in progress will have arrived, on the emulator's clock.
    """

    def __init__(
        self, clock: MovableClock, *, public_url: str, delivery_transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.clock = clock
        self.public_url = public_url
        self.state = EmulatorState()
        self.timers = ClockTimers(clock)
        self.faults = Faults(self.show_conditions)
        self.feed = Feed()
        self.deliveries = Deliveries(clock, self.timers, self.faults, self.feed, delivery_transport)
        self.settles_at = 0.0

    def now(self) -> float:
        return self.clock.now()

    def line_of(self, chat: ChatRecord) -> Line:
        """Return the line of a chat, including a line that the account no longer has."""
        return self.state.lines.get(chat.line) or self.state.released[chat.line]

    def delete(self, message: MessageRecord) -> None:
        self.state.remove_message(message)
        self.feed.publish("message_deleted", lambda: {"chat_id": message.chat_id, "id": message.id})

    # Webhooks

    def emit(
        self, event_type: str, data: JsonObject, chat: ChatRecord, versions: Iterable[str] = payloads.VERSIONS
    ) -> None:
        """Deliver an event of a chat that is the same in these payload versions."""
        self._emit(event_type, dict.fromkeys(versions, self._withheld(data, chat)), chat)

    def emit_message(self, event_type: str, chat: ChatRecord, message: MessageRecord) -> None:
        """Deliver `message.sent`, `.received`, `.delivered` or `.read`, in the shape of each payload version."""
        data = {payloads.CURRENT: self._withheld(payloads.message(chat, message), chat)}
        if payloads.OLD in self.deliveries.versions:
            data[payloads.OLD] = payloads.old_message(chat, message, event_type)
        self._emit(event_type, data, chat)

    def emit_account(self, event_type: str, data: JsonObject, *, line: str | None = None) -> None:
        """Deliver an event of the account or of a line, which belongs to no chat."""
        self.deliveries.emit(event_type, dict.fromkeys(payloads.VERSIONS, data), line=line, chat_id=None)

    def _withheld(self, data: JsonObject, chat: ChatRecord) -> JsonObject:
        has_content = "direction" in data  # of a message or a poll
        return payloads.withheld(data) if has_content and self.line_of(chat).zero_retention else data

    def _emit(self, event_type: str, data: Mapping[str, JsonObject], chat: ChatRecord) -> None:
        self.deliveries.emit(event_type, data, line=chat.line, chat_id=chat.id, subjects=chat.people)

    # The page's feed

    def conditions(self) -> dict[str, Any]:
        """Return as JSON everything that makes this world differ from an ordinary Linq now.

        The page shows it at all times, so that a fault which was left switched on is not taken for a bug. `ahead_s` says
        how far the time `now` is ahead of real time.
        """
        return {
            "now": iso(self.now()),
            "ahead_s": round(self.clock.ahead_s, 3),
            "is_frozen": self.clock.is_frozen,
            "faults": [fault.shape() for fault in self.faults.active],
            "opted_out": sorted(self.state.opted_out),
            "flagged_lines": [line.phone_number for line in self.state.lines.values() if not line.can_send],
        }

    def show_all(self) -> None:
        """Let each page read the whole state again."""
        self.feed.publish("reset", dict)

    def show_conditions(self) -> None:
        self.feed.publish("conditions", self.conditions)

    def show_chat(self, chat: ChatRecord) -> None:
        self.feed.publish("chat", lambda: shapes.watched_chat(chat, self.state))

    def show_message(self, message: MessageRecord) -> None:
        self.feed.publish("message", lambda: shapes.watched_message(message))

    def show_payment(self, payment: PaymentRequestRecord | PaymentRecord) -> None:
        self.feed.publish("payment", lambda: shapes.watched_payment(payment))

    def show_typing(self, chat: ChatRecord, handle: str, state: str) -> None:
        """Send a change of typing dots to the page. `state` is `started` or `stopped`."""
        self.feed.publish(
            "typing", lambda: {"chat_id": chat.id, "handle": handle, "is_me": handle == chat.line, "state": state}
        )
