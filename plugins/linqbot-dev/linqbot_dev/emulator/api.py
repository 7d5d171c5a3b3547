"""The V3 API over ASGI: finds the endpoint, checks the key and the rules, and answers in Linq's envelope.

No request ends in a traceback: an exception that an endpoint did not expect is logged, and answered with 500/3006.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from linqbot.linq import rules
from linqbot.linq.endpoints import ENDPOINTS, Endpoint
from linqbot.linq.rules.check import takes_body
from linqbot_dev.emulator.endpoints import (
    attachments,
    chats,
    contacts,
    lines,
    locations,
    messages,
    payments,
    polls,
    reactions,
    subscriptions,
)
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest, Handler
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, check_rule, encode, not_found
from linqbot_dev.emulator.model.documents import iso, new_id
from linqbot_dev.emulator.model.faults import Fault, Lost

log = logging.getLogger("linqbot.emulator")

MAX_BODY_BYTES = 4 * 2**20
CALLS_KEPT = 1000

HANDLERS: Final[Mapping[str, Handler]] = {
    name: handler
    for module in (attachments, chats, contacts, lines, locations, messages, payments, polls, reactions, subscriptions)
    for name in ENDPOINTS
    if (handler := vars(module).get(name.replace(".", "_").lower()))
}
"""The functions that answer the endpoints of Linq's API: that of `chats.typing.start` is `chats_typing_start`."""


def find_endpoint(method: str, path: str) -> tuple[Endpoint | ApiError, dict[str, str]]:
    """Return the endpoint of a call, or the refusal of one that has none; and the ids in its path."""
    for pattern, endpoint in _patterns():
        if endpoint.method == method and (match := pattern.fullmatch(path)):
            return endpoint, match.groupdict()
    is_path = any(pattern.fullmatch(path) for pattern, _ in _patterns())
    return ApiError(405, 1005, "This path does not know this method") if is_path else not_found("resource"), {}


@cache
def _patterns() -> list[tuple[re.Pattern[str], Endpoint]]:
    endpoints = [ENDPOINTS[name] for name in HANDLERS]
    return [(compile_path(endpoint.path)[0], endpoint) for endpoint in endpoints]


class Api:
    """The ASGI app of `/v3`.

    Args:
        api_key: The only bearer token that is accepted; None accepts any token.
        calls: The list to which finished calls are appended for the page.
    """

    def __init__(self, world: World, api_key: str | None, calls: deque[dict[str, Any]]) -> None:
        self._world = world
        self._api_key = api_key
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path.removeprefix("/api/partner")
        endpoint, ids = find_endpoint(request.method, path)
        name = endpoint.name if isinstance(endpoint, Endpoint) else ""
        fault = self._world.faults.take("api", f"{request.method} {path}", name)
        await wait_for_fault(fault, self._world)
        at, started = self._world.now(), time.perf_counter()
        lost, body, answer = fault.drop if fault else None, None, None
        if lost not in {"connection", "request"}:
            body, answer = await self._answer(request, endpoint, ids, fault)
        call = {
            "id": new_id(),
            "at": iso(at),
            "method": request.method,
            "path": path,
            "query": request.url.query,
            "status": answer.status if answer else None,  # None: nothing was done
            "lost": lost,
            "ms": round((time.perf_counter() - started) * 1000),
            "chat_id": self._chat_of(ids, answer and answer.body),
            "body": body or None,
            "answer": _without_secret(answer and answer.body),
        }
        self._calls.append(call)
        self._world.feed.publish("call", lambda: call)
        if lost is not None:
            await break_connection(lost, scope, receive, send)
        elif answer is not None:
            await respond(answer)(scope, receive, send)

    async def _answer(
        self, request: Request, endpoint: Endpoint | ApiError, ids: dict[str, str], fault: Fault | None
    ) -> tuple[dict[str, Any], EndpointResponse]:
        """Return the body, as far as it could be read, and the answer."""
        body: dict[str, Any] = {}
        try:
            if fault and fault.status:
                return body, answer_of(fault)
            self._check_key(request.headers)
            if isinstance(endpoint, ApiError):
                return body, endpoint.answer()
            if takes_body(endpoint.name):
                body = await read_json(request)
            return body, self._work(endpoint, ids, request, body)
        except ApiError as error:
            return body, error.answer()
        except Exception:
            log.exception("api.crashed method=%s", request.method)
            return body, ApiError(500, 3006, "Internal error").answer()

    def _check_key(self, headers: Headers) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not fits(key, self._api_key):
            raise ApiError(401, 2004, "Missing or invalid token")

    def _work(
        self, endpoint: Endpoint, ids: dict[str, str], request: Request, body: Mapping[str, Any]
    ) -> EndpointResponse:
        query = request.query_params
        values = {name: found if len(found := query.getlist(name)) > 1 else found[0] for name in query}
        check_rule(rules.check(endpoint.name, body, values, ids))
        ids.update({name: value.lower() for name, value in ids.items() if name.endswith("_id")})
        answer = HANDLERS[endpoint.name](self._world, ApiRequest(ids, query, request.headers, body))
        if isinstance(answer, EndpointResponse):
            return answer
        return EndpointResponse(204 if answer is None else 200, answer)

    def _chat_of(self, ids: Mapping[str, str], body: Any) -> str | None:
        answer = body or {}
        if chat_id := ids.get("chat_id") or answer.get("chat_id") or (answer.get("chat") or {}).get("id"):
            return str(chat_id)
        message = self._world.state.messages.get(ids.get("message_id", ""))
        return message.chat_id if message else None


