"""The V3 API over ASGI: finds the endpoint, checks the key and the rules, and answers in Linq's envelope.

No request ends in a traceback: an exception that an endpoint did not expect is logged, and answered with 500/3006.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from linqbot.emulator.endpoints import (
    attachments,
    audits,
    backgrounds,
    blocked_handles,
    capabilities,
    chats,
    contact_cards,
    experiences,
    lines,
    locations,
    messages,
    participants,
    payments,
    polls,
    reactions,
    subscriptions,
    v2,
    voice_memos,
)
from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine import breaking, media_check
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, EndpointResponse, encode, not_found
from linqbot.emulator.model.documents import iso, new_id
from linqbot.emulator.model.faults import Fault
from linqbot.linq import rules
from linqbot.linq.endpoints import ENDPOINTS as TABLE

log = logging.getLogger("linqbot.emulator")

MAX_BODY_BYTES = 4 * 2**20
CALLS_KEPT = 200

ENDPOINTS: tuple[EndpointHandler, ...] = (
    *chats.ENDPOINTS,
    *messages.ENDPOINTS,
    *reactions.ENDPOINTS,
    *participants.ENDPOINTS,
    *polls.ENDPOINTS,
    *backgrounds.ENDPOINTS,
    *locations.ENDPOINTS,
    *voice_memos.ENDPOINTS,
    *attachments.ENDPOINTS,
    *lines.ENDPOINTS,
    *audits.ENDPOINTS,
    *contact_cards.ENDPOINTS,
    *capabilities.ENDPOINTS,
    *blocked_handles.ENDPOINTS,
    *experiences.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *payments.ENDPOINTS,
)


class EndpointRouter:
    """Finds an endpoint by method and path. Grouped by the number of path segments, so that few are compared."""

    def __init__(self, endpoints: tuple[EndpointHandler, ...] = ENDPOINTS) -> None:
        self._by_length: dict[int, list[tuple[list[str], EndpointHandler]]] = {}
        for endpoint in endpoints:
            segments = endpoint.path.split("/")
            self._by_length.setdefault(len(segments), []).append((segments, endpoint))

    def find(self, method: str, path: str) -> tuple[EndpointHandler, dict[str, str]]:
        """Return the endpoint of a call, and the ids in its path.

        Raises:
            ApiError: 404, or 405 when the path exists with other methods only.
        """
        asked, known = path.split("/"), False
        for segments, endpoint in self._by_length.get(len(asked), ()):
            ids = _ids(segments, asked)
            if ids is not None:
                known = True
                if endpoint.method == method:
                    return endpoint, ids
        if known:
            raise ApiError(405, 1005, "This path does not know this method")
        raise not_found("resource")


def _ids(segments: list[str], asked: list[str]) -> dict[str, str] | None:
    ids = {}
    for pattern, segment in zip(segments, asked, strict=True):
        if pattern.startswith("{"):
            ids[pattern[1:-1]] = segment
        elif pattern != segment:
            return None
    return ids


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
        self._router = EndpointRouter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path.removeprefix("/api/partner")
        fault = self._world.faults.take("api", f"{request.method} {path}", self._name_of(request.method, path))
        await breaking.wait(fault, self._world)
        at, started = self._world.now(), time.perf_counter()
        call: dict[str, Any] = {"id": new_id(), "at": iso(at), "method": request.method, "path": path}
        call["query"] = request.url.query
        lost = fault.drop if fault else None
        if lost in {"connection", "request"}:
            chat_id = self._chat_of(self._ids_in(request.method, path), None)
            self._show(call | {"status": None, "lost": lost, "ms": 0, "chat_id": chat_id, "body": None, "answer": None})
            await breaking.break_connection(lost, scope, receive, send)
            return
        ids, body, answer = await self._answer(request, path, fault)
        call |= {
            "status": answer.status,
            "lost": lost,
            "ms": round((time.perf_counter() - started) * 1000),
            "chat_id": self._chat_of(ids, answer.body),
            "body": body or None,
            "answer": _without_secret(answer.body),
        }
        self._show(call)
        if lost == "answer":
            await breaking.break_connection(lost, scope, receive, send)
        await respond(answer)(scope, receive, send)

    def _show(self, call: dict[str, Any]) -> None:
        """Keep a call for the page.

        `status` is what Linq answered, None if nothing was done. `lost` says what a fault has broken: see `Fault.drop`.
        """
        self._calls.append(call)
        self._world.feed.publish("call", lambda: call)

    def _ids_in(self, method: str, path: str) -> dict[str, str]:
        try:
            return self._router.find(method, path)[1]
        except ApiError:
            return {}

    def _name_of(self, method: str, path: str) -> str:
        try:
            return self._router.find(method, path)[0].name
        except ApiError:
            return ""

    async def _answer(
        self, request: Request, path: str, fault: Fault | None
    ) -> tuple[dict[str, str], dict[str, Any], EndpointResponse]:
        """Return the ids in the path and the body, as far as they could be read, and the answer."""
        ids: dict[str, str] = {}
        body: dict[str, Any] = {}
        try:
            if fault and fault.status:
                return ids, body, breaking.answer(fault)
            self._check_key(request.headers)
            endpoint, ids = self._router.find(request.method, path)
            if endpoint.has_body:
                body = await read_json(request)
            return ids, body, await self._work(endpoint, ids, request, body)
        except ApiError as error:
            return ids, body, error.answer()
        except Exception:
            log.exception("api.crashed method=%s", request.method)
            return ids, body, ApiError(500, 3006, "Internal error").answer()

    def _check_key(self, headers: Headers) -> None:
        """Check the bearer token (R1)."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not fits(key, self._api_key):
            raise ApiError(401, 2004, "Missing or invalid token")

    async def _work(
        self, endpoint: EndpointHandler, ids: dict[str, str], request: Request, body: Mapping[str, Any]
    ) -> EndpointResponse:
        query = request.query_params
        values = {name: found if len(found := query.getlist(name)) > 1 else found[0] for name in query}
        if (broken := rules.check(endpoint.name, body, values, ids)) is not None:
            raise ApiError(broken.status, broken.code, broken.message)
        if body and self._world.has_network:
            await media_check.check(body, self._world.public_url)
        ids.update({name: value.lower() for name, value in ids.items() if name.endswith("_id")})
        return endpoint.work(self._world, ApiRequest(ids, query, request.headers, body))

    def _chat_of(self, ids: Mapping[str, str], body: Any) -> str | None:
        if chat_id := ids.get("chat_id"):
            return chat_id
        if isinstance(body, dict):
            chat_id = body.get("chat_id") or (body.get("chat") or {}).get("id")
            if isinstance(chat_id, str):
                return chat_id
        message = self._world.state.messages.get(ids.get("message_id", ""))
        return message.chat_id if message else None


