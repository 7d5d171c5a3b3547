"""The targets of messages to the owner of a bot, and how an e-mail or a webhook gets there. Texts go by Linq; see `telling.py`.

A message to a target is sent by a function that blocks, in a thread of its own: it needs neither the event loop of the bot nor
the threads that handlers use, both of which may be what is in trouble.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic_core import to_json

from linqbot.client.http.addresses import LOOPBACK, target
from linqbot.client.http.connector import Connector, environment_proxy, trust
from linqbot.client.http.http11 import Request, RequestHeaders
from linqbot.client.http.pool import Pool
from linqbot.linq.handles import E164
from linqbot.server.troubles import TroubleMessage

if TYPE_CHECKING:
    from email.message import EmailMessage

SEND_S: Final = 30.0
"""Seconds that one message may take. It is shorter than the wait before its second attempt."""

MAIL_S: Final = 10.0
"""Seconds that the server for e-mails may take for each of its answers."""

_NOT_IN_ADDRESS: Final = frozenset(' @"(),:;<>[\\]')


@dataclass(frozen=True, slots=True)
class Telling:
    """The targets that the owner's messages go to. Some are secrets, so its repr shows none.

    Attributes:
        targets: `sms:+1…` gets a text, `mailto:…` an e-mail, and `https://…` JSON by POST.
        smtp_url: The server for e-mails: `smtps://USER:PASSWORD@HOST`, or `smtp://…` for STARTTLS. `?from=…` is the sender's
            address, if the user is none.
        heartbeat_url: Gets a GET each minute while people are answered, so that a service which expects it notices that the
            process is dead.
        wait_min: Minutes for which a message may wait for an answer.
        silence_min: Minutes without a webhook that are a trouble while two weeks are not known; 0 for none.
    """

    targets: tuple[str, ...] = field(default=(), repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    heartbeat_url: str | None = field(default=None, repr=False)
    wait_min: float = 5.0
    silence_min: float = 0.0

    @property
    def is_only_by_linq(self) -> bool:
        """True if no message can say that a line or the key is broken."""
        return bool(self.targets) and all(map(is_by_linq, self.targets))


class NotSent(Exception):
    """A target did not take a message. The text has the reason, and nothing of the target."""


def is_by_linq(given: str) -> bool:
    return given.startswith("sms:")


def id_of(given: str) -> str:
    """Return the id of a target, which is stored and logged: it discloses nothing of the target."""
    return hashlib.blake2b(given.encode(), digest_size=4).hexdigest()


def text_of(message: TroubleMessage) -> str:
    return f"{_here()}: {message.text}"


def send(telling: Telling, given: str, message: TroubleMessage, install: str) -> None:
    """Send a message by e-mail or to a webhook. Blocks until it is sent, for less than a minute; raises an error if it is not."""
    if given.startswith("mailto:"):
        _send_mail(telling.smtp_url or "", _mail(given.removeprefix("mailto:"), message, install))
    else:
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        request(given, _as_json(message), headers)


def request(url: str, content: bytes | None = None, headers: Mapping[str, str] | None = None) -> None:
    """Send a request, POST or without content GET, in an event loop of its own. Raises an error if the response is no success."""
    asyncio.run(_post(url, content, headers or {}))


async def apart(work: Callable[[], object]) -> None:
    """Run a function that blocks in a thread of its own, and wait for it. The process does not wait for the thread when it ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: Exception | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - raised by the caller
            error = raised
        with suppress(RuntimeError):  # the bot's loop was closed meanwhile
            loop.call_soon_threadsafe(end, error)

    threading.Thread(target=run, name="linqbot troubles", daemon=True).start()
    await done


def _is_target(given: str) -> bool:
    scheme, _, address = given.partition(":")
    if scheme == "sms":
        return E164.fullmatch(address) is not None
    return _is_mail_address(address) if scheme == "mailto" else _is_url(given)


def _is_url(given: str) -> bool:
    """Return True for https://…, and for http://… on this machine: what others could read on its way says how to stop a bot."""
    try:
        origin = target(given).origin
    except ValueError:
        return False
    return origin.scheme == "https" or origin.host in LOOPBACK


