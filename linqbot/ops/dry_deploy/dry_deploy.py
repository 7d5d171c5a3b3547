"""A dry deploy: run new code on the deliveries that were handled, and compare what it does with what was done.

Nothing is sent and nothing is stored. Turns that differ are grouped by cause: the same kind of difference in the same
handler.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from linqbot.client.client import Client
from linqbot.ops.bot_file import load_bot
from linqbot.ops.dry_deploy.chosen_turns import ChosenTurns
from linqbot.ops.dry_deploy.comparison import KINDS, Compared, Kind, against_present, compared, explained, on_record
from linqbot.ops.dry_deploy.new_run import NewRuns, RunResult
from linqbot.ops.served_code import bot_files
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage

MOST_EXAMPLES: Final = 3


@dataclass(slots=True)
class Group:
    """Turns of one cause.

    Attributes:
        count: Number of the turns.
        examples: The first of them, at most `MOST_EXAMPLES`.
    """

    kind: Kind
    cause: str
    handler: str | None
    handler_at: str | None
    count: int = 0
    examples: list[Compared] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The result of a dry deploy.

    Attributes:
        counts: The number of turns of each kind.
        groups: The turns that are not the same; the most important kind first, in it the largest group.
        notes: The number of turns that count as the same with a remark, by the remark.
    """

    counts: Counter[Kind] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    _groups: dict[tuple[str, str | None, str], Group] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        """Count a turn."""
        self.counts[one.kind] += 1
        if one.kind == "same":
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
def own_modules(spec: str) -> Iterator[None]:
    """Forget the modules of a bot's folder afterwards, so that another version of the bot imports its own."""
    path = list(sys.path)
    try:
        yield
    finally:
        own = set(bot_files(spec))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and Path(file).resolve() in own:
                del sys.modules[name]
        sys.path[:] = path


async def dry_deploy(
    new: str,
    chosen: ChosenTurns,
    storage: Storage,
    client: Client,
    *,
    present: str | None = None,
    handler: str | None = None,
    reads: bool = False,
    plugins: Callable[[Sequence[object]], Plugins],
    advanced: Callable[[int], None],
) -> Report:
    """Run a bot on the chosen turns, and compare.

    Args:
        new: The new bot, as `load_bot` takes it.
        present: The bot of now, which tells differences of the code from those of state and chance; None for none.
        handler: Only turns that this handler took or takes: the name of its function.
        reads: Let reads that the storage cannot answer through to Linq, as it is now.
        plugins: Loads the plugins of a bot.
        advanced: Called with the number of further turns that are done.
    Raises:
        BotFileError, ConfigError, BotError: a bot cannot be loaded or run.
        StorageUnavailable: the storage cannot be read.
    """
    report = Report()
    differing: dict[str, RunResult] = {}

    def add(one: Compared) -> None:
        if handler is None or handler in (_short(one.handler), _short(one.handler_before)):
            report.add(one)

    with own_modules(new):
        runs = _runs(new, storage, client, plugins, reads=reads)
        async for page in storage.pages(chosen.ids):
            for delivery in page:
                turn = await chosen.read(delivery)
                after = await runs.run(turn)
                first = compared(delivery.id, on_record(turn), after)
                if present is None:
                    add(await explained(turn, first, after, runs))
                elif first.kind in ("same", "fixed failure"):
                    add(first)
                else:
                    differing[delivery.id] = after
                advanced(1)
        await runs.aclose()
    if present is None or not differing:
        return report
    with own_modules(present):
        runs = _runs(present, storage, client, plugins, reads=reads)
        async for page in storage.pages(list(differing)):
            for delivery in page:
                add(await against_present(await chosen.read(delivery), differing[delivery.id], runs))
        await runs.aclose()
    return report


def _runs(
    spec: str, storage: Storage, client: Client, plugins: Callable[[Sequence[object]], Plugins], *, reads: bool
) -> NewRuns:
    bot = load_bot(spec)
    return NewRuns(bot, client, storage, plugins=plugins(bot.plugins), reads=reads)


def _short(handler: str | None) -> str | None:
    return None if handler is None else handler.rpartition(":")[2]
