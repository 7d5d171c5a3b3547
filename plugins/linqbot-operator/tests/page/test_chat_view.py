"""The view of a chat on the operator's page: the conversation, what is marked in it, and what an operator writes."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fakes import CHAT, NOW, PERSON, delivery, text_body
from linqbot_operator.page.chat_view import STEPS, Lists, conversation
from office import PROXY, Seen, at_office
from one_handler import says
from storage.conftest import leased
from storages import open_storage
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived
from linqbot.client.call import prepare
from linqbot.clock import MovableClock
from linqbot.features.muted_chats import Mute, mute_chat, stored_mutes
from linqbot.linq.types.message import MessageContent, TextPart
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.journal import JournalEntry
from linqbot.storage.outcomes import OutcomeRow, message_of
from linqbot.testing import Phone

TEXT = "Dana here: the nuts are in the cake."


def desk() -> Bot:
    bot = Bot(typing=False, read=False, groups="all", loop_breaker=False)

    bot.on_message("hi")(says("Hello!"))

    @bot.on_message("boom", attempts=1)
    async def boom(message: MessageReceived, ctx: Context) -> None:
        raise ValueError("a secret")

    @bot.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("It is time.", after_s=7200)

    @bot.on_message("hush")
    async def hush(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute(for_s=3600, reason="a person was asked for")
        await ctx.reply("Wait.")

    @bot.on_reaction
    async def liked(event: Any, ctx: Context) -> None: ...

    return bot


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bot.db"


def spoken(said: list[Seen]) -> list[tuple[str, str]]:
    return [(each.who, each.text) for each in said]


async def write(person: Phone, *texts: str) -> None:
    for text in texts:
        await person.text(text)
        await person.quiet()


async def by_hand(phone: Phone, text: str) -> None:
    """Send a text that neither the bot nor the page has sent, as from Linq's dashboard."""
    await phone.client.chats.messages.send(phone.chat_id, message=MessageContent(parts=(TextPart(value=text),)))


