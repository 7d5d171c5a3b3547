"""The event types that a bot needs: answered by a bot that runs, and printed as JSON without running it.

`linqbot dev --public-url` runs this module in a process of its own, which imports the bot as it is now. Linq is not asked.
"""

from __future__ import annotations

import json
import sys

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linqbot.cli import failure
from linqbot.errors import LinqbotError
from linqbot.hookspecs import Running, hookimpl
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.ops.subscriptions import events_among, handled_by, handled_in
from linqbot.settings import from_env


class NeededEvents:
    """A built-in plugin that answers which event types the bot needs. The emulator then delivers these, as Linq does after a sync."""

    name = "linqbot-needs"

    @hookimpl
    def register_routes(self, running: Running) -> list[Route]:
        events, _ = events_among(tuple(EVENT_TYPES), handled_by(running.handled))

        async def answer(_: Request) -> JSONResponse:
            return JSONResponse({"events": events})

        return [Route("/events", answer)]


if __name__ == "__main__":
    try:
        found = handled_in(sys.argv[1], from_env())
    except LinqbotError as error:
        failure.print_failure(failure.of(error), as_json=False)
        sys.exit(1)
    sys.stdout.write(json.dumps({"events": found.needed, "everything": found.everything}))
