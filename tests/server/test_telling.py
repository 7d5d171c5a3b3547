"""The owner of a bot gets one message when a trouble begins, and one when it is over, whatever restarts meanwhile."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from fakes import LINE, NOW, settled
from postgres_server import empty_storage_url
from structlog.testing import capture_logs

from linqbot.bot.bot import Bot
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, LinqApiError, LinqUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.rules.message import has_address
from linqbot.server.app import create_app, running
from linqbot.server.telling import Telling, TroubleWatch
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.postgres.storage import PostgresStorage
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

pytestmark = pytest.mark.anyio

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
MakeStorage = Callable[[], Storage]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


@pytest.fixture(params=["sqlite", "memory", pytest.param("postgres", marks=pytest.mark.process)])
def make_storage(request: pytest.FixtureRequest, tmp_path: Path, clock: MovableClock) -> MakeStorage:
    """`make_storage()` returns the storage of one more process, or of the same one after a restart."""
    if request.param == "postgres":
        url = empty_storage_url("telling")
        return lambda: PostgresStorage(url, clock=clock)
    if request.param == "memory":
        kept = MemoryStorage(clock=clock)
        return lambda: kept
    return lambda: SQLiteStorage(tmp_path / "bot.db", clock=clock)


class Linq:
    """A Linq with one line, which records what is sent."""

    def __init__(self) -> None:
        self.error: LinqApiError | None = None
        self.sent: list[Call] = []
        self.client = Client("key-that-must-not-show").wrapped(lambda _: self.run)

    async def run(self, call: Call) -> ApiResponse:
        if self.error is not None:
            raise self.error
        match call.name:
            case "phone_numbers.list":
                return ApiResponse(200, {"phone_numbers": [{"id": "1", "phone_number": LINE}]})
            case "available_number.retrieve":
                return ApiResponse(200, {"phone_number": LINE, "vcf_url": "https://x.test"})
            case "chats.create":
                self.sent.append(call)
                return ApiResponse(202, {})
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
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
        body = await reader.readexactly(length)
        if self.status == 200:
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


async def give_up(storage: Storage, name: str) -> None:
    await storage.put(Delivery(name, f"c:{name}", "message.received", b'{"text": "secret words"}', NOW))
    (lease,) = await storage.take(1, lease_s=60)
    await storage.finish(lease, Commit(DeadLetter("ValueError: secret words")))


async def test_each_trouble_is_said_once_and_so_is_its_end(make_storage: MakeStorage, clock: MovableClock) -> None:
    linq = Linq()
    async with make_storage() as storage, hook_served() as hook:
        watch = TroubleWatch(Telling((hook.url,)), linq.client, storage, clock)

        async def said() -> list[tuple[str, str]]:
            for _ in range(3):
                await watch.look()
                clock.advance(300)
            return hook.said()

        async def refuse(*, status: int | None) -> None:
            linq.error = None if status is None else LinqApiError("no", status=status)

        rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
            ("dead_letters", lambda: give_up(storage, "w.1"), lambda: storage.retry(["w.1"])),
            ("key", lambda: refuse(status=401), lambda: refuse(status=None)),
            ("key", lambda: refuse(status=403), lambda: refuse(status=None)),
        ]
        assert await said() == []
        for name, begin, end in rows:
            await begin()
            assert await said() == [(name, "began")], name
            await end()
            assert await said() == [(name, "over")], name


async def test_a_text_and_an_email_say_it_too_but_no_text_says_that_the_key_is_refused(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, mails_served() as mails:
        linq, smtp = Linq(), f"smtp://127.0.0.1:{mails.port}"
        watch = TroubleWatch(Telling(("sms:+14155550142", "mailto:ann@a.test"), smtp), linq.client, storage, clock)

        async def said() -> tuple[list[str], list[str]]:
            for _ in range(3):
                await watch.look()
                clock.advance(300)
            return [each.partition(": ")[2].partition(".")[0] for each in linq.texts()], mails.subjects()

        await give_up(storage, "w.1")
        assert await said() == (["A delivery was given up"], ["dead letters"])
        await storage.retry(["w.1"])
        assert await said() == (["Over after 15 minutes: A delivery was given up"], ["dead letters, over"])
        linq.error = LinqApiError("no", status=401)
        assert await said() == ([], ["key"])
        linq.error = None
        assert await said() == ([], ["key, over"])


async def test_a_text_is_sent_with_the_same_key_again(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage:
        linq = Linq()
        await give_up(storage, "w.1")
        for _ in range(2):  # the first process dies before it has noted the message
            watch = TroubleWatch(Telling(("sms:+14155550142",)), linq.client, storage, clock)
            with patch("linqbot.server.telling.note_sent"):
                await watch.look()
            clock.advance(60)
        first, second = linq.sent
        assert first.key == second.key is not None
        assert first.body == second.body
        assert first.body is not None
        assert (first.body["from"], first.body["to"]) == (LINE, ["+14155550142"])
        assert not has_address(first.body["message"]["parts"][0]["value"])  # else it could not open a chat


async def test_a_password_goes_to_another_machine_only_if_it_is_encrypted(
    clock: MovableClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.2").configure_cert(tls)
    for context, number in ((None, 0), (tls, 1)):
        async with MemoryStorage(clock=clock) as storage, mails_served("127.0.0.2", tls=context) as mails:
            smtp = f"smtp://ann:pass%20word@127.0.0.2:{mails.port}?from=bot@a.test"
            watch = TroubleWatch(Telling(("mailto:ann@a.test",), smtp), Linq().client, storage, clock)
            await give_up(storage, "w.1")
            with capture_logs() as logs:
                await watch.look()
            assert mails.logins == [(b"ann", b"pass word")] * number
            assert [each["From"] for each in mails.got] == ["bot@a.test"] * number
            assert "word" not in repr(logs)


async def test_a_dead_letter_of_yesterday_is_no_news(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        watch = TroubleWatch(Telling((hook.url,)), Linq().client, storage, clock)
        await give_up(storage, "w.1")
        await watch.look()
        assert hook.got[0]["text"].endswith(": A delivery was given up. See: linqbot waiting list --dead")
        clock.advance(86_401)
        await watch.look()
        await give_up(storage, "w.2")
        await watch.look()
        assert hook.said() == [("dead_letters", "began"), ("dead_letters", "over"), ("dead_letters", "began")]


async def test_processes_and_restarts_tell_one_trouble_once(make_storage: MakeStorage, clock: MovableClock) -> None:
    async with hook_served() as hook:
        telling = Telling((hook.url,))
        async with make_storage() as one:
            watches = [TroubleWatch(telling, Linq().client, one, clock)]
            other = make_storage() if isinstance(one, PostgresStorage) else one
            if other is not one:
                await other.__aenter__()
                watches.append(TroubleWatch(telling, Linq().client, other, clock))
            await give_up(one, "w.1")
            for _ in range(3):
                await asyncio.gather(*(each.look() for each in watches * 2))
                clock.advance(60)
            if other is not one:
                await other.__aexit__(None, None, None)
            assert hook.said() == [("dead_letters", "began")]
            if isinstance(one, MemoryStorage):
                return
        async with make_storage() as again:
            watch = TroubleWatch(telling, Linq().client, again, clock)
            await watch.look()
            await again.retry(["w.1"])
            await watch.look()
        assert hook.said() == [("dead_letters", "over")]


async def test_a_target_that_refuses_is_tried_again_ever_more_rarely_and_keeps_no_other_waiting(
    clock: MovableClock,
) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook, hook_served() as other:
        watch = TroubleWatch(Telling((hook.url, other.url)), Linq().client, storage, clock)
        await give_up(storage, "w.1")
        hook.status, tries = 500, list[int]()
        with capture_logs() as logs:
            for minute in range(120):
                before = len(logs)
                await watch.look()
                tries += [minute] * (len([each for each in logs[before:] if each["event"] == "trouble.not_sent"]) > 0)
                clock.advance(60)
        assert tries == [0, 1, 3, 7, 15, 31, 63]
        assert other.said() == [("dead_letters", "began")]
        hook.status = 200
        for _ in range(60):
            await watch.look()
            clock.advance(60)
        assert (hook.said(), other.said()) == ([("dead_letters", "began")], [])
        shown = repr(logs) + repr(
            Telling(
                (hook.url,),
            )
        )
        assert "secret" not in shown
        assert "status 500" in shown


async def test_a_linq_that_is_away_says_nothing_about_the_key(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        linq = Linq()
        watch = TroubleWatch(Telling((hook.url,)), linq.client, storage, clock)
        for error in (LinqApiError("no", status=401), LinqUnavailable("away"), LinqApiError("no", status=401), None):
            linq.error = error
            await watch.look()
            clock.advance(300)
        assert hook.said() == [("key", "began"), ("key", "over")]


async def test_a_served_bot_tells_without_being_asked(clock: MovableClock) -> None:
    async with hook_served() as hook, asyncio.timeout(20):
        storage, linq = MemoryStorage(clock=clock), Linq()
        linq.error = LinqApiError("no", status=401)
        telling = Telling((hook.url,))
        app = create_app(Bot(), client=linq.client, storage=storage, secrets=[SECRET], clock=clock, telling=telling)
        async with running(app):
            while not hook.got:
                await asyncio.sleep(0.01)
            linq.error = None
            while len(hook.got) < 2:
                clock.advance(60)
                await asyncio.sleep(0.01)
        assert hook.said() == [("key", "began"), ("key", "over")]


def test_settings_name_what_cannot_be_a_target(subtests: pytest.Subtests) -> None:
    assert from_env({}).telling() is None
    given = "https://a.example/hidden, sms:+14155550142,mailto:ann@a.test"
    smtp = {"LINQBOT_SMTP_URL": "smtps://ann:hidden@mail.test"}
    settings = from_env({"LINQBOT_TELL": given} | smtp)
    assert "hidden" not in repr(settings) + repr(settings.telling())
    telling = settings.telling()
    assert telling is not None
    assert not telling.is_only_by_linq
    with pytest.raises(ConfigError, match="LINQBOT_SMTP_URL is not set"):
        from_env({"LINQBOT_TELL": given}).telling()
    for wrong in (
        "ftp://hidden",
        "sms:hidden",
        "sms:",
        "mailto:hidden",
        "mailto:a@hidden,b",
        "mailto:<a@hidden>",
        "hidden",
    ):
        with subtests.test(wrong):
            with pytest.raises(ConfigError, match=r"LINQBOT_TELL does not fit: entry 2 is neither sms:\+1") as refused:
                from_env({"LINQBOT_TELL": f"https://a.example/x,{wrong.replace(',', ' ')}"})
            assert "hidden" not in str(refused.value)
    for wrong in ("https://hidden", "smtp://", "smtp://a@b?from=hidden", "smtp://hidden:port"):
        with subtests.test(wrong):
            with pytest.raises(ConfigError, match="LINQBOT_SMTP_URL does not fit: it is not smtps") as refused:
                from_env({"LINQBOT_SMTP_URL": wrong})
            assert "hidden" not in str(refused.value)


async def test_a_bot_that_can_only_text_says_so_at_the_start(clock: MovableClock) -> None:
    app = create_app(
        Bot(), client=Linq().client, storage=MemoryStorage(clock=clock), secrets=[SECRET], clock=clock,
        telling=Telling(("sms:+14155550142",)),
    )  # fmt: skip
    with capture_logs() as logs:
        async with running(app):
            await settled()
    assert "troubles.only_by_text" in [each["event"] for each in logs]