class ApiV2:
    """The ASGI app of `/api/partner/v2`, which has one endpoint, another header for the key and another envelope."""

    def __init__(self, world: World, api_key: str | None) -> None:
        self._world = world
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, endpoint = Request(scope, receive), TABLE["v2.list_chats"]
        if not fits(request.headers.get("x-linq-integration-token", ""), self._api_key):
            answer = v2.refused(401, "unauthorized", "Missing or invalid token")
        elif (request.method, request.url.path) != (endpoint.method, f"/api/partner{endpoint.path}"):
            answer = v2.refused(404, "not_found", "The emulator knows GET /api/partner/v2/chats only")
        else:
            answer = v2.list_chats(self._world, request.query_params)
        await respond(answer)(scope, receive, send)


def fits(key: str, wanted: str | None) -> bool:
    """Return True if a key is the wanted one; any key that is not empty, if none is wanted."""
    if wanted is None:
        return bool(key.strip())
    return secrets.compare_digest(key.encode(), wanted.encode())


def respond(answer: EndpointResponse) -> Response:
    """Return an answer as an HTTP response."""
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return Response(encode(answer.body), answer.status, answer.headers, media_type="application/json")


async def read_json(request: Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the JSON object in the body of a request (R2).

    Raises:
        ApiError: 400/1003, the body is not a JSON object; 413, it is larger than `limit` bytes.
    """
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
    """Return the body of a request.

    Raises:
        ApiError: 413, the body is larger than `limit` bytes.
    """
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
