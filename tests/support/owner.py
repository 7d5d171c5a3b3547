"""The targets of a bot's owner, on loopback, and a watch that tells them of troubles which a test makes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from fakes import LINE, NOW

from linqbot import Client, LinqApiError, LinqUnavailable
from linqbot.client.call import ApiResponse, Call
from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.events import Delivery
from linqbot.server.refusals import RefusalRecord
from linqbot.server.targets import Telling
from linqbot.server.telling import TroubleWatch
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.sqlite.memory import MemoryStorage


class OwnersLinq:
    """A Linq with one line, which records the texts to the owner."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reputation = "HEALTHY"
        self.may_send = True
        self.send_error: LinqApiError | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.sent: list[Call] = []
        self.client = Client("key-that-must-not-show").wrapped(lambda _: self.run)

    async def run(self, call: Call) -> ApiResponse:
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        match call.name:
            case "phone_numbers.list":
                line = {"id": "1", "phone_number": LINE, "reputation": {"status": self.reputation}}
                return ApiResponse(200, {"phone_numbers": [line]})
            case "available_number.retrieve":
                if not self.may_send:
                    raise LinqUnavailable("no line can send", status=503)
                return ApiResponse(200, {"phone_number": LINE, "vcf_url": "https://x.test"})
            case "chats.messages.send":
                if self.send_error is not None:
                    raise self.send_error
                return ApiResponse(202, {"chat_id": "1", "message": {"id": f"{call.key}", "parts": []}})
            case "messages.create":
                self.sent.append(call)
                return ApiResponse(202, {"chat_id": "1", "message": {"id": "1"}})
        raise AssertionError(call.name)

    def texts(self) -> list[str]:
        """Return the texts since the last call."""
        sent, self.sent = self.sent, []
        return [call.body["message"]["parts"][0]["value"] for call in sent if call.body]


class Hook:
    """A webhook of the owner's, which keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[dict[str, Any]] = []
        self.beats: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
        body = await reader.readexactly(length)
        if head.startswith("get "):
            self.beats.append(head.split()[1])
        elif self.status == 200:
            self.got.append(json.loads(body))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % self.status)
        writer.close()

    def said(self) -> list[tuple[str, str]]:
        """Return the troubles and states of the messages since the last call."""
        got, self.got = self.got, []
        return [(each["trouble"], each["state"]) for each in got]


@asynccontextmanager
async def hook_served() -> AsyncIterator[Hook]:
    hook = Hook()
    async with await asyncio.start_server(hook.serve, "127.0.0.1", 0) as server:
        hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path"
        yield hook


class Mails:
    """An SMTP server, which keeps what it got. A handler of aiosmtpd."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.port = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.got.append(mail)
        return "250 OK"

    def log_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == b"pass word")

    def subjects(self) -> list[str]:
        """Return the subjects since the last call, without the name of the machine."""
        got, self.got = self.got, []
        return [each["Subject"].partition(": ")[2] for each in got]


@asynccontextmanager
async def mails_served(host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Mails]:
    mails = Mails()

    def connected() -> SMTP:
        needs_tls = tls is not None
        return SMTP(
            mails, hostname="mail.test", tls_context=tls, authenticator=mails.log_in, auth_require_tls=needs_tls
        )

    async with await asyncio.get_running_loop().create_server(connected, host, 0) as server:
        mails.port = server.sockets[0].getsockname()[1]
        yield mails


async def always() -> bool:
    return True


def watching(
    telling: Telling,
    linq: OwnersLinq,
    storage: Storage,
    clock: MovableClock,
    is_ready: Callable[[], Awaitable[bool]] = always,
) -> TroubleWatch:
    return TroubleWatch(telling, linq.client, storage, clock, RefusalRecord(None, clock), lambda: 0, is_ready)


async def give_up(storage: Storage, name: str) -> None:
    await storage.put(Delivery(name, f"c:{name}", "message.received", b'{"text": "secret words"}', NOW))
    (lease,) = await storage.take(1, lease_s=60)
    await storage.finish(lease, Commit(DeadLetter("ValueError: secret words")))


async def heard(storage: Storage, at: float) -> None:
    await storage.put(Delivery(f"w.{at}", "c:heard", "message.received", b"{}", at))
    await handle_all(storage)


