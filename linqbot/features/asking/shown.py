"""Questions of another chat's handler: how they are brought to a person's chat, shown there one at a time, answered, and ended.

`elsewhere.py` makes the errands that bring them. What shows a question is a conversation without a handler, in the lane of the
person's chat; its answer becomes an ending in the lane of the handler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic_core import to_json

from linqbot.client.outcome import Refusal, is_refused, meaning_of
from linqbot.engine.failure import refused_by
from linqbot.engine.turn import Kind, Turn, origin_of
from linqbot.errors import LinqApiError, MessageGone, Muted, Refused, RuleBroken
from linqbot.features.asking.arrivals import Arrival, with_arrival
from linqbot.features.asking.elsewhere import IN_CHAT, TO_PERSON, Errand
from linqbot.features.asking.question import OpenQuestion, QuestionEnd
from linqbot.features.asking.records import OVER, Asked, timed_out, timeout
from linqbot.features.broadcasts import send_to
from linqbot.features.mute import waits
from linqbot.features.notices import say
from linqbot.features.posts import direct_chat
from linqbot.linq.events.delivery import Delivery, decode
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")

_PASSED_ON: Final = "it answers a question of another chat"
_LATE: Final = "it answers a question that is over"
WHYS: Final = (_PASSED_ON, _LATE)
"""The reasons why no handler takes an event."""

_QUEUED: Final = "queued:"
"""Follows the handle in the `person` of a question that is not shown yet. The id of its conversation is behind it."""


# In the lane of the person, whose chat is not known


def _read(delivery: Delivery) -> Errand:
    return Errand.model_validate(decode(delivery.body))


async def bring(turns: Turns, turn: Turn) -> None:
    """Find the direct chat of a person for an errand, and put the errand into its lane; or open the chat with the question."""
    delivery = turn.lease.delivery
    errand = _read(delivery)
    turn.journal.origin = _origin(errand)

    async def find() -> str:
        return await direct_chat(turns.client, errand.to, line=errand.line) or ""

    with turn.deadline:
        # On record: once the question has opened the chat, a further run would find it there.
        chat_id = await turn.steps.recorded("linqbot direct chat", find, kind=str)
        if not chat_id:
            if errand.question is None or not (_has_begun(turn, errand) or await errand.is_open(turns.storage)):
                return
            try:
                chat_id, sent, since = await _send(errand, turn, "")
            except Muted:  # since this turn began
                waits(turn, delivery, turns.clock)
                return
            except (Refused, LinqApiError, RuleBroken) as error:
                await turns.storage.schedule(_unreachable(errand, error, turns))
                return
            if not chat_id:
                return  # the message was deleted
            errand = errand.model_copy(update={"sent": sent, "since": since})
            if await _is_shown(errand, turns, turn, chat_id):
                return
        name = delivery.id.removeprefix(f"i.{TO_PERSON}.")
        made = Delivery(
            f"i.{IN_CHAT}.{name}", lane_of_chat(chat_id), f"linqbot.{IN_CHAT}", errand.body(), turns.clock.now()
        )
        await turns.storage.put(made)


async def _is_shown(errand: Errand, turns: Turns, turn: Turn, chat_id: str) -> bool:
    """Let the commit of a turn store the question with which it has opened a chat: the chat waits for it, see `new_chats.py`.

    Return False if the chat is not new after all, and another question is open there.
    """
    shown = _Showing(turns, turn, chat_id)
    if shown.is_busy(errand):
        return False
    await shown.take(errand)
    turn.ends.append(shown.write)
    return True


def _origin(errand: Errand) -> bytes:
    return to_json({"handles": [errand.person], "chat_id": None, "is_group": False})


def _label(errand: Errand) -> str:
    """Return the label of the calls that show a question to a person, the same in every run of their turn."""
    return f"{errand.shown_as} {errand.tries}"


def _has_begun(turn: Turn, errand: Errand) -> bool:
    """Return True if an earlier run of the turn may have sent the question. Then this run shows it, though it may be over by now.

    Else the person could answer a question that is not on record. The errand that ends the question comes later in the lane.
    """
    label = _label(errand)
    return any(each.status != "refused" and each.slot.partition(":")[2] == label for each in turn.opening.known)


async def _send(errand: Errand, turn: Turn, chat_id: str) -> tuple[str, tuple[str, ...], float | None]:
    """Send a question to a person. Return the chat, the ids of the messages, and when Linq took the first one."""
    ids, times = [], []
    client = turn.client.named(_label(errand))
    for message in errand.prompt:
        try:
            chat_id, sent = await send_to(client, chat_id, errand.line or "", errand.to, message)
        except MessageGone:
            continue
        ids.append(sent.id)
        times += [] if sent.created_at is None else [sent.created_at.timestamp()]
    return chat_id, tuple(ids), min(times, default=None)


def _unreachable(errand: Errand, error: Refused | LinqApiError | RuleBroken, turns: Turns) -> Timer:
    """Return the timer that ends the question of a person who cannot be asked. Raises what is not about the person."""
    if isinstance(error, Refused):
        why = f"{refused_by(error)}: {error}"
    elif isinstance(error, RuleBroken):
        why = str(error)
    elif not is_refused(error):
        raise error
    elif meaning_of(error) is Refusal.OPTED_OUT:
        why = "The person has opted out of messages."
    else:
        why = f"Linq refused the message with the status {error.status} and the code {error.code}."
    log.warning("ask.unreachable", conversation=errand.conversation, handler=errand.handler, reason=why)
    return errand.ended(
        {"outcome": "cancelled", "reason": "unreachable", "text": why}, errand.shown_as, turns.clock.now()
    )


# In the lane of the person's chat


async def show(turns: Turns, turn: Turn) -> None:
    """Show a question in the chat of a person, or say there that it is over. Then show the next one, if none is open."""
    errand = _read(turn.lease.delivery)
    turn.journal.origin = _origin(errand)
    shown = _Showing(turns, turn, chat_of_lane(turn.lease.delivery.lane) or "")
    with turn.deadline:
        try:
            if errand.question is not None:
                await shown.take(errand)
            elif errand.to:
                await shown.end(errand)
            await shown.show_next()
        except Muted:  # since this turn began
            waits(turn, turn.lease.delivery, turns.clock)
    turn.ends.append(shown.write)


def show_later(turn: Turn, commit: Commit, storage: Storage, now: float) -> None:
    """Let the question that waits in a chat be shown, if no other one is open, once a turn of the chat has ended."""
    delivery = turn.lease.delivery
    chat_id = chat_of_lane(delivery.lane)
    if chat_id is None or delivery.id.startswith(f"i.{IN_CHAT}.") or not isinstance(commit.outcome, Ack | DeadLetter):
        return
    queued = next((each for each in storage.conversations_in(chat_id) if each.status == "queued"), None)
    if queued is not None:
        commit.timers.append(Timer(f"next.{delivery.id}", now, delivery.lane, IN_CHAT, Errand().body()))


@dataclass(slots=True)
class _Showing:
    """The questions that one turn shows in the chat of a person, and ends there."""

    turns: Turns
    turn: Turn
    chat_id: str
    conversations: list[Conversation] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def write(self, _: Turn, commit: Commit) -> None:
        if isinstance(commit.outcome, Ack):
            commit.ended += self.ended
            commit.conversations += self.conversations
            commit.timers += self.timers
            commit.cancelled += self.cancelled

    def is_busy(self, errand: Errand) -> bool:
        """Return True if another question is open to the person in the chat."""
        left_out = {errand.shown_as, *self.ended, *(each.id for each in self.conversations)}
        stored = self.turns.storage.conversations_in(self.chat_id)
        open_ = [each for each in stored if each.id not in left_out]
        open_ += [each.summary for each in self.conversations if each.id != errand.shown_as]
        return any(each.status == "waiting" and each.person in (errand.person, ANYONE) for each in open_)

    async def take(self, errand: Errand) -> None:
        if not (errand.sent or _has_begun(self.turn, errand) or await errand.is_open(self.turns.storage)):
            return
        if self.is_busy(errand):
            self.conversations.append(self._queued(errand))
        elif not await self._show(errand):
            return
        # The first send may have taken long.
        is_waiting = bool(errand.meanwhile) and await errand.is_open(self.turns.storage)
        for number, message in enumerate(errand.meanwhile if is_waiting else ()):
            await self._say(message, errand.chat_id, f"meanwhile {number}")

    async def _show(self, errand: Errand) -> bool:
        """Show a question. Return False if the person cannot be asked. Raises Muted."""
        ids, since = errand.sent, errand.since
        if not ids:
            try:
                _, ids, since = await _send(errand, self.turn, self.chat_id)
            except Muted:
                raise
            except (Refused, LinqApiError, RuleBroken) as error:
                self.timers.append(_unreachable(errand, error, self.turns))
                return False
        asked = self._asked(errand, ids, since)
        timer = timeout(asked, again=errand.tries > 0)
        self.conversations.append(asked.changed(timer=timer.id).conversation)
        self.timers.append(timer)
        return True

    def _asked(self, errand: Errand, ids: Sequence[str], since: float | None) -> Asked:
        question = OpenQuestion.model_validate(errand.question)
        shown_for = errand.model_copy(update={"question": None, "meanwhile": (), "sent": ()})
        question = question.model_copy(update={"messages": tuple(ids), "since": since, "shown_for": shown_for.kept()})
        return Asked(self._conversation(errand, question), question)

    def _conversation(self, errand: Errand, question: OpenQuestion) -> Conversation:
        return Conversation(
            id=errand.shown_as,
            replay=errand.replay,
            chat_id=self.chat_id,
            person=errand.person,
            handler=errand.handler,
            status="waiting",
            asked_at=self.turns.clock.now(),
            until=errand.until,
            question=question.to_json(),
            off_the_record=errand.is_off_the_record,
            root=errand.body(),
        )

    def _queued(self, errand: Errand) -> Conversation:
        errand = errand.model_copy(update={"sent": (), "since": None, "meanwhile": ()})
        waiting = self._conversation(errand, OpenQuestion.model_validate(errand.question))
        return replace(waiting, status="queued", person=f"{errand.person} {_QUEUED}{errand.shown_as}")

    async def show_next(self) -> None:
        """Show the question that has waited longest, if no other one is open."""
        left_out = {*self.ended, *(each.id for each in self.conversations)}
        for each in self.turns.storage.conversations_in(self.chat_id):
            found = (
                None
                if each.status != "queued" or each.id in left_out
                else await self.turns.storage.conversation(each.id)
            )
            if found is None:
                continue
            errand = Errand.model_validate(decode(found[0].root))
            if self.is_busy(errand):
                return
            is_wanted = _has_begun(self.turn, errand) or await errand.is_open(self.turns.storage)
            if not is_wanted or not await self._show(errand):
                self.ended.append(each.id)

    async def end(self, errand: Errand) -> None:
        """End what shows a question that is over, and say so, if it was shown."""
        found = await self.turns.storage.conversation(errand.shown_as) if errand.shown_as else None
        asked = None if found is None else Asked.read(*found)
        if errand.shown_as and (asked is None or asked.conversation.status != "waiting"):
            self.ended += [] if found is None or found[0].status != "queued" else [errand.shown_as]
            return
        if errand.say is not None:
            await self._say({"parts": [{"type": "text", "value": errand.say}]}, self.chat_id, "over")
        if asked is not None:
            self.conversations.append(late(asked))
            self.cancelled.append(asked.question.timer)

    async def _say(self, message: dict[str, Any], chat_id: str, label: str) -> None:
        send = self.turn.client.named(label).chats.messages.send
        try:
            await send(chat_id, message=message)
        except MessageGone:
            pass
        except Refused as error:
            log.info("ask.not_said", chat_id=chat_id, plugin=error.plugin, reason=str(error))
        except LinqApiError as error:
            if not is_refused(error):
                raise
            log.info("ask.not_said", chat_id=chat_id, status=error.status, code=error.code)


def late(asked: Asked) -> Conversation:
    """Return what shows a question that is over: it stays on record, so that a late answer is recognised."""
    question = asked.question
    kept: dict[str, Any] = {name: getattr(question, name) for name in ("messages", "choices", "reactions", "events")}
    found = timed_out(asked, **kept)
    return replace(found, person=f"{found.person} {OVER}{found.id}")


# What a person answers there


def take(turns: Turns, turn: Turn, arrived: Arrival) -> None:
    """Let a turn pass on what a person has answered, or say that it came too late, in place of a handler."""
    turn.opening = with_arrival(turn.opening, arrived)
    turn.kind = Kind(run=partial(_say_late if arrived.is_late else _pass_on, turns))
    turn.why = _LATE if arrived.is_late else _PASSED_ON
    if (asked := arrived.asked) is not None and not turn.lease.delivery.is_internal:
        asked.note_met("late" if arrived.is_late else "passed_on", turns.outbound.plugins.observers)


async def _pass_on(turns: Turns, turn: Turn) -> None:
    """End what shows a question, and end the question with it, in the lane of its handler."""
    arrived, delivery, now = turn.opening.data.find(Arrival), turn.lease.delivery, turns.clock.now()
    assert arrived is not None
    assert arrived.asked is not None
    assert arrived.outcome is not None
    asked, outcome = arrived.asked, arrived.outcome
    turn.journal.origin = None if arrived.event is None else origin_of(arrived.event)
    passed_on = _passed_on(asked, outcome)
    errand = Errand.model_validate(asked.question.shown_for)
    end = None if passed_on is None else errand.ended(passed_on, delivery.id, now)
    turn.ends.append(partial(_end_shown, asked, end))


def _passed_on(asked: Asked, outcome: QuestionEnd) -> QuestionEnd | None:
    """Return the end of a question, given that of what shows it; None if the question goes on, or ends by itself."""
    reason = outcome.get("reason")
    if outcome["outcome"] == "timed_out" or reason == "replaced":
        return None
    if reason == "opted_out":
        return {"outcome": "cancelled", "reason": "unreachable", "text": "The person has opted out of messages."}
    person, chat = asked.conversation.person, asked.conversation.chat_id
    found: QuestionEnd = {**outcome, "person": person, "chat": chat}
    return found if asked.question.language is None else {**found, "language": asked.question.language}


def _end_shown(asked: Asked, end: Timer | None, turn: Turn, commit: Commit) -> None:
    """Add the end of what shows a question, and that of the question itself; None if it goes on, or ends by itself."""
    if not isinstance(commit.outcome, Ack):
        return
    arrived = turn.opening.data.find(Arrival)
    assert arrived is not None
    conversation = asked.conversation
    commit.cancelled.append(asked.question.timer)
    if end is not None:
        commit.ended.append(conversation.id)
        commit.timers.append(end)
    elif (arrived.outcome or {}).get("reason") == "replaced":
        person = f"{conversation.person} {_QUEUED}{conversation.id}"
        commit.conversations.append(replace(conversation, status="queued", person=person))
    else:
        commit.conversations.append(late(asked))


async def _say_late(turns: Turns, turn: Turn) -> None:
    arrived, chat_id = turn.opening.data.find(Arrival), chat_of_lane(turn.lease.delivery.lane)
    assert arrived is not None
    assert arrived.asked is not None
    turn.journal.origin = None if arrived.event is None else origin_of(arrived.event)
    text = turns.dispatcher.language_named(arrived.asked.question.language).sentences.too_late
    send = turn.client.chats.messages.send
    with turn.deadline:
        await say(text, lambda message: send(chat_id or "", message=message), "ask.not_said")


def answer_late(turn: Turn, outcome: QuestionEnd, turns: Turns) -> None:
    """Let a person read that the answer came too late, which was passed on to a question that is over by now."""
    if outcome["outcome"] != "answered" or "person" not in outcome or "chat" not in outcome:
        return
    text = turns.dispatcher.language_named(outcome.get("language")).sentences.too_late
    body = Errand(to=outcome["person"], say=text, handles=(outcome["person"],)).body()
    lane = lane_of_chat(outcome["chat"])
    timer = Timer(f"late.{turn.lease.delivery.id}", turns.clock.now(), lane, IN_CHAT, body)

    def end(_: Turn, commit: Commit) -> None:
        if isinstance(commit.outcome, Ack):
            commit.timers.append(timer)

    turn.ends.append(end)
