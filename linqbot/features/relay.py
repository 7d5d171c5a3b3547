"""The texts of a handoff: what its person writes goes to the owner, and what the owner writes goes to the person.

A text of the owner is sent only if it is certain for whom it is. A reply to a message is for the person of that message, and so is
a text that begins with the name of one; `#answer yes` is for the bot, and `#done` is never a text: see `addressed.py`. Else there
must be one handoff only: none other is open to this owner, or was a short time ago, and the bot has no question open to the owner.
Otherwise nothing is sent, and the owner reads how to say it.

The owner may answer a message before the turn that has sent it is over. Only then it is on record for whom the message was, so
the owner's delivery is deferred until then. So is any text of the owner while the first message of a handoff is being sent: if the
owner wrote the text before they could read that message, the text is not for the person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

from linqbot.content.message_split import Content
from linqbot.content.sent import Sent
from linqbot.engine import reasons
from linqbot.engine.turn import Kind, Turn
from linqbot.errors import FetchFailed, FetchRefused, Muted, RuleBroken
from linqbot.features.addressed import (
    as_answer,
    done_with,
    ends,
    is_answer,
    is_check_mark,
    is_done,
    named_in,
    ways_to_name,
    words_for,
)
from linqbot.features.handoff import LABEL, RELAY_STEP, change_handoff, end_handoff, fields_of, status_of
from linqbot.features.muted_chats import Mute, mute_of, mutes_of
from linqbot.features.speaking import Speaker
from linqbot.features.turn_data import TurnMute
from linqbot.features.turn_feature import TurnFeature
from linqbot.language.spoken import sentences, speaking
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.linq.events.message import MessageReceived, ReactionAdded
from linqbot.linq.events.parse import understood
from linqbot.linq.events.poll import PollReceived
from linqbot.linq.handles import person_key
from linqbot.linq.rules.keywords import opts_out
from linqbot.linq.types.message import AppPart
from linqbot.linq.types.proactive import OWNERS_WORDS, ChatHandoff
from linqbot.storage.inbox import Defer, Lease
from linqbot.storage.journal import JournalEntry
from linqbot.turn_events import Routed

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns
    from linqbot.features.proactive import BotSpeaker

log = structlog.get_logger("linqbot.worker")

_HANDED_OVER: Final = "it belongs to a handoff (ctx.handoff)"
"""The reason why no handler takes an event."""

_AMBIGUOUS_S: Final = 600.0
"""Seconds after the end of a handoff in which the owner may still write to its person, not knowing that it is over."""

_AGAIN_S, _LONGEST_S = 1.0, 60.0
"""Seconds after which a delivery of the owner that is deferred is looked at again: the first time, and at most."""

_Where: TypeAlias = dict[str, Any]
"""Where a message goes, as JSON: `owner` has the fields of the handoff whose owner gets it, and `to` those of the one whose person
gets it; with `done`, it ends the handoff. `answer` is for the bot's question. `later` is not known yet. All others
have a `language`, and say what the owner reads: `which` and `over` have what the sentences of these names fill in, with `asked` if
the bot's question may be meant too; with `late`, no question is open."""


