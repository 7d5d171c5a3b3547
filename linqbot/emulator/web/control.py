"""The control API under `/emulator`: what the page, `linqbot trigger` and outside programs do as the person.

Every answer comes after the state has changed; webhooks follow by themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from linqbot.emulator.api import read_json, respond
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.endpoints import lines
from linqbot.emulator.model.answers import ApiError, EndpointResponse, invalid, not_found
from linqbot.emulator.model.records import iso, seconds
from linqbot.emulator.web.control_bodies import (
    Body,
    ByPerson,
    ClockBody,
    Edit,
    EffectBody,
    FaultBody,
    Inbound,
    LineChange,
    LocationBody,
    Media,
    Membership,
    NewOptions,
    NewPoll,
    Paid,
    Provider,
    React,
    Read,
    Seed,
    SharedCard,
    TypingBody,
    Vote,
)
from linqbot.errors import ConfigError
from linqbot.types.message import Effect as EffectNames

MAX_BODY_BYTES = 150 * 2**20


_Model = TypeVar("_Model", bound=Body)


async def _read(request: Request, model: type[_Model]) -> _Model:
    raw = await read_json(request, MAX_BODY_BYTES)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        code = 1001 if first["type"] == "missing" else 1005
        raise ApiError(400, code, f"{where}: {first['msg']}") from error


Handler: TypeAlias = Callable[[Emulator, Request], Awaitable[EndpointResponse | Response]]


async def inbound(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Inbound)
    for part in body.parts:
        if isinstance(part, Media) and not (part.data_base64 is not None or part.url or part.attachment_id):
            raise invalid("media needs data_base64, url or attachment_id")
    answer = emulator.inbound(
        body.from_,
        body.to,
        [part.model_dump(exclude_none=True) for part in body.parts],
        chat_id=body.chat_id,
        group=body.group,
        reply_to=body.reply_to.model_dump() if body.reply_to else None,
        effect=_effect(body.effect),
        service=body.service,
        sent_at=_time(body.sent_at),
        reconciled_at=_time(body.reconciled_at),
    )
    return EndpointResponse(201, answer)


def _effect(asked: EffectBody | None) -> dict[str, str | None] | None:
    if asked is None:
        return None
    return {"name": asked.name, "type": asked.type or EffectNames.named(asked.name).type}


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = seconds(text)
        iso(at)  # what can be read but not written would break every later look at it
    except (ValueError, OverflowError, OSError) as error:
        raise invalid("times are ISO 8601") from error
    return at


async def react(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, React)
    if body.type == "custom" and not body.custom_emoji:
        raise invalid("custom needs custom_emoji")
    sticker = {key: value for key in ("emoji", "url", "attachment_id") if (value := getattr(body, key))}
    if (body.type == "sticker") != (len(sticker) == 1):
        raise invalid("a sticker, and nothing else, needs one of emoji, url and attachment_id")
    emulator.react(
        body.from_,
        body.message_id,
        body.type,
        operation=body.operation,
        custom_emoji=body.custom_emoji,
        part_index=body.part_index,
        sticker=sticker,
    )
    return EndpointResponse(200, {})


async def read(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Read)
    emulator.read(body.from_, body.chat_id, body.message_id)
    return EndpointResponse(200, {})


async def typing(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, TypingBody)
    emulator.typing(body.from_, body.chat_id, is_typing=body.state == "started")
    return EndpointResponse(200, {})


async def edit(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Edit)
    emulator.edit(body.from_, body.message_id, body.text, body.part_index)
    return EndpointResponse(200, {})


async def poll(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, NewPoll)
    return EndpointResponse(
        201, {"chat_id": body.chat_id, "message_id": emulator.poll(body.from_, body.chat_id, body.options)}
    )


async def add_options(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, NewOptions)
    emulator.add_options(body.from_, body.message_id, body.options)
    return EndpointResponse(200, {})


async def vote(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Vote)
    emulator.vote(body.from_, body.message_id, body.option_id, is_on=body.operation == "add")
    return EndpointResponse(200, {})


async def location(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, LocationBody)
    if body.state == "stopped":
        emulator.stop_sharing_location(body.from_, body.chat_id)
    else:
        emulator.share_location(body.from_, body.chat_id, body.latitude, body.longitude, for_s=body.for_s)
    return EndpointResponse(200, {})


async def leave(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Membership)
    emulator.leave(body.from_, body.chat_id, body.handle)
    return EndpointResponse(200, {})


async def join(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Membership)
    emulator.join(body.from_, body.chat_id, body.handle)
    return EndpointResponse(200, {})


async def add_fault(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, FaultBody)
    return EndpointResponse(201, {"id": emulator.add_fault(body.fault())})


async def clear_faults(emulator: Emulator, _: Request) -> EndpointResponse:
    emulator.clear_faults()
    return EndpointResponse(204)


async def clock(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, ClockBody)
    if body.freeze is not None:
        emulator.freeze(frozen=body.freeze)
    return EndpointResponse(200, {"now": iso(emulator.advance(body.advance_s or 0.0))})


async def change_line(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, LineChange)
    if body.assigned and body.phone_number not in emulator.state.lines:
        emulator.assign_line(body.phone_number, line_type=body.line_type)
    line = emulator.state.lines.get(body.phone_number)
    if line is None:
        raise not_found("phone number")
    if body.status or body.reputation:
        lines.set_standing(emulator.world, line, status=body.status, reputation=body.reputation)
    if body.zero_retention is not None:
        emulator.set_zero_retention(body.phone_number, is_on=body.zero_retention)
    if body.card:
        emulator.delete_card(body.phone_number)
    if body.assigned is False:
        emulator.release_line(body.phone_number)
    return EndpointResponse(200, {})


async def share_card(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, SharedCard)
    emulator.share_card(body.from_, body.to, body.first_name, body.last_name, media_url=body.media_url)
    return EndpointResponse(200, {})


async def pay(emulator: Emulator, request: Request) -> EndpointResponse:
    emulator.pay((await _read(request, Paid)).id)
    return EndpointResponse(200, {})


async def decline(emulator: Emulator, request: Request) -> EndpointResponse:
    emulator.decline((await _read(request, Paid)).id)
    return EndpointResponse(200, {})


async def connect(emulator: Emulator, request: Request) -> EndpointResponse:
    emulator.connect((await _read(request, ByPerson)).from_)
    return EndpointResponse(200, {})


async def disconnect(emulator: Emulator, request: Request) -> EndpointResponse:
    emulator.disconnect((await _read(request, ByPerson)).from_)
    return EndpointResponse(200, {})


async def set_provider(emulator: Emulator, request: Request) -> EndpointResponse:
    body = await _read(request, Provider)
    emulator.set_provider(body.provider, body.status)
    return EndpointResponse(200, {})


async def reset(emulator: Emulator, request: Request) -> EndpointResponse:
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    seed = (await _read(request, Seed)).seed if has_body else None
    try:
        emulator.reset(seed)
    except ConfigError as error:
        raise invalid(str(error)) from error
    return EndpointResponse(204)


async def flush(emulator: Emulator, _: Request) -> EndpointResponse:
    await emulator.flush()
    return EndpointResponse(200, {})


async def deliveries(emulator: Emulator, request: Request) -> EndpointResponse:
    query = request.query_params
    subscription_id, event_type, since = (
        query.get("subscription_id"),
        query.get("event_type"),
        _time(query.get("since")),
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
    """Deliver an event once more, the same bytes under the same id."""
    if not emulator.world.deliveries.replay(request.path_params["event_id"]):
        raise not_found("event")
    return EndpointResponse(202, {})


async def observe(emulator: Emulator, request: Request) -> EndpointResponse:
    emulator.observe(await read_json(request))
    return EndpointResponse(202, {})


async def state(emulator: Emulator, _: Request) -> EndpointResponse:
    return EndpointResponse(200, emulator.snapshot())


async def stream(emulator: Emulator, _: Request) -> Response:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(emulator.world.feed.read(), media_type="text/event-stream", headers=headers)


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/inbound", inbound),
    ("POST", "/react", react),
    ("POST", "/read", read),
    ("POST", "/typing", typing),
    ("POST", "/edit", edit),
    ("POST", "/poll", poll),
    ("POST", "/poll/options", add_options),
    ("POST", "/vote", vote),
    ("POST", "/location", location),
    ("POST", "/leave", leave),
    ("POST", "/join", join),
    ("POST", "/faults", add_fault),
    ("DELETE", "/faults", clear_faults),
    ("POST", "/clock", clock),
    ("POST", "/lines", change_line),
    ("POST", "/card", share_card),
    ("POST", "/pay", pay),
    ("POST", "/decline", decline),
    ("POST", "/connect", connect),
    ("POST", "/disconnect", disconnect),
    ("POST", "/providers", set_provider),
    ("POST", "/reset", reset),
    ("POST", "/flush", flush),
    ("GET", "/deliveries", deliveries),
    ("POST", "/deliveries/{event_id}/replay", replay),
    ("POST", "/observations", observe),
    ("GET", "/state", state),
    ("GET", "/stream", stream),
)


def routes(emulator: Emulator) -> list[Route]:
    return [Route(path, _endpoint(emulator, handler), methods=[method]) for method, path, handler in _ROUTES]


def _endpoint(emulator: Emulator, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            given = await handler(emulator, request)
        except ApiError as error:
            given = error.answer()
        return respond(given) if isinstance(given, EndpointResponse) else given

    return answer
