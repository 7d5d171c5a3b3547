"""The methods of the contract that SQLite and PostgreSQL share, because they share the SQL of `tables/`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from linqbot.clock import Clock, SystemClock
from linqbot.events.delivery import Delivery
from linqbot.storage.broadcasts import NewBroadcast, Order
from linqbot.storage.conversations import Conversation
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import JournalEntry
from linqbot.storage.operations import QueuedWrites
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.tables import broadcasts, conversations, deliveries, journal, state, timers
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Selection, Tally, Waiting
from linqbot.types.proactive import Broadcast, Recipient, RecipientOutcome

T = TypeVar("T")


class TableMethods(QueuedWrites, ABC):
    """The methods that read rows, or that write them outside of a turn."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock or SystemClock()
        self._changed = asyncio.Event()
        self._install = ""

    @property
    def install(self) -> str:
        """128 random bits, created once with the content, as 32 hex digits."""
        return self._install

    async def changed(self) -> None:
        """Wait until a `take` may find something new; see `Inbox.changed`."""
        await self._changed.wait()
        self._changed.clear()

    @abstractmethod
    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        """Run a query, and return its result."""

    @abstractmethod
    async def _operate(self, work: Callable[[Writable], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in a transaction outside of a turn, let memory follow it, and return its result."""

    # Journal

    async def entries(self, turn: str, replay: int = 0) -> list[JournalEntry]:
        """Return the journal entries of a turn, in the order in which they were begun."""
        return await self._read(lambda db: journal.of_turn(db, turn, replay))

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        """Return the entry that made a message; see `Journal.entry_of`."""
        return await self._read(lambda db: journal.of_message(db, message_id))

    async def has_sent(self, message_id: str) -> bool:
        """Return True if the bot sent this message; see `Journal.has_sent`."""
        return await self._read(lambda db: journal.has_sent(db, message_id))

    async def ambiguous(self, *, limit: int = 100) -> list[JournalEntry]:
        """Return the calls and steps of which it is unknown if they were done; see `Upkeep.ambiguous`."""
        return await self._read(lambda db: journal.ambiguous(db, limit))

    # Conversations

    async def conversation(self, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
        """Return a conversation with its journal entries; see `Conversations.conversation`."""
        return await self._read(lambda db: conversations.with_entries(db, conversation_id))

    async def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of open questions by handler; see `Conversations.waiting_by_handler`."""
        return await self._read(conversations.waiting_by_handler)

    async def conversations(self, *, chat_id: str | None = None, limit: int = 100) -> list[Conversation]:
        """Return the conversations on record, the oldest question first."""
        return await self._read(lambda db: conversations.oldest_first(db, chat_id, limit))

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return await self._read(lambda db: state.load(db, scope))

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        return await self._read(lambda db: state.rows(db, prefix=prefix, name=name, after=after, limit=limit))

    async def write_state(self, writes: Sequence[StateWrite]) -> None:
        """Write values outside of a turn; see `StateStore.write_state`."""
        await self._operate(lambda tx: state.write_now(tx, writes))

    # Timers

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        return await self._read(lambda db: timers.scheduled(db, lane, limit))

    async def timer(self, timer_id: str) -> Timer | None:
        """Return a timer; see `Timers.timer`."""
        return await self._read(lambda db: timers.find(db, timer_id))

    async def recurring(self, kind: str, *, lane: str | None = None) -> list[Timer]:
        """Return the recurring timers of a kind; see `Timers.recurring`."""
        return await self._read(lambda db: timers.recurring(db, kind, lane))

    # Broadcasts

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        """Store a broadcast; see `Broadcasts.start_broadcast`."""
        return await self._operate(lambda tx: broadcasts.start(tx, broadcast, people))

    async def broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast with its counts; None if none of this name is stored."""
        return await self._read(lambda db: broadcasts.find(db, name))

    async def broadcasts(self, *, limit: int = 100) -> list[Broadcast]:
        """Return the broadcasts, the newest first."""
        return await self._read(lambda db: broadcasts.newest(db, limit))

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        """Return rows of a broadcast; see `Broadcasts.recipients`."""
        return await self._read(lambda db: broadcasts.recipients(db, name, outcome, after, limit))

    async def order_broadcast(self, name: str, order: Order) -> bool:
        """Pause, resume or cancel a broadcast; see `Broadcasts.order_broadcast`."""
        return await self._operate(lambda tx: broadcasts.order(tx, name, order))

    # Upkeep

    @abstractmethod
    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""

    async def waiting(
        self,
        *,
        delivery_id: str | None = None,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        limit: int = 100,
    ) -> list[Waiting]:
        """Return the deliveries in the inbox; see `Upkeep.waiting`."""
        now = self._clock.now()
        return await self._read(
            lambda db: deliveries.waiting(db, now, delivery_id=delivery_id, lane=lane, event_type=type, limit=limit)
        )

    async def tally(self) -> Tally:
        """Count what waits and what is dead; see `Upkeep.tally`."""
        waiting = await self.depth()
        return Tally(waiting, *await self._read(deliveries.oldest_and_dead))

    async def dead_letters(
        self,
        *,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[DeadDelivery]:
        """Return the dead letters, newest first; see `Upkeep.dead_letters`."""
        return await self._read(
            lambda db: deliveries.dead_letters(db, lane=lane, event_type=type, since=since, until=until, limit=limit)
        )

    async def dead_letter(self, delivery_id: str) -> DeadDelivery | None:
        """Return the dead letter with this id; None if there is none."""
        found = await self._read(lambda db: deliveries.dead_letters(db, delivery_id=delivery_id))
        return found[0] if found else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its body; see `Upkeep.delivery`."""
        return await self._read(lambda db: deliveries.find(db, delivery_id))

    async def replayable(self, selection: Selection, *, dead_only: bool = False) -> list[str]:
        """Return the ids that can be replayed; see `Upkeep.replayable`."""
        return await self._read(lambda db: deliveries.replayable(db, selection, dead_only=dead_only))

    async def retry(self, ids: Sequence[str]) -> int:
        """Put dead letters back into the inbox; see `Upkeep.retry`."""
        return await self._operate(lambda tx: self._put_back(tx, ids, ["dead"], again=False))

    async def replay_live(self, ids: Sequence[str]) -> int:
        """Put replayable deliveries into the inbox again; see `Upkeep.replay_live`."""
        return await self._operate(lambda tx: self._put_back(tx, ids, ["dead", "done"], again=True))

    @abstractmethod
    async def _put_back(self, tx: Any, ids: Sequence[str], places: Sequence[str], *, again: bool) -> int:
        """Move kept deliveries to the tails of their lanes, and return their number; see `deliveries.take_kept`."""

    async def pages(self, ids: Sequence[str], *, size: int = 100) -> AsyncIterator[list[Delivery]]:
        """Yield the deliveries of these ids; see `Upkeep.pages`."""
        for start in range(0, len(ids), size):
            yield await self._read(partial(deliveries.page, ids=ids[start : start + size]))
