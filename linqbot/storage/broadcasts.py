"""Broadcasts: one message to many people, a row for each person. Paced for each line, so that no line sends a burst.

A person's row is `pending` until `advance_broadcasts` makes it a delivery, in the commit that sets the row to
`under_way`. The commit that ends the turn of that delivery stores the outcome (`Commit.recipients`). So a crash loses
no person and repeats none: the deliveries under way are in the inbox, and all others are still `pending`.

The broadcasts of one line go out one after the other. `steps` decides what is due; the backends carry it out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.events.delivery import BROADCAST_DONE_ID, BROADCAST_DONE_TYPE, Delivery
from linqbot.types.proactive import Broadcast, BroadcastStatus, Recipient, RecipientOutcome

SEND_ID: Final = "i.broadcast."
"""Prefix of the ids of deliveries that send a broadcast to one person."""

AT_ONCE: Final = 5
"""Largest number of people under way for one line. While Linq is away, no more turns pile up, and so no burst follows."""

Order: TypeAlias = Literal["pause", "resume", "cancel"]

ALLOWED: Final[dict[Order, tuple[frozenset[BroadcastStatus], BroadcastStatus]]] = {
    "pause": (frozenset({"running"}), "paused"),
    "resume": (frozenset({"paused"}), "running"),
    "cancel": (frozenset({"running", "paused"}), "cancelled"),
}
"""The statuses in which an order is carried out, and the status that it leads to."""


@dataclass(frozen=True, slots=True)
class NewBroadcast:
    """A broadcast to store.

    Attributes:
        name: Unique for ever.
        line: Our line, E.164.
        per_minute: People in a minute; greater than 0.
        content: The messages, as a JSON list in Linq's form. Deleted when the broadcast has ended.
        created_at: Unix seconds.
        off_the_record: True if the line keeps nothing (zero retention).
        lane: The lane of the turn that begins it. The report joins this lane, so it waits for the end of the turn. Empty for
            a lane of its own. Deleted when the broadcast has ended.
    """

    name: str
    line: str
    per_minute: float
    content: bytes
    created_at: float
    off_the_record: bool = False
    lane: str = ""

    def stored(self, status: BroadcastStatus) -> Broadcast:
        """Return the broadcast as the storage reports it, without counts."""
        return Broadcast(self.name, status, self.line, self.per_minute, datetime.fromtimestamp(self.created_at, UTC))

    def delivery(self, n: int, handle: str, now: float) -> Delivery:
        """Return the delivery that sends the broadcast to one person. Its lane has no other delivery.

        The body holds the handle as a value, so that `Upkeep.forget` finds it.
        """
        body: dict[str, object] = {"broadcast": self.name, "n": n, "from": self.line, "to": handle}
        body["messages"] = from_json(self.content)
        if self.off_the_record:
            body["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
        place = f"{self.name}.{n}"
        return Delivery(f"{SEND_ID}{place}", f"b:{place}", "linqbot.broadcast", to_json(body), now)


@dataclass(frozen=True, slots=True)
class RecipientUpdate:
    """The outcome of a person, which the commit that ends the person's turn stores. No effect if the row is erased."""

    broadcast: str
    n: int
    outcome: RecipientOutcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OpenBroadcast:
    """The facts about a broadcast by which `steps` decides.

    Attributes:
        next_at: Unix seconds, before which the line sends to no further person.
        has_ended: True if each person has an outcome and that was noted.
        has_pending: True if a row is `pending`.
        under_way: The number of rows that are `under_way`.
    """

    name: str
    line: str
    status: BroadcastStatus
    next_at: float
    has_ended: bool
    has_pending: bool
    under_way: int


@dataclass(frozen=True, slots=True)
class BroadcastStep:
    """A thing to do with a broadcast, not before `at` (Unix seconds).

    `send` makes the first pending person a delivery. `end` notes that each person has an outcome, and makes the
    delivery for `on_broadcast_done`.
    """

    at: float
    broadcast: str
    what: Literal["send", "end"]


