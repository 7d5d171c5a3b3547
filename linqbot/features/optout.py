"""The end of a turn in which the person of a direct chat opts out: the bot says no more of what it still wanted to say.

The commit cancels the scheduled sends of the chat, whatever the outcome, and each open question ends by a delivery of
its own, so that its handler runs as after a timeout. Recurring sends stop: they are stored as timers that never fire, until the
person writes START.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from linqbot.client.call import Call
from linqbot.content.sent import OPTED_OUT
from linqbot.engine.turn import Turn, TurnPart, is_opt_out_message, keyword_of
from linqbot.engine.turn_journal import MESSAGES
from linqbot.errors import LinqApiError
from linqbot.features.asking.admission import waiting_in
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.inbox import Commit

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")


class OptOuts(TurnPart):
    """Looks at every message: the bot says no more to a person who opts out."""

    async def begin(self, turn: Turn) -> None:
        # The type of the delivery, because the notice of a dead letter stands for a message too.
        if turn.lease.delivery.type != "message.received":
            return
        word = keyword_of(turn.event)
        if self._turns.gate is not None:
            await self._turns.gate.note_message(turn, word)
        if word is None:
            return
        chat_id = turn.event.chat_id
        if word == "stop" and chat_id is not None:
            turn.journal.opted_out_chat = chat_id
            if not turn.lease.crashes:
                turn.ends.append(await _opt_out(chat_id, self._turns))
        elif word == "start" and chat_id is not None:
            turn.ends.append(await _start_again(chat_id, self._turns))


class OptOutsAfterCrash(TurnPart):
    """Ends the questions and the sends also if the delivery is given up without a run, because it crashes the process."""

    async def open(self, turn: Turn) -> None:
        chat_id = chat_of_lane(turn.lease.delivery.lane)
        if turn.lease.crashes and chat_id is not None and is_opt_out_message(turn.lease.delivery):
            turn.ends.append(await _opt_out(chat_id, self._turns))


async def refuse_after_opt_out(call: Call, journal: TurnJournal) -> None:
    """Raise the error of Linq for a call that may show something to a person who opts out, unless it overrides this (R71)."""
    if journal.opted_out_chat is None or (call.body or {}).get("override_optout"):
        return
    chat_id = await journal.chat_of(call)
    # A message whose chat is not on record may be one in this chat.
    if chat_id == journal.opted_out_chat or (chat_id is None and call.path.startswith(MESSAGES)):
        raise LinqApiError("The person has opted out of messages.", status=403, code=OPTED_OUT, call=call.name)


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
