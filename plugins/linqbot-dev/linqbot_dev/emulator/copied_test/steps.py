"""The steps of a copied test: an event, and those before it that it refers to; or a whole chat.

The control API of the emulator answers both; the page copies and saves what it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from linqbot_dev.emulator.copied_test.exchanges import WRITTEN, Exchange, Grouping, last, milliseconds
from linqbot_dev.emulator.copied_test.source import (
    OF_TIME,
    PytestSource,
    creates_request,
    options_in,
    places_in,
    sender_of,
)
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.answers import ApiError, JsonObject, conflict
from linqbot_dev.emulator.model.records import ChatRecord, Member

_TAKES_BACK: Final = {
    "reaction.removed": "reaction.added",
    "poll.vote.removed": "poll.vote.added",
    "location.sharing.stopped": "location.sharing.started",
}
"""The event that an event takes back: its test needs the one before."""
_NEEDS_CHAT: Final = frozenset({
    "poll.received", "location.sharing.started", "participant.added", "participant.removed", "chat.group_name_updated",
})  # fmt: skip
"""A phone can do these only in a chat that exists."""
_POLLS: Final = "A person's poll is there if the bot had a handler of PollReceived when the poll was made."


class Copier:
    """Writes tests of what an emulator has kept until now.

    Raises:
        ApiError: 409, if an event that a test needs is no longer kept.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._state = emulator.state
        self._loaded_at = sorted(milliseconds(at) for at in emulator.bot_starts)
        self._all = Grouping(emulator.world.deliveries.history, emulator.observations, emulator.calls).all

    def of_event(self, event_id: str) -> str:
        """Return the test of an event, with those that it refers to."""
        wanted = next((one for one in self._all if one.event_id == event_id), None)
        if wanted is None or not wanted.is_repeatable:
            raise conflict("A phone cannot cause this event, or the emulator no longer keeps it.")
        needed = set[Exchange]()
        open_ = [wanted]
        while open_:
            one = open_.pop()
            if one not in needed:
                needed.add(one)
                open_ += self._origins(one)
        ordered = [one for one in self._all if one in needed]
        # A payment belongs to no chat; the exchange with its request does.
        chat_id = wanted.chat_id or ordered[0].chat_id
        chat = self._state.chats.get(chat_id) if chat_id else self._direct_chat(ordered[0].data)
        return self._source(chat, ordered, in_time=False)

    def of_chat(self, chat: ChatRecord) -> str:
        """Return the test of everything that happened in a chat, with the time that passed."""
        here = [one for one in self._all if self._is_in(chat, one)]
        begun = {one.message_id for one in here if one.event_type in WRITTEN}
        # A bot without a handler of PollReceived knows nothing of a poll, and neither does its test.
        known = begun | {self._referred_message(one) for one in here}
        said = [one.id for one in chat.messages if not one.is_from_me and (one.poll is None or one.id in known)]
        if not said or not begun.issuperset(said):
            raise conflict(
                f"The emulator does not have the webhooks of all messages here, which the test needs. {_POLLS}"
            )
        return self._source(chat, here, in_time=True)

    def _source(self, chat: ChatRecord | None, of: Sequence[Exchange], *, in_time: bool) -> str:
        steps = [self._step(chat, one) for one in of]
        members = chat.members if chat else []
        line = chat.me.handle if chat else steps[0].data.get("owner_handle") or ""
        turns = [turn for one in (*of, *self._all) for turn in one.turns]
        handlers = [
            name for turn in turns for name in (turn["handler"], *(one["handler"] for one in turn["tried"] or ()))
        ]
        module = next(filter(None, handlers), "bot").partition(":")[0]
        people = _people_at_first(members, of[0].at, steps)
        return PytestSource(steps, line=line, people=people, module=module, in_time=in_time).text()

    def _is_in(self, chat: ChatRecord, one: Exchange) -> bool:
        """Return True if the test of a chat repeats an event, or lets the time pass for it.

        A payment and a contact card belong to no chat: what they refer to does.
        """
        if one.event_type in OF_TIME:
            return one.chat_id == chat.id or any(call["chat_id"] == chat.id for call in one.calls)
        if one.delivery is None or not one.is_repeatable or one.delivery.by_bot:
            return False
        if one.chat_id is None:
            try:
                return any(each.chat_id == chat.id for each in self._origins(one))
            except ApiError:
                return False
        is_kept = one.event_type not in WRITTEN or one.message_id in self._state.messages
        return one.chat_id == chat.id and is_kept

    def _origins(self, one: Exchange) -> list[Exchange]:
        """Return the exchanges that an exchange refers to.

        They are the one of the message with the tapback, the vote or the reply; the one before that it takes back; the one
        that began the chat, that asked for the payment, or that added the option; the last ones before in which people
        shared the locations that the bot found, or stopped to.
        """
        kind, data = one.event_type, one.data
        earlier = self._all[: self._all.index(one)]
        before = [each for each in earlier if each.chat_id == one.chat_id]
        found: list[Exchange | None] = [*one.joined, *([one.joined_to] if one.joined_to else [])]
        if kind in _TAKES_BACK:
            added = [each for each in before if each.event_type == _TAKES_BACK[kind]]
            found.append(last(each for each in added if _deed(each) == _deed(one)))
        if kind in _NEEDS_CHAT:
            found.append(last(each for each in before if each.event_type == "message.received"))
        if kind.startswith("payment."):
            found.append(
                next((each for each in earlier if any(_asks_for(call, data["id"]) for call in each.calls)), None)
            )
        if kind.startswith("poll.vote."):
            found.append(next((each for each in self._all if _shows_option(each, data["option_id"])), None))
        sharing = {handle for call in one.calls for handle in places_in(call)}
        if kind == "location.sharing.started":
            sharing.add(data["shared_by"])
        for handle in sharing:
            found += [each for each in before if each.data.get("shared_by") == handle][-1:]
        if kind == "contact_card.received" and (chat := self._direct_chat(data)) is not None:
            written = [each for each in earlier if (each.event_type, each.chat_id) == ("message.received", chat.id)]
            found += written[-1:]
        if (message_id := self._referred_message(one)) is not None:
            found.append(next((each for each in self._all if _writes(each, message_id)), None))
        if None in found:
            raise conflict(
                f"The emulator does not have all that this event refers to, such as an old message. {_POLLS}"
            )
        return [each for each in found if each is not None]

    def _referred_message(self, one: Exchange) -> str | None:
        """Return the message that an event refers to: the one with the tapback, or the one replied to."""
        if one.event_type not in WRITTEN:
            return one.message_id if one.is_repeatable else None
        message = self._state.messages.get(one.message_id or "")
        return message.reply_to.message_id if message is not None and message.reply_to else None

    def _direct_chat(self, data: JsonObject) -> ChatRecord | None:
        """Return the direct chat of a person and a line: a contact card belongs to no chat."""
        both = (data.get("sender_handle"), data.get("owner_handle"))
        direct = [chat for chat in self._state.chats.values() if not chat.is_group]
        return next((chat for chat in direct if all(chat.member(str(handle)) for handle in both)), None)

    def _step(self, chat: ChatRecord | None, one: Exchange) -> Exchange:
        """Return an exchange with the calls and the turns that its test expects."""
        # The answer to several messages comes after the last one.
        first = one.joined_to or one
        if (first.joined or [first])[-1] is not one:
            return replace(one, calls=[], turns=[])
        calls = [call for call in first.calls if creates_request(call) or (chat and call["chat_id"] == chat.id)]
        return replace(one, calls=calls, turns=_without_old_failures(first.turns, self._loaded_at))


