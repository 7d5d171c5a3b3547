"""The control API under `/emulator`: what the page, `linqbot trigger` and outside programs do as the person.

Every answer comes after the state has changed; webhooks follow by themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from linqbot.emulator import lines
from linqbot.emulator.answers import Answer, ApiError, invalid, not_found
from linqbot.emulator.api import read_json, respond
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.faults import Fault
from linqbot.emulator.handles import is_handle, normal
from linqbot.emulator.records import iso, seconds
from linqbot.errors import ConfigError
from linqbot.types.message import Effect as EffectNames

MAX_BODY_BYTES = 150 * 2**20


def _checked_handle(text: str) -> str:
    if not is_handle(text):
        raise ValueError("must be an E.164 number or an e-mail address")
    return normal(text)


Handle: TypeAlias = Annotated[str, AfterValidator(_checked_handle)]
Service: TypeAlias = Literal["iMessage", "RCS", "SMS"]
Range: TypeAlias = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]


class Body(BaseModel):
    """A body of the control API. Unknown keys are refused: a typing mistake should not look like success."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class ByPerson(Body):
    from_: Handle = Field(alias="from")


class Mention(Body):
    handle: Handle
    range: Range | None = None


class Text(Body):
    type: Literal["text"]
    value: Annotated[str, Field(min_length=1)]
    text_decorations: list[dict[str, Any]] | None = None
    mention: Handle | None = None
    mention_range: Range | None = None
    mentions: list[Mention] | None = None


class Link(Body):
    type: Literal["link"]
    value: Annotated[str, Field(min_length=1)]


class Media(Body):
    type: Literal["media"]
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    mime_type: str | None = None
    data_base64: str | None = None
    url: str | None = None
    attachment_id: str | None = None


class Reply(Body):
    message_id: str
    part_index: Annotated[int, Field(ge=0)] = 0


class Effect(Body):
    name: str
    type: Literal["screen", "bubble"] | None = None


def _as_object(key: str) -> Callable[[Any], Any]:
    return lambda value: {key: value} if isinstance(value, str) else value


class Inbound(ByPerson):
    to: Handle
    parts: Annotated[list[Annotated[Text | Link | Media, Discriminator("type")]], Field(min_length=1, max_length=100)]
    chat_id: str | None = None
    group: list[Handle] = []
    reply_to: Annotated[Reply, BeforeValidator(_as_object("message_id"))] | None = None
    effect: Annotated[Effect, BeforeValidator(_as_object("name"))] | None = None
    service: Service | None = None
    sent_at: str | None = None
    reconciled_at: str | None = None


class React(ByPerson):
    message_id: str
    type: Literal["love", "like", "dislike", "laugh", "emphasize", "question", "custom", "sticker"]
    operation: Literal["add", "remove"] = "add"
    custom_emoji: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    part_index: Annotated[int, Field(ge=0)] = 0
    emoji: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    url: str | None = None
    attachment_id: str | None = None


class Read(ByPerson):
    chat_id: str
    message_id: str | None = None


class Typing(ByPerson):
    chat_id: str
    state: Literal["started", "stopped"]


class Edit(ByPerson):
    message_id: str
    text: Annotated[str, Field(min_length=1)]
    part_index: Annotated[int, Field(ge=0)] = 0


class NewPoll(ByPerson):
    chat_id: str
    options: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2)]


class NewOptions(ByPerson):
    message_id: str
    options: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class Vote(ByPerson):
    message_id: str
    option_id: str
    operation: Literal["add", "remove"] = "add"


class Location(ByPerson):
    chat_id: str
    state: Literal["started", "stopped"] = "started"
    latitude: Annotated[float, Field(ge=-90, le=90)] = 0.0
    longitude: Annotated[float, Field(ge=-180, le=180)] = 0.0
    for_s: Annotated[float, Field(gt=0, le=10**8)] | None = None


class Membership(ByPerson):
    chat_id: str
    handle: Handle | None = None


class FaultBody(Body):
    on: Literal["api", "delivery", "message"]
    match: str = ""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    code: int | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    delay_ms: Annotated[int, Field(ge=0)] = 0
    drop: Literal["answer", "request"] | bool = False
    lose: bool = False
    duplicate: bool = False
    reorder: bool = False
    kind: Literal["lose", "delay", "duplicate", "reorder"] | None = None
    times: Annotated[int, Field(ge=1)] = 1

    def fault(self) -> Fault:
        drop = "answer" if self.drop is True or self.lose or self.kind == "lose" else self.drop or None
        return Fault(
            on=self.on,
            match=self.match,
            status=self.status,
            code=self.code,
            retry_after=self.retry_after,
            delay_ms=self.delay_ms or (1000 if self.kind == "delay" else 0),
            drop=drop,
            duplicate=self.duplicate or self.kind == "duplicate",
            reorder=self.reorder or self.kind == "reorder",
            times=self.times,
        )