class Handoffs(TurnFeature):
    """Takes the messages of a chat that is handed over, and those of its owner, before questions and handlers do."""

    async def open(self, turn: Turn) -> Defer | None:
        known = turn.opening.known
        steps = [entry.status for entry in known if entry.slot.endswith(f"step:{RELAY_STEP}")]
        where: list[_Where] | None = None
        if "accepted" in steps:
            where = []  # it is on record
        elif (event := understood(turn.lease.delivery)) is not None:
            where = await self._where(event, turn.lease)
            if where == [_ANSWER]:
                turn.lease = replace(turn.lease, delivery=as_answer(turn.lease.delivery))
                where = None
            elif len(known) != len(steps):
                # The turn has begun without a relay, whose sends come after its step, and goes on as it began.
                where = None
            elif where == [_LATER]:
                return self._later(turn.lease)
        if where is not None:
            turn.data.of(TurnMute).is_muted = True
            turn.kind = Kind(run=partial(_relay, self._turns, where=where))
        return None

    def _later(self, lease: Lease) -> Defer:
        now = self._turns.clock.now()
        wait_s = min(max(now - lease.delivery.received_at, _AGAIN_S), _LONGEST_S)
        return Defer(now + wait_s, "It may answer a message of a handoff whose turn is not over.")

    async def _where(self, event: Event, lease: Lease) -> list[_Where] | None:
        """Return where the messages of an event go; None if they are for the bot."""
        if event.is_own or event.actor is None or opts_out(event):
            return None
        turns, now = self._turns, self._turns.clock.now()
        if mute_of(turns.storage.holds, None, now) is not None or self._is_command(event):
            return None
        if (mute := self._handed_over(event, now)) is not None:
            handoff = mute.handoff
            assert handoff is not None
            # An Apple ID may share its location under its e-mail address, and a direct chat has no other person.
            is_theirs = person_key(event.actor) == handoff.person or event.type == "location.sharing.started"
            if is_theirs and (isinstance(event, MessageReceived) or _named(event, handoff.name)):
                return [{"owner": fields_of(handoff)}]
            return None
        if turns.dispatcher.is_keyword(event):
            return None
        mine = [each for each in mutes_of(turns.storage.holds) if _is_owner(event, each)]
        return await self._where_of_owner(event, lease, mine) if mine else None

    def _handed_over(self, event: Event, now: float) -> Mute | None:
        """Return the mute of the chat of an event that is handed over; None if it is not. Linq names no chat of a contact card."""
        holds = self._turns.storage.holds
        if event.chat_id is not None:
            found = [Mute.of(each) for each in (holds.get(event.chat_id),) if each is not None]
        else:
            found = [each for each in mutes_of(holds) if _is_person(event, each)]
        return next((each for each in found if each.is_handed_over(now)), None)

    def _is_command(self, event: Event) -> bool:
        """Return True for a command of an owner, which is for the bot."""
        waiting = (each.status == "waiting" for each in self._turns.storage.conversations_in(event.chat_id or ""))
        return self._turns.dispatcher.is_command(event, during_ask=any(waiting))

    async def _where_of_owner(self, event: Event, lease: Lease, mine: Sequence[Mute]) -> list[_Where] | None:
        """Return where the messages of an owner go, who has the handoffs `mine`, over or not; None if they are for the bot."""
        now = self._turns.clock.now()
        if await self._is_early(event, lease, [each for each in mine if each.is_handed_over(now)]):
            return [_LATER]
        if isinstance(event, ReactionAdded):
            found = _of_message(await self._turns.storage.entry_of(event.message_id or ""), mine)
            if found is not None and _is_approval(event) and found.is_handed_over(now):
                return [_to(found, is_done=True)]
        if not isinstance(event, MessageReceived) or event.is_group:
            return None
        if is_answer(event.text) and not event.burst:
            is_open = await self._answers(replace(lease, delivery=as_answer(lease.delivery)))
            return [_ANSWER if is_open else {"late": True, "language": _handoff(mine[0]).language}]
        is_asked = await self._answers(lease)
        where = [await self._where_text(each, mine, is_asked=is_asked) for each in event.burst or (event,)]
        if any(where):
            open_ = [each for each in mine if each.is_handed_over(now)]
            unclear = _which(open_, is_asked=is_asked) if open_ else next(filter(None, where))
            return [each or unclear for each in where]
        return None

    async def _is_early(self, event: Event, lease: Lease, open_: Sequence[Mute]) -> bool:
        """Return True if an event of the owner may answer a message of one of these handoffs whose turn is not over."""
        storage, seen_at = self._turns.storage, lease.delivery.received_at
        answered = _answered_by(event) if open_ else []
        is_text = isinstance(event, MessageReceived) and not event.is_group
        is_begun = all(_handoff(each).since is not None for each in open_)
        if (is_begun or not is_text) and all([await storage.entry_of(each) for each in answered]):
            return False
        heads = [await storage.waiting(lane=lane_of_chat(each.chat_id), limit=1) for each in open_]
        # The turn of a message that the owner has seen had begun before.
        return any(head.received_at <= seen_at for (head,) in filter(None, heads))

    async def _answers(self, lease: Lease) -> bool:
        """Return True if a message would answer a question of the bot's in its chat, or would come too late for one there."""
        conversations = self._turns.storage.conversations_in(chat_of_lane(lease.delivery.lane) or "")
        if not conversations:
            return False
        from linqbot.features.asking.arrivals import Arriving

        turns = self._turns
        arriving = Arriving(lease.delivery, conversations, turns.dispatcher, turns.storage, lease.put_back)
        return (await arriving.meaning()).asked is not None

    async def _where_text(self, message: MessageReceived, mine: Sequence[Mute], *, is_asked: bool) -> _Where | None:
        """Return where one message of an owner goes; None if it is for the bot."""
        storage, now, text = self._turns.storage, self._turns.clock.now(), message.text
        replied_to = None if message.reply_to is None else await storage.entry_of(message.reply_to.message_id)
        if replied_to is not None and done_with(text) is None:
            found = _of_message(replied_to, mine)
            return None if found is None else _to(found, is_done=ends(text, _handoff(found)))
        sent_at = now if message.sent_at is None else min(message.sent_at.timestamp(), now)
        begun = [each for each in mine if not _is_older(message, each)]
        recent = [each for each in begun if _over_at(each) > sent_at - _AMBIGUOUS_S]
        if named := named_in(text, recent) or named_in(text, begun):
            return _to(named[0], is_done=ends(text, _handoff(named[0]))) if len(named) == 1 else _which(named)
        # The owner may not know yet that one of these is over.
        not_over = [each for each in begun if _over_at(each) > sent_at]
        if is_done(text) or done_with(text) is not None:
            return _where_done(text, not_over, recent)
        recent = [each for each in recent if not _is_given_back(each)]
        open_ = [each for each in recent if each.is_handed_over(now)]
        is_unclear = is_asked or is_answer(text) or (open_ and len(recent) > 1)
        if recent and is_unclear:
            return _which(open_, is_asked=is_asked) if open_ else _over(_handoff(recent[0]), is_asked=is_asked)
        if open_:
            return _to(open_[0], is_done=is_check_mark(text))
        missed = [each for each in recent if each in not_over]
        return _over(_handoff(missed[0])) if missed else None


