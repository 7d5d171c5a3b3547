"""The control API under `/emulator`: acts, faults, the clock, and the emulator's state.

The page, tests and outside programs use it. Each answer comes after the state has changed; webhooks follow in the
background. The tables `ACTS` and `REQUESTS` hold all routes; docs/reference/control.md is generated from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from linqbot.emulator.acts.account_changes import ChangeLine, SetProvider
from linqbot.emulator.acts.act import Body
from linqbot.emulator.acts.conversation import Edit, React, Read, Typing, Write, parsed_time
from linqbot.emulator.acts.membership import Join, Leave
from linqbot.emulator.acts.paying import Connect, Decline, Disconnect, Pay
from linqbot.emulator.acts.sharing import ShareCard, ShareLocation
from linqbot.emulator.acts.voting import AddOptions, MakePoll, Vote
from linqbot.emulator.api import read_json, respond
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.answers import ApiError, EndpointResponse, invalid, not_found
from linqbot.emulator.model.records import iso
from linqbot.emulator.web.control_bodies import AddFault, Reset, SetClock
from linqbot.errors import ConfigError

MAX_BODY_BYTES = 150 * 2**20

_Model = TypeVar("_Model", bound=Body)
Verb: TypeAlias = Callable[[Emulator, Any], Mapping[str, Any] | None]
Handler: TypeAlias = Callable[[Emulator, Request], Awaitable[EndpointResponse | Response]]


@dataclass(frozen=True, slots=True)
class ControlAct:
    """One POST route that reads a body and performs it.

    Attributes:
        path: Below `/emulator`.
        body: The model of the request body. Its docstring says what the route does.
        verb: The function that performs the body and returns the answer; None is an empty object.
    """

    path: str
    body: type[Body]
    verb: Verb = Emulator.do
    status: int = 200


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One route that reads its request by a function. The docstring of the function says what the route does.

    Attributes:
        path: Below `/emulator`.
        body: The model of the request body, if the function reads one.
    """

    method: str
    path: str
    handler: Handler
    body: type[Body] | None = None


def add_fault(emulator: Emulator, body: AddFault) -> dict[str, Any]:
    """Add the fault and return its id."""
    return {"id": emulator.add_fault(body.fault())}


def set_clock(emulator: Emulator, body: SetClock) -> dict[str, Any]:
    """Stop, run or move the clock, and return the time."""
    if body.freeze is not None:
        emulator.freeze(frozen=body.freeze)
    return {"now": iso(emulator.advance(body.advance_s or 0.0))}


async def clear_faults(emulator: Emulator, _: Request) -> EndpointResponse:
    """Remove all faults."""
    emulator.clear_faults()
    return EndpointResponse(204)


async def reset(emulator: Emulator, request: Request) -> EndpointResponse:
    """Start again with two healthy lines and no chats, or with a saved state. The body may be left out.

    Raises:
        ApiError: 400, the body or the state is not valid.
    """
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    seed = (await _read(request, Reset)).seed if has_body else None
    try:
        emulator.reset(seed)
    except ConfigError as error:
        raise invalid(str(error)) from error
    return EndpointResponse(204)


async def flush(emulator: Emulator, _: Request) -> EndpointResponse:
    """Answer when nothing is under way: messages have arrived, and their events were delivered."""
    await emulator.flush()
    return EndpointResponse(200, {})


async def deliveries(emulator: Emulator, request: Request) -> EndpointResponse:
    """List webhook deliveries and their attempts. The query may have `subscription_id`, `event_type` and `since`.

    Raises:
        ApiError: 400, `since` is not an ISO 8601 time.
    """
    query = request.query_params
    subscription_id, event_type, since = (
        query.get("subscription_id"),
        query.get("event_type"),
        parsed_time(query.get("since")),
    )
    found = [
        one.shape()
        for one in emulator.world.deliveries.history
        if subscription_id in {None, one.subscription_id}
        and event_type in {None, one.event_type}
        and (since is None or one.created_at >= since)
    ]
    return EndpointResponse(200, {"deliveries": found})


async def replay(emulator: Emulator, request: Request) -> EndpointResponse:
    """Deliver an event again: the same bytes under the same id.

    Raises:
        ApiError: 404, no subscription had this event.
    """
    if not emulator.world.deliveries.replay(request.path_params["event_id"]):
        raise not_found("event")
    return EndpointResponse(202, {})


async def observe(emulator: Emulator, request: Request) -> EndpointResponse:
    """Show a JSON object of the bot, such as the record of a turn, on the page."""
    emulator.observe(await read_json(request))
    return EndpointResponse(202, {})


async def state(emulator: Emulator, _: Request) -> EndpointResponse:
    """Return all that the page shows: chats with messages, subscriptions, recent deliveries and calls."""
    return EndpointResponse(200, emulator.snapshot())


async def stream(emulator: Emulator, _: Request) -> Response:
    """Stream each change of the state as a server-sent event."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(emulator.world.feed.read(), media_type="text/event-stream", headers=headers)


ACTS = (
    ControlAct("/inbound", Write, status=201),
    ControlAct("/react", React),
    ControlAct("/read", Read),
    ControlAct("/typing", Typing),
    ControlAct("/edit", Edit),
    ControlAct("/poll", MakePoll, status=201),
    ControlAct("/poll/options", AddOptions),
    ControlAct("/vote", Vote),
    ControlAct("/location", ShareLocation),
    ControlAct("/leave", Leave),
    ControlAct("/join", Join),
    ControlAct("/card", ShareCard),
    ControlAct("/pay", Pay),
    ControlAct("/decline", Decline),
    ControlAct("/connect", Connect),
    ControlAct("/disconnect", Disconnect),
    ControlAct("/lines", ChangeLine),
    ControlAct("/providers", SetProvider),
    ControlAct("/faults", AddFault, add_fault, status=201),
    ControlAct("/clock", SetClock, set_clock),
)

REQUESTS = (
    ControlRequest("DELETE", "/faults", clear_faults),
    ControlRequest("POST", "/reset", reset, Reset),
    ControlRequest("POST", "/flush", flush),
    ControlRequest("GET", "/deliveries", deliveries),
    ControlRequest("POST", "/deliveries/{event_id}/replay", replay),
    ControlRequest("POST", "/observations", observe),
    ControlRequest("GET", "/state", state),
    ControlRequest("GET", "/stream", stream),
)


def routes(emulator: Emulator) -> list[Route]:
    """Return the routes of the control API, to be mounted under `/emulator`."""
    acts = [Route(act.path, _endpoint(emulator, partial(_perform, act)), methods=["POST"]) for act in ACTS]
    return acts + [Route(one.path, _endpoint(emulator, one.handler), methods=[one.method]) for one in REQUESTS]


async def _perform(act: ControlAct, emulator: Emulator, request: Request) -> EndpointResponse:
    return EndpointResponse(act.status, act.verb(emulator, await _read(request, act.body)) or {})


async def _read(request: Request, model: type[_Model]) -> _Model:
    raw = await read_json(request, MAX_BODY_BYTES)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        code = 1001 if first["type"] == "missing" else 1005
        raise ApiError(400, code, f"{where}: {first['msg']}") from error


def _endpoint(emulator: Emulator, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            given = await handler(emulator, request)
        except ApiError as error:
            given = error.answer()
        return respond(given) if isinstance(given, EndpointResponse) else given

    return answer
