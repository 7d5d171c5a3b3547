"""Mutes: in a muted chat the bot is silent, because a person answers there. `ctx.mute` begins a mute, `ctx.unmute` ends it.

A mute is stored at once, whatever becomes of the handler, and looked up in memory: before the handler of each event
(`Features.concerned`), and before each call (`Features.guarded`). A turn that has begun before the mute ends as usual, but
what it still sends there is not sent.

While a chat is muted:

- A message reaches only handlers with the filter `muted`. It answers no question. HELP and START are answered all the same.
- Anything else that ends an open question, such as a vote or a payment, ends it when the mute is over.
- Timers of the chat do not fire (`storage/timers.py`). So questions do not time out, and scheduled sends and posts wait. What fired
  just before the mute, or was put into the lane, waits as a timer again. A scheduled send that waited for longer than its
  `grace_s` is given up.
- A broadcast leaves the person out: the outcome is `refused`.

The mute of all chats, `linqbot mute --all`, means the same everywhere, and broadcasts wait until it is over. A mute that is only
proactive stops what the bot says first, and lets it answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from linqbot.client.call import Call
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.clock import Clock
from linqbot.engine import turn_record
from linqbot.engine.call_lookup import muted, person_of
from linqbot.engine.turn import Turn, TurnPart, proactive_kind
from linqbot.errors import BotError, LinqApiError
from linqbot.linq.events.delivery import Delivery, decode
from linqbot.linq.events.lane import EVERY_CHAT, OUTSIDE_CHATS, as_object, chat_of_lane, lane_of_chat, person_of_lane
from linqbot.linq.handles import person_key
from linqbot.options import check_number
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.mutes import FOREVER, Mute, ended, longer, mute_of
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns
    from linqbot.features.asking.session import AskSession
    from linqbot.storage.backend import Storage

_WAITING_KINDS: Final = frozenset({"ask", "ask_in", "ask_to", "dead_letter", "handoff", "post", "post_to", "send"})
"""The kinds of deliveries that wait until a mute is over. A recurring send goes on with its next due time."""

MUTED_STEP: Final = "linqbot muted"
"""The step that says that the chat was muted when the event was handled."""

MUTING: Final = ("linqbot mute ", "linqbot unmute ")
"""The beginnings of the names of the steps that begin and end mutes."""


class Mutes(TurnPart):
    """Lets what linqbot puts into the lane of a muted chat wait, and tells the event that the chat is muted."""

    async def open(self, turn: Turn) -> Ack | None:
        mute = await self._mute_of(turn.lease.delivery)
        turn.is_muted = mute is not None
        if turn.opening.known:
            # The turn has begun: it goes on as it began, even if the chat was muted since then, or is muted no more.
            turn.is_muted = any(entry.slot.endswith(f"step:{MUTED_STEP}") for entry in turn.opening.known)
        return self._wait(turn, mute) if turn.is_muted and turn.lease.delivery.is_internal else None

    async def _mute_of(self, delivery: Delivery) -> Mute | None:
        """Return the mute that a delivery has to respect now; None if there is none."""
        chat_id, now, mutes = chat_of_lane(delivery.lane), self._turns.clock.now(), self._turns.storage.mutes
        if chat_id is None and not delivery.lane.startswith(OUTSIDE_CHATS):
            return None  # it is in no lane of a chat: a mute of all chats does not concern it
        mute = mute_of(mutes, chat_id, now, is_proactive=proactive_kind(delivery))
        if mute is None and (person := person_of_lane(delivery.lane)) is not None:
            return await _mute_of_person(mutes.values(), person, self._turns)
        return mute

    def _wait(self, turn: Turn, mute: Mute | None) -> Ack | None:
        """End the turn of one of linqbot's deliveries, which waits until the mute is over; None if it need not wait."""
        delivery = turn.lease.delivery
        kind = delivery.id.split(".", 2)[1]
        if kind != "repeat":
            if kind not in _WAITING_KINDS or _is_cancellation(delivery):
                return None
            if mute is not None and mute.chat_id != EVERY_CHAT:
                # Of a send to a person, the lane of their chat: timers find their mute by its lane.
                delivery = replace(delivery, lane=lane_of_chat(mute.chat_id))
            waits(turn, delivery, self._turns.clock)
        turn.why = turn_record.MUTED
        return Ack()

    async def begin(self, turn: Turn) -> None:
        delivery = turn.lease.delivery
        # A message that was missed is put in by linqbot, and is a message all the same.
        is_internal = delivery.is_internal and delivery.type != "message.received"
        if not turn.is_muted or is_internal or turn.kind.run is not None:
            return
        # On record: a further run must have the same handler, also when this one has ended the mute, and so must a dry run.
        await turn.asking().recorded(MUTED_STEP, _true, kind=bool)
        turn.event = turn.event.model_copy(update={"muted": True})


