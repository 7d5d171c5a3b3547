"""Handoffs: a person of yours, the owner, answers in a chat by way of the bot. `ctx.handoff` begins one.

The chat is muted meanwhile, and the handoff is stored with its mute (`mute.py`). The owner reads and writes in their own direct
chat with the bot. What the person writes is sent there, and what the owner writes is sent to the person: see `relay.py`.

However the mute ends, the timer of the handoff fires then, and says so to both: a timer of a muted chat waits. The person is also
asked again what the bot had asked. The row is stored
before the owner is written to, because the answer may come at once. Its time is short until the owner has written, so a handoff
that nothing comes of ends, also if the bot crashes while it begins it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.characters import repaired
from linqbot.client.outcome import is_refused
from linqbot.content.message_split import Content
from linqbot.content.sent import Sent
from linqbot.engine.call_lookup import person_of
from linqbot.engine.turn import Turn
from linqbot.errors import BotError, LinqApiError, Refused, RuleBroken
from linqbot.features.broadcasts import send_to
from linqbot.features.lookups import line_of
from linqbot.features.mute import waits
from linqbot.features.muted_chats import Mute, change_mute, ended
from linqbot.features.notices import say
from linqbot.features.turn_data import HandedOver, TurnMute
from linqbot.language.spoken import sentences, speaking, spoken
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.handles import person_key, read_handle
from linqbot.linq.types.proactive import ChatHandoff, HandoffEnd
from linqbot.options import DAY_S, check_number
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.timers import Timer
from linqbot.turn_events import HandoffEnded

if TYPE_CHECKING:
    from linqbot.clock import Clock
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns
    from linqbot.features.mute import TurnMutes
    from linqbot.features.speaking import Speaker
    from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.worker")

HANDOFF_KIND: Final = "handoff"

LABEL: Final = "linqbot handoff "
"""The beginning of the labels of the calls that write to an owner. The chat that is handed over follows, so that a reply finds it."""

RELAY_STEP: Final = "linqbot relay"
"""The step that says where the texts of an event go."""

_MESSAGES: Final = 10
"""The number of messages of the chat that the owner gets."""
_ME: Final = "🤖"
"""The speaker of the bot's own messages there."""

# What an author calls


@dataclass(frozen=True, slots=True)
class Terms:
    """The arguments of `Context.handoff`."""

    to: str
    say: Content
    summary: str
    back_after_s: float
    taken_within_s: float
    name: str | None
    owner_name: str | None

    def check(self) -> None:
        """Repair the texts, which go to plugins and storages too. Raise BotError if one of the arguments cannot be."""
        if read_handle(self.to) is None:
            raise BotError("ctx.handoff(to=…) takes the handle of one person: '+14155550142', or an e-mail address.")
        for option in ("summary", "name", "owner_name"):
            text = getattr(self, option)
            if text is not None and not isinstance(text, str):
                raise BotError(f"ctx.handoff({option}=…) takes a text, not a value of type {type(text).__name__}.")
            object.__setattr__(self, option, repaired(text))
        for option in ("back_after_s", "taken_within_s"):
            check_number("handoff", option, seconds := getattr(self, option))
            if not 0 < seconds <= 365 * DAY_S:
                raise BotError(f"handoff({option}={seconds!r}) takes a number of seconds, of a year at most.")