def _where_done(text: str, not_over: Sequence[Mute], recent: Sequence[Mute]) -> _Where | None:
    """Return what becomes of `#done`, or of `#done` with words that name no one: it is no text, and answers no question.

    Args:
        not_over: The handoffs that the owner could end, as far as they knew.
        recent: These, and those that were over a short time ago.
    """
    if len(not_over) == 1 and is_done(text):
        return _to(not_over[0], is_done=True)
    if not_over:
        return _which(not_over, is_done=True)
    return _over(_handoff(recent[-1])) if recent else None


_ANSWER: Final[_Where] = {"answer": True}
_LATER: Final[_Where] = {"later": True}


def _handoff(mute: Mute) -> ChatHandoff:
    assert mute.handoff is not None
    return mute.handoff


def _to(mute: Mute, *, is_done: bool) -> _Where:
    return {"to": fields_of(_handoff(mute)), "done": is_done}


def _which(open_: Sequence[Mute], *, is_asked: bool = False, is_done: bool = False) -> _Where:
    handoffs = [_handoff(each) for each in open_]
    ways = ways_to_name(handoffs)
    blanks = {"name": ways[0][1], "names": ", ".join(shown for shown, _ in ways)}
    sentence = "which_done" if is_done else "which"
    return {sentence: blanks, "asked": is_asked, "language": handoffs[0].language}


def _over(handoff: ChatHandoff, *, is_asked: bool = False) -> _Where:
    return {"over": {"name": handoff.name}, "asked": is_asked, "language": handoff.language}


def _is_owner(event: Event, mute: Mute) -> bool:
    handoff = mute.handoff
    if handoff is None or event.actor is None or person_key(event.actor) != handoff.owner:
        return False
    return event.line in (None, handoff.line)


