"""A storage backend: one object that is the inbox and everything else that a turn writes, because one commit ends a turn."""

from __future__ import annotations

from typing import Protocol, Self

from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.storage.broadcasts import Broadcasts
from linqbot.storage.conversations import Conversations
from linqbot.storage.inbox import Inbox
from linqbot.storage.journal import Journal
from linqbot.storage.state import StateStore
from linqbot.storage.timers import Timers
from linqbot.storage.upkeep import Upkeep


class NewerSchema(StorageError):
    """A newer linqbot has written the storage; this release cannot use it."""


class Storage(Inbox, Journal, Conversations, StateStore, Timers, Broadcasts, Upkeep, Protocol):
    """Inbox, journal, conversations, state, timers, broadcasts and their upkeep in one place. Use as `async with storage:`."""

    @property
    def install(self) -> str:
        """128 random bits, created once with the storage; part of every idempotency key."""
        ...

    @property
    def is_shared(self) -> bool:
        """True if several processes may serve this storage at the same time."""
        ...

    @property
    def trouble(self) -> str | None:
        """The reason why nothing can be stored now, as a sentence; None if none is known. It is found without a write."""
        ...

    async def check(self) -> None:
        """Write something durably, as `put` does, to find out if deliveries can be stored again.

        Raises:
            StorageUnavailable: nothing can be written.
            StorageBusy: the backlog is full.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Opener(Protocol):
    """Creates the storage for a URL of one scheme, without opening it; see `open_storage` for the arguments."""

    def __call__(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage: ...
