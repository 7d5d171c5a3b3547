"""A storage backend: one object that is inbox, journal, state and timers, because one commit ends a turn."""

from __future__ import annotations

from typing import Protocol, Self

from linqbot.clock import Clock
from linqbot.storage.inbox import Inbox
from linqbot.storage.journal import Journal
from linqbot.storage.state import StateStore
from linqbot.storage.timers import Timers
from linqbot.storage.upkeep import Upkeep


class Storage(Inbox, Journal, StateStore, Timers, Upkeep, Protocol):
    """Inbox, journal, state, timers and their upkeep in one place. Use as `async with storage:`."""

    @property
    def install(self) -> str:
        """128 random bits made once with the storage; part of every idempotency key."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored now, in a sentence, as far as is known without a write; None if nothing is known."""
        ...

    async def check(self) -> None:
        """Write something durably, as `put` does, so that it is known whether deliveries can be stored again.

        Raises:
            StorageUnavailable: nothing can be written.
            StorageBusy: the backlog is full.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Opener(Protocol):
    """Makes the storage that a URL of its scheme names, without opening it; see `open_storage` for the arguments."""

    def __call__(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage: ...
