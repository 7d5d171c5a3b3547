"""The conversation of a chat, as the operator's page shows it: what people, the bot and operators said, in their order.

While an operator looks at a chat, Linq is asked for its messages, as `ctx.history` does: Linq alone has the texts of both sides,
and those from its dashboard. The storage adds who wrote, what became of it, what was not sent, and what waits. What Linq does not
list has its text only if the storage keeps it. A text goes to the page, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

from linqbot.client.client import Client
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.features.asking.records import Asked, open_questions
from linqbot.features.history import is_newest_first, written_at
from linqbot.features.later import KIND as SEND
from linqbot.features.muted_chats import Mute, stored_mutes
from linqbot.features.schedules import REPEAT
from linqbot.linq.events.lane import EVERY_CHAT, lane_of_chat
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import EventNotUnderstood, parse
from linqbot.linq.types.message import Message
from linqbot.ops import why
from linqbot.storage.acts import OperatorAct
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot_operator.page.bubbles import NOT_LISTED, ChatItem, IsYou, Teller, content_shown, time_of

STEPS: Final = (50, 200, 500, 1000)
"""The numbers of messages that are shown: at first, and each time an operator asks for earlier ones."""

_PAGE: Final = 100
_LISTED_S: Final = 20.0
"""Seconds after which Linq is asked for a chat again although the storage has no news of it: a text from Linq's dashboard need
not be news there."""
_MOST_LISTS: Final = 50
_TRIED_S: Final = 1800.0
"""Seconds for which Linq tries to deliver the webhook of a message."""
_RUN_S: Final = 900.0
"""Seconds of silence after which the speaker is named again."""


@dataclass(slots=True)
class ShownChat:
    """A chat as its view shows it.

    Attributes:
        said: The oldest first.
        earlier: The number to show to see earlier ones too; None if there are none.
        trouble: Why some of it may be missing.
    """

    id: str
    said: list[ChatItem]
    earlier: int | None
    trouble: str
    mute: Mute | None
    muted_everywhere: Mute | None
    questions: list[Asked]
    is_group: bool


class Listed(NamedTuple):
    """The latest messages of a chat as Linq lists them, the oldest first; `trouble`: why there may be others.

    `ids` are of more messages: the time that is on record of one just before the first may be later.
    """

    messages: Sequence[Message] = ()
    ids: AbstractSet[str] = frozenset()
    has_more: bool = False
    trouble: str = ""


class Lists:
    """Lists of the messages of the chats that operators look at, from Linq. They are kept for some seconds, in memory."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._known: dict[tuple[str, int], tuple[str, float, Listed]] = {}

    async def of(self, chat_id: str, most: int, *, version: str, now: float) -> Listed:
        """Return the list of a chat. Linq is asked again if the storage has another version of it than at the last time."""
        known = self._known.pop((chat_id, most), None)
        if known is None or known[0] != version or not 0 <= now - known[1] < _LISTED_S:
            known = version, now, await self._list(chat_id, most)
        self._known[chat_id, most] = known
        if len(self._known) > _MOST_LISTS:
            del self._known[next(iter(self._known))]
        return known[2]

    async def _list(self, chat_id: str, most: int) -> Listed:
        if self._client is None:
            return Listed(trouble="Linq was not asked: LINQ_API_V3_API_KEY is not set.")
        found: list[Message] = []
        try:
            async for page in self._client.chats.messages.list(chat_id, limit=_PAGE).pages():
                found += page.items
                # Linq does not document the order.
                if len(found) >= STEPS[-1] or (len(found) > most and is_newest_first(found)):
                    break
        except RuleBroken as error:
            return Listed(trouble=f"Linq was not asked: {error}")
        except LinqApiError as error:
            return Listed(trouble=f"Linq did not list the messages of the chat: {why.answer_code(error)}.")
        oldest_first = sorted(reversed(found) if is_newest_first(found) else found, key=written_at)
        return Listed(oldest_first[-most:], {message.id for message in found}, len(found) > most)


class _Stored(NamedTuple):
    """The facts about a chat in the storage. Their version says if they have changed."""

    cases: list[why.Case]
    timers: list[Timer]
    entries: list[JournalEntry]
    sends: list[OperatorAct]

    @property
    def version(self) -> str:
        return sha256(repr(self).encode("utf-8", "backslashreplace")).hexdigest()