async def handle_all(storage: Storage) -> None:
    for lease in await storage.take(100, lease_s=60):
        await storage.finish(lease, Commit(Ack()))


class FailingStorage(MemoryStorage):
    """A storage that several processes may share, and that fails.

    It writes nothing while `how` is `full`, and answers nothing while it is `gone`; while it `hangs`, no answer comes.
    """

    is_shared = True
    how: Literal["full", "gone", "hangs"] | None = None

    async def put(self, delivery: Delivery) -> bool:
        await self._answer(is_write=True)
        return await super().put(delivery)

    async def check(self) -> None:
        await self._answer(is_write=True)

    async def change_troubles(self, to: Any) -> Any:
        await self._answer(is_write=True)
        return await super().change_troubles(to)

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        await self._answer()
        return await super().take(limit, lease_s=lease_s)

    async def depth(self) -> int:
        await self._answer()
        return await super().depth()

    async def oldest_webhooks(self, limit: int = 1) -> list[float]:
        await self._answer()
        return await super().oldest_webhooks(limit)

    async def given_up(self, *, since: float, limit: int) -> int:
        await self._answer()
        return await super().given_up(since=since, limit=limit)

    async def last_activity(self) -> float | None:
        await self._answer()
        return await super().last_activity()

    async def _answer(self, *, is_write: bool = False) -> None:
        if self.how == "hangs":
            await asyncio.Event().wait()
        if self.how == "gone" or (is_write and self.how == "full"):
            raise StorageUnavailable("The server is gone." if self.how == "gone" else "The disk is full.")


class Watched:
    """A watch of a bot with a frozen clock, and the troubles that a test makes."""

    def __init__(self, storage: Storage, clock: MovableClock, telling: Telling, hook: Hook, mails: Mails) -> None:
        self.storage, self.clock, self.hook, self.mails, self.linq = storage, clock, hook, mails, OwnersLinq()
        self.refusals, self.lost = RefusalRecord(None, clock), 0
        self.storage_trouble: str | None = None
        self.watch = TroubleWatch(
            telling,
            self.linq.client,
            storage,
            clock,
            self.refusals,
            lambda: self.lost,
            always,
            lambda: self.storage_trouble,
        )
        self._webhooks = 0

    async def looks(self, count: int = 1, *, every_s: float = 60) -> list[tuple[str, str]]:
        """Look a few times, and return the troubles and states that the webhook got."""
        for _ in range(count):
            await self.watch.look()
            self.clock.advance(every_s)
        return self.hook.said()

    def refuse_key(self, status: int) -> None:
        self.linq.error = LinqApiError("no", status=status)

    def accept_key(self) -> None:
        self.linq.error = None

    def flag(self, *, reputation: str = "HEALTHY", may_send: bool = True) -> None:
        self.linq.reputation, self.linq.may_send = reputation, may_send

    def forge(self, count: int = 1) -> None:
        for _ in range(count):
            self.refusals.note_people("forged", self.clock.now())

    def fail(self, reason: str | None = None) -> None:
        self.storage_trouble = reason

    def lose(self, count: int) -> None:
        self.lost += count

    async def accept(self, after_s: float) -> None:
        self.clock.advance(after_s)
        await heard(self.storage, self.clock.now())

    async def keep_waiting(self, seconds: float, count: int = 1) -> None:
        """Let messages of that many chats wait."""
        for _ in range(count):
            self._webhooks += 1
            name = f"waits.{self._webhooks}"
            await self.storage.put(Delivery(f"w.{name}", f"c:{name}", "message.received", b"{}", self.clock.now()))
        self.clock.advance(seconds)


@asynccontextmanager
async def watched_by_all_ways(
    make: Callable[[MovableClock], Storage] = lambda clock: MemoryStorage(clock=clock),
) -> AsyncIterator[Watched]:
    """Watch a storage, and tell its owner by a webhook, an e-mail and a text, with heartbeats."""
    clock = MovableClock(NOW, frozen=True)
    async with make(clock) as opened, hook_served() as hook, mails_served() as mails:
        targets = hook.url, "mailto:ann@a.test", "sms:+14155550142"
        telling = Telling(targets, f"smtp://127.0.0.1:{mails.port}", hook.url)
        yield Watched(opened, clock, telling, hook, mails)
