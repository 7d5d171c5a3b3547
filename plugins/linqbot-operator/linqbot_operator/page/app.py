"""The operator's page: what a bot does, what went wrong, and what an operator does about it. Each view is one HTML page.

One script, of the view of a chat, keeps the conversation as it is now; without scripts an operator loads the view again. Forms are
sent to this origin only, with a token of their session, and lead back to the page they are on.
`linqbot serve --page` serves it on a port of its own, in a task of the bot's event loop.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from linqbot.client.client import Client
from linqbot.clock import Clock, SystemClock, clock_time
from linqbot.errors import ConfigError, LinqApiError, LinqbotError, StorageUnavailable
from linqbot.features.muted_chats import Mute, mute_by_hand
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.linq.types.message import MessageContent, TextPart
from linqbot.ops import mutes, questions, runs, why
from linqbot.server.refusals import BoundedLog
from linqbot.settings import Settings, variable
from linqbot.storage.acts import ActedOn, By
from linqbot.storage.backend import Storage
from linqbot_operator.page import views
from linqbot_operator.page.access import (
    HOW_TO_HASH,
    NO_ADDRESSES,
    Access,
    LogInRefused,
    Session,
    check_hash,
    cookie_of,
)
from linqbot_operator.page.bubbles import time_by
from linqbot_operator.page.chat_view import STEPS, Lists, conversation
from linqbot_operator.page.sessions import SESSION_S, Role, Sessions

log = structlog.get_logger("linqbot.page")

HERE: Final = Path(__file__).parent
MAX_FORM_BYTES: Final = 64 * 1024
_FILES: Final = {"style.css": "text/css", "chat.js": "text/javascript"}
_MOST_SENDERS: Final = 1000
MUTES: Final = {"3600": "1 hour", "86400": "1 day", "": "until unmuted"}
"""For how long the page mutes, in seconds."""

_POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}

_HEADERS_OF_A_CHAT: Final = _HEADERS | {
    "content-security-policy": f"{_POLICY}; script-src 'self'; connect-src 'self'",
}

Form: TypeAlias = Mapping[str, str]
View: TypeAlias = Callable[["OperatorsPage", Request], Awaitable[dict[str, Any]]]
"""Returns the facts for a template. The session of the request is its `state.session`."""
Act: TypeAlias = Callable[["OperatorsPage", str, Form, By], Awaitable[str]]


def page_app(settings: Settings, *, mute_s: float) -> Starlette:
    """Return the app of the page with these settings. Its lifespan opens the storage and the client.

    Args:
        mute_s: See `create_page`.
    Raises:
        ConfigError: no one could use the page, a setting is wrong, or the storage is in memory.
    """
    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "The page cannot look into a storage in memory. Set LINQBOT_STORAGE, such as to sqlite:///linqbot.db"
        )
    # Not those of the bot: a long look at the storage does not keep a turn waiting, and the page's calls pass no middleware.
    storage = settings.open_storage(serving=False)
    access = _access(settings, Sessions(storage, SystemClock()))
    client = Client(settings.api_key, base_url=settings.base_url) if settings.api_key else None

    @asynccontextmanager
    async def opened(_: Starlette) -> AsyncIterator[None]:
        async with storage, client or nullcontext():
            yield

    return create_page(storage, client, access, SystemClock(), mute_s=mute_s, lifespan=opened)


def _access(settings: Settings, sessions: Sessions) -> Access:
    passwords: dict[Role, str] = {}
    names: dict[Role, str] = {"operator": "page_password", "reader": "page_reader_password"}
    for role, name in names.items():
        if (stored := getattr(settings, name)) is not None:
            check_hash(variable(name), stored)
            passwords[role] = stored
    header, proxies = settings.page_user_header, settings.trusted_proxies
    if header is not None and not {*proxies} - NO_ADDRESSES:
        raise ConfigError(
            "LINQBOT_PAGE_USER_HEADER is the header of a proxy, and LINQBOT_TRUSTED_PROXIES names none. Name the proxy's "
            "address there, or everyone could send the header."
        )
    if not passwords and header is None:
        raise ConfigError(f"LINQBOT_PAGE_PASSWORD is not set, so no one could log in to the page. {HOW_TO_HASH}")
    operators = settings.page_operators
    return Access(sessions, SystemClock(), passwords, user_header=header, proxies=proxies, operators=operators)


def create_page(
    storage: Storage,
    client: Client | None,
    access: Access,
    clock: Clock,
    *,
    mute_s: float,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """Return the app of the page.

    Args:
        storage: The storage of the bot, served by this process or another one.
        client: Asks Linq for names, lines and messages, and sends what an operator writes. None does neither.
        mute_s: Seconds for which the bot is muted in a chat in which an operator writes: `Bot(mute_s=…)`.
        lifespan: Opens storage and client, if they are not open.
    """
    page = OperatorsPage(storage, client, access, clock, views.Names(client), Lists(client), mute_s)
    return Starlette(
        routes=[
            *(Route(f"/{name}", _file(name, kind)) for name, kind in _FILES.items()),
            Route("/chats/{id}/live", page.live),
            Route("/login", page.log_in_page),
            Route("/login", page.log_in, methods=["POST"]),
            Route("/logout", page.log_out, methods=["POST"]),
            *(Route(path, page.seen(template, view)) for path, (template, view) in _VIEWS.items()),
            *(Route(path, page.done(act), methods=["POST"]) for path, act in _ACTS.items()),
        ],
        lifespan=lifespan,
    )


@dataclass(slots=True)
class OperatorsPage:
    storage: Storage
    client: Client | None
    access: Access
    clock: Clock
    names: views.Names
    lists: Lists
    mute_s: float
    senders: dict[str, str] = field(default_factory=dict)  # the session of each message that this process has sent
    unsent: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # the chat and the text that a session could not send
    said: dict[str, str] = field(default_factory=dict)  # what became of the last form of a session, until it is shown
    bounded_log: BoundedLog = field(default_factory=lambda: BoundedLog(log))  # for what any client can cause

    def shown(self, template: str, session: Session | None, *, status: int = 200, **facts: Any) -> Response:
        said = "" if session is None else self.said.pop(session.form_token, "")
        headers = _HEADERS_OF_A_CHAT if template == "chat.html" else _HEADERS
        return HTMLResponse(self.rendered(template, session, facts | {"said": said}), status, headers)

    def rendered(self, template: str, session: Session | None, facts: Mapping[str, Any]) -> str:
        given = {"session": session, "now": self.clock.now(), "mutes": MUTES, **facts}
        return _TEMPLATES.get_template(template).render(given)

    def unsent_in(self, chat_id: str, session: Session | None) -> str:
        """Return, once, the text that a session could not send in a chat."""
        in_chat, text = self.unsent.get(token := session.form_token if session else "", ("", ""))
        if in_chat != chat_id:
            return ""
        del self.unsent[token]
        return text

    def seen(self, template: str, view: View) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that shows a view to those who may see it."""

        async def endpoint(request: Request) -> Response:
            session = await self.access.session(request)
            if session is None:
                return RedirectResponse(f"/login?to={quote(_path_of(request))}", 303, _HEADERS)
            request.state.session = session
            try:
                facts = await view(self, request)
            except StorageUnavailable as error:
                return self.shown("error.html", session, status=503, title="Storage unavailable", error=str(error))
            except LinqbotError as error:
                return self.shown("error.html", session, status=404, title="Not found", error=str(error))
            return self.shown(template, session, **facts)

        return endpoint

    async def live(self, request: Request) -> Response:
        """Answer with the conversation of a chat as it is now, for the script of its view; 304 if that has it."""
        session = await self.access.session(request)
        if session is None:
            return PlainTextResponse("Log in again.", 401, _HEADERS)
        request.state.session = session
        try:
            html = self.rendered("conversation.html", session, await _conversation(self, request))
        except LinqbotError as error:
            return PlainTextResponse(str(error), 503, _HEADERS)
        version = f'"{sha256(html.encode()).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers=_HEADERS | {"etag": version})
        return HTMLResponse(html, headers=_HEADERS | {"etag": version})

    def done(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that does something for an operator, and leads back with a sentence."""

        async def endpoint(request: Request) -> Response:
            session = await self.access.session(request)
            form = await _form(request)
            if session is None or form is None or not self._is_own(request, session, form):
                return PlainTextResponse(_why_refused(request, form), 403, _HEADERS)
            if session.role != "operator":
                return PlainTextResponse("You may look, and not act.", 403, _HEADERS)
            target = request.path_params.get("id", "")
            try:
                said = await act(self, target, form, By(session.name, form.get("reason") or None))
            except LinqApiError as error:
                said = f"Linq refused it: {why.answer_code(error)}."
            except LinqbotError as error:
                said = str(error)
            log.info("page.acted", path=request.url.path, who=session.name)
            self.said[session.form_token] = said
            back = form.get("back", "/")
            return RedirectResponse(back if _is_path(back) else "/", 303, _HEADERS)

        return endpoint

    def _is_own(self, request: Request, session: Session, form: Form) -> bool:
        return _is_of_host(request) and self.access.is_of_form(session, form.get("token", ""))

    # Sessions

    async def log_in_page(self, request: Request) -> Response:
        if await self.access.session(request) is not None:
            return RedirectResponse("/", 303, _HEADERS)
        if not self.access.has_passwords:
            return PlainTextResponse("The proxy before this page has not said who you are.", 403, _HEADERS)
        return self.shown("login.html", None, to=request.query_params.get("to", "/"), refused="")

    async def log_in(self, request: Request) -> Response:
        form = await _form(request) or {}
        to = form.get("to", "/")
        client = self.access.client_of(request)
        try:
            cookie = await self.access.log_in(form.get("password", ""), client)
        except LogInRefused as error:
            self.bounded_log.warning("page.login_refused", client=client)
            return self.shown("login.html", None, status=403, to=to, refused=str(error))
        answer = RedirectResponse(to if _is_path(to) else "/", 303, _HEADERS)
        is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        answer.set_cookie(
            cookie_of(request), cookie, int(SESSION_S), httponly=True, samesite="strict", secure=is_secure
        )
        return answer

    async def log_out(self, request: Request) -> Response:
        await self.access.log_out(request)
        answer = RedirectResponse("/login", 303, _HEADERS)
        answer.delete_cookie(cookie_of(request))
        return answer


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (HERE / "templates" / name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(
            content, media_type=kind, headers={"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        )

    return endpoint


async def _form(request: Request) -> Form | None:
    """Return the fields of a form; None if it is no form, too long, or not complete."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                return None
        return {name: values[-1] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    except (ClientDisconnect, ValueError):
        return None


def _is_of_host(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _why_refused(request: Request, form: Form | None) -> str:
    """Return why a form was refused, with the text in it: the browser shows the view again without that text."""
    if form is None:
        return f"Nothing was done. A form has at most {MAX_FORM_BYTES // 1024} KiB, and this one is longer, or no form."
    if _is_of_host(request):
        why_not = "The session of this form has ended: after 12 hours, at log-out, or with another login. Open the page again."
    else:
        why_not = (
            f"The form is of {request.headers.get('origin')}, and the request is for {request.headers.get('host')}. A proxy "
            "before the page must pass on the Host of the request: in nginx, proxy_set_header Host $http_host."
        )
    written = form.get("text", "").strip()
    return f"Nothing was done. {why_not}" + (f"\n\nYou wrote:\n{written}" if written else "")


def _path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _is_path(path: str) -> bool:
    """Return True for a path of this page, so that no form leads to another site."""
    return path.startswith("/") and not path.startswith(("//", "/\\"))


# --- what is seen -----------------------------------------------------------------------------------------------------


async def _chats(page: OperatorsPage, request: Request) -> dict[str, Any]:
    found = await views.chats(page.storage, page.names, now=page.clock.now())
    return {"chats": found, "only": request.query_params.get("only", "")}


async def _chat(page: OperatorsPage, request: Request) -> dict[str, Any]:
    chat_id = request.path_params["id"]
    facts = await _conversation(page, request)
    return facts | {
        "name": (await page.names.of([chat_id], page.clock.now()))[chat_id],
        "once": secrets.token_hex(16),  # a form that is sent twice sends one message
        "mute_s": page.mute_s,
        "unsent": page.unsent_in(chat_id, request.state.session),
    }


async def _conversation(page: OperatorsPage, request: Request) -> dict[str, Any]:
    session: Session = request.state.session
    chat_id, now = request.path_params["id"], page.clock.now()
    asked = request.query_params.get("show", "")
    most = next((step for step in STEPS if str(step) == asked), STEPS[0])

    def is_you(message_id: str, who: str) -> bool:
        # Several people may share a password, and so a name.
        return who == session.name != session.role or page.senders.get(message_id) == session.form_token

    is_group = await page.names.is_group(chat_id, now)
    chat = await conversation(page.storage, page.lists, chat_id, is_group=is_group, is_you=is_you, most=most, now=now)
    return {"chat": chat, "most": most}


async def _why(page: OperatorsPage, request: Request) -> dict[str, Any]:
    who = request.query_params.get("who", "").strip()
    found = await why.look(page.storage, page.client, who, now=page.clock.now())
    return {"who": who, "found": found, "refusal": why.refusal, "lines_of": runs.lines_of}


async def _troubles(page: OperatorsPage, _: Request) -> dict[str, Any]:
    return {"troubles": await views.troubles(page.storage)}


async def _lines(page: OperatorsPage, _: Request) -> dict[str, Any]:
    return {"found": await views.lines(page.client)}


async def _log(page: OperatorsPage, _: Request) -> dict[str, Any]:
    return {"acts": await page.storage.acts(limit=views.SHOWN)}


async def _day(page: OperatorsPage, _: Request) -> dict[str, Any]:
    return {"day": await views.day(page.storage, now=page.clock.now()), "inbox": await page.storage.inbox_counts()}


_VIEWS: Final[Mapping[str, tuple[str, View]]] = {
    "/": ("chats.html", _chats),
    "/chats/{id}": ("chat.html", _chat),
    "/why": ("why.html", _why),
    "/troubles": ("troubles.html", _troubles),
    "/lines": ("lines.html", _lines),
    "/day": ("day.html", _day),
    "/log": ("log.html", _log),
}


# --- what is done -----------------------------------------------------------------------------------------------------


async def _mute(page: OperatorsPage, chat_id: str, form: Form, by: By) -> str:
    for_s = form.get("for", "")
    if for_s not in MUTES:
        raise LinqbotError("Choose how long.")
    seconds = float(for_s) if for_s else None
    await mutes.mute(page.storage, page.client, chat_id or None, by=by, now=page.clock.now(), for_s=seconds)
    return f"The bot is muted, {MUTES[for_s] if not for_s else 'for ' + MUTES[for_s]}."


async def _unmute(page: OperatorsPage, chat_id: str, form: Form, by: By) -> str:
    ended = await mutes.unmute(
        page.storage, page.client, chat_id or EVERY_CHAT, by=by, now=page.clock.now(), catch_up="catch_up" in form
    )
    count = ended.caught_up
    caught_up = f", and handles {count} message{'' if count == 1 else 's'} that came meanwhile" if count else ""
    return f"The bot answers again{caught_up}."


async def _send(page: OperatorsPage, chat_id: str, form: Form, by: By) -> str:
    text = form.get("text", "").strip()
    if page.client is None or not text:
        raise LinqbotError("Write a text." if page.client else "LINQ_API_V3_API_KEY is not set.")
    key, is_muted = form.get("once") or secrets.token_hex(16), False
    await page.storage.note_act("send", ActedOn(key, chat_id), by=by)
    if page.mute_s and "goes_on" not in form:
        # As a text from Linq's dashboard does, but before it is sent, so that the bot says nothing in between.
        now, who = page.clock.now(), "An operator" if by.who == "operator" else by.who
        mute = Mute(chat_id, now + page.mute_s, reason=f"{who} writes here", since=now)
        is_muted = await mute_by_hand(page.storage, mute, None, by=by)
    message = MessageContent(parts=(TextPart(value=text),), idempotency_key=key)
    try:
        sent = (await page.client.chats.messages.send(chat_id, message=message)).message
    except LinqApiError as error:
        page.unsent[form["token"]] = chat_id, text
        still = " The bot is muted here all the same." if is_muted else ""
        what = "Linq did not answer, so look if it arrives" if error.status is None else "Linq refused it"
        raise LinqbotError(f"{what}: {why.answer_code(error)}.{still}") from error
    await page.storage.name_send(key, chat_id, sent.id)
    page.senders[sent.id] = form["token"]
    if len(page.senders) > _MOST_SENDERS:
        del page.senders[next(iter(page.senders))]
    return "Sent. The bot is muted here." if is_muted else "Sent."


async def _answer(page: OperatorsPage, question_id: str, form: Form, by: By) -> str:
    await questions.answer(page.storage, question_id, form.get("text", ""), by)
    return "The bot takes the text as the answer of the person."


async def _retry(page: OperatorsPage, delivery_id: str, _: Form, by: By) -> str:
    return _retried(await page.storage.retry([delivery_id], by=by))


async def _retry_all(page: OperatorsPage, key: str, _: Form, by: By) -> str:
    ids = [one.delivery.id for each in await views.troubles(page.storage) if each.key == key for one in each.letters]
    return _retried(await page.storage.retry(ids[::-1], by=by))


def _retried(count: int) -> str:
    return f"{count} deliver{'y is' if count == 1 else 'ies are'} handled again."


_ACTS: Final[Mapping[str, Act]] = {
    "/mute": _mute,
    "/unmute": _unmute,
    "/chats/{id}/mute": _mute,
    "/chats/{id}/unmute": _unmute,
    "/chats/{id}/send": _send,
    "/questions/{id}/answer": _answer,
    "/deliveries/{id}/retry": _retry,
    "/troubles/{id}/retry": _retry_all,
}


# --- templates --------------------------------------------------------------------------------------------------------


def _ago(at: float | None, now: float) -> str:
    if at is None:
        return ""
    seconds = max(0.0, now - at)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def _long(seconds: float) -> str:
    """Return a length of time in words."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{seconds:.3g} seconds"


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "by": time_by,
    "clock": clock_time,
    "ago": _ago,
    "hour": lambda at: f"{datetime.fromtimestamp(at, UTC):%H:%M}",
    "iso": lambda at: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
    "long": _long,
    "path": lambda text: quote(text, safe=""),
}
