"""A dry deploy: run new code on the deliveries that were handled, and compare what it does with what was done.

Nothing is sent and nothing is stored. Turns that differ are grouped by cause: the same kind of difference in the same
handler.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.ops.bot_file import load_bot
from linqbot.ops.dry_runs.chosen_turns import ChosenTurns
from linqbot.ops.dry_runs.comparison import KINDS, Compared, Kind, against_present, compared, explained, on_record
from linqbot.ops.dry_runs.dry_turn import RunResult
from linqbot.ops.dry_runs.recorded_turn import RecordedTurn
from linqbot.ops.dry_runs.world import DryWorld
from linqbot.ops.served_code import bot_files
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage

MOST_EXAMPLES: Final = 3

_LOST: Final = "it answered a question of ctx.ask, and the delivery with which the conversation began is not kept"

Loaded: TypeAlias = Callable[[], AbstractContextManager[Bot]]
"""Loads a bot for as long as it is used."""


@dataclass(slots=True)
class Group:
    """Turns of one cause."""

    kind: Kind
    cause: str
    handler: str | None
    handler_at: str | None
    count: int = 0  # number of the turns
    examples: list[Compared] = field(default_factory=list)  # the first of them, at most `MOST_EXAMPLES`


@dataclass(slots=True)
class Report:
    """The result of a dry deploy.

    Attributes:
        groups: The turns that are not the same; the most important kind first, in it the largest group.
    """

    counts: Counter[Kind] = field(default_factory=Counter)  # the number of turns of each kind
    answers: int = 0  # the number of deliveries that went to an open question, and so belong to the turn that asked
    # The number of those that are the same because no handler takes them, now as then, such as typing indicators.
    untaken: int = 0
    # The number of turns that count as the same with a remark, by the remark.
    notes: Counter[str] = field(default_factory=Counter)
    has_start_handlers: bool = False  # True if the new bot has `@bot.on_start` functions, which do not run here
    has_stuck_code: bool = False  # True if code of a bot ignored its time limit, and may still run
    _groups: dict[tuple[str, str | None, str], Group] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        """Count a turn."""
        self.counts[one.kind] += 1
        if one.kind == "same":
            self.untaken += one.handler is None and one.is_silent
            if one.cause:
                self.notes[one.cause] += 1
            return
        place = (one.kind, one.handler, one.cause)
        group = self._groups.setdefault(place, Group(one.kind, one.cause, one.handler, one.handler_at))
        group.count += 1
        if len(group.examples) < MOST_EXAMPLES:
            group.examples.append(one)

    @property
    def groups(self) -> list[Group]:
        """The groups, in the order in which they are shown."""
        return sorted(self._groups.values(), key=lambda group: (KINDS.index(group.kind), -group.count))

    @property
    def compared(self) -> int:
        """The number of turns that could be compared."""
        return self.counts.total() - self.counts["could not be compared"]

    @property
    def failing(self) -> int:
        """The number of turns that fail with the new code and did not fail so before."""
        return self.counts["new failure"]

    @property
    def differing(self) -> int:
        """The number of turns with another answer or another handler."""
        return self.counts["different answer"] + self.counts["different handler"]


@contextmanager
def loaded(spec: str) -> Iterator[Bot]:
    """Load a bot, and forget the modules of its folder afterwards, so that another version of it imports its own.

    Raises:
        BotFileError, ConfigError: the bot cannot be loaded; see `load_bot`.
    """
    path = list(sys.path)
    bot = load_bot(spec)
    try:
        yield bot
    finally:
        own = set(bot_files(spec))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and Path(file).resolve() in own:
                del sys.modules[name]
        sys.path[:] = path


async def dry_deploy(
    new: Loaded,
    chosen: ChosenTurns,
    storage: Storage,
    client: Client,
    *,
    present: Loaded | None = None,
    handler: str | None = None,
    reads: bool = False,
    plugins: Callable[[Sequence[object]], Plugins],
    advanced: Callable[[int], None],
) -> Report:
    """Run a bot on the chosen turns, and compare.

    Args:
        new: Loads the new bot; see `loaded`.
        present: Loads the bot of now, which tells differences of the code from those of state and chance; None for none.
        handler: Only turns that this handler took or takes: the name of its function.
        reads: Let reads that the storage cannot answer through to Linq, as it is now.
        plugins: Loads the plugins of a bot.
        advanced: Called with the number of further turns that are done.
    Raises:
        BotFileError, ConfigError, BotError: a bot cannot be loaded or run.
        StorageUnavailable: the storage cannot be read.
    """
    report = Report(answers=chosen.answers)

    def add(one: Compared) -> None:
        if handler is None or handler in (_short(one.handler), _short(one.handler_before)):
            report.add(one)

    bots = _Bots(storage, client, plugins, reads=reads)
    differing: dict[str, RunResult] = {}
    async with bots.running(new) as world:
        report.has_start_handlers = world.has_start_handlers
        async for turn in _turns(storage, chosen, list(chosen.ids)):
            advanced(1)
            if await world.answered_by(turn) is not None:
                report.answers += 1
                continue
            if chosen.failed_by(turn.delivery.id) is not None:
                add(Compared(turn.delivery.id, "could not be compared", _LOST))
                continue
            after = (await world.run(turn)).result()
            first = compared(turn.delivery.id, on_record(turn), after)
            if present is None or first.kind in ("same", "fixed failure"):
                add(await explained(turn, first, after, world))
            else:
                differing[turn.delivery.id] = after
    if present is not None and differing:
        async with bots.running(present) as world:
            async for turn in _turns(storage, chosen, list(differing)):
                add(await against_present(turn, differing[turn.delivery.id], world))
    report.has_stuck_code = bots.has_stuck_code
    return report


async def _turns(storage: Storage, chosen: ChosenTurns, ids: Sequence[str]) -> AsyncIterator[RecordedTurn]:
    async for page in storage.pages(ids):
        for delivery in page:
            yield await chosen.read(delivery)


class _Bots:
    """Loads bots, one after the other, and runs them."""

    def __init__(
        self, storage: Storage, client: Client, plugins: Callable[[Sequence[object]], Plugins], *, reads: bool
    ) -> None:
        self._storage = storage
        self._client = client
        self._plugins = plugins
        self._reads = reads
        self.has_stuck_code = False

    @asynccontextmanager
    async def running(self, load: Loaded) -> AsyncIterator[DryWorld]:
        """Load a bot to run it.

        Raises:
            BotFileError, ConfigError, BotError: the bot cannot be loaded or run.
        """
        with load() as bot:
            world = DryWorld(bot, self._client, self._storage, plugins=self._plugins(bot.plugins), reads=self._reads)
            try:
                yield world
            finally:
                self.has_stuck_code = self.has_stuck_code or world.has_stuck_code
                await world.aclose()


def _short(handler: str | None) -> str | None:
    return None if handler is None else handler.rpartition(":")[2]
