"""The owner of a bot learns when a trouble begins, grows tenfold and is over, once each, whatever fails or restarts meanwhile."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pytest
import trustme
from asgi_client import PATH, SECRET, posted, running_client
from fakes import LINE, NOW
from owner import (
    FailingStorage,
    OwnersLinq,
    Watched,
    give_up,
    handle_all,
    heard,
    hook_served,
    mails_served,
    watched_by_all_ways,
    watching,
)
from patience import PATIENCE_S, until
from structlog.testing import capture_logs

from linqbot import Bot, LinqApiError, LinqUnavailable
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.server import telling
from linqbot.server.app import create_app
from linqbot.server.targets import Telling
from linqbot.server.troubles import (
    Notified,
    OpenTrouble,
    TroubleFacts,
    TroubleRecord,
    claim,
    follow,
    read_record,
    state_to_send,
)
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

OTHER_SECRET = "whsec_" + "B" * 43 + "="


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with watched_by_all_ways() as made:
        yield made


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


async def remember_hours(storage: Storage, now: float) -> None:
    """Let the storage remember two weeks in which a webhook came every ten minutes, and the week to come."""
    hour = int(now // 3600)

    def change(text: str | None) -> tuple[str, None]:
        record = read_record(text)
        record.hours = dict.fromkeys(range(hour - 2 * 168, hour + 168), 10)
        return record.model_dump_json(), None

    await storage.change_troubles(change)


async def test_each_trouble_and_its_end_is_said_once_by_each_way(watched: Watched) -> None:
    storage, clock = watched.storage, watched.clock

    async def fall_silent() -> None:
        await remember_hours(storage, clock.now())
        await heard(storage, clock.now())
        clock.advance(29 * 60)
        await watched.watch.look()
        assert watched.hook.got == []
        clock.advance(60)

    rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("dead_letters", lambda: give_up(storage, "w.1"), lambda: storage.retry(["w.1"])),
        ("key", lambda: watched.refuse_key(401), watched.accept_key),
        ("key", lambda: watched.refuse_key(403), watched.accept_key),
        ("refused", watched.forge, lambda: watched.accept(1)),
        ("refused", watched.forge, lambda: clock.advance(86_400)),
        ("storage", lambda: watched.fail("The disk is full."), watched.fail),
        ("waiting", lambda: watched.keep_waiting(300), lambda: handle_all(storage)),
        (f"line {LINE}", lambda: watched.flag(reputation="AT_RISK"), watched.flag),
        (f"line {LINE}", lambda: watched.flag(may_send=False), watched.flag),
        ("lost", lambda: watched.lose(3), lambda: clock.advance(86_400)),
        ("silence", fall_silent, lambda: heard(storage, clock.now())),
    ]
    for name, begin, end in rows:
        for change, state in ((begin, "began"), (end, "over")):
            if inspect.isawaitable(changed := change()):
                await changed
            with capture_logs() as logs:
                said = await watched.looks(3, every_s=300 if name != "silence" else 60)
            assert {each["trouble"] for each in logs} == {name.partition(" ")[0]}
            assert LINE not in repr(logs)
            assert said == [(name, state)]
            subject = name.replace("_", " ") + ", over" * (state == "over")
            assert watched.mails.subjects() == [subject]
            # What says that the line or the key is broken never goes over that line.
            texts = watched.linq.texts()
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
        linq = OwnersLinq()
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
            watch = watching(Telling(("mailto:ann@a.test",), smtp), OwnersLinq(), storage, clock)
            await give_up(storage, "w.1")
            with capture_logs() as logs:
                await watch.look()
            assert mails.logins == [(b"ann", b"pass word")] * number
            assert [each["From"] for each in mails.got] == ["bot@a.test"] * number
            assert "word" not in repr(logs)


async def test_a_dead_letter_of_yesterday_is_no_news(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        watch = watching(Telling((hook.url,)), OwnersLinq(), storage, clock)
        await give_up(storage, "w.1")
        await watch.look()
        assert hook.got[0]["text"].endswith(": 1 delivery was given up. See: linqbot waiting list --dead")
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
            watches = [watching(telling, OwnersLinq(), each, clock) for each in (one, two)]
            await give_up(one, "w.1")
            for _ in range(3):
                await asyncio.gather(*(each.look() for each in watches * 2))
                clock.advance(60)
            assert hook.said() == [("dead_letters", "began")]
        async with SQLiteStorage(path, clock=clock) as again:
            watch = watching(telling, OwnersLinq(), again, clock)
            await watch.look()
            await again.retry(["w.1"])
            await watch.look()
        assert hook.said() == [("dead_letters", "over")]


async def test_a_target_that_refuses_is_tried_again_and_keeps_no_other_waiting(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook, hook_served() as other:
        watch = watching(Telling((hook.url, other.url)), OwnersLinq(), storage, clock)
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
        linq = OwnersLinq()
        watch = watching(Telling((hook.url,)), linq, storage, clock)
        for error in (LinqApiError("no", status=401), LinqUnavailable("away"), LinqApiError("no", status=401), None):
            linq.error = error
            await watch.look()
            clock.advance(300)
        assert hook.said() == [("key", "began"), ("key", "over")]


async def test_a_served_bot_tells_without_being_asked(clock: MovableClock) -> None:
    async with hook_served() as hook, asyncio.timeout(PATIENCE_S):
        storage, linq = MemoryStorage(clock=clock), OwnersLinq()
        linq.error = LinqApiError("no", status=401)
        telling = Telling((hook.url,))
        app = create_app(Bot(), client=linq.client, storage=storage, secrets=[SECRET], clock=clock, telling=telling)
        async with running_client(app) as http:
            while not hook.got:
                await asyncio.sleep(0.01)
            linq.error = None
            assert (await http.post(PATH, content=b"{}")).status_code == 401, "a stranger, who is no trouble"
            while len(hook.got) < 2:
                clock.advance(60)
                await asyncio.sleep(0.01)
            assert await posted(http, b"{}", secret=OTHER_SECRET) == 401
            while len(hook.got) < 3:
                clock.advance(60)
                await asyncio.sleep(0.01)
        assert hook.said() == [("key", "began"), ("key", "over"), ("refused", "began")]


async def test_the_heartbeat_is_sent_while_people_are_answered(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        linq, ready = OwnersLinq(), True

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


def test_a_target_gets_the_begin_each_tenfold_growth_and_the_end() -> None:
    rows: list[tuple[int, int | None, bool, str | None]] = [
        # the size now, the size that was sent, is it over, what is sent
        (0, None, False, "began"),
        (5000, None, False, "began"),
        (9, 0, False, None),
        (10, 0, False, "grew"),
        (10, 1, False, "grew"),
        (19, 2, False, None),
        (1, 10, False, None),
        (99, 10, False, None),
        (100, 10, False, "grew"),
        (5, 1, True, "over"),
        (5000, 1, True, "over"),
    ]
    for size, told_size, is_over, state in rows:
        trouble = OpenTrouble(since=NOW, what="x", size=size, ended_at=NOW + 9 if is_over else None)
        assert state_to_send(trouble, Notified(size=told_size)) == state, (size, told_size, is_over)
    over = OpenTrouble(since=NOW, what="x", ended_at=NOW + 9)
    assert state_to_send(over, None) is None, "no end without a begin"
    assert state_to_send(over, Notified()) == "over", "the begin may have been sent"


async def test_a_trouble_that_grows_tenfold_is_told_again_with_its_size_by_each_way(watched: Watched) -> None:
    said = list[tuple[str, str, int]]()
    for count in (1, 8, 1, 80, 10, 1):
        watched.forge(count)
        await watched.watch.look()
        watched.clock.advance(60)
        said += [(each["trouble"], each["state"], each["size"]) for each in watched.hook.got]
        watched.hook.got.clear()
    assert said == [("refused", "began", 1), ("refused", "grew", 10), ("refused", "grew", 100)]
    assert watched.mails.subjects() == ["refused", "refused, grown", "refused, grown"]
    texts = watched.linq.texts()
    assert [text.partition(": ")[2].partition(",")[0] for text in texts] == [
        "1 webhook was refused",
        "It has grown: 10 webhooks were refused",
        "It has grown: 100 webhooks were refused",
    ]


async def test_refusals_are_over_once_none_came_for_a_while_and_a_delivery_was_accepted(watched: Watched) -> None:
    watched.forge()
    assert await watched.looks(1) == [("refused", "began")]
    assert await watched.looks(30) == [], "nobody has written, so it is not known if it is over"
    await watched.accept(1)
    assert await watched.looks(1) == [("refused", "over")]
    watched.forge()
    assert await watched.looks(1) == [("refused", "began")]
    await watched.accept(1)
    assert await watched.looks(3) == [], "two secrets, one of which is wrong: some deliveries are accepted"
    assert await watched.looks(2) == [("refused", "over")]


async def test_what_was_refused_while_the_app_was_starting_is_no_trouble(watched: Watched) -> None:
    watched.forge()
    await replace(watched.watch).look()
    assert watched.hook.said() == []


async def test_messages_that_wait_are_told_by_their_number_until_none_waits_for_half_the_time(watched: Watched) -> None:
    await watched.keep_waiting(240, count=1)
    await watched.keep_waiting(0, count=20)
    assert await watched.looks(1) == []
    await watched.watch.look()
    assert [(each["size"], each["text"].partition(": ")[2]) for each in watched.hook.got] == [
        (1, "A message waits for an answer, the oldest for 5 minutes. See: linqbot waiting list")
    ]
    watched.hook.got.clear()
    watched.clock.advance(240)
    await watched.watch.look()
    assert [(each["state"], each["size"]) for each in watched.hook.got] == [("grew", 21)]
    watched.hook.got.clear()
    await handle_all(watched.storage)
    await watched.keep_waiting(200)
    assert await watched.looks(1) == [], "one waits for more than half of the time, so it could come and go"
    await handle_all(watched.storage)
    assert await watched.looks(1) == [("waiting", "over")]


async def test_a_storage_that_restarts_is_no_trouble(watched: Watched) -> None:
    watched.fail("The server restarts.")
    assert await watched.looks(1) == []
    watched.fail()
    assert await watched.looks(5) == []
    watched.fail("The disk is full.")
    assert await watched.looks(2) == [("storage", "began")]


@pytest.mark.parametrize("how", ["full", "gone", "hangs"])
async def test_messages_are_sent_while_the_storage_fails_and_none_is_sent_again_after_it(
    how: Literal["full", "gone", "hangs"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "STORAGE_S", 0.01 if how == "hangs" else 60)
    async with watched_by_all_ways(lambda clock: FailingStorage(clock=clock)) as watched:
        storage = watched.storage
        assert isinstance(storage, FailingStorage)
        watched.refuse_key(401)
        assert await watched.looks(1) == [("key", "began")]
        storage.how = how
        watched.forge(1)
        watched.accept_key()
        with capture_logs() as logs:
            # One message each two minutes: "key" is over, and two troubles have begun.
            assert [await watched.looks(2) for _ in range(4)] == [[each] for each in EACH_OF_THREE] + [[]]
        assert [each["event"] for each in logs].count("troubles.unstored") == 1
        for _ in range(20):
            watched.refusals.note_people("unavailable", watched.clock.now())
        assert await watched.looks(2) == [("storage", "grew")]
        assert len(watched.mails.subjects()) == 5
        storage.how = None
        assert await watched.looks(1) == []
        assert await watched.looks(2) == [("storage", "over")]
        await watched.accept(300)
        assert await watched.looks(3) == [("refused", "over")]
        # Another process reads the same in the storage.
        again = watching(Telling((watched.hook.url,)), watched.linq, storage, watched.clock)
        await again.look()
        assert watched.hook.said() == []


EACH_OF_THREE = [("key", "over"), ("refused", "began"), ("storage", "began")]


async def test_a_mistake_in_linqbot_silences_no_other_trouble(watched: Watched) -> None:
    broken = watched.linq.error = AssertionError("a mistake")
    watched.forge()
    with (
        patch.object(watched.storage, "change_troubles", side_effect=broken),
        patch.object(watched.storage, "given_up", side_effect=broken),
        capture_logs() as logs,
    ):
        assert await watched.looks(1) == [("refused", "began")]
    assert {each["event"] for each in logs} >= {"troubles.unasked", "troubles.unread", "troubles.unstored"}


async def test_the_heartbeat_stops_while_people_are_not_answered(watched: Watched) -> None:
    async def beats() -> int:
        before = len(watched.hook.beats)
        await watched.looks(2)
        return len(watched.hook.beats) - before

    assert await beats() == 2
    await watched.keep_waiting(300)
    assert await beats() == 0
    await handle_all(watched.storage)
    assert await beats() == 2
    watched.forge()
    assert await beats() == 0
    await watched.accept(300)
    assert await beats() == 2
    with patch.object(watched.storage, "change_troubles", side_effect=StorageUnavailable("The disk is full.")):
        assert await beats() == 0
    assert await beats() == 1, "a look that finds the storage well again may be the first of two"
    assert await beats() == 2


async def test_a_message_needs_none_of_the_threads_that_handlers_use(watched: Watched) -> None:
    ended = threading.Event()
    loop = asyncio.get_running_loop()
    stuck = [loop.run_in_executor(None, ended.wait) for _ in range(64)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            watched.forge()
            assert await watched.looks(1) == [("refused", "began")]
        assert watched.mails.subjects() == ["refused"]
        assert len(watched.hook.beats) == 0
    finally:
        ended.set()
        await asyncio.gather(*stuck)


async def test_a_blocked_event_loop_is_told_from_a_thread_and_its_end_by_the_loop(watched: Watched) -> None:
    watch, clock = watched.watch, watched.clock
    said = list[list[tuple[str, str]]]()
    for blocked_s in (299.0, 300.0, 301.0, 3000.0):
        await asyncio.to_thread(watch.tell_blocked, blocked_s)
        said.append(watched.hook.said())
    assert said == [[], [("blocked", "began")], [], [("blocked", "grew")]]
    assert watched.mails.subjects() == ["blocked", "blocked, grown"]
    clock.advance(10)
    watch.end_blocked()
    assert await watched.looks(3) == [("blocked", "over")]
    assert watched.mails.subjects() == ["blocked, over"]
    assert watched.linq.texts() == [], "Linq's client needs the loop"


class BlockedLoop:
    """An event loop that does nothing until it is free."""

    def __init__(self) -> None:
        self._called = list[Callable[[], object]]()
        self._is_free = False

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        self._called.append(call)
        if self._is_free:
            call()

    def free(self) -> None:
        self._is_free = True
        for call in self._called:
            call()


async def test_the_thread_notices_a_loop_that_does_not_answer(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "LOOP_EVERY_S", 0.001)
    monkeypatch.setattr(telling, "RESUMED_S", 0.001)
    watch = replace(watched.watch, telling=Telling((watched.hook.url,), wait_min=1e-6))
    loop: Any = BlockedLoop()
    ended = threading.Event()
    watching_it = asyncio.create_task(asyncio.to_thread(watch.watch_loop, loop, ended))
    await until(lambda: watched.hook.got)
    assert watched.hook.got[0]["trouble"] == "blocked"
    loop.free()
    ended.set()
    await watching_it
    await watch.look()
    assert watched.hook.said()[-1] == ("blocked", "over")


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
    for name in ("LINQBOT_TELL", "LINQBOT_HEARTBEAT_URL"):
        with pytest.raises(ConfigError, match=f"{name} does not fit: .*http:// is only for a relay") as refused:
            from_env({name: "http://hidden.example/x"}).telling()
        assert "hidden" not in str(refused.value)
        for local in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x"):
            assert from_env({name: local}).telling() is not None
    with pytest.raises(ConfigError, match="LINQBOT_HEARTBEAT_URL does not fit: an address is not https") as refused:
        from_env({"LINQBOT_HEARTBEAT_URL": "hidden"}).telling()
    assert "hidden" not in str(refused.value)
    assert from_env({"LINQBOT_HEARTBEAT_URL": "https://a.example/x"}).telling() is not None
    for wrong in ("https://hidden", "smtp://", "smtp://a@b?from=hidden", "smtp://hidden:port"):
        with subtests.test(wrong):
            with pytest.raises(ConfigError, match="LINQBOT_SMTP_URL does not fit: an address is not smtps") as refused:
                from_env({"LINQBOT_TELL": "mailto:ann@a.test", "LINQBOT_SMTP_URL": wrong}).telling()
            assert "hidden" not in str(refused.value)
