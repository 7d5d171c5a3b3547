"""The network of a simulation, both ways: from a process to Linq, and from Linq to whichever process is up.

Each request and each answer takes a time that the seed draws. The faults of the schedule lose, delay and repeat them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from pydantic_core import from_json

from linqbot_dev.simulation.faults import AimedFaults
from linqbot_dev.simulation.loop import VirtualLoop
from linqbot_dev.simulation.schedule import AimedFault

MEAN_REQUEST_S: Final = 0.03
_ERRORS: Final = {"refused": httpx.ConnectError, "reset": httpx.ReadError}
_REFUSALS: Final = {
    "503": httpx.Response(503, json={"success": False, "error": {"status": 503, "code": 5000, "message": "away"}}),
    "429": httpx.Response(
        429,
        headers={"retry-after": "2"},
        json={"success": False, "error": {"status": 429, "code": 1007, "message": "too many"}},
    ),
}


@dataclass(slots=True)
class WireCall:
    """A request of the bot to Linq.

    Attributes:
        begun: The virtual second at which the process began it.
        at: The virtual second at which Linq answered it; None if it was lost on its way.
        status: Linq's answer, which may have been lost on its way.
    """

    begun: float
    process: str
    method: str
    path: str
    body: Any
    at: float | None = None
    status: int | None = None


class ToLinq(httpx.AsyncBaseTransport):
    """The way from one process to Linq.

    Args:
        linq: The emulator.
        spawn: Starts a task that belongs to no process: what is on the way goes on after a process's end.
        note: Called with each request when it begins.
        is_away: Returns True while Linq does not answer.
    """

    def __init__(
        self,
        linq: httpx.AsyncBaseTransport,
        loop: VirtualLoop,
        faults: AimedFaults,
        process: str,
        *,
        spawn: Callable[[Any], object],
        note: Callable[[WireCall], None],
        is_away: Callable[[], bool],
    ) -> None:
        self._linq = linq
        self._loop = loop
        self._faults = faults
        self._process = process
        self._spawn = spawn
        self._note = note
        self._is_away = is_away

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        answer: asyncio.Future[httpx.Response] = self._loop.create_future()
        self._spawn(self._carry(request, content, answer))
        return await answer

    async def _carry(self, request: httpx.Request, content: bytes, answer: asyncio.Future[httpx.Response]) -> None:
        sent = from_json(content) if content[:1] == b"{" else None
        path = request.url.path.removeprefix("/api/partner")
        self._note(call := WireCall(self._loop.now, self._process, request.method, path, sent))
        fault = self._faults.reach("call") or AimedFault("", 0, "refused" if self._is_away() else "")
        try:
            await asyncio.sleep(self._loop.drawn(MEAN_REQUEST_S))
            response = await self._answered(request, content, call, fault)
            await asyncio.sleep(self._loop.drawn(MEAN_REQUEST_S))
        except httpx.HTTPError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(response)

    async def _answered(
        self, request: httpx.Request, content: bytes, call: WireCall, fault: AimedFault
    ) -> httpx.Response:
        if (error := _ERRORS.get(fault.does)) is not None:
            raise error(fault.does, request=request)
        if (refusal := _REFUSALS.get(fault.does)) is not None:
            return httpx.Response(refusal.status_code, headers=refusal.headers, content=refusal.content)
        if fault.does == "late":
            await asyncio.sleep(fault.for_s)
        response = await self._at_linq(request, content, call)
        if fault.does == "doubled":
            response = await self._at_linq(request, content, call)
        if fault.does == "slow":
            await asyncio.sleep(fault.for_s)
        if fault.does == "answer lost":
            raise httpx.ReadError("The answer was lost.", request=request)
        return httpx.Response(500, json={}) if fault.does == "500 after" else response

    async def _at_linq(self, request: httpx.Request, content: bytes, call: WireCall) -> httpx.Response:
        again = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        answered = await self._linq.handle_async_request(again)
        body = await answered.aread()
        call.at, call.status = self._loop.now, answered.status_code
        return httpx.Response(answered.status_code, headers=answered.headers, content=body)


class ToBot(httpx.AsyncBaseTransport):
    """The way from Linq, and from other programs, to the processes of the bot.

    Args:
        receive: Passes a request to one of the processes. Raises httpx.ConnectError while none is up.
    """

    def __init__(
        self,
        receive: Callable[[httpx.Request], Awaitable[httpx.Response]],
        loop: VirtualLoop,
        faults: AimedFaults,
        *,
        spawn: Callable[[Any], object],
    ) -> None:
        self._receive = receive
        self._loop = loop
        self._faults = faults
        self._spawn = spawn

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on. Raises httpx.ConnectError if it is lost, and httpx.ReadError if its answer is."""
        content = await request.aread()
        fault = self._faults.reach("webhook") or AimedFault("", 0, "")
        await asyncio.sleep(fault.for_s if fault.does == "slow" else self._loop.drawn(MEAN_REQUEST_S))
        if fault.does == "lost":
            raise httpx.ConnectError("The webhook was lost.", request=request)
        if fault.does == "503":
            return httpx.Response(503)
        if fault.does.startswith("doubled"):
            self._spawn(self._again(request, content, 20.0 if fault.does == "doubled late" else 0.0))
        response = await self._receive(_copy(request, content))
        if fault.does == "answer lost":
            raise httpx.ReadError("The answer was lost.", request=request)
        await asyncio.sleep(self._loop.drawn(MEAN_REQUEST_S))
        return response

    async def _again(self, request: httpx.Request, content: bytes, after_s: float) -> None:
        await asyncio.sleep(after_s + self._loop.drawn(MEAN_REQUEST_S))
        try:
            await self._receive(_copy(request, content))
        except httpx.HTTPError:
            return


def _copy(request: httpx.Request, content: bytes) -> httpx.Request:
    return httpx.Request(request.method, request.url, headers=request.headers, content=content)
