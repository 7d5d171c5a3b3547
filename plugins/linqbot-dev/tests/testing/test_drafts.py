"""Files, voice memos, stickers, polls, contact cards and location requests, as a phone shows them and through crashes."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path

import pytest
from answers import answers
from fakes import settled
from linqbot_dev.testing.phone import Service
from one_handler import bot_of, does
from refusing import Refusing

from linqbot import (
    AppClipPart,
    Bot,
    BotError,
    Client,
    Context,
    MessageReceived,
    Posted,
    Saved,
    Sent,
    app_card,
    contact_card,
    location_request,
    media,
    poll,
    sticker,
    voice_memo,
)
from linqbot.content import typing as dots
from linqbot.content.drafts import MediaDraft, PollDraft
from linqbot.testing import Phone, killed_between_calls, talking

PNG = b"\x89PNG\r\n\x1a\n"
APP = {"team_id": "ABCDE12345", "bundle_id": "com.example.parcels", "name": "Parcels"}


def uploads(phone: Phone) -> int:
    return sum(call.name == "attachments.create" for call in phone.calls)


def said(phone: Phone) -> list[str]:
    """Return the bot's messages: their texts and the names of their files."""
    return [
        "|".join([bubble, *(part.filename or "" for part in bubble.media)])
        for bubble in phone.messages
        if bubble.from_bot
    ]


async def test_files_from_everywhere_share_one_message(tmp_path: Path) -> None:
    (tmp_path / "menu.png").write_bytes(PNG)
    # Some file systems have names that are not UTF-8. Python reads the byte E9 as a lone surrogate.
    (tmp_path / "caf\udce9.png").write_bytes(PNG + b"3")

    async def show(message: MessageReceived, ctx: Context) -> None:
        opened = io.BytesIO(b"Name,Time\n")
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(PNG + b"4")
            temporary.seek(0)
            await ctx.reply(media(temporary, filename="temporary.png"), media(tmp_path / "caf\udce9.png"))
        await ctx.reply(
            "Today:",
            media(tmp_path / "menu.png"),
            media(PNG + b"2", filename="soup.png"),
            media(opened, filename="times.csv"),
            media("https://example.com/trout.jpg"),
            sticker(PNG, filename="yum.png"),
        )

    async with talking(bot_of(show)) as phone:
        assert await answers(phone, "menu") == ["", "Today:"]
        assert said(phone) == ["|temporary.png|caf?.png", "Today:|menu.png|soup.png|times.csv|trout.jpg|yum.png"]
        assert uploads(phone) == 6


async def test_one_opened_file_is_sent_to_several_chats_at_a_time() -> None:
    content = bytes(range(256)) * 4096
    opened = io.BytesIO(b"before" + content)
    opened.seek(len(b"before"))
    film = media(opened, filename="film.mp4")
    async with talking(bot_of(does(lambda ctx: ctx.reply(film)))) as phone:
        people = [phone.person(f"+1415555020{number}") for number in range(8)]
        await asyncio.gather(*(person.text("film") for person in people))
        for person in people:
            (part,) = (await person.next_reply()).media
            assert (await phone.client.fetch(part)).content == content


async def test_half_an_emoji_in_a_file_name_is_repaired_as_in_a_text() -> None:
    async with talking(bot_of(does(lambda ctx: ctx.reply(media(PNG, filename="half\ud83d.png"))))) as phone:
        await phone.text("menu")
        assert [part.filename for part in (await phone.next_reply()).media] == ["half\ufffd.png"]


@pytest.mark.slow
async def test_a_file_is_uploaded_once_and_sent_once_wherever_the_bot_is_killed() -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        logo = media(PNG, filename="logo.png")
        await ctx.reply("Here:", logo)
        await ctx.reply(logo)
        await ctx.reply("Bye")

    async for phone in killed_between_calls(bot_of(show), lambda phone: phone.text("logo?")):
        assert said(phone) == ["Here:|logo.png", "|logo.png", "Bye"]
        # Once more only if the upload was cut off before it was recorded.
        was_recorded = phone.killed is None or phone.killed.endswith(("messages.send", "storage.finish"))
        assert uploads(phone) == 1 or not was_recorded


