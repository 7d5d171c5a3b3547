"""Upkeep: the methods by which an operator lists, retries, replays, deletes and backs up what is stored.

The handling of an event uses none of them. A command may call all of them in its own process while the server runs;
the server notices the changes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import JournalEntry

WaitingState: TypeAlias = Literal["ready", "leased", "gathering", "retrying", "deferred"]

Progress: TypeAlias = Callable[[int, int], None]
"""A callback with the work done and the total work. It is called from time to time, from another thread."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery in the inbox, without its body.

    Attributes:
        state: `leased` while a turn runs. Until `not_before`: `retrying` after an error of the handler, `deferred`
            after an error that is not the handler's, `gathering` while more messages may join it. Otherwise `ready`,
            also behind other deliveries of the lane.
        attempts, crashes, replay: See `Lease`.
        not_before: Unix seconds; None if it never failed and was never deferred.
        error: The reason for the last retry or deferral.
    """

    id: str
    lane: str
    type: str
    received_at: float
    state: WaitingState
    attempts: int
    crashes: int
    not_before: float | None
    error: str | None
    replay: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of what is stored, found without reading bodies.

    Attributes:
        waiting: Number of deliveries in the inbox, including those that are being handled.
        oldest_at: Unix time at which the oldest of them was received; None if there is none.
        dead: Number of dead letters.
    """

    waiting: int
    oldest_at: float | None
    dead: int


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of deliveries: those that match every field. None matches any value.

    Attributes:
        since, until: Unix seconds of the time of acceptance; `until` is excluded.
    """

    ids: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    type: str | None = None
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Counts of what was erased about a person.

    Attributes:
        waiting, done, dead: Deliveries in the inbox, kept after their ack, and dead letters.
        entries: Journal entries.
        state: Values of state.
        conversations: Conversations that waited for an answer, or had ended a short time ago.
        recipients: Rows of the person in broadcasts.
        left: Ids of deliveries that are being handled now and could not be erased. They stay until their turns end,
            with their journal entries and whatever these turns store. Call `forget` again then, with `chats`.
        chats: Ids of the direct chats with the person that are known now.
        wiped: True if the bytes have left the SQLite file too; in PostgreSQL, if their space was freed, so that the
            server may overwrite it. False if the SQLite file could not be written again, because other connections kept
            it busy or its disk has no room for a copy: call `forget` again.
    """

    waiting: int = 0
    done: int = 0
    dead: int = 0
    entries: int = 0
    timers: int = 0
    state: int = 0
    conversations: int = 0
    recipients: int = 0
    left: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    wiped: bool = True

    def __add__(self, later: Forgotten) -> Forgotten:
        """Return the sum of the counts, with `left` and `wiped` of the later call."""
        return Forgotten(
            waiting=self.waiting + later.waiting,
            done=self.done + later.done,
            dead=self.dead + later.dead,
            entries=self.entries + later.entries,
            timers=self.timers + later.timers,
            state=self.state + later.state,
            conversations=self.conversations + later.conversations,
            recipients=self.recipients + later.recipients,
            left=later.left,
            chats=tuple(sorted({*self.chats, *later.chats})),
            wiped=later.wiped,
        )


class Upkeep(Protocol):
    """Methods for operators. All raise StorageUnavailable if the backend cannot do it now; nothing was changed."""

    async def waiting(
        self,
        *,
        delivery_id: str | None = None,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        limit: int = 100,
    ) -> list[Waiting]:
        """Return the deliveries in the inbox, in the order of their acceptance."""
        ...

    async def tally(self) -> Tally:
        """Count what waits and what is dead. It is cheap enough to be called every few seconds."""
        ...

    async def dead_letters(
        self,
        *,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[DeadDelivery]:
        """Return the dead letters, newest first.

        Args:
            since, until: Unix seconds of the time at which they were dead-lettered; `until` is excluded.
        """
        ...

    async def dead_letter(self, delivery_id: str) -> DeadDelivery | None:
        """Return the dead letter with this id; None if there is none."""
        ...

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its body: from the inbox, kept after its ack, or a dead letter; None if unknown."""
        ...

    async def ambiguous(self, *, limit: int = 100) -> list[JournalEntry]:
        """Return the calls and steps of which it is unknown if they were done, the oldest first."""
        ...

    async def retry(self, ids: Sequence[str]) -> int:
        """Put dead letters back into the inbox, in this order, and return their number.

        Each goes to the tail of its lane, behind later deliveries, because the lane has gone on. It starts with no
        attempts and no crashes. Its replay number stays the same and its journal entries are kept, so nothing that
        Linq accepted is sent again. Ids that belong to no dead letter, or to a delivery in the inbox, are ignored.
        Backlog limits do not apply.
        """
        ...

    async def replayable(self, selection: Selection, *, dead_only: bool = False) -> list[str]:
        """Return the ids of dead letters and of deliveries kept after their ack, in the order of acceptance.

        Args:
            dead_only: True for dead letters only.
        """
        ...

    def pages(self, ids: Sequence[str], *, size: int = 100) -> AsyncIterator[list[Delivery]]:
        """Yield the deliveries of `replayable` ids with their bodies, page by page. Deleted ones are left out.

        Args:
            size: Ids per page; a page may hold fewer deliveries.
        """
        ...

    async def replay_live(self, ids: Sequence[str]) -> int:
        """Put replayable deliveries into the inbox again, in this order, and return their number.

        It works like `retry`, but raises the replay number: the calls get new keys, so everything is really sent again.
        """
        ...

    async def purge(self, *, before: float, limit: int = 500) -> int:
        """Delete dead letters that are older than a time, the oldest first, and return their number.

        The bytes of all calls leave the disk with the call that finds fewer than `limit`: call until it returns 0.

        Args:
            before: Unix seconds; a delivery that was dead-lettered earlier is deleted.
        Raises:
            StorageUnavailable: nothing was deleted; or the rows were deleted but bytes are left on the disk, which the
                message says. Call it again.
        """
        ...

    async def forget(self, handle: str, *, chats: Collection[str] = ()) -> Forgotten:
        """Erase a person: deliveries, journal entries, timers, state and rows in broadcasts, from storage and disk.

        The following is erased: each record that holds the handle as a value in its JSON, what the turns of these
        deliveries sent or scheduled, everything in direct chats with the person, and the receipts of answers to them.
        Deliveries, journal entries and timers show which direct chats are theirs, as long as they are kept: entries
        for a week, timers until they are due. A chat with no record left is only found if `chats` contains it.

        Args:
            handle: As Linq writes it: E.164, or an e-mail address in any case.
            chats: Ids of direct chats that are known to be with the person.
        """
        ...

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Write a consistent copy of the storage while it is in use. A server can open the copy in its place.

        Raises:
            ConfigError: `path` exists already, or its folder does not, or this storage has no file.
        """
        ...