async def test_both_sides_are_shown_in_their_order_with_who_spoke(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as dana, office.operator() as eve:
        guest = office.phone
        await write(guest, "hi")
        await by_hand(guest, "I look at it.")
        view = f"/chats/{guest.chat_id}"
        await dana.do(f"{view}/send", view, text=TEXT)
        async with office.browser(peer=PROXY, **{"x-user": "Dana"}) as named:
            await named.do(f"{view}/send", view, text="By name.")
            expected = [(guest.handle, "hi"), ("Bot", "Hello!"), ("Linq's dashboard, or a program", "I look at it.")]
            rows = ((dana, "You", "Dana"), (eve, "Operator", "Dana"), (named, "Operator", "You"))
            for one, first, second in rows:
                assert spoken(await one.chat(guest.chat_id)) == [*expected, (first, TEXT), (second, "By name.")]
            assert [each.looks.split()[1] for each in await dana.chat(guest.chat_id)] == [
                "person", "bot", "hand", "you", "operator",
            ]  # fmt: skip


async def test_the_people_of_a_group_are_named(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        bob = office.phone.person("+14155550143")
        group = office.phone.group(bob)
        await write(group, "hi")
        await write(group.by(bob), "me too")
        said = await operator.chat(group.chat_id)
        assert spoken(said) == [(office.phone.handle, "hi"), ("Bot", "Hello!"), (bob.handle, "me too")]
        assert '<ol id="said" class="group">' in (await operator.http.get(f"/chats/{group.chat_id}")).text


async def test_what_failed_waits_or_was_muted_is_marked_and_leads_to_its_why(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        await guest.text("boom")
        await guest.errors()
        await write(guest, "what", "later")
        guest.fail_next_message()
        await write(guest, "hi")
        guest.fail_next("chats.messages.send", status=400, code=1001)
        await guest.text("hi")
        await guest.errors()
        await write(guest, "hush", "hello?")
        said = await operator.chat(guest.chat_id)
        marks = {(each.text, each.mark) for each in said if each.mark}
        (boom,) = {mark for text, mark in marks if text == "boom"}
        at = f"Given up in {__name__}:desk.<locals>.boom: ValueError at test_chat_view.py:"
        assert boom.startswith(at)
        wanted = {
            ("what", "No handler took it: no filter fits."),
            ("Hello!", "Not delivered."),
            ("Not kept: see LINQBOT_KEEP_DAYS.", "Muted: not sent."),
            ("hello?", "Muted: the bot did not answer it."),
        }
        assert wanted <= marks, marks
        assert any(mark.startswith("Waits until ") for text, mark in marks if text == "It is time."), marks
        assert any("Linq refused chats.messages.send with 400/1001" in mark for _, mark in marks), marks
        html = (await operator.http.get(f"/chats/{guest.chat_id}")).text
        assert "The bot is muted here until" in html
        assert "a person was asked for" in html
        assert "a secret" not in html
        for who in re.findall(r'href="/why\?who=([^"]+)"', html):
            assert "is on record" not in await operator.see(f"/why?who={who}")
        retry, _ = re.findall(r'action="(/deliveries/[^"]+/retry)"', html)
        assert await operator.do(retry, f"/chats/{guest.chat_id}") == "1 delivery is handled again."
        await guest.errors()


async def test_a_text_from_the_page_mutes_the_bot_unless_it_is_to_go_on(url: str, subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, float, dict[str, str], bool]] = [
        ("as from the dashboard", 1800.0, {}, True),
        ("the box is ticked", 1800.0, {"goes_on": "on"}, False),
        ("Bot(mute_s=0)", 0.0, {}, False),
    ]
    for n, (name, mute_s, box, is_muted) in enumerate(rows):
        with subtests.test(name):
            async with at_office(desk(), f"{url}{n}", mute_s=mute_s) as office, office.operator() as operator:
                guest = office.phone
                await write(guest, "hi")
                view = f"/chats/{guest.chat_id}"
                with capture_logs() as logs:
                    said = await operator.do(f"{view}/send", view, text=TEXT, **box)
                assert said == ("Sent. The bot is muted here." if is_muted else "Sent.")
                assert TEXT not in repr(logs)
                mutes = [(each.chat_id, each.until, each.reason) for each in await stored_mutes(office.storage)]
                reason = "An operator writes here"
                assert mutes == ([(guest.chat_id, office.clock.now() + 1800, reason)] if is_muted else [])
                await write(guest, "hi")
                replies = [str(each) for each in guest.messages if each.from_bot]
                assert replies == ["Hello!", TEXT, *([] if is_muted else ["Hello!"])]
                acts = [(each.what, each.about) for each in await office.storage.acts()]
                assert acts == [*([("mute", guest.chat_id)] if is_muted else []), ("send", guest.chat_id)]
                if is_muted:
                    assert "The bot answers again" in await operator.do(f"{view}/unmute", view)
                    assert "Unmute" not in await operator.see(view)


async def test_a_longer_mute_stays_when_an_operator_writes(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        await write(guest, "hi")
        mute = Mute(guest.chat_id, guest.now + 7200, reason="closed", since=guest.now)
        await mute_chat(office.storage, mute)
        view = f"/chats/{guest.chat_id}"
        assert await operator.do(f"{view}/send", view, text=TEXT) == "Sent."
        assert [(each.until, each.reason) for each in await stored_mutes(office.storage)] == [(mute.until, "closed")]


async def test_a_text_that_linq_refuses_is_in_the_box_again(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        await write(guest, "hi")
        view = f"/chats/{guest.chat_id}"
        guest.fail_next("chats.messages.send", status=403, code=2004)
        written = "</textarea>Dana"
        form = {**await operator.token(view), "text": written}
        assert (await operator.http.post(f"{view}/send", data=form)).status_code == 303
        html = (await operator.http.get(view)).text
        assert "Linq refused it: 403/2004. The bot is muted here all the same." in html
        assert ">&lt;/textarea&gt;Dana</textarea>" in html
        assert "Dana</textarea>" not in (await operator.http.get(view)).text, "it is given back once"


async def test_a_text_is_shown_as_it_is_and_no_file_of_it_is_loaded(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        await guest.media(b"x" * 2_345_678, "menu.pdf", text="<script>alert(1)</script>\u202e")
        await guest.link("https://example.com/a?b=1&c=2")
        await guest.quiet()
        first = guest.messages[0]
        await guest.react(first, "love")
        await guest.edit(first, "<b>two</b>\nlines")
        await guest.quiet()
        html = (await operator.http.get(f"/chats/{guest.chat_id}")).text
        assert "&lt;b&gt;two&lt;/b&gt;\nlines</p>" in html
        assert "<bdi>menu.pdf, 2.3 MB</bdi>" in html
        assert "https://example.com/a?b=1&amp;c=2</p>" in html
        assert "love by +14155550142" in html
        assert "Edited" in html
        assert f"reaction.added: {__name__}:desk.<locals>.liked" in unescape(html)
        loads = re.findall(r'(?:src|href|srcset|poster|data)="([^"]*)"', html)
        assert [each for each in loads if not each.startswith(("/", "#"))] == []


async def test_a_long_conversation_shows_the_newest_and_earlier_ones_when_asked(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        texts = [f"note {n}" for n in range(120)]
        await write(guest, *texts)
        assert [each.text for each in await operator.chat(guest.chat_id)] == texts[-STEPS[0] :]
        html = (await operator.http.get(f"/chats/{guest.chat_id}")).text
        ((show, anchor),) = re.findall(r'\?show=(\d+)#([^"]+)">Show earlier messages', html)
        assert f'id="{anchor}"' in html
        assert [each.text for each in await operator.chat(guest.chat_id, show=show)] == texts
        assert "Show earlier" not in (await operator.http.get(f"/chats/{guest.chat_id}?show={show}")).text
        for odd in ("7", "-1", "99999", "x"):
            assert len(await operator.chat(guest.chat_id, show=odd)) == STEPS[0]


async def test_it_says_why_a_text_is_not_there(url: str, subtests: pytest.Subtests) -> None:
    async with at_office(desk(), url, asks_linq=False) as office, office.operator() as operator:
        guest = office.phone
        await write(guest, "hi")
        await guest.text("boom")
        await guest.errors()
        with subtests.test("Linq cannot be asked, and the storage keeps what was given up"):
            reason = "Not kept. Linq was not asked: LINQ_API_V3_API_KEY is not set."
            said = await operator.chat(guest.chat_id)
            assert spoken(said) == [("A person", reason), ("Bot", reason), (guest.handle, "boom")]
            assert "Only what the storage keeps is shown." in await operator.see(f"/chats/{guest.chat_id}")
    async with at_office(desk(), f"{url}2") as office, office.operator() as operator:
        guest = office.phone
        guest.emulator.world.state.lines[guest.line].zero_retention = True
        await write(guest, "hi")
        with subtests.test("zero retention"):
            private = "Not kept: the line has zero retention."
            assert {each.text for each in await operator.chat(guest.chat_id)} == {private}


async def test_without_linq_the_texts_are_those_of_the_history(url: str) -> None:
    asked = delivery(text_body("hi"))
    message = {"parts": [{"type": "text", "value": "Hello!"}]}
    call = prepare("chats.messages.send", path={"chatId": CHAT}, body={"message": message}).to_json()
    begun = JournalEntry(asked.id, 0, "0", "k", "keyed", call, "attempting", NOW + 1)
    answered = begun.with_outcome("accepted", b"{}", message_id="m-1", chat_id=CHAT)
    facts = (asked.id, asked.lane, asked.type, message_of(asked), None, NOW)
    commit = Commit(Ack(), entries=[answered], record=OutcomeRow(*facts, "handled", "bot:hi"))
    not_kept = "Not kept. Linq was not asked: LINQ_API_V3_API_KEY is not set."
    for keep_days, expected in (
        (1.0, [(PERSON, "hi"), ("Bot", "Hello!")]),
        (0.0, [("A person", not_kept), ("Bot", not_kept)]),
    ):
        clock = MovableClock(NOW, frozen=True)
        async with open_storage(f"{url}{keep_days}", serving=True, clock=clock, keep_days=keep_days) as storage:
            lease = await leased(storage, asked)
            await storage.begin(begun, lease)
            await storage.finish(lease, commit)
            shown = await conversation(
                storage, Lists(None), CHAT, is_group=False, is_you=lambda *_: False, most=STEPS[0], now=NOW + 2
            )
        assert [(each.name, each.text or each.no_text) for each in shown.said] == expected


async def test_the_script_asks_for_what_is_new_and_linq_is_asked_only_then(url: str) -> None:
    async with at_office(desk(), url) as office, office.operator() as operator:
        guest = office.phone
        await write(guest, "hi")
        live = f"/chats/{guest.chat_id}/live"

        def asked() -> int:
            return sum(call.name == "chats.messages.list" for call in guest.calls)

        first = await operator.http.get(live)
        assert "Hello!" in first.text
        assert "<html" not in first.text
        before, version = asked(), {"if-none-match": first.headers["etag"]}
        for _ in range(3):
            assert (await operator.http.get(live, headers=version)).status_code == 304
        assert asked() == before
        await write(guest, "what")
        changed = await operator.http.get(live, headers=version)
        assert (changed.status_code, changed.headers["etag"] != version["if-none-match"]) == (200, True)
        assert "No handler took it" in changed.text
        assert asked() == before + 1
        await by_hand(guest, "From the dashboard.")
        office.clock.stop_at(office.clock.now() + 21)
        assert "From the dashboard." in (await operator.http.get(live)).text
        async with office.browser() as stranger:
            assert (await stranger.http.get(live)).status_code == 401