def _is_mail_server(given: str) -> bool:
    try:
        _mail_server(given)
    except ValueError:
        return False
    return True


_LOCAL: Final = "; http:// is only for a relay on this machine, such as http://127.0.0.1:8080/…"

ADDRESSES: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "tell": (_is_target, f"is neither sms:+1…, mailto:…@…, nor https://…{_LOCAL}"),
    "heartbeat_url": (_is_url, f"is not https://…{_LOCAL}"),
    "smtp_url": (_is_mail_server, "is not smtps://USER:PASSWORD@HOST, or smtp://… for STARTTLS"),
}
"""For each setting with addresses: the check of one, and what is wrong if it fails. The words quote nothing of the address."""


def _is_mail_address(address: str) -> bool:
    name, _, host = address.partition("@")
    return (
        bool(name and host) and address.isascii() and address.isprintable() and _NOT_IN_ADDRESS.isdisjoint(name + host)
    )


def _as_json(message: TroubleMessage) -> bytes:
    body: dict[str, Any] = {
        "id": message.id,
        "trouble": message.name,
        "state": message.state,
        "size": message.size,
        "text": text_of(message),
        "since": _iso(message.since),
        "ended_at": None if message.ended_at is None else _iso(message.ended_at),
    }
    return to_json(body)


def _here() -> str:
    # Without its domain: a name with dots would be shown as a link.
    return f"linqbot on {platform.node().partition('.')[0] or 'this machine'}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _mail(address: str, message: TroubleMessage, install: str) -> EmailMessage:
    from email.message import EmailMessage  # few bots send e-mails

    mail = EmailMessage()
    state = {"began": "", "grew": ", grown", "over": ", over"}[message.state]
    mail["Subject"] = f"{_here()}: {message.name.replace('_', ' ')}{state}"
    mail["To"] = address
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{message.id.replace(' ', '.')}.{message.target}@{install[:16]}.linqbot>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text_of(message)}\n\nSince {_iso(message.since)}\n")
    return mail


class _MailServer(NamedTuple):
    is_tls: bool  # from the first byte
    host: str
    port: int
    user: str
    password: str
    sender: str


def _mail_server(url: str) -> _MailServer:
    """Read the address of a server for e-mails, or raise ValueError."""
    parts = urlsplit(url)
    user, is_tls = unquote(parts.username or ""), parts.scheme == "smtps"
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError
    default = user if _is_mail_address(user) else f"linqbot@{parts.hostname}"
    sender = dict(parse_qsl(parts.query)).get("from", default)
    if not _is_mail_address(sender):
        raise ValueError
    port = parts.port or (465 if is_tls else 587)
    return _MailServer(is_tls, parts.hostname, port, user, unquote(parts.password or ""), sender)


def _send_mail(url: str, mail: EmailMessage) -> None:
    """Send an e-mail. Raises OSError, such as an SMTPException."""
    from smtplib import SMTP, SMTP_SSL

    server = _mail_server(url)
    mail["From"] = server.sender
    address = server.host, server.port
    with (
        SMTP_SSL(*address, timeout=MAIL_S, context=trust()) if server.is_tls else SMTP(*address, timeout=MAIL_S) as smtp
    ):
        smtp.ehlo()
        # A password goes to another machine only if it is encrypted: without STARTTLS there, this is an error.
        if not server.is_tls and server.host not in LOOPBACK and (server.user or smtp.has_extn("starttls")):
            smtp.starttls(context=trust())
        if server.user:
            smtp.login(server.user, server.password)
        smtp.send_message(mail)


async def _post(url: str, content: bytes | None, headers: Mapping[str, str]) -> None:
    """Send a request without redirects: POST, or GET without content. Raises NotSent if the response is no success."""
    goal = target(url)
    fields = RequestHeaders({"Host": goal.origin.authority, "User-Agent": "linqbot", **headers})
    sent = Request("GET" if content is None else "POST", goal.origin, goal.target, fields, content)
    connector = Connector(goal.origin, connect_timeout_s=5.0, proxy=environment_proxy(goal.origin))
    async with asyncio.timeout(SEND_S), aclosing(Pool(connector)) as pool:
        response = await pool.send(sent)
    if not 200 <= response.status < 300:
        raise NotSent(f"status {response.status}")
