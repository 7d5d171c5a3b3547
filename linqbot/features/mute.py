"""Mutes: in a muted chat the bot is silent, because a person answers there. `ctx.mute` begins a mute, `ctx.unmute` ends it.

A mute is stored at once, whatever becomes of the handler, and looked up in memory: before the handler of each event
(`Mutes.open`), and before each call (`Mutes.guard`). A turn that is running when the mute
begins goes on, but its further sends into the chat are stopped.

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

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.client.outcome import Refusal, meaning_of
from linqbot.clock import Clock
from linqbot.engine import reasons
from linqbot.engine.call_lookup import person_of
from linqbot.engine.feature import Arrives, GuardedCall
from linqbot.engine.steps import Steps
from linqbot.engine.turn import Turn
from linqbot.errors import BotError, LinqApiError, Muted
from linqbot.features.bot_options import MuteByHand
from linqbot.features.muted_chats import PROACTIVE, Mute, change_mute, ended, longer, mute_by_hand, mute_of, mutes_of
from linqbot.features.turn_data import TurnMute
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery, decode
from linqbot.linq.events.lane import (
    EVERY_CHAT,
    OUTSIDE_CHATS,
    as_object,
    chat_of_lane,
    chat_of_receipts,
    lane_of_chat,
    person_of_lane,
)
from linqbot.linq.events.message import MessageEvent
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key
from linqbot.linq.types.message import WORDS
from linqbot.options import check_number
from linqbot.storage.holds import FOREVER, Hold
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.journal import Receipt
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.engine.turns import Turns
    from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.worker")

_WAITING_KINDS: Final = frozenset({"ask", "ask_in", "ask_to", "dead_letter", "handoff", "post", "post_to", "send"})
"""The kinds of deliveries that wait until a mute is over. A recurring send goes on with its next due time."""

MUTED_STEP: Final = "linqbot muted"
"""The step that says that the chat was muted when the event was handled."""

MUTING: Final = ("linqbot mute ", "linqbot unmute ")
"""The beginnings of the names of the steps that begin and end mutes."""


class Mutes(TurnFeature):
    """Lets what linqbot puts into the lane of a muted chat wait, marks an event of a muted chat, and stops calls into it."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._holds: Mapping[str, Hold] = turns.storage.holds
        self.turns_while = self.guards_while = self._holds
        self._by_hand_s = turns.dispatcher.options.of(MuteByHand).for_s
        self.arrives: Mapping[str, Arrives] = {"message.sent": self._note_sent} if self._by_hand_s else {}

    def concerns(self, lease: Lease) -> bool:
        lane, holds = lease.delivery.lane, self._holds
        if not lease.is_first_run:
            return True
        chat_id = chat_of_lane(lane)
        if chat_id is None:
            return bool(holds) and lane.startswith(OUTSIDE_CHATS)
        return chat_id in holds or EVERY_CHAT in holds

    async def _note_sent(self, delivery: Delivery) -> None:
        """Mute the bot in the chat in which a person of yours has written: from the 200 on, no call begins there."""
        if not is_by_hand(delivery):
            return
        receipt, chat_id, now = Receipt.of(delivery), chat_of_receipts(delivery.lane), self._turns.clock.now()
        since = min(delivery.sent_at, now)
        until = since + self._by_hand_s
        if receipt is None or receipt.message_id is None or chat_id is None or until <= now:
            return
        if await mute_by_hand(self._turns.storage, Mute(chat_id, until, since=since), receipt.message_id):
            log.info("chat.muted", chat_id=chat_id, why="A person has written there.", for_s=self._by_hand_s)

    async def open(self, turn: Turn) -> Ack | None:
        mute = await self._mute_of(turn.lease.delivery)
        is_muted = mute is not None
        if turn.opening.known:
            # The turn has begun: it goes on as it began, even if the chat was muted since then, or is muted no more.
            is_muted = any(entry.slot.endswith(f"step:{MUTED_STEP}") for entry in turn.opening.known)
        if is_muted:
            turn.data.of(TurnMute).is_muted = True
        return self._wait(turn, mute) if is_muted and turn.lease.delivery.is_internal else None

    async def _mute_of(self, delivery: Delivery) -> Mute | None:
        """Return the mute that a delivery has to respect now; None if there is none."""
        chat_id, now, holds = chat_of_lane(delivery.lane), self._turns.clock.now(), self._holds
        if chat_id is None and not delivery.lane.startswith(OUTSIDE_CHATS):
            return None  # it is in no lane of a chat: a mute of all chats does not concern it
        mute = mute_of(holds, chat_id, now, is_proactive=_is_proactive(delivery))
        if mute is None and (person := person_of_lane(delivery.lane)) is not None:
            return await _mute_of_person(mutes_of(holds), person, self._turns)
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
        turn.why = reasons.MUTED
        return Ack()

    async def begin(self, turn: Turn) -> None:
        delivery, of_turn = turn.lease.delivery, turn.data.find(TurnMute)
        # A message that was missed is put in by linqbot, and is a message all the same.
        is_internal = delivery.is_internal and delivery.type != "message.received"
        if of_turn is None or not of_turn.is_muted or is_internal or turn.kind.run is not None:
            return
        # On record: a further run must have the same handler, also when this one has ended the mute, and so must a dry run.
        await turn.steps.recorded(MUTED_STEP, _true, kind=bool)
        turn.event = turn.event.model_copy(update={"muted": True})

    async def guard(self, asked: GuardedCall) -> None:
        """Raise Muted for a call into a chat in which the bot is muted."""
        call, journal, of_turn = asked.call, asked.journal, asked.journal.data.find(TurnMute)
        now, body, holds = self._turns.clock.now(), call.body or {}, self._holds
        if of_turn is not None and of_turn.answers_keyword:
            return
        if of_turn is not None and of_turn.is_passed:
            holds = {chat: hold for chat, hold in holds.items() if Mute.of(hold).stops_handoffs}
        people = body.get("to")
        if isinstance(people, list) and len(people) == 1:
            # It opens a chat or finds it, so the bot speaks first.
            mute = mute_of(holds, None, now, is_proactive=True)
            person = person_key(str(people[0]))
            is_muted = (mute or await _mute_of_person(mutes_of(holds), person, self._turns)) is not None
        else:
            chat = await journal.chat_of(call)
            is_proactive = chat != chat_of_lane(journal.delivery.lane) or _is_proactive(journal.delivery)
            is_nowhere = chat is None and not people
            is_muted = not is_nowhere and mute_of(holds, chat, now, is_proactive=is_proactive) is not None
        if is_muted:
            raise Muted.before(call.name)


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


