"""The changes of a transaction that the memory of its process follows after COMMIT, and the names that it knows already.

Next step: `StorageMemory` in `indexes.py` follows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from linqbot.linq.events.delivery import Delivery
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.holds import Hold

Named: TypeAlias = tuple[str, str]
"""A row in the index of people: a handle, or the id of a chat behind `chat:`; and a place. See `people.py`."""

_MOST_KNOWN: Final = 20_000


@dataclass(slots=True, eq=False)
class KnownNames:
    """The rows of `named` that need not be written again today, and our lines, which are no people."""

    install: str = ""  # see `Storage.install`; empty if it must be read
    days: dict[tuple[object, ...], int] = field(default_factory=dict)
    lines: set[bytes] = field(default_factory=set)
    purged_to: Named = ("", "")  # the row up to which old ones were deleted

    def follow(self, known: Mapping[tuple[object, ...], int], *, is_outdated: bool) -> None:
        """Remember what was written; `is_outdated` if rows were deleted."""
        if is_outdated or len(self.days) > _MOST_KNOWN:
            self.days.clear()
        if known:
            self.days.update(known)


@dataclass(slots=True, eq=False)
class Changes:
    """The changes of one transaction that memory follows after COMMIT.

    The SQL of each table notes its changes here, and `StorageMemory.follow` applies them. The subclass of each backend has those
    of lanes, and its memory applies them. Only SQLite leases, releases and numbers deliveries in memory before COMMIT.
    """

    # True if the worker must look again: a `take` may find more, or what is due next was stored.
    wakes_worker: bool = False
    timers: bool = False  # True if the earliest timer may be another one
    steps: bool = False  # True if the next step of a broadcast may be another one
    # True if text off the record may have been deleted. The writer of SQLite then removes its bytes.
    leaves_text: bool = False
    # True if the journal got entries of deliveries that linqbot created, such as scheduled sends.
    own_entries: bool = False
    conversations: list[ConversationSummary] = field(default_factory=list)  # conversations that were stored
    # Chats and ids of conversations that were deleted, before those were stored.
    ended: set[tuple[str, str]] = field(default_factory=set)
    # Chats that are held; None for one that is held no more.
    holds: dict[str, Hold | None] = field(default_factory=dict)
    read_holds: dict[str, Hold | None] = field(default_factory=dict)  # the same, as it was read
    edited: set[str] = field(
        default_factory=set
    )  # lanes into which edits were put, or for whose messages they are kept
    all_edited: set[str] | None = None  # all lanes with edits, if they were read
    received_at: float | None = None  # when the newest webhook of this transaction was accepted
    noted_at: float | None = None  # the `active_at` that was written to the table `meta`
    purge_at: float | None = None  # time before which no purge needs to run
    fill_at: float | None = None  # time before which no further rows are added to the index of people
    named: set[Named] = field(default_factory=set)  # what this transaction adds to the index of people
    # True if rows of the index of people were deleted: no process may take them for known.
    forgets_names: bool = False
    names_known: dict[tuple[object, ...], int] = field(default_factory=dict)  # see `KnownNames.days`

    def note_received(self, webhooks: Iterable[Delivery]) -> None:
        """Note when the newest of accepted webhooks was received."""
        times = [delivery.received_at for delivery in webhooks]
        self.received_at = max([*times, self.received_at or 0.0]) or None

    def forget_conversations(self, gone: Iterable[tuple[str, str]]) -> None:
        """Note that conversations were deleted, also if this transaction has stored them before."""
        for chat, conversation_id in gone:
            self.ended.add((chat, conversation_id))
            self.conversations = [each for each in self.conversations if each.id != conversation_id]
