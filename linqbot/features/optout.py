"""The turn in which the person of a direct chat opts out: the bot says no more of what it still wanted to say.

STOP and START count in the order in which they were written, which the ledger of consents knows: Linq delivers a webhook again if
it got no answer, so a message may come after one that was written later.

The commit cancels the scheduled sends of the chat, whatever the outcome, and each open question ends by a delivery of
its own, so that its handler runs as after a timeout. Recurring sends stop: they are stored as timers that never fire, until the
person writes START.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.client.outcome import opted_out
from linqbot.engine.feature import GuardedCall
from linqbot.engine.turn import Turn, written_at
from linqbot.engine.turn_journal import MESSAGES
from linqbot.features.asking.admission import waiting_in
from linqbot.features.turn_data import OptedOut, Overtaken
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.handles import person_key
from linqbot.linq.rules.keywords import is_opt_out_message, keyword_of
from linqbot.linq.rules.message import Keyword
from linqbot.storage.backend import Storage
from linqbot.storage.consents import Consent, ConsentKind
from linqbot.storage.inbox import Commit, Lease

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")


_BEHIND: Final = 100
"""Number of deliveries behind a message that are looked at for STOP."""


class OptOuts(TurnFeature):
    """Looks at every message: the bot says no more to a person who opts out, and what comes too late changes nothing."""

    # The type of the delivery, because the notice of a dead letter stands for a message too.
    types = frozenset({"message.received"})
    guards_while = False
    guards_for = OptedOut

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._has_manners = turns.dispatcher.rules.answers_keywords

    async def begin(self, turn: Turn) -> None:
        turns, event = self._turns, turn.event
        word, has_manners = keyword_of(event), self._has_manners
        is_by_person = isinstance(event, MessageReceived) and not event.is_own and event.actor is not None
        has_meaning = is_by_person and (has_manners or word in ("stop", "start"))
        if has_meaning and await _note(event, turn.lease.delivery, word, turns.storage, has_manners=has_manners):
            turn.data.put(Overtaken())
            return
        chat_id = event.chat_id
        if chat_id is None:
            return
        if word == "stop":
            turn.data.put(OptedOut(chat_id))
            if not turn.lease.crashes:
                turn.ends.append(await _opt_out(chat_id, turns))
        elif word == "start":
            turn.ends.append(await _start_again(chat_id, turns))

    async def guard(self, asked: GuardedCall) -> None:
        """Raise the error of Linq for a call that may show something to a person who opts out, unless it overrides this (R71)."""
        call, out = asked.call, asked.journal.data.find(OptedOut)
        if out is None or not asked.key or (call.body or {}).get("override_optout"):
            return
        chat_id = await asked.journal.chat_of(call)
        # A message whose chat is not on record may be one in this chat.
        if chat_id == out.chat_id or (chat_id is None and call.path.startswith(MESSAGES)):
            raise opted_out(call)


async def note_stop(event: Event, delivery: Delivery, stored: Storage, *, has_manners: bool) -> None:
    """Note in the ledger that a person opts out."""
    # Without manners nothing notes what a person writes afterwards, which Linq takes as the end of the opt-out. So the row says no
    # more than that promotional messages are not wanted, in case the bot gets manners.
    await _note_word(event, "stopped" if has_manners else "withdrawn", written_at(delivery), stored)


async def _note(event: Event, delivery: Delivery, word: Keyword | None, stored: Storage, *, has_manners: bool) -> bool:
    """Note in the ledger what a message says: STOP, START, or anything else of a person who has opted out before.

    Return True if it came too late: it is STOP, and the person has opted in since it was written; or anything else, and the person
    has opted out since, by a message that was accepted before.
    """
    person, at = person_key(event.actor or ""), written_at(delivery)
    if word == "stop":  # a message that was fetched after a downtime has not been noted when it arrived
        await note_stop(event, delivery, stored, has_manners=has_manners)
        return (await stored.consent_of(person)).goes_on_after(at)
    known = await stored.consent_of(person)
    if known.last is not None and known.last.at > at:
        is_ended = known.ends_after(at) if word == "start" else known.is_stopped
        # A STOP behind this message has not been handled: the message itself came in time. In a group no one opts out.
        return is_ended and not event.is_group and not await _is_stop_behind(delivery, stored)
    if (word == "start" or known.is_stopped) and not await _is_stop_behind(delivery, stored):
        await _note_word(event, "given" if word == "start" else "wrote", at, stored)
    return False


async def _is_stop_behind(delivery: Delivery, stored: Storage) -> bool:
    return any(map(is_opt_out_message, await stored.following(delivery.lane, _BEHIND)))


async def _note_word(event: Event, what: ConsentKind, at: float, stored: Storage) -> None:
    assert isinstance(event, MessageReceived)
    how = what if what == "wrote" else event.text.strip()
    person = person_key(event.actor or "")
    await stored.note_consent(Consent(f"{what}:{event.id}", person, at, what, how))


class OptOutsAfterCrash(TurnFeature):
    """Ends the questions and the sends also if the delivery is given up without a run, because it crashes the process."""

    types = OptOuts.types
    turns_while = ()  # a first run has no crash behind it

    def concerns(self, lease: Lease) -> bool:
        return lease.crashes > 0

    async def open(self, turn: Turn) -> None:
        chat_id = chat_of_lane(turn.lease.delivery.lane)
        if turn.lease.crashes and chat_id is not None and is_opt_out_message(turn.lease.delivery):
            turn.ends.append(await _opt_out(chat_id, self._turns))


async def _opt_out(chat_id: str, turns: Turns) -> Callable[[object, Commit], None]:
    """Return what adds to the commit that ends the turn when the person of a direct chat opts out."""
    from linqbot.features.asking.records import Asked, cancelled
    from linqbot.features.later import sends_of, stopped

    storage, now = turns.storage, turns.clock.now()
    sends = await sends_of(chat_id, storage)
    paused = [stopped(each) for each in sends.values() if each.is_recurring]
    waiting = await waiting_in(chat_id, storage)
    read = {each.id: Asked.read(each) for each in waiting}
    known = [asked for asked in read.values() if asked is not None]
    ended = [cancelled(asked, "opted_out", now) for asked in known]
    log.info(
        "chat.opted_out",
        chat_id=chat_id,
        cancelled_sends=len(sends),
        paused_sends=len(paused),
        ended_questions=len(ended),
    )

    def end(_: object, commit: Commit) -> None:
        commit.cancelled += [*sends, *(asked.question.timer for asked in known)]
        commit.conversations += [conversation for conversation, _ in ended]
        commit.timers += [*(timer for _, timer in ended), *paused]
        commit.ended += [conversation_id for conversation_id, asked in read.items() if asked is None]

    return end


async def _start_again(chat_id: str, turns: Turns) -> Callable[[object, Commit], None]:
    """Return what adds to the commit that ends the turn when the person of a direct chat writes START."""
    from linqbot.features.later import started_again

    found = await started_again(chat_id, turns.storage, turns.clock.now())
    if found:
        log.info("chat.started_again", chat_id=chat_id, recurring_sends=len(found))

    def end(_: object, commit: Commit) -> None:
        commit.cancelled += [timer.id for timer in found]
        commit.timers += found

    return end