async def _true() -> bool:
    return True


def waits(turn: Turn, delivery: Delivery, clock: Clock) -> None:
    """Let the commit of a turn store one of linqbot's deliveries as a timer, which fires when the mute of its chat is over."""
    _, kind, name = delivery.id.split(".", 2)
    now = clock.now()
    timer = Timer(f"{name}.m{now * 1000:.0f}", now, delivery.lane, kind, delivery.body)

    def end(_: Turn, commit: Commit) -> None:
        if isinstance(commit.outcome, Ack):
            commit.timers.append(timer)

    turn.ends.append(end)


def _is_cancellation(delivery: Delivery) -> bool:
    """Return True for the delivery by which an operator, or a person who opts out, ends a question."""
    return as_object(as_object(decode(delivery.body)).get("outcome")).get("outcome") == "cancelled"


class TurnMutes:
    """Begins and ends mutes for the handler of one turn. Each is recorded, so a further run of the turn repeats none."""

    def __init__(self, stored: Storage, client: Client, clock: Clock, asking: AskSession) -> None:
        self.stored = stored
        self.client = client
        self.clock = clock
        self.asking = asking
        self._count = 0

    async def mute(self, chat_id: str, *, for_s: float | None, reason: str | None) -> None:
        _check(for_s, reason)

        async def store() -> bool:
            now = self.clock.now()
            until, person = FOREVER if for_s is None else now + for_s, "" if chat_id == EVERY_CHAT else None
            mute = Mute(chat_id, until, person, reason, since=now)
            await self.stored.change_mute(chat_id, lambda old: mute if old is None else replaced(old, mute))
            return True

        await self.asking.recorded(self.name("mute"), store, kind=bool)

    async def unmute(self, chat_id: str) -> None:
        async def remove() -> bool:
            now = self.clock.now()
            return await self.stored.change_mute(chat_id, partial(ended, how="unmuted", now=now)) is None

        await self.asking.recorded(self.name("unmute"), remove, kind=bool)

    def name(self, verb: str) -> str:
        self._count += 1
        return f"linqbot {verb} {self._count}"


def replaced(old: Mute, new: Mute) -> Mute:
    """Return the mute in place of another one of its chat. A handoff goes on, at least as long."""
    return longer(old, new) if old.handoff is not None and old.handoff.ended is None else new


async def refuse_if_muted(call: Call, journal: TurnJournal, turns: Turns) -> None:
    """Raise Muted for a call into a chat in which the bot is muted."""
    if journal.answers_keyword:
        return
    now, body, mutes = turns.clock.now(), call.body or {}, turns.storage.mutes
    if journal.passes_mutes:
        mutes = {chat: mute for chat, mute in mutes.items() if mute.stops_handoffs}
    people = body.get("to")
    if isinstance(people, list) and len(people) == 1:
        # It opens a chat or finds it, so the bot speaks first.
        mute = mute_of(mutes, None, now, is_proactive=True)
        is_muted = (mute or await _mute_of_person(mutes.values(), person_key(str(people[0])), turns)) is not None
    else:
        chat = await journal.chat_of(call)
        is_proactive = chat != chat_of_lane(journal.delivery.lane) or proactive_kind(journal.delivery)
        is_nowhere = chat is None and not people
        is_muted = not is_nowhere and mute_of(mutes, chat, now, is_proactive=is_proactive) is not None
    if is_muted:
        raise muted(call)


async def _mute_of_person(mutes: Iterable[Mute], person: str, turns: Turns) -> Mute | None:
    """Return the mute of the direct chat with a person that is in force; None if there is none."""
    for mute in tuple(mutes):
        in_force = mute.until > turns.clock.now() and mute.chat_id != EVERY_CHAT
        if in_force and await _person_of(mute, turns) == person:
            return mute
    return None


async def _person_of(mute: Mute, turns: Turns) -> str:
    """Return the person in a muted direct chat; empty for a group. Linq is asked once if it is not known."""
    if mute.person is not None:
        return mute.person
    try:
        person = person_of(await turns.client.chats.retrieve(mute.chat_id)) or ""
    except LinqApiError as error:
        if meaning_of(error) is not Refusal.GONE:
            raise
        person = ""
    await turns.storage.change_mute(mute.chat_id, lambda old: old and replace(old, person=person))
    return person


def _check(for_s: float | None, reason: str | None) -> None:
    """Raise BotError if `for_s` is no number of seconds greater than 0, or `reason` is no text."""
    if not isinstance(reason, str | None):
        raise BotError(f"mute(reason=…) takes a text, not a value of type {type(reason).__name__}.")
    if for_s is None:
        return
    check_number("mute", "for_s", for_s)
    if not 0 < for_s < FOREVER / 10:
        raise BotError(f"mute(for_s={for_s!r}) takes a number of seconds. Leave it out to mute the chat until unmute.")
