"""Tells the owner of a bot about its troubles, by a text, an e-mail or a webhook. It works without Prometheus.

A task looks once a minute: it never runs on the way of an event, and a target that does not answer delays nothing. `troubles.py`
decides what is said.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from pydantic_core import to_json

from linqbot.client.client import Client
from linqbot.client.http.addresses import LOOPBACK, target
from linqbot.client.http.connector import Connector, environment_proxy, trust
from linqbot.client.http.http11 import Request, RequestHeaders, reason_of
from linqbot.client.http.pool import Pool
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, LinqbotError, StorageError
from linqbot.features.gaps import Gaps
from linqbot.interrupts import RunningTask
from linqbot.linq.handles import E164
from linqbot.linq.types.line import PhoneNumber
from linqbot.options import DAY_S
from linqbot.server.refusals import RefusalRecord
from linqbot.server.troubles import (
    KEY,
    TroubleFacts,
    TroubleMessage,
    TroubleRecord,
    claim,
    follow,
    note_sent,
    read_record,
)
from linqbot.storage.backend import Storage

if TYPE_CHECKING:
    from email.message import EmailMessage

log = structlog.get_logger("linqbot.server")

T = TypeVar("T")

LOOK_EVERY_S: Final = 60.0
ASK_EVERY_S: Final = 300.0
"""Seconds between two looks, and the least between two questions to Linq: does it accept the key, and how are the lines?"""

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
        heartbeat_url: Gets a GET each minute while the bot is well, so that a service which expects it notices that the process
            is dead.
        silence_min: Minutes without a webhook that are a trouble while two weeks are not known; 0 for none.
    """

    targets: tuple[str, ...] = field(default=(), repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    heartbeat_url: str | None = field(default=None, repr=False)
    silence_min: float = 0.0

    @property
    def is_only_by_linq(self) -> bool:
        """True if no message can say that a line or the key is broken."""
        return bool(self.targets) and all(map(_is_by_linq, self.targets))


class NotSent(Exception):
    """A target did not take a message. The text has the reason, and nothing of the target."""


def _is_target(given: str) -> bool:
    scheme, _, address = given.partition(":")
    if scheme == "sms":
        return E164.fullmatch(address) is not None
    return _is_mail_address(address) if scheme == "mailto" else _is_read(target, given)


def _is_read(read: Callable[[str], object], given: str) -> bool:
    """Return True unless reading an address raises ValueError."""
    try:
        read(given)
    except ValueError:
        return False
    return True


ADDRESSES: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "tell": (_is_target, "is neither sms:+1…, mailto:…@…, nor https://…"),
    "heartbeat_url": (partial(_is_read, target), "is not https://…"),
    "smtp_url": (
        lambda given: _is_read(_mail_server, given),
        "is not smtps://USER:PASSWORD@HOST, or smtp://… for STARTTLS",
    ),
}
"""For each setting with addresses: the check of one, and what is wrong if it fails. The words quote nothing of the address."""