async def conversation(
    storage: Storage, lists: Lists, chat_id: str, *, is_group: bool | None, is_you: IsYou, most: int, now: float
) -> ShownChat:
    """Return the latest `most` of what was said in a chat, and what stands there now.

    Args:
        is_group: None if it is not known.
    """
    stored = await _read(storage, chat_id, most)
    listed = await lists.of(chat_id, most, version=stored.version, now=now)
    known = {entry.message_id for entry in stored.entries}
    others = [message.id for message in listed.messages if message.is_from_me and message.id not in known]
    heard = {case.message_id for case in stored.cases}
    is_unheard = any(not message.is_from_me and message.id not in heard for message in listed.messages)
    teller = Teller(
        chat_id,
        listed.messages,
        listed.ids,
        stored.cases,
        [*stored.entries, *(await storage.entries_of([], others) if others else ())],
        stored.timers,
        stored.sends,
        is_you,
        now,
        not_listed=f"Not kept. {listed.trouble}" if listed.trouble else NOT_LISTED,
        keep_days=storage.keep_outcomes_days,
        first_at=await storage.first_activity() if is_unheard else None,
    )
    said = sorted(teller.all(), key=lambda each: each.at)
    if listed.has_more:
        # Of a message that Linq does not list, only the time of its webhook is known: earlier ones are left out.
        since = time_of(listed.messages[0])
        said = [each for each in said if each.at >= since + (0.0 if each.kept_in is None else _TRIED_S)]
    has_more, said = listed.has_more or len(said) > most, said[-most:]
    await _add_texts(storage, said)
    _arrange(said)
    mutes = {each.chat_id: each for each in await stored_mutes(storage) if each.until > now}
    return ShownChat(
        chat_id,
        said,
        next((step for step in STEPS if step > most), None) if has_more else None,
        listed.trouble,
        mutes.get(chat_id),
        mutes.get(EVERY_CHAT),
        await open_questions(chat_id, storage),
        len({each.name for each in said if each.who == "person"}) > 1 if is_group is None else is_group,
    )


async def _read(storage: Storage, chat_id: str, most: int) -> _Stored:
    cases = await why.cases_in(storage, chat_id, limit=4 * most)
    turns = {row.turn or row.delivery for case in cases for row in case.rows}
    turns |= {each for case in cases if case.waiting or case.dead for each in case.ids}
    timers = await storage.scheduled(lane=lane_of_chat(chat_id))
    return _Stored(
        cases,
        [each for each in timers if each.kind in (SEND, REPEAT)],
        await storage.entries_of(sorted(turns), []),
        [each for each in await storage.acts(about=chat_id, limit=4 * most) if each.what == "send"],
    )


async def _add_texts(storage: Storage, said: Sequence[ChatItem]) -> None:
    """Add the texts of messages that Linq does not list, as far as the storage has them."""
    missing = {each.kept_in: each for each in said if each.kept_in is not None}
    found = [delivery async for page in storage.pages(list(missing)) for delivery in page]
    waiting = missing.keys() - {delivery.id for delivery in found}
    found += filter(None, [await storage.delivery(each) for each in waiting if missing[each].mark])
    for delivery in found:
        with suppress(EventNotUnderstood):
            event = parse(delivery)
            if isinstance(event, MessageReceived):
                each = missing[delivery.id]
                each.name, each.no_text = event.sender.handle, ""
                each.text, each.files = content_shown(event.parts)


def _arrange(said: Sequence[ChatItem]) -> None:
    """Say where a day begins, where a speaker does, and how far the last message of ours came."""
    before: ChatItem | None = None
    for each in said:
        day = _day(each.at)
        each.day = "" if before is not None and _day(before.at) == day else day
        is_same = before is not None and (each.who, each.name) == (before.who, before.name)
        each.opens = bool(each.day) or not is_same or (before is not None and each.at - before.at > _RUN_S)
        before = each
    ours = [each for each in said if each.state]
    for each in ours[:-1]:
        each.state = ""


def _day(at: float) -> str:
    then = datetime.fromtimestamp(at, UTC)
    return f"{then:%A}, {then.day} {then:%B %Y}, UTC"
