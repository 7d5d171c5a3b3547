"""The owner of a bot gets one message when a trouble begins, and one when it is over, whatever restarts meanwhile."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
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
from asgi_client import PATH, SECRET, running_client
from fakes import LINE, NOW
from patience import PATIENCE_S
from structlog.testing import capture_logs

from linqbot import Bot, Client, LinqApiError, LinqUnavailable
from linqbot.client.call import ApiResponse, Call
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError
from linqbot.events import Delivery
from linqbot.features.gaps import Gaps
from linqbot.server.app import create_app
from linqbot.server.refusals import RefusalRecord
from linqbot.server.telling import Telling, TroubleWatch
from linqbot.server.troubles import TroubleFacts, TroubleRecord, claim, follow, read_record
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


class Linq:
    """A Linq with one line, which records what is sent."""

    def __init__(self) -> None:
        self.error: LinqApiError | None = None
        self.reputation = "HEALTHY"
        self.may_send = True
        self.sent: list[Call] = []
        self.client = Client("key-that-must-not-show").wrapped(lambda _: self.run)

    async def run(self, call: Call) -> ApiResponse:
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
    linq: Linq,
    storage: Storage,
    clock: MovableClock,
    is_ready: Callable[[], Awaitable[bool]] = always,
) -> TroubleWatch:
    refusals, gaps = RefusalRecord(None, clock), Gaps(linq.client, storage, clock)
    return TroubleWatch(telling, linq.client, storage, clock, refusals=refusals, gaps=gaps, is_ready=is_ready)


async def give_up(storage: Storage, name: str) -> None:
    await storage.put(Delivery(name, f"c:{name}", "message.received", b'{"text": "secret words"}', NOW))
    (lease,) = await storage.take(1, lease_s=60)
    await storage.finish(lease, Commit(DeadLetter("ValueError: secret words")))


async def heard(storage: Storage, at: float) -> None:
    await storage.put(Delivery(f"w.{at}", "c:heard", "message.received", b"{}", at))


async def remember_hours(storage: Storage, now: float) -> None:
    """Let the storage remember two weeks in which a webhook came every ten minutes, and the week to come."""
    hour = int(now // 3600)

    def change(text: str | None) -> tuple[str, None]:
        record = read_record(text)
        record.hours = dict.fromkeys(range(hour - 2 * 168, hour + 168), 10)
        return record.model_dump_json(), None

    await storage.change_troubles(change)


async def test_each_trouble_and_its_end_is_said_once_by_each_way(clock: MovableClock) -> None:
    linq = Linq()
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook, mails_served() as mails:
        targets = (hook.url, "mailto:ann@a.test", "sms:+14155550142")
        telling = Telling(targets, f"smtp://127.0.0.1:{mails.port}")
        refusals, gaps = RefusalRecord(None, clock), Gaps(linq.client, storage, clock)
        watch = TroubleWatch(telling, linq.client, storage, clock, refusals=refusals, gaps=gaps, is_ready=always)

        async def refuse(*, status: int | None) -> None:
            linq.error = None if status is None else LinqApiError("no", status=status)

        async def flag(*, reputation: str = "HEALTHY", may_send: bool = True) -> None:
            linq.reputation, linq.may_send = reputation, may_send

        async def forge() -> None:
            refusals.note("forged")
            refusals.note("busy")

        async def lose() -> None:
            gaps.lost += 3

        async def a_day() -> None:
            clock.advance(86_400)

        async def fall_silent() -> None:
            await remember_hours(storage, clock.now())
            await heard(storage, clock.now())
            clock.advance(29 * 60)
            await watch.look()
            assert hook.got == []
            clock.advance(60)

        rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
            ("dead_letters", lambda: give_up(storage, "w.1"), lambda: storage.retry(["w.1"])),
            ("key", lambda: refuse(status=401), lambda: refuse(status=None)),
            ("key", lambda: refuse(status=403), lambda: refuse(status=None)),
            ("forged", forge, a_day),
            (f"line {LINE}", lambda: flag(reputation="AT_RISK"), flag),
            (f"line {LINE}", lambda: flag(may_send=False), flag),
            ("lost", lose, a_day),
            ("silence", fall_silent, lambda: heard(storage, clock.now())),
        ]
        for name, begin, end in rows:
            for change, state in ((begin, "began"), (end, "over")):
                await change()
                with capture_logs() as logs:
                    for _ in range(3):
                        await watch.look()
                        clock.advance(300 if name != "silence" else 60)
                assert {each["trouble"] for each in logs} == {name.partition(" ")[0]}
                assert LINE not in repr(logs)
                assert hook.said() == [(name, state)]
                subject = name.replace("_", " ") + ", over" * (state == "over")
                assert mails.subjects() == [subject]
                # What says that the line or the key is broken never goes over that line.
                texts = linq.texts()
                assert len(texts) == (0 if name.startswith(("key", "line ")) else 1), (name, texts)


def test_a_silence_is_measured_by_the_same_hour_of_the_last_two_weeks() -> None:
    record, now, said = TroubleRecord(), NOW - NOW % 3600, list[tuple[float, bool]]()
    for minute in range(17 * 24 * 60):
        at, hour, day = now + minute * 60, minute // 60 % 24, minute // (24 * 60)
        # By day a webhook each 20 minutes, by night none; and none at all from 9 to 12 o'clock of the last day but one.
        by_day = 8 <= hour < 22
        silent = day == 15 and 9 <= hour < 12
        if minute == 0 or (by_day and not silent and minute % 20 == 0):
            heard_at = at
        before = "silence" in record.troubles
        follow(record, TroubleFacts(at, heard_at=heard_at, watched_since=now))
        claim(record, {}, at)
        if before != ("silence" in record.troubles):
            said.append((minute / 60 - 24 * day, not before))
    began, over = said
    assert began[1], "it began"
    # The last webhook came at 8:40. Three times 20 minutes are over at 9:40, but the hour before counts the night.
    assert 9.6 < began[0] <= 9.7
    assert over == (12.0, False)
    assert len(record.hours) <= 15 * 24 + 1


def test_without_two_weeks_a_setting_says_how_long_a_silence_is_a_trouble() -> None:
    for silence_s, begins in ((0.0, False), (3600.0, True)):
        record = TroubleRecord()
        for minute in range(61):
            at = NOW + minute * 60
            follow(record, TroubleFacts(at, heard_at=NOW - 86_400, watched_since=NOW, silence_s=silence_s))
            assert ("silence" in record.troubles) == (begins and minute == 60)
        # A process that was started meanwhile does not end it, and a webhook does.
        follow(record, TroubleFacts(at + 60, heard_at=NOW - 86_400, watched_since=at, silence_s=silence_s))
        assert (record.troubles.get("silence") is not None) == begins
        follow(record, TroubleFacts(at + 120, heard_at=at + 90, watched_since=at, silence_s=silence_s))
        assert all(each.ended_at is not None for each in record.troubles.values())


async def test_a_text_is_sent_with_the_same_key_again(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage:
        linq = Linq()
        await give_up(storage, "w.1")
        for _ in range(2):  # the first process dies before it has noted the message
            watch = watching(Telling(("sms:+14155550142",)), linq, storage, clock)
            with patch("linqbot.server.telling.note_sent"):
                await watch.look()
            clock.advance(300)
        first, second = linq.sent
        assert first.key == second.key is not None
        assert first.body == second.body
        assert first.body is not None
        assert first.body["to"] == ["+14155550142"]


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
            watch = watching(Telling(("mailto:ann@a.test",), smtp), Linq(), storage, clock)
            await give_up(storage, "w.1")
            with capture_logs() as logs:
                await watch.look()
            assert mails.logins == [(b"ann", b"pass word")] * number
            assert [each["From"] for each in mails.got] == ["bot@a.test"] * number
            assert "word" not in repr(logs)


async def test_a_dead_letter_of_yesterday_is_no_news(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        watch = watching(Telling((hook.url,)), Linq(), storage, clock)
        await give_up(storage, "w.1")
        await watch.look()
        assert hook.got[0]["text"].endswith(": A delivery was given up. See: linqbot waiting list --dead")
        clock.advance(86_401)
        await watch.look()
        await give_up(storage, "w.2")
        await watch.look()
        assert hook.said() == [("dead_letters", "began"), ("dead_letters", "over"), ("dead_letters", "began")]


async def test_processes_and_restarts_tell_one_trouble_once(tmp_path: Path, clock: MovableClock) -> None:
    path = tmp_path / "bot.db"
    async with hook_served() as hook:
        telling = Telling((hook.url,))
        async with SQLiteStorage(path, clock=clock) as one, SQLiteStorage(path, clock=clock, serving=False) as two:
            watches = [watching(telling, Linq(), each, clock) for each in (one, two)]
            await give_up(one, "w.1")
            for _ in range(3):
                await asyncio.gather(*(each.look() for each in watches * 2))
                clock.advance(60)
            assert hook.said() == [("dead_letters", "began")]
        async with SQLiteStorage(path, clock=clock) as again:
            watch = watching(telling, Linq(), again, clock)
            await watch.look()
            await again.retry(["w.1"])
            await watch.look()
        assert hook.said() == [("dead_letters", "over")]


async def test_a_target_that_refuses_is_tried_again_and_keeps_no_other_waiting(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook, hook_served() as other:
        watch = watching(Telling((hook.url, other.url)), Linq(), storage, clock)
        await give_up(storage, "w.1")
        hook.status, tries = 500, list[int]()
        with capture_logs() as logs:
            for minute in range(12):
                before = len(logs)
                await watch.look()
                tries += [minute] * (len([each for each in logs[before:] if each["event"] == "trouble.not_sent"]) > 0)
                clock.advance(60)
        assert tries == [0, 5, 10]
        assert other.said() == [("dead_letters", "began")]
        hook.status = 200
        for _ in range(6):
            await watch.look()
            clock.advance(60)
        assert (hook.said(), other.said()) == ([("dead_letters", "began")], [])
        shown = repr(logs) + repr(Telling((hook.url,)))
        assert "secret" not in shown
        assert "status 500" in shown


async def test_a_linq_that_is_away_says_nothing_about_the_key(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        linq = Linq()
        watch = watching(Telling((hook.url,)), linq, storage, clock)
        for error in (LinqApiError("no", status=401), LinqUnavailable("away"), LinqApiError("no", status=401), None):
            linq.error = error
            await watch.look()
            clock.advance(300)
        assert hook.said() == [("key", "began"), ("key", "over")]


async def test_a_served_bot_tells_without_being_asked(clock: MovableClock) -> None:
    async with hook_served() as hook, asyncio.timeout(PATIENCE_S):
        storage, linq = MemoryStorage(clock=clock), Linq()
        linq.error = LinqApiError("no", status=401)
        telling = Telling((hook.url,))
        app = create_app(Bot(), client=linq.client, storage=storage, secrets=[SECRET], clock=clock, telling=telling)
        async with running_client(app) as http:
            while not hook.got:
                await asyncio.sleep(0.01)
            linq.error = None
            assert (await http.post(PATH, content=b"{}")).status_code == 401
            while len(hook.got) < 3:
                clock.advance(60)
                await asyncio.sleep(0.01)
        assert hook.said() == [("key", "began"), ("forged", "began"), ("key", "over")]


async def test_the_heartbeat_is_sent_while_the_bot_is_well(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        linq, ready = Linq(), True

        async def is_ready() -> bool:
            return ready

        watch = watching(Telling(heartbeat_url=hook.url + "?bot=1"), linq, storage, clock, is_ready)

        async def beats() -> int:
            before = len(hook.beats)
            await watch.look()
            clock.advance(300)
            return len(hook.beats) - before

        await give_up(storage, "w.1")
        assert await beats() == 1, "a dead letter does not stop it"
        ready = False
        assert await beats() == 0
        ready = True
        linq.error = LinqApiError("no", status=401)
        assert await beats() == 0
        linq.error = LinqUnavailable("away")
        assert await beats() == 0, "the key is still refused, as far as is known"
        linq.error = None
        assert await beats() == 1
        hook.status = 500
        with capture_logs() as logs:
            assert [await beats() for _ in range(3)] == [1, 1, 1]
        assert [each["event"] for each in logs] == ["heartbeat.not_sent"]
        assert "secret" not in repr(logs)
        assert {*hook.beats} == {"/secret-path?bot=1"}


def test_settings_name_what_cannot_be_a_target(subtests: pytest.Subtests) -> None:
    assert from_env({}).telling() is None
    given = "https://a.example/hidden, sms:+14155550142,mailto:ann@a.test"
    smtp = {"LINQBOT_SMTP_URL": "smtps://ann:hidden@mail.test"}
    settings = from_env({"LINQBOT_TELL": given} | smtp)
    assert "hidden" not in repr(settings) + repr(settings.telling())
    telling = settings.telling()
    assert telling is not None
    assert not telling.is_only_by_linq
    assert settings.without_telling().telling() is None
    with pytest.raises(ConfigError, match="LINQBOT_SMTP_URL is not set"):
        from_env({"LINQBOT_TELL": given}).telling()
    neither = r"LINQBOT_TELL does not fit: an address is neither sms:\+1"
    mails = ("mailto:hidden", "mailto:a@hidden,b", "mailto:<a@hidden>")
    for wrong in ("ftp://hidden", "sms:hidden", "sms:", *mails, "hidden"):
        with subtests.test(wrong):
            with pytest.raises(ConfigError, match=neither) as refused:
                from_env({"LINQBOT_TELL": f"https://a.example/x,{wrong.replace(',', ' ')}"}).telling()
            assert "hidden" not in str(refused.value)
    with pytest.raises(ConfigError, match="LINQBOT_HEARTBEAT_URL does not fit: an address is not https") as refused:
        from_env({"LINQBOT_HEARTBEAT_URL": "hidden"}).telling()
    assert "hidden" not in str(refused.value)
    assert from_env({"LINQBOT_HEARTBEAT_URL": "https://a.example/x"}).telling() is not None
    for wrong in ("https://hidden", "smtp://", "smtp://a@b?from=hidden", "smtp://hidden:port"):
        with subtests.test(wrong):
            with pytest.raises(ConfigError, match="LINQBOT_SMTP_URL does not fit: an address is not smtps") as refused:
                from_env({"LINQBOT_TELL": "mailto:ann@a.test", "LINQBOT_SMTP_URL": wrong}).telling()
            assert "hidden" not in str(refused.value)
