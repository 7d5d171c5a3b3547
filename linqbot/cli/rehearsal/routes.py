"""The part of `linqbot rehearse` in the bot's process: it says which chats the bot has not finished, what it gave up, and how
much memory is in use.

It is a plugin with routes under `/plugins/linqbot-rehearsal/`. Each request must carry the API key of the rehearsal.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linqbot.cli.dev.processes import guarded
from linqbot.cli.rehearsal.memory import live_bytes
from linqbot.hookspecs import Running, hookimpl
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.ops.subscriptions import events_among, handled_by

NAME: Final = "linqbot-rehearsal"
MOST: Final = 10_000


class RehearsalRoutes:
    """The plugin."""

    name = NAME

    def __init__(self, key: str) -> None:
        self._key = key

    @hookimpl
    def register_routes(self, running: Running) -> list[BaseRoute]:
        """Return the routes."""
        storage = running.storage
        events, _ = events_among(tuple(EVENT_TYPES), handled_by(running.handled))

        async def get_events(_: Request) -> Response:
            return JSONResponse({"events": events})

        async def get_unfinished(_: Request) -> Response:
            waiting = await storage.waiting(limit=MOST)
            return JSONResponse({"lanes": sorted({one.lane for one in waiting})})

        async def get_memory(_: Request) -> Response:
            return JSONResponse({"unfinished": await storage.depth(), "live_bytes": live_bytes()})

        async def get_dead(_: Request) -> Response:
            dead = await storage.dead_letters(limit=MOST)
            rows = [
                {
                    "lane": one.delivery.lane,
                    "event_type": one.delivery.type,
                    "received_at": one.delivery.received_at,
                    "error": one.error,
                    "handler": one.handler,
                }
                for one in reversed(dead)
            ]
            return JSONResponse({"dead": rows})

        return [
            Route("/events", guarded(get_events, self._key)),
            Route("/unfinished", guarded(get_unfinished, self._key)),
            Route("/dead", guarded(get_dead, self._key)),
            Route("/memory", guarded(get_memory, self._key)),
        ]
