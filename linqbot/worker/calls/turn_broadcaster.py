"""The broadcasts that one turn begins or reads. Next step: `worker/due/broadcasting.py` sends them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linqbot.errors import CallSkipped
from linqbot.storage.broadcasts import Broadcasts, NewBroadcast
from linqbot.types.proactive.broadcast import Broadcast, Recipient, RecipientOutcome
from linqbot.worker.calls.outbound_plugins import Outbound

if TYPE_CHECKING:
    from linqbot.worker.calls.turn_journal import TurnJournal


@dataclass(frozen=True, slots=True)
class TurnBroadcaster:
    """Stores broadcasts at once, not with the end of the turn: a name is begun once, whatever happens to the turn."""

    journal: TurnJournal
    stored: Broadcasts
    outbound: Outbound

    async def start_broadcast(
        self, new: NewBroadcast, people: Sequence[str], *, check: Callable[[], Awaitable[None]]
    ) -> Broadcast:
        """Store a broadcast now, unless one of its name is stored, and return the stored one.

        Args:
            check: Called before the broadcast is stored.
        Raises:
            BotError: `check` refuses it.
            CallSkipped: this is a part of a conversation that is over, and it has begun no such broadcast.
            Refused: a plugin vetoes it.
            StorageUnavailable: nothing was stored.
        """
        self.journal.refuse_after_end("broadcast")
        if self.journal.is_past:
            raise CallSkipped("broadcast")
        await check()
        self.outbound.check_broadcast(new.name, people)
        begun = replace(new, off_the_record=self.journal.off_the_record, lane=self.journal.lane)
        await self.stored.start_broadcast(begun, people)
        stored = await self.stored.broadcast(new.name)
        assert stored is not None, "broadcasts are never deleted"
        return stored

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast; None if none of this name is stored."""
        return await self.stored.broadcast(name)

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return people of a broadcast, in order; see `storage/broadcasts.py`."""
        return await self.stored.recipients(name, outcome=outcome, after=after, limit=limit)
