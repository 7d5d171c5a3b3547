"""The facts that the views of the operator's page show, for their templates. The storage is read in a few statements; Linq is
asked for the names of chats and lines.

No view needs Linq: without it, chats have ids in place of names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from linqbot.client.client import Client
from linqbot.errors import LinqApiError
from linqbot.features.muted_chats import stored_mutes
from linqbot.linq.events.lane import EVERY_CHAT, chat_of_lane
from linqbot.ops import why
from linqbot.options import DAY_S
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.outcomes import OutcomeRow

RECENT: Final = 2_000
"""Outcomes among which the chats are looked for that were active last."""

MOST: Final = 500
SHOWN: Final = 200
"""Acts of operators in their log."""

BARS: Final = 96
"""Bars of the graphs of a day, of 15 minutes each."""

_NAMES_S: Final = 60.0
_MOST_NAMES: Final = 1000
"""Chats that are listed at once, to find the names of those that are shown."""


class Names:
    """The names of chats, as Linq lists them: asked again after a minute."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._known: dict[str, tuple[str, bool]] = {}  # the name of a chat, and True for a group
        self._asked_at = -_NAMES_S
        self.trouble: str | None = None if client is not None else "LINQ_API_V3_API_KEY is not set."

    async def of(self, chats: Sequence[str], now: float) -> dict[str, str]:
        unknown = {one for one in chats if one not in self._known}
        if self._client is not None and now - self._asked_at >= _NAMES_S and unknown:
            self._asked_at, left = now, _MOST_NAMES
            try:
                async for chat in self._client.chats.list_chats(limit=100):
                    self._known[chat.id] = chat.display_name or chat.id, chat.is_group
                    unknown.discard(chat.id)
                    left -= 1
                    if not (unknown and left):
                        break
            except LinqApiError as error:
                self.trouble = f"Linq does not list chats: {why.answer_code(error)}."
            else:
                self.trouble = None
        return {one: self._known.get(one, (one,))[0] for one in chats}

    async def is_group(self, chat_id: str, now: float) -> bool | None:
        """Return True for a group; None if it is not known."""
        await self.of([chat_id], now)
        return self._known[chat_id][1] if chat_id in self._known else None


@dataclass(slots=True)
class ChatRow:
    """A chat in the list of chats.

    Attributes:
        last_at: Unix seconds of the latest event; None if none is on record.
        silent_since: Of the oldest message since the bot took the last one; None if it took the latest.
    """

    id: str
    name: str = ""
    last_at: float | None = None
    silent_since: float | None = None
    waiting: int = 0
    failed: int = 0
    is_asking: bool = False
    is_muted: bool = False


class _Rows(dict[str, ChatRow]):
    def __missing__(self, chat_id: str) -> ChatRow:
        row = self[chat_id] = ChatRow(chat_id)
        return row

    def of_lane(self, lane: str) -> ChatRow:
        return self[chat_of_lane(lane) or ""]


async def chats(storage: Storage, names: Names, *, now: float) -> dict[str, Any]:
    """Return the chats that were active last, and all in which something waits, failed, is asked or is muted."""
    rows = _Rows()
    for outcome in reversed(await storage.recent_outcomes(limit=RECENT)):
        _note(rows.of_lane(outcome.lane), outcome)
    for waits in await storage.waiting(limit=MOST):
        row = rows.of_lane(waits.lane)
        row.waiting += 1
        row.last_at = max(row.last_at or 0.0, waits.received_at)
    for letter in await storage.dead_letters(limit=MOST):
        rows.of_lane(letter.delivery.lane).failed += 1
    for conversation in await storage.conversations(limit=MOST):
        rows[conversation.chat_id].is_asking |= conversation.status == "waiting"
    mutes = {each.chat_id: each for each in await stored_mutes(storage) if each.until > now}
    everywhere = mutes.pop(EVERY_CHAT, None)
    for chat_id in mutes:
        rows[chat_id].is_muted = True
    rows.pop("", None)  # what belongs to no chat
    named = await names.of(list(rows), now)
    for row in rows.values():
        row.name = named[row.id]
    found = sorted(rows.values(), key=lambda each: -(each.last_at or 0.0))
    return {"rows": found, "muted_everywhere": everywhere, "trouble": names.trouble}


def _note(row: ChatRow, outcome: OutcomeRow) -> None:
    row.last_at = max(row.last_at or 0.0, outcome.received_at)
    if outcome.outcome == "handled":
        row.silent_since = None
    elif outcome.type == "message.received" and outcome.outcome in ("ignored", "muted", "dead_letter"):
        row.silent_since = row.silent_since or outcome.received_at


@dataclass(slots=True)
class Cause:
    """Dead letters of one cause: a handler, and the reason why it gave up, which quotes no person."""

    key: str
    handler: str | None
    error: str
    letters: list[DeadDelivery] = field(default_factory=list)  # the newest first


async def troubles(storage: Storage) -> list[Cause]:
    """Return the dead letters by their cause, the one with the newest dead letter first."""
    found: dict[str, Cause] = {}
    for letter in await storage.dead_letters(limit=MOST):
        key = hashlib.sha256(f"{letter.handler} {letter.error}".encode()).hexdigest()[:16]
        found.setdefault(key, Cause(key, letter.handler, letter.error)).letters.append(letter)
    return list(found.values())


async def lines(client: Client | None) -> dict[str, Any]:
    if client is None:
        return {"lines": (), "trouble": "LINQ_API_V3_API_KEY is not set."}
    try:
        return {"lines": [line async for line in client.phone_numbers.list()], "trouble": None}
    except LinqApiError as error:
        return {"lines": (), "trouble": f"Linq does not list lines: {why.answer_code(error)}."}


async def day(storage: Storage, *, now: float) -> dict[str, Any]:
    """Return the values of the graphs of the last day, one for each quarter of an hour."""
    width_s = DAY_S / BARS
    first = now - now % width_s - DAY_S + width_s
    taken, failed, others, mean_ms = ([0.0] * BARS for _ in range(4))
    for n, outcome, count, ms in await storage.outcome_counts(since=first, width_s=width_s):
        if not 0 <= n < BARS:
            continue
        if outcome == "handled":
            taken[n], mean_ms[n] = count, ms or 0.0
        else:
            bars = failed if outcome in ("retry", "dead_letter") else others
            bars[n] += count
    return {"begin": first, "taken": taken, "failed": failed, "others": others, "mean_ms": mean_ms}
