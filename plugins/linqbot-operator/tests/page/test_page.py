"""The operator's page: what it shows, what an operator does with it, and whom it keeps out."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cli.practice import ALONE
from fakes import Linq
from linqbot_operator.page.access import COOKIE, hashed
from linqbot_operator.page.app import page_app
from linqbot_operator.page.sessions import SESSION_S, Sessions
from linqbot_operator.page.views import Names
from office import PROXY, STRANGER, Office, Operator, at_office
from one_handler import says
from patience import until
from structlog.testing import capture_logs
from typed_command import shown

from linqbot import Bot, Context, MessageReceived
from linqbot.client.call import ApiResponse
from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.features.muted_chats import stored_mutes
from linqbot.settings import Settings
from linqbot.storage.sqlite.transaction import SQLiteReader


def desk() -> Bot:
    bot = Bot(typing=False, read=False)

    bot.on_message("hi")(says("Hello!"))

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"A table for {await ctx.ask('How many?', kind=int)}.")

    @bot.on_message("boom", attempts=1)
    async def boom(message: MessageReceived, ctx: Context) -> None:
        raise ValueError("a secret")

    return bot


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with at_office(desk(), f"sqlite:///{tmp_path}/bot.db") as office:
        yield office


async def fill(office: Office) -> dict[str, str]:
    """Let one event of each kind happen, and return the chats by what was written."""
    chats = {}
    for n, text in enumerate(("hi", "what", "book", "boom")):
        person = office.phone.person(f"+1415555030{n}")
        await person.text(text)
        await (person.errors() if text == "boom" else person.quiet())
        chats[text] = person.chat_id
    return chats


async def test_a_chat_behind_the_first_hundred_of_linq_has_its_name_too() -> None:
    linq = Linq()
    pages = [
        {"chats": [{"id": f"chat-{n}", "display_name": f"Guest {n}"} for n in numbers], "next_cursor": following}
        for numbers, following in ((range(100), "2"), (range(100, 200), "3"))
    ]
    linq.will_answer("chats.list_chats", *(ApiResponse(200, page) for page in pages))
    assert await Names(linq.client).of(["chat-3", "chat-150"], 100.0) == {"chat-3": "Guest 3", "chat-150": "Guest 150"}
    assert len(linq.calls) == 2, "no further page is asked for"


async def test_each_view_shows_what_happens(office: Office) -> None:
    chats = await fill(office)
    async with office.operator("let me look") as reader:
        shown = await reader.see("/")
        assert re.search(r"\+14155550303 just now 1 failed silent, just now", shown), shown
        assert "+14155550302 just now asking" in shown
        assert "+14155550300 just now +" in shown or "+14155550300 just now " in shown
        only = await reader.see("/?only=is_asking")
        assert "+14155550302" in only
        assert "+14155550303" not in only
        assert "+14155550303" in await reader.see("/?only=no_such_state")
        assert "No handler took it: no filter fits." in await reader.see(f"/chats/{chats['what']}")
        assert "How many?" in await reader.see(f"/chats/{chats['book']}")
        assert "Hello!" in await reader.see(f"/chats/{chats['hi']}")
        shown = await reader.see("/troubles")
        assert re.search(r"ValueError at test_page\.py:\d+ 1 given up in", shown), shown
        assert "a secret" not in shown
        assert "It was given up in the handler" in await reader.see("/why?who=%2B14155550303")
        assert "Check the handle." in (await reader.http.get("/why?who=%2B14155550399")).text
        for wrong in ("4155550399", "", "c:1"):
            said = (await reader.http.get("/why", params={"who": wrong})).text
            assert "is neither a handle, such as +14155550142, nor the id of a chat" in said
        assert "1 given up" in await reader.see("/day")
        assert "+12025550100 iMessage HEALTHY" in await reader.see("/lines")
        assert "Mute" not in await reader.see(f"/chats/{chats['hi']}")


async def test_a_storage_that_is_away_is_not_shown_as_a_page_that_does_not_exist(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("The server is away.")

    monkeypatch.setattr(office.storage, "acts", away)
    async with office.operator("let me look") as reader:
        shown = await reader.http.get("/log")
        assert shown.status_code == 503
        assert "The server is away." in shown.text
        assert "Not found" not in shown.text


async def test_an_operator_mutes_answers_retries_and_writes(office: Office) -> None:
    chats = await fill(office)
    async with office.operator() as operator:
        view = f"/chats/{chats['hi']}"
        assert await operator.do(f"{view}/mute", view, **{"for": "3600", "reason": "Dana answers"}) == (
            "The bot is muted, for 1 hour."
        )
        assert "The bot is muted here until" in await operator.see(view)
        once = await operator.token(view)
        for _ in range(2):
            await operator.http.post(f"{view}/send", data={**once, "text": "Dana here."})
        guest = office.phone.person("+14155550300")
        assert [bubble for bubble in guest.messages if bubble.from_bot] == ["Hello!", "Dana here."]
        await guest.text("hi")
        await guest.quiet()
        assert await operator.do(f"{view}/unmute", view, catch_up="on") == (
            "The bot answers again, and handles 1 message that came meanwhile."
        )
        await guest.text("hi")
        assert (await guest.replies())[-2:] == ["Hello!", "Hello!"]
        view = f"/chats/{chats['book']}"
        ((question, _),) = re.findall(r'/questions/([^/]+)/(answer)"', (await operator.http.get(view)).text)
        assert await operator.do(f"/questions/{question}/answer", view, text="4") == (
            "The bot takes the text as the answer of the person."
        )
        assert await operator.do("/mute", "/", **{"for": ""}) == "The bot is muted, until unmuted."
        assert "The bot is muted in all chats" in await operator.see("/")
        assert await operator.do("/unmute", "/") == "The bot answers again."
        (key,) = re.findall(r"/troubles/(\w+)/retry", (await operator.http.get("/troubles")).text)
        assert await operator.do(f"/troubles/{key}/retry", "/troubles") == "1 delivery is handled again."
        assert await operator.do("/unmute", "/") == (
            "The bot is not muted everywhere. List the mutes with: linqbot mute"
        )
        done = [(each.who, each.what, each.reason) for each in (await office.storage.acts())[::-1]]
        assert done[:3] == [("operator", "mute", "Dana answers"), *[("operator", "send", None)] * 2]
        assert [what for _, what, _ in done[3:]] == ["unmute", "answer", "mute", "unmute", "retry"]
        assert "mute " + chats["hi"] + ": Dana answers" in await operator.see("/log")
    booked = office.phone.person("+14155550302")
    await booked.text("thanks")
    await until(lambda: "A table for 4." in booked.messages)  # the bot notices an operator's answer within a second
    assert [str(error) for error in await office.phone.errors()] == ["a secret"]


async def test_no_forged_form_does_anything(office: Office) -> None:
    chats = await fill(office)
    letter = (await office.storage.dead_letters())[0].delivery.id
    (asked,) = await office.storage.conversations()
    fields = {"for": "", "text": "4", "back": "/"}
    paths = [
        "/mute",
        "/unmute",
        *(f"/chats/{chats['hi']}/{act}" for act in ("mute", "unmute", "send")),
        f"/questions/{asked.id}/answer",
        f"/deliveries/{letter}/retry",
        "/troubles/0/retry",
    ]
    async with office.operator() as operator, office.operator() as other, office.operator("let me look") as reader:
        token, others, readers = [
            (await one.token(f"/chats/{chats['hi']}")).get("token", "") for one in (operator, other, reader)
        ]
        assert token
        assert others != token
        async with office.browser() as stranger, office.browser(**{"x-user": "Dana"}) as forger:
            forged: list[tuple[Operator, dict[str, str], dict[str, str]]] = [
                (stranger, {"token": token}, {}),
                (forger, {"token": token}, {}),
                (operator, {}, {}),
                (operator, {"token": others}, {}),
                (operator, {"token": "x" + token}, {}),
                (operator, {"token": token}, {"origin": "http://evil.example"}),
                (operator, {"token": token}, {"origin": "null"}),
                (reader, {"token": readers or token}, {}),
            ]
            for path in paths:
                for one, given, headers in forged:
                    answer = await one.http.post(path, data=fields | given, headers=headers)
                    assert answer.status_code == 403, (path, given, headers)
                assert (await operator.http.get(path, params={"token": token} | fields)).status_code in (404, 405)
            office.clock.stop_at(office.clock.now() + 13 * 3600)
            for path in paths:
                assert (await operator.http.post(path, data=fields | {"token": token})).status_code == 403
    assert await stored_mutes(office.storage) == []
    assert len(await office.storage.dead_letters()) == 1
    assert [each.status for each in await office.storage.conversations()] == ["waiting"]
    assert [str(one) for one in office.phone.person("+14155550300").messages] == ["hi", "Hello!"]


async def test_a_refused_form_says_why_and_gives_back_the_text(office: Office) -> None:
    chats = await fill(office)
    path = f"/chats/{chats['hi']}"
    async with office.operator() as operator:
        form = {**await operator.token(path), "text": "We open at six."}
        behind_proxy = await operator.http.post(
            f"{path}/send", data=form, headers={"origin": "https://ops.example.com"}
        )
        assert "proxy_set_header Host $http_host" in behind_proxy.text
        office.clock.stop_at(office.clock.now() + 13 * 3600)
        ended = await operator.http.post(f"{path}/send", data=form)
        assert "The session of this form has ended" in ended.text
        long = await operator.http.post(f"{path}/send", data=form | {"text": "x" * 70_000})
        assert "at most 64 KiB" in long.text
    for answer in (behind_proxy, ended):
        assert answer.status_code == 403
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.text.endswith("You wrote:\nWe open at six.")


async def test_who_guesses_passwords_waits_a_minute_and_keeps_out_no_one_else(office: Office) -> None:
    async with office.browser() as guesser:
        assert (await guesser.http.get("/troubles?x=1")).headers["location"] == "/login?to=/troubles%3Fx%3D1"
        with capture_logs() as logs:
            assert [await guesser.log_in(f"guess {n}") for n in range(10)] == [403] * 10
        assert [(line["event"], line["client"]) for line in logs] == [("page.login_refused", STRANGER)] * 5
        refused = await guesser.http.post("/login", data={"password": "let me act"})
        assert (refused.status_code, "Wait a minute." in refused.text) == (403, True)
        async with office.browser(peer="10.0.0.77") as operator:
            assert await operator.log_in("let me act") == 303
        office.clock.stop_at(office.clock.now() + 61)
        entered = await guesser.http.post("/login", data={"password": "let me act", "to": "//evil.example"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        kept = entered.headers["set-cookie"]
        assert "HttpOnly" in kept
        assert "SameSite=strict" in kept
        guesser.http.cookies.set(COOKIE, guesser.http.cookies[COOKIE][::-1])
        assert (await guesser.http.get("/")).headers["location"] == "/login?to=/"


async def test_a_client_behind_a_trusted_proxy_is_known_by_what_the_proxy_has_noted(office: Office) -> None:
    async def guesses(peer: str, noted: str, last: str = "wrong") -> list[int]:
        async with office.browser(peer=peer, **{"x-forwarded-for": noted}) as one:
            return [await one.log_in("wrong") for _ in range(10)] + [await one.log_in(last)]

    assert await guesses(PROXY, "203.0.113.7") == [403] * 11
    async with office.browser(peer=PROXY, **{"x-forwarded-for": "203.0.113.8"}) as operator:
        assert await operator.log_in("let me act") == 303
    # What the client itself writes stands before what the proxy has noted, and that of a stranger's proxy does not count.
    assert (await guesses(PROXY, "198.51.100.1, 203.0.113.9", last="let me act"))[-1] == 403
    assert (await guesses(PROXY, "198.51.100.2, 203.0.113.9", last="let me act"))[-1] == 403
    assert (await guesses(STRANGER, "198.51.100.3", last="let me act"))[-1] == 403
    async with office.browser(peer=STRANGER, **{"x-forwarded-for": "198.51.100.4"}) as stranger:
        assert await stranger.log_in("let me act") == 403
    # A household has more addresses of IPv6 than anyone can try from.
    await guesses(PROXY, "2001:db8:1:2::1")
    for address, status in (("2001:db8:1:2:ffff::9", 403), ("2001:db8:1:3::1", 303)):
        async with office.browser(peer=PROXY, **{"x-forwarded-for": address}) as one:
            assert await one.log_in("let me act") == status


async def test_a_client_that_guesses_many_at_once_has_one_looked_at(office: Office) -> None:
    async with office.browser() as guesser:
        answers = await asyncio.gather(*(guesser.http.post("/login", data={"password": f"{n}"}) for n in range(20)))
    assert sum("This is not the password." in answer.text for answer in answers) == 1


async def test_a_session_outlives_a_restart_and_ends_at_log_out_also_for_who_has_its_cookie(office: Office) -> None:
    async with office.operator() as operator, office.browser() as thief:
        thief.http.cookies.set(COOKIE, operator.http.cookies[COOKIE])
        office.start_again()
        for one in (operator, thief):
            assert (await one.http.get("/")).status_code == 200
        await operator.http.post("/logout")
        for one in (operator, thief):
            assert (await one.http.get("/")).status_code == 303


async def test_all_sessions_end_with_a_command_and_those_that_are_over_leave_no_row(office: Office) -> None:
    async with office.operator() as one, office.operator("let me look") as other:
        sessions = Sessions(office.storage, office.clock)
        assert await sessions.end_all() == 2
        assert [(await each.http.get("/")).status_code for each in (one, other)] == [303, 303]
    async with office.operator():
        office.clock.stop_at(office.clock.now() + SESSION_S)
        async with office.operator():
            assert await sessions.end_all() == 1


async def test_a_doubled_header_of_the_proxy_names_no_one(office: Office) -> None:
    async with office.browser(peer=PROXY) as one:
        for names, status in ((["Dana"], 200), (["Eve", "Dana"], 303), (["Dana", "Dana"], 303)):
            headers = [("x-user", name) for name in names]
            assert (await one.http.get("/", headers=headers)).status_code == status


async def test_a_form_whose_browser_leaves_is_no_error_of_the_page(office: Office) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/login",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    await office.app(scope, receive, send)
    assert sent[0]["status"] == 403


async def test_pages_on_two_ports_of_a_host_have_sessions_of_their_own(office: Office) -> None:
    one, other = {"host": "bots.example:8001"}, {"host": "bots.example:8002"}
    async with office.browser() as browser:
        for page in (one, other):
            await browser.http.post("/login", data={"password": "let me act"}, headers=page)
        for page in (one, other):
            assert (await browser.http.get("/", headers=page)).status_code == 200
        await browser.http.post("/logout", headers=other)
        assert [(await browser.http.get("/", headers=page)).status_code for page in (one, other)] == [200, 303]


async def test_a_trusted_proxy_says_who_acts_and_who_looks(office: Office) -> None:
    for name, peer, acts in (("Dana", PROXY, True), ("Eve", PROXY, False), ("Dana", STRANGER, None)):
        async with office.browser(peer=peer, **{"x-user": name}) as one:
            shown = await one.http.get("/")
            assert shown.status_code == (303 if acts is None else 200)
            assert ("Mute the bot everywhere" in shown.text) is bool(acts)


def test_a_page_that_no_one_could_use_is_an_error_before_the_bot_starts(
    bot_file: str, subtests: pytest.Subtests
) -> None:
    good = {"page_password": hashed("let me act")}
    page_app(Settings(**good), mute_s=1800.0)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "LINQBOT_PAGE_PASSWORD is not set"),
        ({"page_password": "let me act"}, "LINQBOT_PAGE_PASSWORD is not the hash of a password"),
        (good | {"page_reader_password": "md5$a$b"}, "LINQBOT_PAGE_READER_PASSWORD is not the hash of a password"),
        ({"page_user_header": "x-user"}, "LINQBOT_TRUSTED_PROXIES names none"),
        ({"page_user_header": "x-user", "trusted_proxies": "*"}, "LINQBOT_TRUSTED_PROXIES names none"),
        (good | {"storage": "memory://"}, "cannot look into a storage in memory"),
    ]
    for given, message in wrong:
        with subtests.test(message), pytest.raises(ConfigError, match=re.escape(message)):
            page_app(Settings(**given), mute_s=1800.0)
    page_app(Settings(**good, trusted_proxies="*"), mute_s=1800.0)
    assert "LINQBOT_PAGE_PASSWORD is not set" in serve_page(bot_file)


def test_a_port_that_is_in_use_is_an_error_before_the_bot_starts(bot_file: str) -> None:
    password = {"LINQBOT_PAGE_PASSWORD": hashed("let me act")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        in_use = serve_page(bot_file, **password, LINQBOT_PAGE_PORT=str(taken.getsockname()[1]))
    assert "choose another LINQBOT_PAGE_PORT" in in_use
    same = serve_page(bot_file, **password, LINQBOT_PAGE_PORT="8002", LINQBOT_PORT="8002")
    assert "LINQBOT_PAGE_PORT and the port of the bot are both 8002" in same


def test_a_page_whose_plugin_is_left_out_is_an_error_that_says_so(bot_file: str) -> None:
    assert "Add it to LINQBOT_PLUGINS" in serve_page(bot_file, LINQBOT_PLUGINS="")


@pytest.mark.process
def test_a_page_that_cannot_be_imported_is_an_error_and_the_log_says_why(
    bot_file: str, tmp_path: Path, program: Callable[..., Any]
) -> None:
    (tmp_path / "jinja2.py").write_text("raise ImportError('jinja2 is broken')")
    broken = program(
        "serve", bot_file, "--page", **ALONE, LINQBOT_PLUGINS="operator", LINQBOT_PORT="0", PYTHONPATH=str(tmp_path)
    )
    assert broken.end() == 2
    assert "jinja2 is broken" in broken.said()
    assert "or correct what the log says of it" in broken.said()


@pytest.fixture
def bot_file(tmp_path: Path) -> str:
    (tmp_path / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
    return str(tmp_path / "bot.py")


def serve_page(bot_file: str, **environ: str) -> str:
    """Return what a `linqbot serve --page` says that does not start."""
    alone = ALONE | {"LINQBOT_PLUGINS": "operator", "LINQBOT_PORT": "0"}
    return shown("serve", bot_file, "--page", code=2, **alone | environ)


@pytest.mark.slow
async def test_ten_thousand_chats_take_few_statements_with_an_index(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats, now = await fill(office), office.clock.now()
    ended = ("handled", "bot:greet", 0, 1, 0, 5.0)
    rows = [
        (f"w.{n}", f"c:chat-{n % 10_000}", "message.received", f"m{n}", now - n, now - n, *ended)
        for n in range(100_000)
    ]
    columns = "delivery, lane, type, message_id, received_at, ended_at, outcome, handler, replay, runs, attempts, ms"
    with sqlite3.connect(tmp_path / "bot.db") as db:
        db.executemany(f"INSERT INTO outcome ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows[::-1])
    db.close()
    plans: list[tuple[str, str]] = []
    fetch = SQLiteReader.fetch

    async def noted(self: SQLiteReader, sql: str, *values: Any) -> Any:
        plans.append((sql, " ".join(step for *_, step in await fetch(self, f"EXPLAIN QUERY PLAN {sql}", *values))))
        return await fetch(self, sql, *values)

    monkeypatch.setattr(SQLiteReader, "fetch", noted)
    async with office.operator() as operator:
        for view in ("/", f"/chats/{chats['hi']}", "/chats/chat-7", "/troubles", "/day", "/lines"):
            looks = []
            for _ in range(2):
                plans.clear()
                await operator.see(view)
                looks.append([*plans])
            # One is for the session; and the storage also reads by itself what another process has changed.
            assert min(map(len, looks)) <= 11, view
            for sql, plan in min(looks, key=len):
                # The index of edits has a row only for an edit that waits.
                reads_all = re.search(
                    r"SCAN (outcome|delivery|done|body|journal|act)\b(?! USING INDEX delivery_edits)", plan
                )
                assert reads_all is None or "LIMIT" in sql, (sql, plan)