def steps(broadcasts: Sequence[OpenBroadcast]) -> list[BroadcastStep]:
    """Return what to do next, at most one person for each line.

    Args:
        broadcasts: Those that have not ended, and those whose `next_at` is still to come, the oldest first.
    """
    free_at: defaultdict[str, float] = defaultdict(float)
    under_way: Counter[str] = Counter()
    for each in broadcasts:
        free_at[each.line] = max(free_at[each.line], each.next_at)
        under_way[each.line] += each.under_way
    found: list[BroadcastStep] = []
    served: set[str] = set()
    for each in broadcasts:
        if each.has_ended:
            continue
        if not each.has_pending:
            if not each.under_way:
                found.append(BroadcastStep(0.0, each.name, "end"))
        elif each.status == "running" and each.line not in served:
            served.add(each.line)
            if under_way[each.line] < AT_ONCE:
                found.append(BroadcastStep(free_at[each.line], each.name, "send"))
    return found


def earliest(due: Iterable[BroadcastStep]) -> float | None:
    """Return the time of the first step; None if there is none."""
    return min((step.at for step in due), default=None)


def counted(broadcast: Broadcast, counts: Mapping[RecipientOutcome, int]) -> Broadcast:
    """Return a broadcast with the number of its rows for each outcome."""
    return replace(
        broadcast,
        people=sum(counts.values()),
        sent=counts.get("sent", 0),
        opted_out=counts.get("opted_out", 0),
        refused=counts.get("refused", 0),
        failed=counts.get("failed", 0),
        cancelled=counts.get("cancelled", 0),
        pending=counts.get("pending", 0) + counts.get("under_way", 0),
    )


def done_delivery(broadcast: Broadcast, lane: str, now: float) -> Delivery:
    """Return the delivery that runs the bot's `on_broadcast_done` handler.

    Args:
        lane: See `NewBroadcast`.
    """
    data = {
        "name": broadcast.name,
        "line": broadcast.line,
        "was_cancelled": broadcast.status == "cancelled",
        "began_at": broadcast.created_at,
        "people": broadcast.people,
        "sent": broadcast.sent,
        "opted_out": broadcast.opted_out,
        "refused": broadcast.refused,
        "failed": broadcast.failed,
        "cancelled": broadcast.cancelled,
    }
    body = to_json({"event_type": BROADCAST_DONE_TYPE, "data": data})
    delivery_id = f"{BROADCAST_DONE_ID}{broadcast.name}"
    return Delivery(delivery_id, lane or f"b:{broadcast.name}", BROADCAST_DONE_TYPE, body, now)


class Broadcasts(Protocol):
    """The broadcasts on record. They are kept for ever, so that a name is never used twice."""

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        """Store a broadcast and a `pending` row for each person, numbered from 1, in one commit.

        Args:
            people: Handles, each once. Empty is allowed: the broadcast ends at once.
        Returns:
            False if a broadcast of this name is stored already; nothing was changed.
        Raises:
            StorageUnavailable: nothing was stored.
        """
        ...

    async def broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast with its counts; None if none of this name is stored."""
        ...

    async def broadcasts(self, *, limit: int = 100) -> list[Broadcast]:
        """Return the broadcasts, the newest first."""
        ...

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        """Return rows of a broadcast, in the order of their numbers.

        Args:
            outcome: Only rows with this outcome.
            after: The number after which to begin: that of the last row of the previous call.
        """
        ...

    async def order_broadcast(self, name: str, order: Order) -> bool:
        """Pause, resume or cancel a broadcast, for operators. `cancel` makes `pending` rows `cancelled`.

        People under way are not affected.

        Returns:
            False if the broadcast is in no status of `ALLOWED` for this order; nothing was changed.
        Raises:
            StorageUnavailable: nothing was changed.
        """
        ...

    async def advance_broadcasts(self, now: float) -> int:
        """Carry out each of `steps` that is due, in one commit, and return their number.

        `send` takes the first pending row, stores its delivery, sets the row to `under_way`, and sets `next_at` to
        `now` plus 60 s divided by `per_minute`. `end` deletes content and lane, sets the status to `done` unless it is
        `cancelled`, and stores `done_delivery`. Backlog limits do not apply.
        """
        ...

    async def next_broadcast(self) -> float | None:
        """Return the Unix time of the first of `steps`; None if there is none.

        `Inbox.changed` returns when this time may have become earlier. Where no broadcast is open, the answer costs no
        read.
        """
        ...
