"""The emulator over HTTP: the API, the control API, uploaded files, and the page.

The caller binds the socket, usually to this machine only. The checks here keep out pages of other sites that try to
reach the emulator through the browser: by Host, so that no foreign name can be pointed at it (DNS rebinding), and by
Origin, so that no form of another site acts as the person.

The page has about a hundred small modules and no build step. So its files are served from memory and compressed, and
`index.html` names all modules of the first visit in `modulepreload` links, which replace the comment `<!-- modules
-->`. Modules that are loaded later, with `import()`, are not among them. The files are read again at each visit, so
that the page can be edited while it is served.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
import zlib
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.rules import MAX_UPLOAD_BYTES
from linqbot.linq.types.files import CONTENT_TYPES
from linqbot_dev.emulator.api import Api, answer_of, break_connection, fits, read_body, respond, wait_for_fault
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.endpoints import attachments, contacts, v2
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, existing, not_found
from linqbot_dev.emulator.web import control

PAGE = Path(__file__).parent / "page"

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
    v2_api = request_response(control.answering(_v2))
    uploads, downloads = (
        FaultyFiles(request_response(control.answering(handler)), emulator.world) for handler in (_upload, _download)
    )
    page = _Guarded(GZipMiddleware(PageFiles(PAGE)), PAGE_POLICY, without_policy=_PAGE_PARTS)
    app = Starlette(
        routes=[
            Mount("/v3", api),
            Mount("/api/partner/v3", api),
            Mount("/v2", v2_api),
            Mount("/api/partner/v2", v2_api),
            *control.routes(),
            Route("/uploads/{attachment_id}", uploads, methods=["PUT"]),
            Route("/attachments/{attachment_id}/{filename:path}", _Guarded(downloads, FILE_POLICY), methods=["GET"]),
            Route("/vcards/{line_id}.vcf", control.answering(_vcard)),
            Mount("/", page),
        ],
        middleware=[
            Middleware(_OnlyFromHere, emulator=emulator, allowed_hosts=frozenset(map(str.lower, allowed_hosts)))
        ],
        exception_handlers={HTTPException: control.refusal},
        lifespan=running,
    )
    app.state.emulator = emulator
    return app


async def _v2(emulator: Emulator, request: Request) -> EndpointResponse:
    """Answer the older API, which has one endpoint here, another header for the key and another envelope."""
    endpoint = ENDPOINTS["v2.list_chats"]
    if not fits(request.headers.get("x-linq-integration-token", ""), emulator.api_key):
        return v2.refused(401, "unauthorized", "Missing or invalid token")
    if (request.method, request.url.path.removeprefix("/api/partner")) != (endpoint.method, endpoint.path):
        return v2.refused(404, "not_found", "The emulator knows GET /v2/chats only")
    return v2.list_chats(emulator.world, request.query_params)


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
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, guarded)


async def _upload(emulator: Emulator, request: Request) -> Response:
    content, attachment_id = await read_body(request, MAX_UPLOAD_BYTES), request.path_params["attachment_id"]
    token, kind = request.query_params.get("token", ""), request.headers.get("content-type", "")
    attachments.store(emulator.world, attachment_id, token=token, content_type=kind, content=content)
    return Response(status_code=200)


async def _download(emulator: Emulator, request: Request) -> Response:
    attachment = emulator.state.attachment(request.path_params["attachment_id"])
    if attachment.content is None:
        raise not_found("attachment")
    return Response(attachment.content, headers={"content-type": _served_type(attachment.content_type)})


async def _vcard(emulator: Emulator, request: Request) -> Response:
    text = existing(contacts.vcard(emulator.world, request.path_params["line_id"]), "contact card")
    return Response(text.encode("utf-8", "replace"), media_type="text/vcard")


def _served_type(content_type: str) -> str:
    """Return the type under which a file is served: its own if a browser only shows that type, without parameters."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence if essence in _SHOWN else "application/octet-stream"


INDEX: Final = "index.html"
MODULES: Final = b"<!-- modules -->"
_SCRIPT: Final = re.compile(rb'<script type="module" src="\./([^"]+)">')
# A statement at the beginning of a line, or the end of one that was broken: types in comments are named after a star.
_IMPORT: Final = re.compile(rb'^(?:import |export |\} from )[^"\n]*"(\.[^"]+)";$', re.MULTILINE)
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFiles:
    """An ASGI app that serves the files of a folder that a page is made of.

    The index names the other files under a version, a checksum of them all. A browser keeps a file under the current version:
    the second visit asks only for the index. A file under another version, or under none, is not kept.

    Args:
        folder: The folder, which is read again for each request of the index. Files of other types than scripts, styles,
            SVG and HTML are not served.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._version = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("Method Not Allowed", 405)
        name = scope["path"].lstrip("/") or INDEX
        version, _, rest = name.partition("/")
        if name == INDEX or not self._files:
            self._read()
        found = next((one for one in (name, rest) if one in self._files), None)
        if found is None:
            return PlainTextResponse("Not Found", 404)
        headers = {"content-type": _TYPES[posixpath.splitext(found)[1]]}
        if version == self._version:
            headers["cache-control"] = "max-age=31536000, immutable"
        return Response(self._files[found], headers=headers)

    def _read(self) -> None:
        """Read all files. A path that is not among them is not served, so no request leads out of the folder."""
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in _TYPES)
        self._files = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
        self._version = f"{zlib.crc32(b''.join(name.encode() + file for name, file in self._files.items())):08x}"
        index = self._files[INDEX].replace(MODULES, self._preloads())
        self._files[INDEX] = index.replace(b'="./', f'="./{self._version}/'.encode())

    def _preloads(self) -> bytes:
        found = [name.decode() for name in _SCRIPT.findall(self._files[INDEX])]
        for name in found:
            found += [one for one in _imports(name, self._files[name]) if one in self._files and one not in found]
        return "".join(f'<link rel="modulepreload" href="./{name}">' for name in found).encode()


def _imports(name: str, code: bytes) -> tuple[str, ...]:
    """Return the modules that a module imports, without those that it loads later."""
    folder = posixpath.dirname(name)
    return tuple(posixpath.normpath(posixpath.join(folder, one.decode())) for one in _IMPORT.findall(code))


class FaultyFiles:
    """The ASGI app of files, with the faults of its requests: `on="api"`, matched with the method and the path.

    The requests of a browser meet no faults: the phone page shows a file before the bot fetches it, and would use up the
    bot's fault.
    """

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = (
            None if _is_of_a_browser(scope) else self._world.faults.take("api", f"{scope['method']} {scope['path']}")
        )
        await wait_for_fault(fault, self._world)
        if fault and fault.drop:
            if fault.drop == "answer":
                await self._app(scope, receive, _nowhere)
            await break_connection(fault.drop, scope, receive, send)
        elif fault and fault.status:
            await respond(answer_of(fault))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_of_a_browser(scope: Scope) -> bool:
    return "sec-fetch-site" in Headers(scope=scope)


async def _nowhere(message: Message) -> None: ...
