"""A day of a bot, and new code that runs on what the storage has of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asking_talk import Talk
from fakes import delivery, text_body
from linqbot_dev.dry_runs.dry_deploy import Group, Report, dry_deploy
from linqbot_dev.dry_runs.recorded_turns import chosen_turns

from linqbot import Bot
from linqbot.events import Delivery
from linqbot.plugin_loading import load
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.upkeep import Selection

Handler = Callable[..., Any]


class Day(Talk):
    """A bot with history. Each message comes a minute after the last.

    Args:
        storage: Makes the storage; None is an SQLite file.
        keep_days: See `SQLiteStorage`.
    """

    def __init__(
        self,
        folder: Path,
        stack: contextlib.AsyncExitStack,
        *,
        storage: Callable[[Day], Storage] | None = None,
        keep_days: float = 7,
    ) -> None:
        super().__init__(folder, stack)
        self.keep_days = keep_days
        self.attempts = 1
        self._make = storage or (lambda day: SQLiteStorage(day.path, clock=day.clock, keep_days=day.keep_days))

    async def open(self) -> None:
        self.storage = await self._stack.enter_async_context(self._make(self))  # type: ignore[arg-type]

    async def put(self, body: bytes) -> Delivery:
        arrived = replace(delivery(body), received_at=self.clock.now())
        await self.storage.put(arrived)
        return arrived

    async def say(self, *texts: str, **changes: Any) -> None:
        for text in texts or ("hello",):
            self.clock.advance(60)
            sent_at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
            await self.put(text_body(text, **{"sent_at": sent_at} | changes))
            await self.run()

    async def receive(self, *bodies: bytes) -> None:
        """Receive webhooks, each a minute after the last, and run their turns."""
        for body in bodies:
            self.clock.advance(60)
            await self.put(body)
            await self.run()

    async def compared(
        self,
        new: Handler | Bot,
        *more: Handler,
        present: Handler | Bot | None = None,
        selection: Selection | None = None,
        limit: int | None = None,
        **how: Any,
    ) -> Report:
        """Run new handlers on what was handled so far, and compare. Nothing reaches Linq, which is checked."""
        made = len(self.linq.calls)
        chosen = await chosen_turns(
            self.storage, selection or Selection(since=0.0), limit=limit, looked=lambda done, of: None
        )
        report = await dry_deploy(
            _loader(new, *more),
            chosen,
            self.linq.client,
            present=None if present is None else _loader(present),
            plugins=load,
            progress=lambda done, of: None,
            **how,
        )
        assert len(self.linq.calls) == made
        return report


def _loader(first: Handler | Bot, *more: Handler) -> Callable[[], contextlib.AbstractContextManager[Bot]]:
    if isinstance(first, Bot):
        return lambda: contextlib.nullcontext(first)
    bot = Bot(read=False, typing=False)
    for handler in (first, *more):
        bot.on_message(handler)
    return lambda: contextlib.nullcontext(bot)


def the_group(report: Report) -> Group:
    (group,) = report.groups
    return group


def texts(group: Group) -> list[tuple[str | None, str | None]]:
    """Return what the calls that differ said then and say now, in the first example of a group."""
    return [
        (change.before.shown if change.before else None, change.after.shown if change.after else None)
        for change in group.examples[0].changes
    ]
