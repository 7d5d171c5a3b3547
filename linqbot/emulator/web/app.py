"""The emulator over HTTP: the API, the control API, files, and the page.

The caller binds the socket, usually to this machine only. The checks here keep out pages of other sites that try to
reach the emulator through the browser: by Host, so that no foreign name can be pointed at it (DNS rebinding), and by
Origin, so that no form of another site acts as the person.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.emulator.api import Api, ApiV2, read_body, respond
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.endpoints import attachments, contact_cards
from linqbot.emulator.model.answers import ApiError, not_found
from linqbot.emulator.web import control
from linqbot.emulator.web.faulty_files import FaultyFiles
from linqbot.emulator.web.page_files import PageFiles
from linqbot.rules import CONTENT_TYPES

PAGE = Path(__file__).parent / "page"
MAX_UPLOAD_BYTES = 100 * 2**20

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
# A browser obeys a policy in documents only: the page has a hundred scripts and styles, and theirs would be 30 kB.
_PAGE_PARTS = ("text/javascript", "text/css")
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"

# A person may name any type. Scripts in an SVG run only when it is opened by itself, and FILE_POLICY sandboxes that.
_BEYOND_LINQS = {"image/avif", "image/apng", "video/webm", "video/ogg", "audio/ogg", "audio/webm", "audio/wav"}
_SHOWN = CONTENT_TYPES - {"text/html", "text/xml"} | _BEYOND_LINQS

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_REFUSAL = "The emulator answers pages of its own origin only. To open it under a further name, start it with --allow-host NAME"


def create_app(emulator: Emulator, *, allowed_hosts: Iterable[str] = ()) -> Starlette:
    """Return the ASGI app that serves `emulator`.

    Args:
        allowed_hosts: Names under which the emulator may be opened, in addition to 127.0.0.1, localhost, ::1, the host
            of its `public_url`, and the IP address at which a connection arrives.
    """

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with emulator:
            yield

    api = Api(emulator.world, emulator.api_key, emulator.calls)
    uploads = request_response(_uploads(emulator))
    page = Mount("/", _Guarded(PageFiles(PAGE), PAGE_POLICY, without_policy=_PAGE_PARTS))
    return Starlette(
        routes=[
            Mount("/v3", api),
            Mount("/api/partner/v3", api),
            Mount("/api/partner/v2", ApiV2(emulator.world, emulator.api_key)),
            control.root(emulator),
            Mount("/emulator", routes=control.routes(emulator)),
            Route("/uploads/{attachment_id}", FaultyFiles(uploads, emulator.world), methods=["PUT"]),
            Route("/vcards/{line_id}.vcf", _vcards(emulator)),
            Mount("/attachments", _Guarded(FaultyFiles(_downloads(emulator), emulator.world), FILE_POLICY)),
            Mount("/page", page.app),
            page,
        ],
        middleware=[
            Middleware(_OnlyFromHere, emulator=emulator, allowed_hosts=frozenset(map(str.lower, allowed_hosts)))
        ],
        exception_handlers={HTTPException: control.refusal},
        lifespan=running,
    )


class _OnlyFromHere:
    """Refuses foreign hosts, and requests to change something that a page of another origin sends."""

    def __init__(self, app: ASGIApp, *, emulator: Emulator, allowed_hosts: frozenset[str]) -> None:
        self._app = app
        self._emulator = emulator
        self._allowed = allowed_hosts | _LOCAL_HOSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._fits(scope, Headers(scope=scope)):
            await respond(ApiError(403, 2005, _REFUSAL).answer())(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _fits(self, scope: Scope, headers: Headers) -> bool:
        host = headers.get("host", "")
        if not self._is_known(_hostname(host), scope):
            return False
        if scope["method"] in {"GET", "HEAD"} or not scope["path"].startswith("/emulator"):
            return True
        origin = headers.get("origin")
        return origin is None or origin in {f"http://{host}", f"https://{host}"}

    def _is_known(self, name: str | None, scope: Scope) -> bool:
        if name in self._allowed or name == urlsplit(self._emulator.public_url).hostname:
            return True
        # The address at which this connection arrived is one of this machine, whatever the port is bound to. An
        # address cannot be pointed elsewhere, as a name can.
        arrived = _address((scope.get("server") or ("",))[0])
        return arrived is not None and arrived == _address(name or "")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return an IP address, an IPv4 one also when it is written as IPv6; None for a name."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class _Guarded:
    """Adds the headers that let a browser show a file and do nothing else with it.

    Args:
        without_policy: The types of files that get no policy, as the content type begins.
    """

    def __init__(self, app: ASGIApp, policy: str, *, without_policy: tuple[str, ...] = ()) -> None:
        self._app = app
        self._policy = policy
        self._without_policy = without_policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if not headers.get("content-type", "").startswith(self._without_policy):
                    headers["content-security-policy"] = self._policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers["cache-control"] = "no-store"
            await send(message)

        await self._app(scope, receive, guarded)


def _uploads(emulator: Emulator) -> Callable[[Request], Awaitable[Response]]:
    async def put(request: Request) -> Response:
        try:
            content = await read_body(request, MAX_UPLOAD_BYTES)
            attachments.store(
                emulator.world,
                request.path_params["attachment_id"],
                token=request.query_params.get("token", ""),
                content_type=request.headers.get("content-type", ""),
                content=content,
            )
        except ApiError as error:
            return respond(error.answer())
        return Response(status_code=200)

    return put


def _downloads(emulator: Emulator) -> ASGIApp:
    async def get(scope: Scope, receive: Receive, send: Send) -> None:
        attachment_id = scope["path"].removeprefix("/attachments/").partition("/")[0]
        attachment = emulator.state.attachments.get(attachment_id)
        answer: Response
        if attachment is None or attachment.content is None or scope["method"] not in {"GET", "HEAD"}:
            answer = respond(not_found("attachment").answer())
        else:
            answer = Response(attachment.content, headers={"content-type": _served_type(attachment.content_type)})
        await answer(scope, receive, send)

    return get


def _vcards(emulator: Emulator) -> Callable[[Request], Awaitable[Response]]:
    async def get(request: Request) -> Response:
        text = contact_cards.vcard(emulator.world, request.path_params["line_id"])
        if text is None:
            return respond(not_found("contact card").answer())
        return Response(text.encode("utf-8", "replace"), media_type="text/vcard")

    return get


def _served_type(content_type: str) -> str:
    """Return the type under which a file is served: its own if a browser only shows that type, without parameters."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence if essence in _SHOWN else "application/octet-stream"