class ClockBody(Body):
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = None
    freeze: bool | None = None


class Standing(Body):
    phone_number: Handle
    status: Literal["ACTIVE", "FLAGGED"] | None = None
    reputation: Literal["HEALTHY", "AT_RISK", "CRITICAL"] | None = None


class Seed(Body):
    seed: dict[str, Any] | None = None


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


Handler: TypeAlias = Callable[[Emulator, Request], Awaitable[Answer | Response]]


async def inbound(emulator: Emulator, request: Request) -> Answer:
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
    return Answer(201, answer)


def _effect(asked: Effect | None) -> dict[str, str | None] | None:
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


async def react(emulator: Emulator, request: Request) -> Answer:
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
    return Answer(200, {})


async def read(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Read)
    emulator.read(body.from_, body.chat_id, body.message_id)
    return Answer(200, {})


async def typing(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Typing)
    emulator.typing(body.from_, body.chat_id, is_typing=body.state == "started")
    return Answer(200, {})


async def edit(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Edit)
    emulator.edit(body.from_, body.message_id, body.text, body.part_index)
    return Answer(200, {})


async def poll(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, NewPoll)
    return Answer(201, {"chat_id": body.chat_id, "message_id": emulator.poll(body.from_, body.chat_id, body.options)})


async def add_options(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, NewOptions)
    emulator.add_options(body.from_, body.message_id, body.options)
    return Answer(200, {})


async def vote(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Vote)
    emulator.vote(body.from_, body.message_id, body.option_id, is_on=body.operation == "add")
    return Answer(200, {})


async def location(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Location)
    if body.state == "stopped":
        emulator.stop_sharing_location(body.from_, body.chat_id)
    else:
        emulator.share_location(body.from_, body.chat_id, body.latitude, body.longitude, for_s=body.for_s)
    return Answer(200, {})


async def leave(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Membership)
    emulator.leave(body.from_, body.chat_id, body.handle)
    return Answer(200, {})


async def join(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Membership)
    emulator.join(body.from_, body.chat_id, body.handle)
    return Answer(200, {})


async def add_fault(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, FaultBody)
    return Answer(201, {"id": emulator.add_fault(body.fault())})


async def clear_faults(emulator: Emulator, _: Request) -> Answer:
    emulator.clear_faults()
    return Answer(204)


async def clock(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, ClockBody)
    if body.freeze is not None:
        emulator.freeze(frozen=body.freeze)
    return Answer(200, {"now": iso(emulator.advance(body.advance_s or 0.0))})


async def set_standing(emulator: Emulator, request: Request) -> Answer:
    body = await _read(request, Standing)
    line = emulator.state.lines.get(body.phone_number)
    if line is None:
        raise not_found("phone number")
    lines.set_standing(emulator.world, line, status=body.status, reputation=body.reputation)
    return Answer(200, {})


async def reset(emulator: Emulator, request: Request) -> Answer:
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    seed = (await _read(request, Seed)).seed if has_body else None
    try:
        emulator.reset(seed)
    except ConfigError as error:
        raise invalid(str(error)) from error
    return Answer(204)


async def flush(emulator: Emulator, _: Request) -> Answer:
    await emulator.flush()
    return Answer(200, {})


async def deliveries(emulator: Emulator, request: Request) -> Answer:
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
    return Answer(200, {"deliveries": found})


async def replay(emulator: Emulator, request: Request) -> Answer:
    """Deliver an event once more, the same bytes under the same id."""
    if not emulator.world.deliveries.replay(request.path_params["event_id"]):
        raise not_found("event")
    return Answer(202, {})


async def observe(emulator: Emulator, request: Request) -> Answer:
    emulator.observe(await read_json(request))
    return Answer(202, {})


async def state(emulator: Emulator, _: Request) -> Answer:
    return Answer(200, emulator.snapshot())


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
    ("POST", "/lines", set_standing),
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
        return respond(given) if isinstance(given, Answer) else given

    return answer
