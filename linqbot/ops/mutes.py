"""Mutes for operators: make the bot silent in a chat, for a person or everywhere, and end that.

Next to a running server, which notices it before its next call. `features/mute.py` says what a mute means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from linqbot.client.client import Client
from linqbot.engine.call_lookup import person_of
from linqbot.errors import KeyMissing, LinqApiError, StorageError
from linqbot.features.gaps import delivery_of, sent_at
from linqbot.features.muted_chats import Mute, mute_chat, stored_mutes, unmute_chats
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import EVERY_CHAT, chat_of_lane
from linqbot.linq.handles import is_handle, person_key, plain_handle
from linqbot.linq.types.chat import Chat
from linqbot.ops.why import chats_with
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.holds import FOREVER
from linqbot.storage.outcomes import OutcomeRow

_PASSES = 3
"""Most searches for messages to catch up with: some come while the first are being fetched."""


@dataclass(frozen=True, slots=True)
class Unmuted:
    """The end of mutes: the chats, and the numbers of messages that are handled now, and that Linq does not have any more."""

    chats: Sequence[str]
    caught_up: int = 0
    gone: int = 0


async def mute(
    storage: Storage,
    client: Client | None,
    who: str | None,
    *,
    by: By,
    now: float,
    for_s: float | None = None,
    only_proactive: bool = False,
) -> list[Mute]:
    """Mute the bot for a person or in a chat, and return the mutes.

    Args:
        client: Asks Linq for the chats of a person.
        who: A handle, or the id of a chat; None for all chats.
        by: The operator, with the reason of the mutes.
        for_s: Seconds until it answers again; None mutes it until `unmute`.
        only_proactive: True lets it answer.
    Raises:
        KeyMissing: it is a handle, and Linq cannot be asked.
        StorageError: Linq lists no direct chat with the person.
    """
    until = FOREVER if for_s is None else now + for_s
    people = {EVERY_CHAT: ""} if who is None else await _chats(client, who)
    made = [
        Mute(chat, until, person, by.reason, only_proactive=only_proactive, since=now)
        for chat, person in people.items()
    ]
    for each in made:
        await mute_chat(storage, each, by=by)
    return made


async def unmute(
    storage: Storage, client: Client | None, who: str | None, *, by: By, now: float, catch_up: bool
) -> Unmuted:
    """End the mutes of a person or a chat.

    Args:
        who: A handle, or the id of a chat; None for all mutes.
        by: The operator, for the log.
        catch_up: True has the messages handled that came meanwhile, in their order. Linq is asked for their texts. Which
            came is on record for `storage.keep_outcomes_days`.
    Raises:
        KeyMissing: Linq must be asked, and cannot be.
        LinqApiError: Linq does not answer now; the mute stays.
        StorageError: nothing is muted; or nothing is on record to catch up with, and the mute stays.
    """
    stored = await stored_mutes(storage)
    wanted = None if who is None else set(await _chats(client, who)) if is_handle(plain_handle(who)) else {who}
    ending = [each for each in stored if (wanted is None or each.chat_id in wanted) and each.until > now]
    if not ending:
        everywhere = any(each.chat_id == EVERY_CHAT and each.until > now for each in stored)
        hint = "All chats are muted: linqbot mute --all --end" if everywhere else "List the mutes with: linqbot mute"
        where = {None: "anywhere", EVERY_CHAT: "everywhere"}.get(who, f"for {who} alone")
        raise StorageError(f"The bot is not muted {where}. {hint}")
    chats = [each.chat_id for each in ending]
    if not catch_up:
        await unmute_chats(storage, *chats, by=by)
        return Unmuted(chats)
    if client is None:
        raise KeyMissing(
            "The messages that came meanwhile are asked of Linq, and LINQ_API_V3_API_KEY is not set. Set it, or leave out "
            "--catch-up."
        )
    if not storage.keep_outcomes_days:
        raise StorageError(
            "What came meanwhile is not on record, because LINQBOT_KEEP_OUTCOMES_DAYS is 0. Leave out --catch-up, and answer "
            "by hand."
        )
    fetched: dict[str, Delivery | None] = {}  # by id; None for a message that Linq does not have any more
    known: dict[str, Chat] = {}
    for _ in range(_PASSES):
        missed = await storage.ended_since("muted", min(each.since for each in ending))
        rows = {row.delivery: row for row in missed if _is_of(row, ending) and row.delivery not in fetched}
        fetched |= {row.delivery: await _delivery(client, row, known, now) for row in rows.values()}
        # As replays: the turns that were muted have left journal entries.
        again = [(made, rows[made.id].replay + 1) for each in rows if (made := fetched[each]) is not None]
        # With the end of the mute: handled before it, they would be muted again, and after it, a crash would lose them.
        await unmute_chats(storage, *chats, catch_up=again, by=by)
        if not again:
            break
    gone = list(fetched.values()).count(None)
    return Unmuted(chats, len(fetched) - gone, gone)


def _is_of(row: OutcomeRow, ending: Sequence[Mute]) -> bool:
    """Return True if a message came while one of these mutes was in force."""
    chats = (chat_of_lane(row.lane), EVERY_CHAT)
    return any(each.chat_id in chats and row.ended_at >= each.since for each in ending)


async def _delivery(client: Client, row: OutcomeRow, known: dict[str, Chat], now: float) -> Delivery | None:
    """Return a message that came while the bot was muted, as a delivery; None if Linq does not have it any more."""
    chat_id, message_id = chat_of_lane(row.lane), row.message_id
    assert chat_id is not None
    assert message_id is not None
    try:
        chat = known[chat_id] = known.get(chat_id) or await client.chats.retrieve(chat_id)
        message = await client.messages.retrieve(message_id)
    except LinqApiError as error:
        if error.status not in (404, 410):
            raise
        return None
    made = delivery_of(chat, message, now, is_history=False)
    # Its age counts from when it was sent, so that it is not too old for its handlers.
    return replace(made, id=row.delivery, lane=row.lane, received_at=sent_at(message) or row.received_at)


async def _chats(client: Client | None, who: str) -> dict[str, str | None]:
    """Return the direct chats of a handle, or the chat with this id, each with its person."""
    if not is_handle(who := plain_handle(who)):
        return {who: None if client is None else person_of(await client.chats.retrieve(who)) or ""}
    chats: dict[str, str | None] = {
        chat.id: person_key(who) for chat in await chats_with(client, who) if not chat.is_group
    }
    if not chats:
        raise StorageError(f"Linq lists no direct chat with {who}. Check the handle, or name a chat.")
    return chats