async def hand_over(ctx: Speaker, journal: TurnJournal, mutes: TurnMutes, terms: Terms) -> bool:
    """Hand the chat of an event over; see `Context.handoff`."""
    terms.check()
    step = mutes.name(HANDOFF_KIND)
    made_by = f"{journal.turn}|{journal.replay}|{step}"
    begin = partial(_begin, ctx, mutes, terms, hashlib.sha256(made_by.encode()).hexdigest()[:32])
    handoff = ChatHandoff(**await mutes.steps.recorded(step, begin, kind=dict))
    said = sentences().handoff.format(name=handoff.name)
    before = await ctx.history(_MESSAGES)
    content = [f"{said}\n\n{terms.summary}" if terms.summary else said, before.as_text(me=_ME, them=handoff.name)]
    to, label = handoff.owner, f"{LABEL}{handoff.chat_id}"

    async def introduce() -> Sent:
        sent = await ctx.bot.send(*filter(None, content), to=to, line=handoff.line, cards=False, key=label)
        if sent.status == "accepted":
            await _note_sent(sent, mutes, handoff)
        return sent

    of_turn = journal.data.of(TurnMute)
    of_turn.is_passed = True
    try:
        is_reached = await status_of(introduce()) == "accepted"
        if is_reached:
            await ctx.send(terms.say)
    except RuleBroken:  # a mistake in the words, with which every further run fails too
        await end_handoff(mutes.stored, handoff, "unreachable", mutes.clock)
        raise
    finally:
        of_turn.is_passed = False

    async def note() -> bool:
        if not is_reached:
            await end_handoff(mutes.stored, handoff, "unreachable", mutes.clock)
            return False
        until = mutes.clock.now() + terms.taken_within_s
        await change_handoff(mutes.stored, handoff.chat_id, handoff.id, lambda mute, _: replace(mute, until=until))
        return True

    journal.data.of(HandedOver)
    return await mutes.steps.recorded(mutes.name("handed over"), note, kind=bool)


async def _begin(ctx: Speaker, mutes: TurnMutes, terms: Terms, handoff_id: str) -> dict[str, Any]:
    """Store a handoff with its mute, and the timer that says when it is over. Return its fields."""
    chat_id, now, owner = ctx.chat_id, mutes.clock.now(), person_key(terms.to)
    chat = await mutes.client.chats.retrieve(chat_id)
    line = line_of(chat) or ctx.event.line
    if (person := person_of(chat)) is None or line is None:
        raise BotError(
            "ctx.handoff() is for direct chats. Into a group, bring the person who answers: ctx.chat.add(…)."
        )
    if owner == person:
        raise BotError("ctx.handoff(to=…) is the person of this chat. Try it from another phone.")
    handoff = ChatHandoff(
        handoff_id,
        chat_id,
        person,
        owner,
        line,
        terms.name or person,
        terms.owner_name,
        spoken().stored,
        terms.back_after_s,
    )

    def to(mute: Mute | None) -> Mute:
        if mute is not None and mute.is_handed_over(now):
            return mute
        return Mute(chat_id, now + terms.taken_within_s, person, handoff=handoff, since=now)

    stored = await change_mute(mutes.stored, chat_id, to)
    if stored is None or stored.handoff is None or stored.handoff.id != handoff.id:
        raise BotError("This chat is handed over already. ctx.unmute() ends that.")
    payload = {"id": handoff.id, "chat_id": chat_id, "handles": [person, owner]}
    await mutes.stored.schedule(Timer(handoff.id, now, lane_of_chat(chat_id), HANDOFF_KIND, to_json(payload)))
    return fields_of(handoff)


async def _note_sent(sent: Sent, mutes: TurnMutes, handoff: ChatHandoff) -> None:
    """Store since when the owner may know of a handoff: what they wrote before is not for its person."""
    at = sent.messages[0].created_at if sent.messages else None
    # Without Linq's time, such as after the message was deleted, no text counts as older.
    since = 0.0 if at is None else at.timestamp()

    def begin(mute: Mute, stored: ChatHandoff) -> Mute:
        return replace(mute, handoff=replace(stored, since=since))

    await change_handoff(mutes.stored, handoff.chat_id, handoff.id, begin)


async def status_of(sending: Awaitable[Sent]) -> str:
    """Return the status of a send, which is `refused` also if Linq refuses it."""
    try:
        return (await sending).status
    except LinqApiError as error:
        if not is_refused(error):
            raise
        log.warning("handoff.not_sent", status=error.status, code=error.code)
        return "refused"


