"""Find the smallest set of plugins that breaks an event, with Zeller's delta debugging, which also finds pairs.

The event is simulated with different sets of plugins (`simulate.py`), and each result is compared with the result
without plugins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.events.delivery import Delivery
from linqbot.ops.simulate import Observer, Simulation, simulate
from linqbot.settings import Settings

Breaks = Callable[[Sequence[str]], Awaitable[bool]]
Report = Callable[[Sequence[str], str | None], None]
"""Called after each simulation with the names of the plugins, and with the problem, None if there was none."""


class Bisection:
    """Simulates one event with different sets of the bot's plugins.

    Args:
        client: Used for reads, if they are allowed; already open.
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        timeout_s: Real seconds that one simulation may take.
    """

    def __init__(
        self, settings: Settings, bot: Bot, delivery: Delivery, client: Client, *, reads: bool, timeout_s: float
    ) -> None:
        self._settings = settings
        self._bot = bot
        self._delivery = delivery
        self._client = client
        self._reads = reads
        self._timeout_s = timeout_s
        every = settings.load_plugins(bot.plugins, lenient=True).every
        # Plugins that cannot be loaded take part in no event.
        self._names = [plugin.name for plugin in every if plugin.is_on and not plugin.is_built_in]
        self._report: Report = lambda _, __: None
        self._plain: Simulation | None = None
        self._why: dict[frozenset[str], str | None] = {}

    async def run(self, report: Report) -> tuple[list[str], str]:
        """Find the plugins that break the event.

        Returns:
            The names of the fewest plugins that break the event together, and the problem they cause. Without names,
            the reason why no plugin is to blame.
        """
        self._report = report
        if not self._names:
            return [], "There are no plugins."
        if (why := await self._problem([])) is not None:
            return [], f"It also breaks without plugins: {why}"
        if await self._problem(self._names) is None:
            return [], "It does not break: with all plugins it ends as it does without them."
        found = await minimal_breaking_set(self._names, self._breaks)
        return found, str(self._why[frozenset(found)])

    async def _breaks(self, names: Sequence[str]) -> bool:
        return await self._problem(names) is not None

    async def _problem(self, names: Sequence[str]) -> str | None:
        """Return the problem with exactly these plugins; None if there is none. Each set is simulated once."""
        key = frozenset(names)
        if key not in self._why:
            why = await self._simulate(names)
            self._why[key] = why
            self._report(names, why)
        return self._why[key]

    async def _simulate(self, names: Sequence[str]) -> str | None:
        observer = Observer()
        plugins = self._settings.load_plugins(
            [*self._bot.plugins, observer], without=set(self._names) - set(names), lenient=True
        )
        done = await simulate(
            self._bot, plugins, observer, self._delivery, self._client, reads=self._reads, timeout_s=self._timeout_s
        )
        if self._plain is None:
            self._plain = done
        return _difference(done, self._plain)


def _difference(done: Simulation, plain: Simulation) -> str | None:
    """Return the problem of a simulation, compared with the one without plugins; None if there is none."""
    if done.faults:
        name, why = next(iter(done.faults.items()))
        return f"{name}: {why}"
    if done.end != "ack":
        error = f", {done.handler or 'the bot'} on {type(done.error).__name__}" if done.error else ""
        return "its turn did not end in time" if done.end is None else f"its turn ended with {done.end}{error}"
    if done.handler != plain.handler and done.handler is None:
        return f"{plain.handler} does not get the event"
    calls, plainly = [call.name for call in done.calls], [call.name for call in plain.calls]
    if missing := [name for name in plainly if calls.count(name) < plainly.count(name)]:
        return f"{missing[0]} is called {calls.count(missing[0])} times instead of {plainly.count(missing[0])}"
    return None


async def minimal_breaking_set(names: Sequence[str], breaks: Breaks) -> list[str]:
    """Return a smallest subset of `names` that breaks the event: without any one of them, it no longer breaks.

    Args:
        names: Plugins that break the event together.
        breaks: Returns True if exactly these plugins break the event. Called about log2(n) times if one plugin is to
            blame, and more often for several.
    """
    rest, pieces = list(names), 2
    while len(rest) > 1:
        size = -(-len(rest) // pieces)
        parts = [rest[start : start + size] for start in range(0, len(rest), size)]
        others = [[name for name in rest if name not in part] for part in parts]
        # With two parts, the others of one part are the other part.
        tries = parts if len(parts) == 2 else [*parts, *others]
        for these in tries:
            if await breaks(these):
                pieces = 2 if these in parts else max(pieces - 1, 2)
                rest = these
                break
        else:
            if size == 1:
                break
            pieces = min(2 * pieces, len(rest))
    return rest