def _asks_for(call: JsonObject, payment_id: str) -> bool:
    return creates_request(call) and call["answer"]["id"] == payment_id


def _deed(one: Exchange) -> tuple[object, ...]:
    """Return what distinguishes the tapback, the vote or the shared location of an event from all others."""
    what = (one.data.get(name) for name in ("part_index", "reaction_type", "custom_emoji", "option_id"))
    return (one.message_id, sender_of(one.data), *what)


def _shows_option(one: Exchange, option_id: str) -> bool:
    return any(option_id in options_in(data) for data in (one.data, *(call["answer"] or {} for call in one.calls)))


def _writes(one: Exchange, message_id: str) -> bool:
    return message_id in one.sent or (one.event_type in WRITTEN and one.message_id == message_id)


def _people_at_first(members: Sequence[Member], at: int, steps: Sequence[Exchange]) -> list[str]:
    """Return the people who are in the chat when the test begins: without those who came later or had left."""
    others = {one.handle: one for one in members if not one.is_me}
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


def _without_old_failures(turns: list[JsonObject], loaded_at: Sequence[int]) -> list[JsonObject]:
    """Return the turns of the code that succeeded, if the last turn did: a test does not repeat failures of older code.

    The file may have been loaded again since then.
    """
    if not turns or turns[-1]["outcome"] != "acked" or not turns[-1]["started_at"]:
        return turns
    succeeded = milliseconds(turns[-1]["started_at"])
    loaded = max((at for at in loaded_at if at <= succeeded), default=0)
    return [one for one in turns if one["started_at"] and milliseconds(one["started_at"]) >= loaded]
