"""Exchanges: each event of a bot, with the turns and the calls that followed.

The emulator knows none of these connections except ids of events and messages. The rest follows from the times. The
inspector of the page groups what it shows in the same way: `web/page/model/exchanges.js`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import iso

_RECEIPTS: Final = frozenset({
    "message.sent", "message.delivered", "message.read", "message.failed", "poll.sent", "poll.delivered", "poll.read",
    "chat.created", "chat.typing_indicator.started", "chat.typing_indicator.stopped",
})  # fmt: skip
WRITTEN: Final = frozenset({"message.received", "poll.received"})
"""The events of a person's message: it is theirs, and not one that the event refers to."""
_NEAR_MS: Final = 60_000
"""A call that no turn accounts for belongs to the exchange before it for this long."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(eq=False)
class Exchange:
    """An event, and what the bot did with it.

    Attributes:
        at: The time of the event, in milliseconds.
        delivery: The event as it was sent; None if only a turn reports it, such as that of a scheduled send.
        sent: The ids of the bot's messages.
        joined: The exchanges of further messages that the turn handled as one with the first; each is `joined_to` it.
    """

    at: int
    chat_id: str | None
    event_id: str
    event_type: str
    message_id: str | None
    delivery: WebhookDelivery | None = None
    turns: list[JsonObject] = field(default_factory=list)
    calls: list[JsonObject] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    joined: list[Exchange] = field(default_factory=list)
    joined_to: Exchange | None = None

    @cached_property
    def data(self) -> JsonObject:
        data: JsonObject = {} if self.delivery is None else json.loads(self.delivery.body)["data"]
        return data

    @property
    def is_repeatable(self) -> bool:
        return self.delivery is not None and self.delivery.repeatable


def milliseconds(at: str) -> int:
    """Return an ISO 8601 time in milliseconds since 1970: times of calls are no more exact."""
    return (datetime.fromisoformat(at) - _EPOCH) // timedelta(milliseconds=1)


def is_done(call: JsonObject) -> bool:
    """Return True if Linq did what a call asked for, also if the answer was then lost."""
    return call["status"] is not None and call["status"] < 400


def sent_message(call: JsonObject) -> JsonObject | None:
    """Return the message that a call has sent, as its answer shows it; None for another call and for one that failed."""
    answer = call["answer"]
    if not is_done(call) or call["method"] != "POST" or not isinstance(answer, dict):
        return None
    if call["path"].endswith("/polls"):
        return {**answer, "id": answer.get("message_id")}
    found = answer.get("message") or (answer.get("chat") or {}).get("message") or answer.get("voice_memo")
    return found if isinstance(found, dict) and found.get("id") else None


class Grouping:
    """Groups what an emulator keeps as exchanges: `all`, oldest first. A later report of an attempt replaces an earlier one."""

    def __init__(
        self, deliveries: Collection[WebhookDelivery], reports: Iterable[JsonObject], calls: Iterable[JsonObject]
    ) -> None:
        self.all: list[Exchange] = []
        self._by_event: dict[str, Exchange] = {}
        self._by_message: dict[str, Exchange] = {}
        self._in_chat = defaultdict[str | None, list[Exchange]](list)
        by_bot = {one.event_id for one in deliveries if one.by_bot}
        latest = {(one["event_id"], one["attempt"], one["started_at"]): one for one in reports}
        turns = [
            one | {"began": milliseconds(one["started_at"] or one["at"])}
            for one in latest.values()
            # Bots handle no receipts and no events of their own, as a rule: that no handler took one says nothing.
            if one["outcome"] != "not_handled" or not (one["event_id"] in by_bot or one["event_type"] in _RECEIPTS)
        ]
        handled = {one["event_id"] for one in turns}
        for one in deliveries:
            if not (one.by_bot or one.event_type in _RECEIPTS) or one.event_id in handled:
                self._begin(one)
        for turn in sorted(turns, key=lambda one: int(one["began"])):
            self._add_turn(turn)
        for found in (self.all, *self._in_chat.values()):
            found.sort(key=lambda one: one.at)
        for call in sorted(calls, key=lambda one: str(one["at"])):
            self._add_call(call)
        self._join()

    def _begin(self, one: WebhookDelivery) -> None:
        if one.event_id in self._by_event:
            return  # the same event for another subscription
        at = milliseconds(iso(one.created_at))
        new = Exchange(at, one.chat_id, one.event_id, one.event_type, one.message_id, one)
        self._add(new)
        if one.event_type in WRITTEN and one.message_id:
            self._by_message[one.message_id] = new

    def _add(self, new: Exchange) -> None:
        self.all.append(new)
        self._in_chat[new.chat_id].append(new)
        self._by_event[new.event_id] = new

    def _add_turn(self, turn: JsonObject) -> None:
        found = self._by_event.get(turn["event_id"]) or self._by_message.get(turn["message_id"])
        if found is None:
            # The webhook is no longer kept, or the report is not about one.
            kind = turn["event_type"] or ""
            found = Exchange(turn["began"], turn["chat_id"], turn["event_id"], kind, turn["message_id"])
            self._add(found)
        found.turns.append(turn)

    def _add_call(self, call: JsonObject) -> None:
        found = self._of_call(call)
        if found is None or call["path"].endswith(("/read", "/typing")):
            return
        found.calls.append(call)
        sent = sent_message(call)
        # A call that is repeated after a lost answer is answered with the same message.
        if sent is not None and sent["id"] not in found.sent:
            found.sent.append(sent["id"])
            self._by_message[sent["id"]] = found

    def _of_call(self, call: JsonObject) -> Exchange | None:
        """Return the exchange of a call.

        It is that of the turn during which it was made; else that of the message which it names; else the one before it in
        its chat. A call without a chat, such as an upload, has only the first. The turn of an event without a chat, such
        as a payment, may call into any chat.
        """
        at, chat_id = milliseconds(call["at"]), call["chat_id"]
        in_chat = self._in_chat[chat_id] if chat_id else []
        candidates = [*self._in_chat[None], *in_chat] if chat_id else self.all
        during = last(
            one for one in candidates if any(_covers(turn, at, is_last=turn is one.turns[-1]) for turn in one.turns)
        )
        named = self._by_message.get(_named_message(call))
        if during or named:
            return during or named
        near = [one for one in in_chat if 0 <= at - one.at <= _NEAR_MS]
        return last(one for one in near if not one.turns) or last(near)

    def _join(self) -> None:
        """Join the exchanges of messages that were handled as one."""
        for first in self.all:
            for message_id in (first.turns[-1].get("joined") or ()) if first.turns else ():
                other = self._by_message.get(message_id)
                if other is not None and other is not first and not other.turns:
                    first.joined.append(other)
                    other.joined_to = first


def last(found: Iterable[Exchange]) -> Exchange | None:
    return ([None, *found])[-1]


def _covers(turn: JsonObject, at: int, *, is_last: bool) -> bool:
    """Return True if a call was made during a run of a turn. Only the last run still runs: one before it was cut off."""
    began: int = turn["began"]
    return at >= began and ((is_last and turn["outcome"] == "running") or at <= began + (turn["duration_ms"] or 0))


def _named_message(call: JsonObject) -> str:
    """Return the id of the message that a call reacts to or replies to; empty if it names none."""
    replied = ((call["body"] or {}).get("message") or {}).get("reply_to") or {}
    return call["path"].partition("/v3/messages/")[2].partition("/")[0] or str(replied.get("message_id"))
