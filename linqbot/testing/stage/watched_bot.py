"""The bot under test, with a watch around its handlers. The author's Bot object is not changed."""

from __future__ import annotations

from collections.abc import Iterator

from linqbot.bot.bot import Bot
from linqbot.bot.routing.handlers import DeadLetterRoute, ErrorHandler
from linqbot.bot.routing.lifecycle import LifecycleHandler
from linqbot.bot.routing.router import Middleware, Router
from linqbot.testing.stage.record import Record


class WatchedBot(Bot):
    """A bot with a watch around its middleware, its error handlers and its handlers of dead letters."""

    def __init__(self, bot: Bot, record: Record) -> None:
        vars(self).update(vars(bot))
        self._bot = bot
        self._record = record

    @property
    def added_middleware(self) -> tuple[Middleware, ...]:
        return (self._record.watch, *self._bot.added_middleware)

    def routers(self) -> Iterator[Router]:
        yield self

    @property
    def error_handlers(self) -> tuple[tuple[type[Exception], ErrorHandler], ...]:
        every = (each for router in self._bot.routers() for each in router.error_handlers)
        return tuple((kind, self._record.watch_error(handle)) for kind, handle in every)

    @property
    def dead_letter_handlers(self) -> tuple[DeadLetterRoute, ...]:
        every = (each for router in self._bot.routers() for each in router.dead_letter_handlers)
        return tuple(self._record.watch_dead_letter(route) for route in every)

    @property
    def start_handlers(self) -> tuple[LifecycleHandler, ...]:
        return tuple(each for router in self._bot.routers() for each in router.start_handlers)

    @property
    def stop_handlers(self) -> tuple[LifecycleHandler, ...]:
        return tuple(each for router in self._bot.routers() for each in router.stop_handlers)
