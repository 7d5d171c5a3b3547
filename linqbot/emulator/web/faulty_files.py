"""Faults of the uploads and downloads of files, as `api.py` has them for calls."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.emulator.api import respond
from linqbot.emulator.engine import breaking
from linqbot.emulator.engine.world import World


class FaultyFiles:
    """The ASGI app of files, with the faults of its requests: `on="api"`, matched with the method and the path.

    The requests of a browser meet no faults: the phone page shows a file before the bot fetches it, and would use up the
    bot's fault.
    """

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = (
            None if _is_of_a_browser(scope) else self._world.faults.take("api", f"{scope['method']} {scope['path']}")
        )
        await breaking.wait(fault, self._world)
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.drop is not None:
            if fault.drop == "answer":
                await self._app(scope, receive, _nowhere)
            await breaking.break_connection(fault.drop, scope, receive, send)
        elif fault.status is not None:
            await respond(breaking.answer(fault))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_of_a_browser(scope: Scope) -> bool:
    return "sec-fetch-site" in Headers(scope=scope)


async def _nowhere(message: Message) -> None:
    """Drop a part of an answer that is lost."""