def _is_proactive(delivery: Delivery) -> bool:
    """Return True for a delivery of linqbot by which the bot speaks first, such as a scheduled send."""
    return delivery.is_internal and delivery.id.split(".", 2)[1] in PROACTIVE


def _is_cancellation(delivery: Delivery) -> bool:
    """Return True for the delivery by which an operator, or a person who opts out, ends a question."""
    return as_object(as_object(decode(delivery.body)).get("outcome")).get("outcome") == "cancelled"


class TurnMutes:
    """Begins and ends mutes for the handler of one turn. Each is recorded, so a further run of the turn repeats none."""

    def __init__(self, stored: Storage, client: Client, clock: Clock, steps: Steps) -> None:
        self.stored = stored
        self.client = client
        self.clock = clock
        self.steps = steps
        self._count = 0

    async def mute(self, chat_id: str, *, for_s: float | None, reason: str | None) -> None:
        _check(for_s, reason)

        async def store() -> bool:
            now = self.clock.now()
            until, person = FOREVER if for_s is None else now + for_s, "" if chat_id == EVERY_CHAT else None
            mute = Mute(chat_id, until, person, reason, since=now)
            await change_mute(self.stored, chat_id, lambda old: mute if old is None else replaced(old, mute))
            return True

        await self.steps.recorded(self.name("mute"), store, kind=bool)

    async def unmute(self, chat_id: str) -> None:
        async def remove() -> bool:
            now = self.clock.now()
            return await change_mute(self.stored, chat_id, partial(ended, how="unmuted", now=now)) is None

        await self.steps.recorded(self.name("unmute"), remove, kind=bool)

    def name(self, verb: str) -> str:
        self._count += 1
        return f"linqbot {verb} {self._count}"


def replaced(old: Mute, new: Mute) -> Mute:
    """Return the mute in place of another one of its chat. A handoff goes on, at least as long."""
    return longer(old, new) if old.handoff is not None and old.handoff.ended is None else new


def is_by_hand(delivery: Delivery) -> bool:
    """Return True if a delivery of type `message.sent` is a text or an address of ours without a key: a person wrote it, as on Linq's
    dashboard.

    Every text that a program sends with linqbot has a key. What has no text may have none: a voice memo, a shared card, and all on
    a line with zero retention.
    """
    if delivery.data.get("idempotency_key"):
        return False
    event = understood(delivery)
    return isinstance(event, MessageEvent) and any(isinstance(part, WORDS) for part in event.parts)


async def _mute_of_person(mutes: Iterable[Mute], person: str, turns: Turns) -> Mute | None:
    """Return the mute of the direct chat with a person that is in force; None if there is none."""
    for mute in mutes:
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
    await change_mute(turns.storage, mute.chat_id, lambda old: old and replace(old, person=person))
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