def _is_person(event: Event, mute: Mute) -> bool:
    handoff = mute.handoff
    if handoff is None or event.actor is None or person_key(event.actor) != handoff.person:
        return False
    return event.line in (None, handoff.line)


def _is_older(message: MessageReceived, mute: Mute) -> bool:
    """Return True if a message was written before its owner could know of a handoff, both by Linq's clock."""
    since = _handoff(mute).since
    return since is None or (message.sent_at is not None and message.sent_at.timestamp() < since)


def _over_at(mute: Mute) -> float:
    """Return when a handoff ends or has ended, in Unix seconds: a later mute of the chat may last longer."""
    return mute.until if mute.handoff is None or mute.handoff.over_at is None else mute.handoff.over_at


def _is_given_back(mute: Mute) -> bool:
    """Return True if the owner has ended the handoff, and so writes to its person no more."""
    return mute.handoff is not None and mute.handoff.ended == "owner"


def _is_approval(event: ReactionAdded) -> bool:
    return event.reaction_type == "like" or is_check_mark(event.custom_emoji or "")


def _answered_by(event: Event) -> list[str]:
    """Return the ids of the messages that an event approves or replies to."""
    if isinstance(event, ReactionAdded):
        return [event.message_id] if event.message_id and _is_approval(event) else []
    if not isinstance(event, MessageReceived) or event.is_group:
        return []
    return [each.reply_to.message_id for each in event.burst or (event,) if each.reply_to is not None]


def _of_message(entry: JournalEntry | None, mutes: Sequence[Mute]) -> Mute | None:
    """Return the handoff for which a message was written to its owner, by the label of the call."""
    _, found, chat_id = ("", "", "") if entry is None else entry.slot.rpartition(LABEL)
    return next((mute for mute in mutes if found and mute.chat_id == chat_id), None)


async def _relay(turns: Turns, turn: Turn, *, where: list[_Where]) -> None:
    """Send the messages of a person to the owner, or of an owner to their people. If Linq is away, the turn is deferred."""
    run = await turns.prepare(turn, turn.lease.delivery)
    assert isinstance(run, Speaker)  # as the contexts of all turns are
    turn.data.of(TurnMute).is_passed = True
    if (notify := turn.journal.observers.get(Routed)) is not None:
        notify(Routed(turn.event, None, None, (), _HANDED_OVER))
    messages = turn.event.burst if isinstance(turn.event, MessageReceived) else ()

    async def find() -> list[_Where]:
        return [await _prolonged(each, turns) for each in where]

    with turn.deadline:
        relayed = await run.recorded(RELAY_STEP, find, kind=list)
        if turns.dispatcher.takes_keyword(turn.event, in_handoff=True):
            await turns.dispatcher.answer_keyword(turn.event, run)
        try:
            for each, event in zip(relayed, messages or (turn.event,), strict=False):
                if "owner" in each:
                    await _to_owner(turns, run.bot, ChatHandoff(**each["owner"]), turn.event)
                elif (notice := await _to_person(turns, run.bot, each, event)) is not None:
                    await run.send(notice)
        except Muted:
            turn.why = reasons.MUTED
        finally:
            run.stop_typing()  # a notice to the owner would show the dots again


async def _prolonged(where: _Where, turns: Turns) -> _Where:
    """Return where a message goes, and let the handoff of its owner go on, unless it has ended just now."""
    if "to" not in where:
        return where
    handoff = ChatHandoff(**where["to"])
    until = turns.clock.now() + handoff.back_after_s

    def prolong(mute: Mute, stored: ChatHandoff) -> Mute:
        return replace(mute, until=until, handoff=replace(stored, taken=True))

    now = await change_handoff(turns.storage, handoff.chat_id, handoff.id, prolong)
    is_open = now is not None and now.ended is None
    return where if is_open else _over(handoff)