async def change_handoff(
    storage: Storage, chat_id: str, handoff_id: str, to: Callable[[Mute, ChatHandoff], Mute | None]
) -> ChatHandoff | None:
    """Change the mute of a handoff, unless the handoff has ended. Return the handoff, or None if the chat has it no more."""

    def change(mute: Mute | None) -> Mute | None:
        if mute is None or mute.handoff is None or mute.handoff.id != handoff_id or mute.handoff.ended is not None:
            return mute
        return to(mute, mute.handoff)

    mute = await change_mute(storage, chat_id, change)
    handoff = None if mute is None else mute.handoff
    return handoff if handoff is not None and handoff.id == handoff_id else None


async def end_handoff(storage: Storage, handoff: ChatHandoff, how: HandoffEnd, clock: Clock) -> None:
    await change_handoff(storage, handoff.chat_id, handoff.id, lambda mute, _: ended(mute, how=how, now=clock.now()))


# Its kind of deliveries


async def hand_back(turns: Turns, turn: Turn) -> None:
    """Say to the person and to the owner that a handoff is over. If Linq is away, the turn is deferred."""
    timer = from_json(turn.lease.delivery.body)

    def close(mute: Mute, stored: ChatHandoff) -> Mute:
        if mute.until > turns.clock.now():
            return mute
        return replace(mute, handoff=replace(stored, ended="time" if stored.taken else "not_taken"))

    handoff = await change_handoff(turns.storage, timer["chat_id"], timer["id"], close)
    if handoff is None:
        return
    if handoff.ended is None:  # its owner has written just now
        waits(turn, turn.lease.delivery, turns.clock)
        return
    journal, client = turn.journal, turn.client
    # The chat is the person's alone: it is no chat of the owner, who is named by the call.
    journal.origin = to_json({"handles": timer["handles"][:1], "chat_id": handoff.chat_id, "is_group": False})
    turn.data.of(TurnMute).is_passed = True
    with turn.deadline, speaking(turns.dispatcher.language_named(handoff.language)):
        said = sentences()
        text = said.no_one_answers if handoff.ended in ("not_taken", "unreachable") else said.bot_is_back
        await say(text, partial(send_to, client, handoff.chat_id, "", ""), "handoff.not_said")
        await _ask_again(turns, turn, handoff.chat_id)
        if handoff.ended != "unreachable":
            owner = client.named(f"{LABEL}{handoff.chat_id}")
            text = said.handed_back.format(name=handoff.name)
            await say(text, partial(send_to, owner, "", handoff.line, handoff.owner), "handoff.not_said")
    if (notify := journal.observers.get(HandoffEnded)) is not None:
        notify(HandoffEnded(handoff))


async def _ask_again(turns: Turns, turn: Turn, chat_id: str) -> None:
    """Send the open question of a person again, which they may have forgotten meanwhile, unless its time is over."""
    waiting = [each for each in turns.storage.conversations_in(chat_id) if each.status == "waiting"]
    if not waiting:
        return
    from linqbot.features.asking.records import Asked, send_again

    repeated = list[Conversation]()
    for summary in waiting:
        found = await turns.storage.conversation(summary.id)
        asked = None if found is None else Asked.read(*found)
        if asked is None or asked.conversation.status != "waiting" or summary.until <= turns.clock.now():
            continue
        if not asked.question.repeat:
            continue
        try:
            repeated.append((await send_again(asked, turn.client)).conversation)
        except Refused as error:
            log.info("handoff.not_said", plugin=error.plugin, reason=str(error))
        except LinqApiError as error:
            if not is_refused(error):
                raise
            log.warning("handoff.not_said", status=error.status, code=error.code)

    def end(_: Turn, commit: Commit) -> None:
        if isinstance(commit.outcome, Ack):
            commit.conversations += repeated

    turn.ends.append(end)


def fields_of(handoff: ChatHandoff) -> dict[str, Any]:
    fields: dict[str, Any] = from_json(to_json(handoff))
    return fields
