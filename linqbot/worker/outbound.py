"""What plugins have to say about a call to Linq: the middleware around it, and who is told that it was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from linqbot.client.call import Answer, Call, Run
from linqbot.errors import LinqbotError, NoVerdict, Refused
from linqbot.plugins import Plugin, Plugins

OUTBOUND = "outbound middleware"

_asking: ContextVar[frozenset[str]] = ContextVar("linqbot_asking", default=frozenset())
"""Plugins whose middleware runs now: the calls they make themselves are not asked of them again."""


class Outbound:
    """All outbound middleware of an app's plugins.

    Raises:
        ConfigError: a required plugin failed at adding its own.
    """

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        asked = plugins.ask("register_outbound", _wrappers)
        self._around = [(impl.plugin, wrap) for impl, added in asked for wrap in added]

    @property
    def is_empty(self) -> bool:
        """True when no plugin has a say."""
        return not self._around

    def wrap(self, run: Run) -> Run:
        """Put it around `run`, the first plugin's outermost.

        What comes back raises Refused when a plugin vetoes a call, and NoVerdict when a required one fails.
        """
        if not self._around:
            return run

        async def asked(call: Call) -> Answer:
            inner = run
            for plugin, wrap in reversed(self._around):
                inner = _Guarded(self.plugins, plugin, wrap, inner)
            return await inner(call)

        return asked

    def observed(self, run: Run) -> Run:
        """`run`, telling whoever listens of each call."""
        if self.plugins.sent is None:
            return run

        async def tell(call: Call) -> Answer:
            if (sent := self.plugins.sent) is None:
                return await run(call)
            began = time.perf_counter()
            try:
                answer = await run(call)
            except Exception as error:
                sent(call=call, answer=None, error=error, took_s=time.perf_counter() - began, from_ledger=False)
                raise
            sent(call=call, answer=answer, error=None, took_s=time.perf_counter() - began, from_ledger=False)
            return answer

        return tell


class _Guarded:
    """One plugin's middleware around one call, told apart from what it wraps."""

    __slots__ = ("_answer", "_asking", "_error", "_plugin", "_plugins", "_run", "_wrap")

    def __init__(self, plugins: Plugins, plugin: Plugin, wrap: Callable[[Run], Run], run: Run) -> None:
        self._plugins = plugins
        self._plugin = plugin
        self._wrap = wrap
        self._run = run
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._asking: frozenset[str] = frozenset()

    async def __call__(self, call: Call) -> Answer:
        plugin, self._asking = self._plugin, _asking.get()
        if not plugin.is_on or plugin.name in self._asking:
            return await self._run(call)
        token = _asking.set(self._asking | {plugin.name})
        try:
            with self._plugins.watch(plugin.name, OUTBOUND):
                answer = _an_answer(await self._wrap(self._onward)(call))
        except Refused as error:
            error.plugin = error.plugin or plugin.name
            self._plugins.well(plugin)
            raise
        except LinqbotError:
            raise
        except Exception as error:
            if self._error is not None:
                raise  # the call's own error, or what the middleware made of it
            why = self._plugins.gone_wrong(plugin, OUTBOUND, error)
            if self._answer is not None:
                return self._answer
            if plugin.required:
                raise NoVerdict(f"The required plugin {plugin.name} failed: {why}. Nothing was sent.") from error
        else:
            self._plugins.well(plugin)
            return answer
        finally:
            _asking.reset(token)
        return await self._run(call)

    async def _onward(self, call: Call) -> Answer:
        # What others do further in is theirs again.
        token = _asking.set(self._asking)
        try:
            answer = await self._run(call)
        except BaseException as error:
            self._error = error
            raise
        finally:
            _asking.reset(token)
        self._answer, self._error = answer, None
        return answer


def _an_answer(given: object) -> Answer:
    if not isinstance(given, Answer):
        raise TypeError(f"it returned a {type(given).__name__} and no Answer")
    return given


def _wrappers(given: Iterable[Callable[[Run], Run]]) -> list[Callable[[Run], Run]]:
    wrappers = list(given)
    if wrong := next((each for each in wrappers if not callable(each)), None):
        raise TypeError(f"a {type(wrong).__name__} cannot be called")
    return wrappers
