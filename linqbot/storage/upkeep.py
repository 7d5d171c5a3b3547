"""What upkeep means: an operator looks at what is kept, puts it back, takes it out, copies it.

None of it is on the way of an event. Everything here may be done by a command beside the serving process, which
notices what was changed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import DeadDelivery

WaitingState: TypeAlias = Literal["ready", "leased", "retrying", "deferred"]

Progress: TypeAlias = Callable[[int, int], None]
"""Told how much is done of how much, now and then, from a thread of its own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery in the inbox, without its body.

    Attributes:
        state: `leased` while a turn runs; `retrying` after an error of its handler and `deferred` after somebody
            else's, until `not_before`; else `ready`, if only behind others of its lane.
        attempts, crashes, replay: See `Lease`.
        not_before: Unix seconds; None when it never failed or deferred.
        error: Why it is retried or deferred.
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
    """How much there is, told without reading what it is.

    Attributes:
        waiting: Deliveries in the inbox, those being handled included.
        oldest_at: When the first of them was received, in Unix seconds; None when there is none.
        dead: Dead letters.
    """

    waiting: int
    oldest_at: float | None
    dead: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries are meant: those that fit everything given here.

    Attributes:
        ids: Only these; None means any.
        since, until: Unix seconds of their acceptance; `until` is not in it.
    """

    ids: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    type: str | None = None
    lane: str | None = None

    def fits(self, delivery: Delivery) -> bool:
        """Whether a delivery is meant."""
        return (
            (self.ids is None or delivery.id in self.ids)
            and (self.since is None or delivery.received_at >= self.since)
            and (self.until is None or delivery.received_at < self.until)
            and self.type in (None, delivery.type)
            and self.lane in (None, delivery.lane)
        )


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was on record about a person, and is not any more.

    Attributes:
        waiting, done, dead: Deliveries: not yet handled, kept after their ack, given up.
        left: What could not be erased: ids of deliveries that are being handled now. They stay until their turns end,
            with their entries, and so does what these turns store. Forget again then, with `chats`.
        chats: Direct chats with the person, as far as they are known by now.
        wiped: Whether the bytes have left the file, too. False when others kept it busy: forget again.
    """

    waiting: int = 0
    done: int = 0
    dead: int = 0
    entries: int = 0
    timers: int = 0
    state: int = 0
    left: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    wiped: bool = True

    def __add__(self, later: Forgotten) -> Forgotten:
        """Return the counts of both, with what is left after the later one."""
        return Forgotten(
            waiting=self.waiting + later.waiting,
            done=self.done + later.done,
            dead=self.dead + later.dead,
            entries=self.entries + later.entries,
            timers=self.timers + later.timers,
            state=self.state + later.state,
            left=later.left,
            chats=tuple(sorted({*self.chats, *later.chats})),
            wiped=later.wiped,
        )


class Upkeep(Protocol):
    """For operators. All methods raise StorageUnavailable when the backend cannot do it now; nothing was changed."""

    async def waiting(
        self,
        *,
        delivery_id: str | None = None,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        limit: int = 100,
    ) -> list[Waiting]:
        """What is in the inbox, in the order it was accepted."""
        ...

    async def tally(self) -> Tally:
        """How much waits, since when, and how much gave up: cheap enough to be asked every few seconds."""
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
        """What gave up, newest first.

        Args:
            since, until: Unix seconds of giving up; `until` is not in it.
        """
        ...

    async def dead_letter(self, delivery_id: str) -> DeadDelivery | None:
        """One of them by its id."""
        ...

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery with its body, wherever it is: in the inbox, kept after its ack, or a dead letter."""
        ...

    async def retry(self, ids: Sequence[str]) -> int:
        """Put dead letters back into the inbox, in this order, and return how many.

        Each goes to the tail of its lane, behind what was accepted meanwhile: its lane has gone on without it. It
        starts with no attempts and no crashes. The run stays the same and its entries are kept, so that what was
        accepted is not sent again. Ids of no dead letter, and of what waits already, count as nothing. Backlog limits
        do not apply.
        """
        ...

    async def replayable(self, selection: Selection, *, dead_only: bool = False) -> list[str]:
        """Ids of what can be replayed, in order of acceptance: what was kept after its ack, and dead letters."""
        ...

    def pages(self, ids: Sequence[str], *, size: int = 100) -> AsyncIterator[list[Delivery]]:
        """The deliveries of `replayable` ids, with their bodies, page by page. What is gone by then is left out."""
        ...

    async def replay_live(self, ids: Sequence[str]) -> int:
        """Put replayable deliveries into the inbox once more, in this order, and return how many.

        As `retry` does, but as a run of its own: its entries get new keys, so everything is really sent again.
        """
        ...

    async def purge(self, *, before: float, limit: int = 500) -> int:
        """Forget dead letters that were dead-lettered before a time, in Unix seconds, the oldest first; returns how many.

        Their bytes leave the disk with the call that finds fewer than `limit`: call it until it returns 0.

        Raises:
            StorageUnavailable: also when they were forgotten, but bytes are left on the disk; says so. Call it again.
        """
        ...

    async def forget(self, handle: str, *, chats: Collection[str] = ()) -> Forgotten:
        """Erase a person: deliveries, entries, timers and state, from the storage and from the disk.

        Theirs is what names the handle as a value in its JSON, and so what their turns sent or put off; everything in
        direct chats with them; and receipts of what answered them. Deliveries, entries and timers tell which chats are
        theirs, as long as they are kept: entries for a week, timers until they are due. A chat in which nothing
        happened since is known only if `chats` names it.

        Args:
            handle: As Linq writes it: E.164, or an e-mail address in any case.
            chats: Ids of direct chats known to be theirs.
        """
        ...

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Write a copy that can be served in place of this storage, as it is at one moment, while it is in use.

        Raises:
            ConfigError: there is something at `path` already, or no folder, or this storage has no file.
        """
        ...