async def everything(message: MessageReceived, ctx: Context) -> None:
    sent = await ctx.reply(
        "One",
        voice_memo(b"memo", text="Hello!", filename="memo.m4a"),
        "Lunch?",
        poll("Thai", "Pizza"),
        contact_card(),
        location_request(),
        "End",
        effect="confetti",
    )
    results.append(sent)


results: list[Sent] = []


async def with_card(phone: Phone) -> None:
    await phone.client.contact_card.create(phone_number=phone.line, first_name="Harbor")


async def test_acts_come_in_their_order_on_imessage() -> None:
    async with talking(bot_of(everything)) as phone:
        await with_card(phone)
        await answers(phone, "hi")
        one, memo, lunch, votes, end = (bubble for bubble in phone.messages if bubble.from_bot)
        assert (one, lunch, end) == ("One", "Lunch?", "End")
        assert memo.is_voice_memo
        assert list(votes.votes) == ["Thai", "Pizza"]
        assert [bubble.effect for bubble in (one, lunch, end)] == [None, None, "confetti"]
        sent = results.pop()
        assert [message.id for message in sent.messages] == [one.id, memo.id, lunch.id, votes.id, end.id]
        assert (sent.status, sent.degraded) == ("accepted", ())
        names = [call.name for call in phone.calls]
        assert names.index("chats.share_contact_card") < names.index("chats.location.request")


async def test_the_first_message_has_the_thread_and_the_last_the_effect_wherever_a_poll_or_a_memo_is() -> None:
    bot = Bot()

    @bot.on_message("lunch")
    async def lunch(message: MessageReceived, ctx: Context) -> None:
        votes = poll("Thai", "Pizza")
        results.append(await ctx.reply(votes, "Vote!", "Now!", votes, effect="confetti", thread=True))

    @bot.on_message("poll")
    async def only_a_poll(message: MessageReceived, ctx: Context) -> None:
        votes = poll("Thai", "Pizza")
        assert ctx.preview(votes, effect="confetti").imessage.degraded == ("effect",)
        results.append(await ctx.reply(votes, effect="confetti"))

    async with talking(bot) as phone:
        asked = await phone.text("lunch")
        shown = [(bubble, bubble.thread, bubble.effect) for bubble in await phone.replies()]
        assert shown == [("", None, None), ("Vote!", asked.id, None), ("Now!", None, "confetti"), ("", None, None)]
        assert results.pop().degraded == ()
        await answers(phone, "poll")
        assert results.pop().degraded == ("effect",)


@pytest.mark.slow
async def test_acts_never_come_twice_wherever_the_bot_is_killed() -> None:
    acts = (voice_memo(b"memo", filename="memo.m4a"), poll("Thai", "Pizza"), contact_card())

    async def talk(phone: Phone) -> None:
        await with_card(phone)
        await phone.text("hi")

    async for phone in killed_between_calls(bot_of(does(lambda ctx: ctx.reply(*acts))), talk, copies=3):
        shown = [bubble for bubble in phone.messages if bubble.from_bot]
        assert sum(bool(bubble.votes) for bubble in shown) == 1
        # Linq knows no idempotency key for these, so a call that was cut off is not made again.
        assert sum(bubble.is_voice_memo for bubble in shown) <= 1
        done = [call.name for call in phone.calls if call.is_accepted]
        assert done.count("chats.share_contact_card") <= 1
        if phone.killed is None:
            assert len(shown) == 2


async def test_sms_gets_plainer_forms_and_sent_says_which() -> None:
    async with talking(bot_of(everything), service="SMS") as phone:
        await with_card(phone)
        assert await answers(phone, "hi") == ["One", "Hello!", "Lunch?", "1. Thai\n2. Pizza", "End"]
        assert results.pop().degraded == ("voice_memo", "poll", "location_request", "effect")


async def test_an_app_card_is_text_and_a_memo_without_words_a_file_on_rcs() -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        card = app_card(APP, caption="Parcel 7", subcaption="On its way", url="https://example.com/7")
        sent = await ctx.reply(card, voice_memo(b"memo", filename="memo.m4a"), sticker(PNG, filename="yum.png"))
        results.append(sent)

    async with talking(bot_of(show), service="RCS") as phone:
        await answers(phone, "hi")
        assert said(phone) == ["Parcel 7\nOn its way\nhttps://example.com/7|memo.m4a|yum.png"]
        assert results.pop().degraded == ("app_card", "voice_memo", "sticker")