def _named(event: Event, name: str) -> str | None:
    """Return the sentence that says what a person has sent and the relay cannot show; None if it can, or if it is no such event."""
    said, options = sentences(), ""
    sentence: str | None
    if isinstance(event, MessageReceived):
        is_of_app = any(isinstance(each, AppPart) for each in event.parts)
        is_shown = event.text or event.media
        sentence = None if is_shown else said.sent_app_card if is_of_app else said.sent_unknown
    elif isinstance(event, ReactionAdded):
        sentence = said.put_sticker if event.reaction_type == "sticker" else None
    elif isinstance(event, PollReceived):
        options = ", ".join(each.text for each in event.poll.options if each.text)
        sentence = said.sent_poll if options else said.sent_unknown
    else:
        sentence = {"location.sharing.started": said.shared_location, "contact_card.received": said.shared_card}.get(
            event.type
        )
    return None if sentence is None else sentence.format(name=name, options=options)


async def _to_owner(turns: Turns, bot: BotSpeaker, handoff: ChatHandoff, event: Event) -> None:
    """Send a message of the person to the owner. If the owner cannot be written to, the handoff ends."""

    def send(content: Sequence[Content]) -> Awaitable[Sent]:
        return bot.send(*content, to=handoff.owner, line=handoff.line, key=f"{LABEL}{handoff.chat_id}")

    with speaking(turns.dispatcher.language_named(handoff.language)):
        named = _named(event, handoff.name)
    is_reached = await (_forwarded(event, handoff.name, send) if named is None else _relayed(send([named])))
    if not is_reached:
        await end_handoff(turns.storage, handoff, "unreachable", turns.clock)


async def _to_person(turns: Turns, bot: BotSpeaker, where: _Where, event: Event) -> str | None:
    """Send a message of an owner to the person that it is for. Return what the owner reads, if it was not sent."""
    handoff = ChatHandoff(**where["to"]) if "to" in where else None
    if handoff is not None and where["done"]:
        await end_handoff(turns.storage, handoff, "owner", turns.clock)
        return None
    if (
        handoff is not None
        and _named(event, handoff.name) is None
        and await _forwarded(
            event,
            handoff.owner_name,
            lambda content: bot.send_in(handoff.chat_id, *content, key=OWNERS_WORDS),
            without=handoff,
        )
    ):
        return None
    language = where["language"] if handoff is None else handoff.language
    with speaking(turns.dispatcher.language_named(language)):
        return _notice(where) if handoff is None else sentences().not_delivered.format(name=handoff.name)


def _notice(where: _Where) -> str:
    """Return what an owner reads whose text was not sent."""
    said = sentences()
    if "late" in where:
        return said.too_late
    if "which_done" in where:
        return said.which_done.format(**where["which_done"])
    text = said.handoff_over.format(**where["over"]) if "over" in where else said.which_person.format(**where["which"])
    return f"{text} {said.or_answer}" if where["asked"] else text


async def _forwarded(
    event: Event,
    name: str | None,
    send: Callable[[Sequence[Content]], Awaitable[Sent]],
    *,
    without: ChatHandoff | None = None,
) -> bool:
    """Send the texts and files of a message, with the name of who wrote it. Return False if they did not arrive.

    Of a text that begins with the name of the person of the handoff `without`, the name is left out.
    """
    assert isinstance(event, MessageReceived)
    text, files = event.text if without is None else words_for(event.text, without), event.media
    content: list[Content] = []
    if name is not None:
        content.append(f"{name}: {text}" if text else f"{name}:")
    elif text:
        content.append(text)
    try:
        return await _relayed(send([*content, *files]))
    except (FetchFailed, FetchRefused, RuleBroken) as error:
        if not files:
            raise
        log.warning("handoff.file_missing", event_id=event.event_id, error=type(error).__name__)
    shown = " ".join(f"[{part.filename or part.mime_type or '…'}]" for part in files)
    return await _relayed(send(["\n".join([*map(str, content), shown])]))


async def _relayed(sending: Awaitable[Sent]) -> bool:
    """Return True if Linq accepts a send, and False if it refuses it, so that a repetition is useless.

    Raises Muted if the whole bot has been muted meanwhile, or the chat by an operator.
    """
    if (status := await status_of(sending)) == "muted":
        raise Muted("The bot is muted. linqbot mute WHO --end --catch-up has the message handled.")
    return status == "accepted"