def fits(key: str, wanted: str | None) -> bool:
    """Return True if a key is the wanted one; any key that is not empty, if none is wanted."""
    if wanted is None:
        return bool(key.strip())
    return secrets.compare_digest(key.encode(), wanted.encode())


def respond(answer: EndpointResponse) -> Response:
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return Response(encode(answer.body), answer.status, answer.headers, media_type="application/json")


async def read_json(request: Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the JSON object in the body of a request (R2)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(400, 1003, "Content-Type must be application/json")
    raw = await read_body(request, limit)
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, 1003, "The body is not valid JSON") from error
    if not isinstance(body, dict):
        raise ApiError(400, 1003, "The body must be a JSON object")
    return body


async def read_body(request: Request, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ApiError(413, 1005, "The body is too large")
        chunks.append(chunk)
    return b"".join(chunks)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_secret(body: Any) -> Any:
    return body | {"signing_secret": "whsec_…"} if isinstance(body, dict) and "signing_secret" in body else body


# --- faults of requests over HTTP: a late answer, an error in place of the answer, a connection that breaks ------------


CONNECTION = "linqbot.connection"
"""The key of the server's connection in the state of a request; its `drop` closes it. See `server/connection.py`."""

_CODES = {400: 1005, 401: 2004, 403: 2005, 404: 2001, 409: 1006, 429: 1007}


async def wait_for_fault(fault: Fault | None, world: World) -> None:
    if fault is not None and fault.delay_ms:
        await world.clock.wait_until(world.now() + fault.delay_ms / 1000)


def answer_of(fault: Fault) -> EndpointResponse:
    status = fault.status or 500
    if status < 400:
        return EndpointResponse(status, {})
    code = fault.code or _CODES.get(status, 3006)
    return ApiError(status, code, "Answered by a fault", retry_after=fault.retry_after).answer()


async def break_connection(lost: Lost, scope: Scope, receive: Receive, send: Send) -> None:
    """Break the connection of a request, as `Fault.drop` says; what was to be done before is done.

    An in-process client gets the error that a closed socket would cause.
    """
    if lost != "connection":
        # A server closes the socket of an app that begins an answer and then fails.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        raise httpx.ReadError("The emulator dropped the connection, as a fault asked")
    # ASGI has no message for the end of a connection without a byte, so the server of `linqbot dev` offers its connection.
    connection = scope.get("state", {}).get(CONNECTION)
    if connection is None:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    # Read first: the system resets a connection that is closed with bytes unread, and a client notices the difference.
    while (await receive()).get("more_body"):
        pass
    connection.drop()
    # A server answers 500 for an app that returns without an answer while the connection is open.
    while (await receive())["type"] != "http.disconnect":
        pass
