"""The steps of a copied test: what people did in a chat, in the order of time, each with what the bot did until the next.

The control API of the emulator answers with the test; the page copies and saves it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from linqbot.emulator.copied_test.source import OF_TIME, PytestSource, Step, creates_request, milliseconds, sender_of
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.engine.webhook import WebhookDelivery
from linqbot.emulator.model.answers import JsonObject, conflict
from linqbot.emulator.model.documents import iso
from linqbot.emulator.model.records import ChatRecord, Member

_WRITTEN: Final = frozenset({"message.received", "poll.received"})
"""The events of a person's message: it is theirs, and not one that the event refers to."""
_NEAR_MS: Final = 60_000
"""A call outside of all turns belongs to the step before it for this long."""


class Copier:
    """Writes tests of what an emulator has kept until now.

    Raises:
        ApiError: 409, if an event that a test needs is no longer kept.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._state = emulator.state
        self._loaded_at = sorted(milliseconds(at) for at in emulator.bot_starts)
        # An event is delivered once for each subscription.
        self._events = {one.event_id: one for one in emulator.world.deliveries.history}
        self._calls = sorted(emulator.calls, key=lambda one: str(one["at"]))
        # A later report of an attempt replaces an earlier one.
        latest = {(one["event_id"], one["attempt"], one["started_at"]): one for one in emulator.observations}
        turns = [one | {"began": milliseconds(one["started_at"] or one["at"])} for one in latest.values()]
        self._turns: defaultdict[str, list[JsonObject]] = defaultdict(list)  # by the ids of their events
        messages = {one.message_id: one.event_id for one in self._events.values() if one.event_type in _WRITTEN}
        for turn in sorted(turns, key=lambda one: int(one["began"])):
            known = turn["event_id"] in self._events
            self._turns[turn["event_id"] if known else messages.get(turn["message_id"], turn["event_id"])].append(turn)

    def of_event(self, event_id: str) -> str:
        """Return the test of a chat until an event, with what the bot did about it."""
        event = self._events.get(event_id)
        if event is None or not event.repeatable:
            raise conflict("A phone cannot cause this event, or the emulator no longer keeps it.")
        for chat in [self._state.chat(event.chat_id)] if event.chat_id else self._state.chats.values():
            steps = self._steps(chat)
            if (count := next((n for n, one in enumerate(steps, 1) if one.event_id == event_id), None)) is not None:
                return self._source(chat, steps[:count])
        raise conflict("The emulator does not have all that this event refers to.")

    def of_chat(self, chat: ChatRecord) -> str:
        """Return the test of everything that happened in a chat, with the time that passed."""
        return self._source(chat, self._steps(chat))

    def _source(self, chat: ChatRecord, steps: Sequence[Step]) -> str:
        of_all = (turn for turns in self._turns.values() for turn in turns)
        turns = [*(turn for one in steps for turn in one.turns), *of_all]
        handlers = (
            name for turn in turns for name in (turn["handler"], *(one["handler"] for one in turn["tried"] or ()))
        )
        module = next(filter(None, handlers), "bot").partition(":")[0]
        people = _people_at_first(chat.members, steps)
        return PytestSource(steps, line=chat.line, people=people, module=module).text()

    def _steps(self, chat: ChatRecord) -> list[Step]:
        calls = [one for one in self._calls if one["chat_id"] == chat.id or self._asks_in(chat, one)]
        asked = {one["answer"]["id"] for one in calls if creates_request(one)}
        steps = [*self._acts(chat, asked), *self._timers(chat, calls)]
        steps.sort(key=lambda one: one.at)
        self._check_whole(chat, steps)
        of_steps = {one.event_id for one in steps}
        for call in calls:
            at = milliseconds(call["at"])
            before = [one for one in steps if one.at <= at]
            during = self._event_during(call)
            if before and (during in of_steps if during else at - before[-1].at <= _NEAR_MS):
                before[-1].calls.append(call)
        return steps

    def _acts(self, chat: ChatRecord, asked: set[str]) -> Iterator[Step]:
        """Yield what people did, if a phone of a test can do it. Payments and contact cards belong to no chat."""
        for one in self._events.values():
            if not one.repeatable or one.by_bot:
                continue
            data: JsonObject = json.loads(one.body)["data"]
            is_of_chat = one.chat_id == chat.id or data.get("id") in asked
            if one.event_type == "contact_card.received":
                both = {data["sender_handle"], data["owner_handle"]}
                is_of_chat = not chat.is_group and both == {chat.line, *chat.people}
            is_deleted = one.event_type in _WRITTEN and one.message_id not in self._state.messages
            if is_of_chat and not is_deleted:
                at = milliseconds(iso(one.created_at))
                yield Step(at, one.event_type, data, one.event_id, self._without_old_failures(one.event_id))

    def _timers(self, chat: ChatRecord, calls: Sequence[JsonObject]) -> Iterator[Step]:
        """Yield what came by itself when its time came, in this chat or with a call into it."""
        calling = {self._event_during(call) for call in calls}
        for event_id, turns in self._turns.items():
            kind = turns[0]["event_type"]
            if kind in OF_TIME and (turns[0]["chat_id"] == chat.id or event_id in calling):
                yield Step(turns[0]["began"], kind, {}, event_id, self._without_old_failures(event_id))

    def _asks_in(self, chat: ChatRecord, call: JsonObject) -> bool:
        """Return True if a call made a payment request in a turn of a chat."""
        event = self._events.get(self._event_during(call) or "") if creates_request(call) else None
        return event is not None and event.chat_id == chat.id

    def _event_during(self, call: JsonObject) -> str | None:
        """Return the event of the latest turn during which a call was made, of the same chat or of none."""
        at, chat_id = milliseconds(call["at"]), call["chat_id"]
        during = [
            (turn["began"], event_id)
            for event_id, turns in self._turns.items()
            for turn in turns
            if (chat_id is None or turn["chat_id"] in {None, chat_id}) and _covers(turn, at, is_last=turn is turns[-1])
        ]
        return max(during)[1] if during else None

    def _check_whole(self, chat: ChatRecord, steps: Sequence[Step]) -> None:
        """Refuse a test of a chat in which a person wrote a message whose event is not kept."""
        begun = {self._events[one.event_id].message_id for one in steps if one.event_type in _WRITTEN}
        # A bot without a handler of PollReceived knows nothing of a poll, and neither does its test.
        known = begun | {self._referred_message(self._events[one.event_id]) for one in steps if one.data}
        said = {one.id for one in chat.messages if not one.is_from_me and (one.poll is None or one.id in known)}
        if not said or not begun >= said:
            raise conflict(
                "The emulator does not have the webhooks of all messages here, which the test needs. "
                "A person's poll is there if the bot had a handler of PollReceived when the poll was made."
            )

    def _referred_message(self, event: WebhookDelivery) -> str | None:
        """Return the message that an event refers to: the one with the tapback, or the one replied to."""
        if event.event_type not in _WRITTEN:
            return event.message_id
        message = self._state.messages[event.message_id or ""]
        return message.reply_to.message_id if message.reply_to else None

    def _without_old_failures(self, event_id: str) -> list[JsonObject]:
        """Return the turns of an event; if the last one succeeded, without the failures of older code.

        The file may have been loaded again since then.
        """
        turns = self._turns.get(event_id, [])
        if not turns or turns[-1]["outcome"] != "acked":
            return turns
        loaded = max((at for at in self._loaded_at if at <= turns[-1]["began"]), default=0)
        return [one for one in turns if one["began"] >= loaded]


def _covers(turn: JsonObject, at: int, *, is_last: bool) -> bool:
    """Return True if a call was made during a run of a turn. Only the last run still runs: one before it was cut off."""
    began: int = turn["began"]
    return at >= began and ((is_last and turn["outcome"] == "running") or at <= began + (turn["duration_ms"] or 0))


def _people_at_first(members: Sequence[Member], steps: Sequence[Step]) -> list[str]:
    """Return the people who are in the chat when the test begins: without those who came later or had left."""
    at, others = steps[0].at, {one.handle: one for one in members if not one.is_me}
    people = [
        handle
        for handle, one in others.items()
        if one.joined_at * 1000 <= at + 1 and not (one.left_at is not None and one.left_at * 1000 < at)
    ]
    added = set[str]()
    if (sender := sender_of(steps[0].data)) is not None:
        people.append(sender)
    for step in steps:
        handle = step.data.get("handle")
        if step.event_type == "participant.added":
            added.add(str(handle))
        elif step.event_type == "participant.removed" and handle in others and handle not in added:
            people.append(str(handle))
    return list(dict.fromkeys(people))