@dataclass(slots=True, eq=False, repr=False)
class TroubleWatch:
    """Looks for troubles once a minute, and tells the owner.

    Attributes:
        client: The client of calls outside of a turn.
        refusals, gaps: Count forged deliveries, and messages that had to be fetched.
        is_ready: Returns True while the process does its part of the work.
    """

    telling: Telling
    client: Client
    storage: Storage
    clock: Clock
    refusals: RefusalRecord
    gaps: Gaps
    is_ready: Callable[[], Awaitable[bool]]
    _targets: dict[str, str] = field(init=False)  # by their ids
    _since: float = field(init=False)
    _beats: bool = field(default=True, init=False)  # False while the last heartbeat has failed
    _asked_at: float = field(default=-ASK_EVERY_S, init=False)
    _counted: tuple[int, int] = field(default=(0, 0), init=False)  # what the record knows of the two counts

    def __post_init__(self) -> None:
        self._targets = {_id_of(each): each for each in self.telling.targets}
        self._since = self.clock.now()

    async def run(self) -> None:
        """Look until the task is cancelled."""
        task = RunningTask()
        while True:
            began = self.clock.now()
            try:
                await self.look()
            except StorageError as error:
                log.warning("troubles.unknown", error=str(error))
            except Exception as error:
                if task.is_ended_by(error):
                    raise
                log.error("troubles.failed", error=type(error).__name__)
            await self.clock.wait_until(began + LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once, and send the messages that are due, and the heartbeat if the bot is well."""
        found, counts = await self._found()
        reached = {target_id: _is_by_linq(given) for target_id, given in self._targets.items()}

        def change(record: TroubleRecord) -> tuple[list[TroubleMessage], bool]:
            follow(record, found)
            key = record.troubles.get(KEY)
            return claim(record, reached, found.now), key is None or key.ended_at is not None

        messages, has_key = await self._change(change)
        self._counted = counts
        sends = [self._tell(message) for message in messages]
        if self.telling.heartbeat_url is not None and has_key:
            sends.append(self._beat(self.telling.heartbeat_url))
        await asyncio.gather(*sends)

    async def _beat(self, url: str) -> None:
        if not await self.is_ready():
            return
        before, self._beats = self._beats, False
        try:
            async with asyncio.timeout(SEND_S):
                await _post(url, None, {})
        except Exception as error:  # noqa: BLE001 - troubles must be said all the same
            if before:
                log.warning("heartbeat.not_sent", error=_reason(error))
        else:
            self._beats = True

    async def _found(self) -> tuple[TroubleFacts, tuple[int, int]]:
        """Return the facts, and the counts that they are up to."""
        now, dead = self.clock.now(), 0
        if await self.storage.dead_letters(since=now - DAY_S, limit=1):
            dead = (await self.storage.inbox_counts()).dead
        key_refused, lines = None, None
        if now - self._asked_at >= ASK_EVERY_S:
            self._asked_at = now
            key_refused, lines = await self._ask()
        forged, lost = counts = self.refusals.forged, self.gaps.lost
        found = TroubleFacts(
            now,
            dead,
            key_refused,
            lines,
            forged - self._counted[0],
            lost - self._counted[1],
            await self.storage.last_activity(),
            self._since,
            self.telling.silence_min * 60,
        )
        return found, counts

    async def _ask(self) -> tuple[bool | None, dict[str, str | None] | None]:
        """Ask Linq if it accepts the key, and how each line is. What it does not answer is not known."""
        try:
            async with asyncio.timeout(SEND_S):
                every = [line async for line in self.client.phone_numbers.list()]
                return False, {line.phone_number: await self._problem(line, every) for line in every}
        except LinqApiError as error:
            return (True if error.status in (401, 403) else None), None
        except (LinqbotError, TimeoutError):
            return None, None

    async def _problem(self, line: PhoneNumber, every: Sequence[PhoneNumber]) -> str | None:
        """Return the trouble of a line in words; None if there is none."""
        if not await can_send(self.client, line, every):
            return "is not allowed to send now"
        standing = line.reputation.status if line.reputation else ""
        return f"is {standing}" if standing in ("AT_RISK", "CRITICAL") else None

    async def _change(self, to: Callable[[TroubleRecord], T]) -> T:
        def change(text: str | None) -> tuple[str, T]:
            record = read_record(text)
            result = to(record)
            return record.model_dump_json(exclude_defaults=True), result

        return await self.storage.change_troubles(change)

    async def _tell(self, message: TroubleMessage) -> None:
        given = self._targets[message.target]
        # Without the number of a line: the log has no phone numbers.
        facts = {"trouble": message.name.partition(" ")[0], "by": given.partition(":")[0], "target": message.target}
        try:
            async with asyncio.timeout(SEND_S):
                await self._send(given, message)
        except Exception as error:  # noqa: BLE001 - the messages to the other targets must be sent
            log.warning("trouble.not_sent", **facts, error=_reason(error))
        else:
            log.info("trouble.sent", **facts, over=message.ended_at is not None)
            await self._change(partial(note_sent, message=message))

    async def _send(self, given: str, message: TroubleMessage) -> None:
        scheme, _, address = given.partition(":")
        text = f"{_here()}: {message.text}"
        if scheme == "sms":
            await self._text(address, message, text)
        elif scheme == "mailto":
            mail = _mail(address, message, text, self.storage.install)
            # In a thread, which ends by its own time limits if the bot stops meanwhile.
            await asyncio.to_thread(_send_mail, self.telling.smtp_url or "", mail)
        else:
            headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
            await _post(given, _as_json(message, text), headers)

    async def _text(self, person: str, message: TroubleMessage, text: str) -> None:
        made = "\0".join((self.storage.install, message.id, message.target))
        key = hashlib.blake2b(made.encode(), digest_size=16).hexdigest()
        # From the line that Linq chooses: that of the chat with the owner, or else the best one.
        await self.client.messages.create(
            to=[person], message={"parts": [{"type": "text", "value": text}]}, idempotency_key=key
        )


async def can_send(client: Client, line: PhoneNumber, every: Sequence[PhoneNumber]) -> bool:
    """Return True if Linq lets a line send.

    Linq's list of lines does not say so. But Linq names a line to send from on request, and lines can be excluded: this
    asks with all other lines excluded. Linq says 400 if these are all that may send, and 409 or 503 if none may.
    """
    others = [each.phone_number for each in every if each is not line]
    try:
        await client.available_number.retrieve(exclude_from=others or None)
    except LinqApiError as error:
        return error.status not in {400, 409, 503}
    return True


def _is_by_linq(given: str) -> bool:
    return given.startswith("sms:")


def _is_mail_address(address: str) -> bool:
    name, _, host = address.partition("@")
    return (
        bool(name and host) and address.isascii() and address.isprintable() and _NOT_IN_ADDRESS.isdisjoint(name + host)
    )


def _reason(error: Exception) -> str:
    if isinstance(error, LinqApiError):
        return f"Linq answered {error.status}/{error.code}"
    return str(error) if isinstance(error, NotSent) else reason_of(error)


def _id_of(given: str) -> str:
    """Return the id of a target, which is stored and logged: it discloses nothing of the target."""
    return hashlib.blake2b(given.encode(), digest_size=4).hexdigest()


def _as_json(message: TroubleMessage, text: str) -> bytes:
    body: dict[str, Any] = {
        "id": message.id,
        "trouble": message.name,
        "state": "began" if message.ended_at is None else "over",
        "text": text,
        "since": _iso(message.since),
        "ended_at": None if message.ended_at is None else _iso(message.ended_at),
    }
    return to_json(body)


def _here() -> str:
    # Without its domain: a name with dots would be shown as a link.
    return f"linqbot on {platform.node().partition('.')[0] or 'this machine'}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _mail(address: str, message: TroubleMessage, text: str, install: str) -> EmailMessage:
    from email.message import EmailMessage  # few bots send e-mails

    mail = EmailMessage()
    over = "" if message.ended_at is None else ", over"
    mail["Subject"] = f"{_here()}: {message.name.replace('_', ' ')}{over}"
    mail["To"] = address
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{message.id.replace(' ', '.')}.{message.target}@{install[:16]}.linqbot>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text}\n\nSince {_iso(message.since)}\n")
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
    request = Request("GET" if content is None else "POST", goal.origin, goal.target, fields, content)
    connector = Connector(goal.origin, connect_timeout_s=5.0, proxy=environment_proxy(goal.origin))
    async with aclosing(Pool(connector)) as pool:
        response = await pool.send(request)
    if not 200 <= response.status < 300:
        raise NotSent(f"status {response.status}")