@pytest.mark.parametrize("service", ["iMessage", "SMS", "RCS"])
async def test_an_app_card_in_a_question_and_in_a_scheduled_send_is_text_too_where_there_are_no_cards(
    service: Service,
) -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        card = app_card(APP, caption="Parcel 7")
        await ctx.send_later(card, sticker(PNG, filename="yum.png"), after_s=60)
        await ctx.ask(card)

    async with talking(bot_of(show), service=service) as phone:
        await phone.text("hi")
        await phone.advance(60)
        cards = ["", "", "|yum.png"] if service == "iMessage" else ["Parcel 7", "Parcel 7|yum.png"]
        assert said(phone) == cards


async def test_an_event_without_a_service_is_answered_in_the_forms_of_its_chat() -> None:
    bot = bot_of(does(lambda ctx: ctx.reply("Hello!")))

    @bot.on_post("shipped")
    async def shipped(post: Posted, ctx: Context) -> None:
        await ctx.reply("It is on its way.")
        await ctx.reply("See https://example.com/7 now.", voice_memo(b"memo", text="Hi!", filename="memo.m4a"))
        await ctx.send_later(app_card(APP, caption="Parcel 7"), after_s=60)

    async with talking(bot, service="RCS") as phone:
        await phone.text("hi")
        await phone.post("shipped", {})
        await phone.advance(60)
        assert said(phone)[1:] == ["It is on its way.", "See https://example.com/7 now.", "Hi!", "Parcel 7"]
        assert [call.name for call in phone.calls].count("chats.retrieve") == 1


async def test_the_service_of_a_post_is_asked_once_for_all_tasks_and_steps_of_its_handler() -> None:
    bot = bot_of(does(lambda ctx: ctx.reply("Hello!")))

    @bot.on_post("shipped")
    async def shipped(post: Posted, ctx: Context) -> None:
        await ctx.once("service", lambda key: "express", kind=str)
        await asyncio.gather(*(ctx.reply(f"See https://example.com/{n} now.") for n in (1, 2)))

    async with talking(bot, service="RCS") as phone:
        await phone.text("hi")
        await phone.post("shipped", {})
        await phone.quiet()
        assert said(phone)[1:] == ["See https://example.com/1 now.", "See https://example.com/2 now."]
        assert [call.name for call in phone.calls].count("chats.retrieve") == 1


async def test_a_card_is_text_if_linq_refuses_it_because_the_chat_has_left_imessage() -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        phone.person(phone.handle, service="SMS")
        results.append(await ctx.reply(app_card(APP, caption="Parcel 7")))
        results.append(await ctx.reply(AppClipPart(value="https://example.com/clip"), effect="slam", thread=True))
        card = await ctx.card(app_card(APP, caption="Packed"))
        await card.update(caption="Sent")

    async with talking(bot_of(show)) as phone:
        await answers(phone, "hi")
        assert said(phone) == ["Parcel 7", "https://example.com/clip", "Packed", "Sent"]
        assert [sent.degraded for sent in results[-2:]] == [("app_card",), ("app_card", "thread", "effect")]


