"""The part of `linqbot dev` in the bot's process: its clock follows the emulator's, and it tells what the bot stores.

It is a plugin with routes under `/plugins/linqbot-dev-runner/`, which `cli/dev/runner.py` calls from the emulator's
process. Each request must carry the API key that `linqbot dev` made up for this run: a page in the browser can reach
the port too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import Any, Final

import httpx
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linqbot.cli.dev import stored
from linqbot.cli.dev.loopback import guarded, no_authorities
from linqbot.clock import MovableClock
from linqbot.events.delivery import Delivery
from linqbot.events.lane import lane_of_chat
from linqbot.hookspecs import Running, hookimpl
from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.dev")

NAME: Final = "linqbot-dev-runner"
TURNS_KEPT = 30
ASK_AGAIN_S = 0.1
ASK_TIMES = 50


class Inside:
    """The plugin.

    Args:
        clock: The clock of the bot. It is set before the bot leases a delivery, and whenever the emulator's is moved.
        emulator: URL of the emulator.
        key: The key that requests must carry.
    """

    name = NAME

    def __init__(self, clock: MovableClock, emulator: str, key: str) -> None:
        self._clock = clock
        self._emulator = emulator
        self._key = key
        self._turns: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=TURNS_KEPT))

    @hookimpl
    async def started(self) -> None:
        """Set the clock to the emulator's, which may have been moved before this process began."""
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities()) as client:
            for _ in range(ASK_TIMES):
                try:
                    answer = await client.get(f"{self._emulator}/emulator/clock")
                except httpx.TransportError:
                    await asyncio.sleep(ASK_AGAIN_S)
                else:
                    self._set_clock(answer.json())
                    return
        log.warning("dev.clock_unknown", what_to_do="Restart linqbot dev if the clock on its page was moved.")

    @hookimpl
    def taken(self, delivery: Delivery) -> None:
        """Note a turn, so that its journal can be shown."""
        turns = self._turns[delivery.lane]
        if delivery.id not in turns:
            turns.append(delivery.id)

    @hookimpl
    def register_routes(self, running: Running) -> list[BaseRoute]:
        """Return the routes."""
        storage = running.storage

        async def put_clock(request: Request) -> Response:
            self._set_clock(await request.json())
            return Response(status_code=204)

        async def get_work(_: Request) -> Response:
            return JSONResponse(await self._work(storage))

        async def get_stored(request: Request) -> Response:
            query = request.query_params
            chat_id = query.get("chat_id")
            turns = [] if chat_id is None else list(self._turns.get(lane_of_chat(chat_id), ()))
            turns += [turn for turn in query.getlist("turn") if turn not in turns]
            return JSONResponse(await stored.everything(storage, chat_id, query.getlist("person"), turns))

        async def run_again(request: Request) -> Response:
            return JSONResponse({"count": await storage.replay_live([(await request.json())["delivery_id"]])})

        return [
            Route("/clock", guarded(put_clock, self._key), methods=["PUT"]),
            Route("/work", guarded(get_work, self._key)),
            Route("/stored", guarded(get_stored, self._key)),
            Route("/run-again", guarded(run_again, self._key), methods=["POST"]),
        ]

    def _set_clock(self, clock: dict[str, Any]) -> None:
        if clock["is_frozen"]:
            self._clock.stop_at(clock["at"])
        else:
            self._clock.run_ahead(clock["ahead_s"])

    async def _work(self, storage: Storage) -> dict[str, Any]:
        """Return whether the bot has work now, and when it next has some without a webhook, in Unix seconds."""
        now, timers = self._clock.now(), (await storage.next_timer(), await storage.next_broadcast())
        heads: dict[str, Any] = {}
        for waiting in await storage.waiting(limit=1000):
            heads.setdefault(waiting.lane, waiting)  # The deliveries behind the first one of a lane wait for it.
        waits = [head.not_before for head in heads.values() if head.state in {"gathering", "retrying", "deferred"}]
        is_due = any(at is not None and at <= now for at in timers)
        return {
            "is_busy": is_due or len(waits) < len(heads),
            "next_at": min((at for at in [*timers, *waits] if at is not None and at > now), default=None),
        }
