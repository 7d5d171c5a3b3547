"""The control API under `/emulator`: acts, faults, the clock, and the emulator's state.

The page, tests and outside programs use it. Each answer comes after the state has changed; webhooks follow in the
background. The table `REQUESTS` holds all routes; docs/reference/control.md is generated from them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from linqbot.errors import ConfigError
from linqbot_dev.emulator.acts import chat_acts, conversation
from linqbot_dev.emulator.acts.conversation import Body, parsed_time
from linqbot_dev.emulator.api import read_json, respond
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model import documents, shapes
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, JsonObject, existing, invalid, not_found
from linqbot_dev.emulator.model.documents import iso

MAX_BODY_BYTES = 150 * 2**20
MAX_REPORT_BYTES = 2**20
STREAMED_MESSAGES = 100  # of each chat: more than a screen shows
LONGEST_NUMBER = 15  # digits
MESSAGES_AT_ONCE = 500  # few enough not to hold up the bot's calls

_Model = TypeVar("_Model", bound=Body)
Handler: TypeAlias = Callable[[Emulator, Request], Awaitable[JsonObject | Response | None]]
"""Performs a request, and returns the JSON that answers it; None answers it without a body."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One route, answered by a function. The docstring of the function says what the route does.

    Attributes:
        path: Below `/emulator`.
        body: The model of the request body, if the function reads one.
    """

    method: str
    path: str
    handler: Handler
    body: type[Any] | None = None
    status: int = 200


async def index(_emulator: Emulator, _: Request) -> JsonObject:
    """List these routes as `requests`, each with its method, its path, and what it does."""
    listed = [{"method": one.method, "path": f"/emulator{one.path}", "does": summary(one)} for one in REQUESTS]
    return {"requests": listed}


def summary(one: ControlRequest) -> str:
    return " ".join((inspect.getdoc(one.handler) or "").partition("\n\n")[0].split())


async def clock(emulator: Emulator, _: Request) -> JsonObject:
    """Return the clock: the time as `now` and, in Unix seconds, as `at`, and how many seconds it is ahead of real time."""
    now, shown = emulator.clock.now(), emulator.clock
    return {"now": iso(now), "at": now, "ahead_s": shown.ahead_s, "is_frozen": shown.is_frozen}


async def faults(emulator: Emulator, _: Request) -> JsonObject:
    """List the faults that are switched on, the oldest first. Fields without an effect are left out."""
    return {"faults": [fault.shape() for fault in emulator.world.faults.active]}


async def remove_fault(emulator: Emulator, request: Request) -> None:
    """Remove one fault."""
    if not emulator.world.faults.remove(request.path_params["fault_id"]):
        raise not_found("fault")


async def clear_faults(emulator: Emulator, _: Request) -> None:
    """Remove all faults."""
    emulator.world.faults.clear()


class ClockChange(Body):
    freeze: bool | None = Field(None, description="true stops the clock, false lets it run.")
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = Field(None, description="Seconds to move forward.")
    to: str | None = Field(None, description="ISO 8601. Move forward to this time, in place of `advance_s`.")


async def change_clock(emulator: Emulator, request: Request) -> JsonObject:
    """Stop the clock, let it run, or move it forward. What is due by then happens.

    The answer has the time as `now`. Under `linqbot dev` the bot's clock moves along: the clocks stop at each time at which
    something is due, and go on when the bot has handled it. If that takes too long, the clocks stay at the time that they
    have reached, and the answer says why as `stopped`. Otherwise `stopped` is null.
    """
    asked = await _read(request, ClockChange)
    to, now = parsed_time(asked.to), emulator.clock.now()
    if to is None:
        to = now + (asked.advance_s or 0.0)
    elif asked.advance_s is not None:
        raise invalid("Give either `to` or `advance_s`.")
    elif to < now:
        raise invalid(
            f"The clock moves only forward, and shows {iso(now)}. To return to real time, reset the emulator."
        )
    if asked.freeze is not None:
        emulator.freeze(frozen=asked.freeze)
        await emulator.runner.follow_clock()
    ahead_s = emulator.clock.ahead_s
    stopped = await emulator.runner.move_to(to)
    if asked.advance_s and stopped is None and not emulator.clock.is_frozen:
        # The move took some of that time itself.
        left_s = asked.advance_s - (emulator.clock.ahead_s - ahead_s)
        stopped = await emulator.runner.move_to(emulator.clock.now() + left_s)
    return {"now": iso(emulator.clock.now()), "stopped": stopped}


class OfMessage(Body):
    message_id: str = Field(description="The message of a person.")


async def run_again(emulator: Emulator, request: Request) -> JsonObject:
    """Let the bot handle a message of a person again, although it has handled it: everything is sent again.

    Unlike `/deliver-again`, after which the bot does nothing. Only under `linqbot dev`; otherwise 409.
    """
    await emulator.runner.run_again((await _read(request, OfMessage)).message_id)
    return {}


async def restart(emulator: Emulator, request: Request) -> JsonObject:
    """Return to the state before a message of a person, and write the message again. The answer has its new ids.

    The emulator, the bot's storage and both clocks return to that state, and the bot is started again. What the bot keeps
    elsewhere, such as in a database of its own, stays as it is. Only under `linqbot dev`, for the latest 20 messages;
    otherwise 409.
    """
    return await emulator.runner.restart_from((await _read(request, OfMessage)).message_id)


class Reset(Body):
    seed: dict[str, Any] | None = Field(None, description="A state in the shape that the emulator saves.")


async def reset(emulator: Emulator, request: Request) -> None:
    """Start again with two healthy lines and no chats, or with a saved state. The body may be left out.

    A clock that runs shows real time again. Under `linqbot dev` the bot's storage is emptied too, unless there is a state.
    """
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    seed = (await _read(request, Reset)).seed if has_body else None
    if seed is None:
        await emulator.runner.reset()
        return
    try:
        emulator.reset(seed)
    except ConfigError as error:
        raise invalid(str(error)) from error
    if not emulator.clock.is_frozen:
        emulator.return_to_real_time()
        await emulator.runner.follow_clock()


async def flush(emulator: Emulator, _: Request) -> JsonObject:
    """Answer when nothing is under way: messages have arrived, and their events were delivered."""
    await emulator.flush()
    return {}


async def deliveries(emulator: Emulator, request: Request) -> JsonObject:
    """List webhook deliveries and their attempts. The query may have `subscription_id`, `event_type` and `since`."""
    query = request.query_params
    subscription_id, event_type = query.get("subscription_id"), query.get("event_type")
    since = parsed_time(query.get("since"))
    found = [
        documents.shown(one)
        for one in emulator.world.deliveries.history
        if subscription_id in {None, one.subscription_id}
        and event_type in {None, one.event_type}
        and (since is None or one.created_at >= since)
    ]
    return {"deliveries": found}


async def delivery(emulator: Emulator, request: Request) -> JsonObject:
    """Return an event as it was sent to each subscription: the address, the headers of the latest attempt, the body."""
    event_id, subscriptions = request.path_params["event_id"], emulator.state.subscriptions
    found = [one for one in emulator.world.deliveries.history if one.event_id == event_id]
    if not found:
        raise not_found("event")
    shown = []
    for one in found:
        subscription = subscriptions.get(one.subscription_id)
        shown.append(documents.saved(one) | {"target_url": subscription.target_url if subscription else None})
    return {"deliveries": shown}


async def stored(emulator: Emulator, request: Request) -> JsonObject:
    """Return what the bot stores: scheduled sends of all chats, `bot_state`, and for the query's `chat_id` also the rest.

    The rest is `questions` (of `ctx.ask`), `waiting` (deliveries), `dead` (dead letters), `state` (of the chat) and `people`
    (with the state of each person in the chat). Only under `linqbot dev`; otherwise the answer is `{"available": false}`.
    """
    return await emulator.runner.stored(request.query_params.get("chat_id"))


async def observe(emulator: Emulator, request: Request) -> JsonObject:
    """Show a report of `linqbot dev` on the page: of a turn (`kind` is `turn`), or of the bot's start (`kind` is `bot`).

    The emulator keeps the latest 1,000 reports of turns, and the latest one of a start.
    """
    emulator.observe(await read_json(request, MAX_REPORT_BYTES))
    return {}


async def state(emulator: Emulator, _: Request) -> JsonObject:
    """Return all that the page shows: chats with messages, subscriptions, recent deliveries and calls."""
    return emulator.snapshot()


async def stream(emulator: Emulator, _: Request) -> Response:
    """Stream each change of the state as a server-sent event. The first event is the state, with the newest messages.

    The state is that of `GET /emulator/state`, but it has at most 100 messages of each chat, the newest. `earlier` is the
    number of messages before these; `GET /emulator/chats/{chat_id}/messages` returns them.
    """
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    events = emulator.world.feed.read(partial(emulator.snapshot, latest=STREAMED_MESSAGES))
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def messages(emulator: Emulator, request: Request) -> JsonObject:
    """Return the messages of a chat for the page, oldest first: at most 500 of the first `before` ones, the newest of these.

    Without `before`, these are the newest messages of the chat. `earlier` is the number of messages before them.
    """
    chat = existing(emulator.state.chats.get(request.path_params["chat_id"]), "chat")
    before = request.query_params.get("before", str(len(chat.messages)))
    if not before.isdecimal() or len(before) > LONGEST_NUMBER:
        raise invalid("before: Input should be the number of a message")
    end = min(int(before), len(chat.messages))
    earlier = max(0, end - MESSAGES_AT_ONCE)
    shown = [shapes.watched_message(one) for one in chat.messages[earlier:end]]
    return {"earlier": earlier, "messages": shown}


async def chat_test(emulator: Emulator, request: Request) -> JsonObject:
    """Return a pytest of a chat as `source`: it sends what people sent, lets the time pass, and expects what the bot did."""
    from linqbot_dev.emulator.copied_test.steps import Copier  # few ask for it

    chat = existing(emulator.state.chats.get(request.path_params["chat_id"]), "chat")
    return {"source": Copier(emulator).of_chat(chat)}


async def event_test(emulator: Emulator, request: Request) -> JsonObject:
    """Return a pytest of an event as `source`, with the earlier events that it refers to."""
    from linqbot_dev.emulator.copied_test.steps import Copier

    return {"source": Copier(emulator).of_event(request.path_params["event_id"])}


def _act(path: str, act: type[Any], status: int = 200) -> ControlRequest:
    """Return the route that performs an act. The docstring of the act says what the route does."""

    async def perform(emulator: Emulator, request: Request) -> JsonObject:
        asked = await _read(request, act)
        if isinstance(asked, conversation.Write):
            return await emulator.runner.write(asked)  # so that it can be restarted from
        return emulator.do(asked) or {}

    perform.__doc__ = act.__doc__
    return ControlRequest("POST", path, perform, act, status)


REQUESTS = (
    _act("/inbound", conversation.Write, status=201),
    _act("/react", conversation.React),
    _act("/read", conversation.Read),
    _act("/typing", conversation.SetTyping),
    _act("/edit", conversation.Edit),
    _act("/poll", chat_acts.MakePoll, status=201),
    _act("/poll/options", chat_acts.AddOptions),
    _act("/vote", chat_acts.Vote),
    _act("/location", chat_acts.ShareLocation),
    _act("/leave", chat_acts.Leave),
    _act("/join", chat_acts.Join),
    _act("/group/name", conversation.NameGroup),
    _act("/group/icon", conversation.SetGroupIcon),
    _act("/background", conversation.SetBackground),
    _act("/card", chat_acts.ShareCard),
    _act("/pay", chat_acts.Pay),
    _act("/decline", chat_acts.Decline),
    _act("/connect", chat_acts.Connect),
    _act("/disconnect", chat_acts.Disconnect),
    _act("/lines", chat_acts.ChangeLine),
    _act("/opt-out", chat_acts.SetOptOut),
    _act("/providers", chat_acts.SetProvider),
    _act("/faults", chat_acts.AddFault, status=201),
    _act("/deliver-again", chat_acts.DeliverAgain, status=202),
    ControlRequest("GET", "", index),
    ControlRequest("GET", "/clock", clock),
    ControlRequest("POST", "/clock", change_clock, ClockChange),
    ControlRequest("POST", "/run-again", run_again, OfMessage, 202),
    ControlRequest("POST", "/restart", restart, OfMessage, 201),
    ControlRequest("GET", "/faults", faults),
    ControlRequest("DELETE", "/faults", clear_faults, status=204),
    ControlRequest("DELETE", "/faults/{fault_id}", remove_fault, status=204),
    ControlRequest("POST", "/reset", reset, Reset, 204),
    ControlRequest("POST", "/flush", flush),
    ControlRequest("GET", "/deliveries", deliveries),
    ControlRequest("GET", "/deliveries/{event_id}", delivery),
    ControlRequest("GET", "/deliveries/{event_id}/test", event_test),
    ControlRequest("GET", "/stored", stored),
    ControlRequest("POST", "/observations", observe, status=202),
    ControlRequest("GET", "/state", state),
    ControlRequest("GET", "/stream", stream),
    ControlRequest("GET", "/chats/{chat_id}/messages", messages),
    ControlRequest("GET", "/chats/{chat_id}/test", chat_test),
)


@cache
def routes() -> list[BaseRoute]:
    """Return the routes of the control API. All emulators have the same ones, and to compile their paths takes time."""
    found = [Route(one.path or "/emulator", _endpoint(one), methods=[one.method]) for one in REQUESTS]
    root = next(route for route in found if route.path == "/emulator")
    return [root, Mount("/emulator", routes=[route for route in found if route is not root])]


def _endpoint(one: ControlRequest) -> Callable[[Request], Awaitable[Response]]:
    async def answer(emulator: Emulator, request: Request) -> EndpointResponse | Response:
        found = await one.handler(emulator, request)
        return found if isinstance(found, Response) else EndpointResponse(one.status, found)

    return answering(answer)


def refusal(request: Request, error: Exception) -> Response:
    """Answer a request that no route takes: below `/emulator` in the envelope of every other refusal, elsewhere as text."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if not path.startswith("/emulator/"):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    if error.status_code == 405:
        answer = ApiError(405, 1005, "This path does not take this method. GET /emulator lists what it takes").answer()
        answer.headers.update(error.headers or {})
    else:
        answer = ApiError(error.status_code, 2001, "There is no such path. GET /emulator lists all").answer()
    return respond(answer)


async def _read(request: Request, model: type[_Model]) -> _Model:
    raw = await read_json(request, MAX_BODY_BYTES)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        code = 1001 if first["type"] == "missing" else 1005
        raise ApiError(400, code, f"{where}: {first['msg']}") from error


def answering(
    handler: Callable[[Emulator, Request], Awaitable[EndpointResponse | Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint of starlette's: it calls the handler with the emulator of its app, and answers an `ApiError`."""

    async def answer(request: Request) -> Response:
        try:
            given = await handler(request.app.state.emulator, request)
        except ApiError as error:
            given = error.answer()
        return respond(given) if isinstance(given, EndpointResponse) else given

    return answer