@pytest.mark.slow
async def test_what_linq_refuses_is_sent_in_a_plainer_form_wherever_the_bot_is_killed() -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply(voice_memo(b"memo", text="Hello!", filename="memo.m4a"), poll("Thai", "Pizza"))
        results.append(sent)

    async def talk(phone: Phone) -> None:
        # Linq refuses once. A second attempt would be accepted, and must not be made.
        phone.fail_next("chats.send_voicememo", status=400, code=1005)
        phone.fail_next("chats.polls.create", status=400, code=1005)
        await answers(phone, "hi")

    async for phone in killed_between_calls(bot_of(show), talk):
        texts = [bubble for bubble in phone.messages if bubble.from_bot]
        if phone.killed is None:
            assert texts == ["Hello!", "1. Thai\n2. Pizza"]
            assert results[-1].degraded == ("voice_memo", "poll")
        # Killed before the refusal was stored, the same call is made again, and is accepted once.
        assert [text or "memo or poll" for text in texts] in [
            ["Hello!", "1. Thai\n2. Pizza"],
            ["memo or poll", "1. Thai\n2. Pizza"],
            ["Hello!", "memo or poll"],
            ["1. Thai\n2. Pizza"],
        ]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address has a file of no known type."""

    async def fetched(self: Client, url: str, path: Path, *, max_bytes: int) -> Saved:
        await asyncio.to_thread(path.write_bytes, PNG)
        return Saved(path, len(PNG), "application/octet-stream", None)

    monkeypatch.setattr(Client, "fetch_to", fetched)


@pytest.mark.slow
async def test_a_file_that_linq_cannot_fetch_is_uploaded_wherever_the_bot_is_killed(web: None) -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Big:", media("https://example.com/wall%20paper.png"), effect="slam")

    async def talk(phone: Phone) -> None:
        phone.fail_next("chats.messages.send", status=400, code=5007)
        await phone.text("hi")

    async for phone in killed_between_calls(bot_of(show), talk):
        assert said(phone) == ["Big:|wall paper.png"]
        assert phone.messages[-1].effect == "slam"
        if phone.killed is None:
            assert uploads(phone) == 1


async def test_a_file_that_linq_cannot_fetch_keeps_the_name_and_the_type_that_were_given(web: None) -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(media("https://example.com/get?id=1", filename="sofa.png", content_type="image/png"))

    async with talking(bot_of(show)) as phone:
        phone.fail_next("chats.messages.send", status=400, code=5007)
        await phone.text("hi")
        await phone.next_reply()
        assert said(phone) == ["|sofa.png"]


async def test_a_plugin_that_vetoes_an_upload_vetoes_the_send() -> None:
    statuses = list[str]()

    async def show(message: MessageReceived, ctx: Context) -> None:
        logo = media(PNG, filename="logo.png")
        statuses.append((await ctx.reply("Here:", logo, poll("Thai", "Pizza"))).status)
        statuses.append((await ctx.bot.send(logo, to="+14155550187")).status)
        await ctx.chat.set_icon(PNG, filename="logo.png")
        statuses.append("end")

    async with talking(bot_of(show, plugins=[Refusing(lambda call: True, "It is night.")], groups="all")) as phone:
        await phone.group("+14155550143").text("logo?")
        await phone.quiet()
        assert statuses == ["refused", "refused", "end"]
        assert await phone.dead_letters() == []


async def test_the_contact_card_is_shared_once_a_day() -> None:
    async with talking(bot_of(does(lambda ctx: ctx.reply("Hello!", contact_card())))) as phone:
        assert await answers(phone, "no card yet") == ["Hello!"]
        await with_card(phone)
        for pause_s, shares in ((0, 1), (60, 1), (3600, 1), (86_400, 2)):
            await phone.advance(pause_s)
            assert await answers(phone, "hi") == ["Hello!"]
            accepted = [call.name for call in phone.calls if call.is_accepted]
            assert accepted.count("chats.share_contact_card") == shares


async def test_a_contact_card_that_another_process_has_shared_holds_up_no_answer() -> None:
    bot = Bot()

    @bot.on_message("hi")
    async def greet(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello!", contact_card(), "How can I help?")
        await ctx.reply(f"Noted: {await ctx.ask('What is it?')}")

    bot.on_message(does(lambda ctx: ctx.client.chats.share_contact_card(ctx.chat_id)))

    async with talking(bot) as phone:
        await with_card(phone)
        await answers(phone, "your card?")
        await phone.restart()
        assert await answers(phone, "hi") == ["Hello!", "How can I help?", "What is it?"]
        assert await answers(phone, "Soup") == ["Noted: Soup"]


async def test_a_contact_card_that_a_handler_shares_holds_up_none_of_its_later_runs() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.contact_card.create(phone_number=str(message.line), first_name="Harbor")
        await ctx.client.chats.share_contact_card(ctx.chat_id)
        answers = [await ctx.ask(question) for question in ("Name?", "Dish?", "Drink?", "Time?")]
        await ctx.reply(", ".join(answers))

    async with talking(bot_of(greet)) as phone:
        for text in ("hi", "Ada", "Soup", "Tea", "Eight"):
            await phone.text(text)
            await phone.next_reply()
        assert phone.messages[-1] == "Ada, Soup, Tea, Eight"
        assert [call.name for call in phone.calls if "card" in call.name] == [
            "contact_card.create",
            "chats.share_contact_card",
        ]


async def test_files_can_be_returned_asked_scheduled_and_sent_to_others() -> None:
    bot = Bot()

    @bot.on_message("return")
    def returned(message: MessageReceived, ctx: Context) -> list[MediaDraft | PollDraft]:
        return [media(PNG, filename="returned.png"), poll("A", "B")]

    @bot.on_message
    async def rest(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Which?", media(PNG, filename="asked.png"))
        await ctx.send_later(media(PNG, filename="later.png"), after_s=60)
        await ctx.bot.send(media(PNG, filename="other.png"), to="+14155550187")

    async with talking(bot) as phone:
        await answers(phone, "return")
        await answers(phone, "ask")
        await phone.text("that one")
        await phone.advance(60)
        assert said(phone) == ["|returned.png", "", "Which?|asked.png", "|later.png"]
        assert said(phone.person("+14155550187")) == ["|other.png"]
        assert uploads(phone) == 4


@pytest.mark.parametrize("step", ["POST /v3/attachments", "PUT /uploads"])
@pytest.mark.parametrize("verb", ["reply", "ask", "send_later", "bot.send", "set_icon"])
async def test_an_outage_in_an_upload_defers_the_turn_whatever_the_handler_catches(step: str, verb: str) -> None:
    async def show(message: MessageReceived, ctx: Context) -> None:
        logo = media(PNG, filename="logo.png")
        try:
            match verb:
                case "reply":
                    await ctx.reply(logo)
                case "ask":
                    await ctx.ask("This one?", logo)
                case "send_later":
                    await ctx.send_later(logo, after_s=1)
                case "bot.send":
                    await ctx.bot.send(logo, to="+14155550187")
                case _:
                    await ctx.chat.set_icon(PNG, filename="logo.png")
        except BaseException:  # noqa: BLE001
            await ctx.reply("I have no logo.")

    async with talking(bot_of(show, groups="all")) as phone:
        group = phone.group("+14155550143")
        phone.fail_next(step, status=503, times=3)
        assert await answers(group, "logo?") == []
        assert await group.waiting() == 1
        await group.advance(60)
        assert "I have no logo." not in await group.replies()
        assert (await group.waiting(), await group.dead_letters()) == (0, [])
        assert phone.calls[-1].is_accepted


async def test_a_memo_of_a_kind_that_linq_does_not_take_is_refused_with_what_its_author_can_change() -> None:
    async with talking(bot_of(does(lambda ctx: ctx.reply(voice_memo(b"memo", filename="memo.opus"))))) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
        assert "R92" in str(error)
        assert "Correct filename=, or convert the file, such as to .mp3" in str(error)


def test_a_wrong_draft_is_refused_when_it_is_made() -> None:
    with pytest.raises(BotError, match="filename="):
        media(b"photo")
    with pytest.raises(BotError, match="not int"):
        media(7)  # type: ignore[arg-type]
    with pytest.raises(BotError, match="opened for reading text"):
        media(io.StringIO("a"), filename="a.txt")  # type: ignore[arg-type]
    with pytest.raises(BotError, match="two texts"):
        poll("Thai")


async def test_tasks_that_the_handler_does_not_await_send_their_files_and_show_no_typing_dots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dots, "DELAY_S", 0)

    async def start_and_forget(ctx: Context) -> None:
        asyncio.create_task(ctx.reply(media(PNG, filename="menu.png")))  # noqa: RUF006
        asyncio.create_task(ctx.send_later(media(PNG, filename="later.png"), after_s=1))  # noqa: RUF006

    async with talking(bot_of(does(start_and_forget), read=False)) as phone:
        (reply,) = await answers(phone, "menu")
        await phone.advance(1)
        later = await phone.next_reply()
        assert [part.filename for part in reply.media + later.media] == ["menu.png", "later.png"]
        await settled()
        await phone.quiet()
        assert not [call for call in phone.calls if call.path.endswith("/typing")]
