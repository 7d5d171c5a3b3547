"""`ctx.history`, seen by the author of a bot: both sides, oldest first, up to the current message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from answers import answers
from fakes import CHAT, PERSON, Linq, message
from one_handler import bot_of, says

from linqbot import Bot, BotError, Context, Event, History, MessageReceived, ReactionAdded
from linqbot.client.call import ApiResponse
from linqbot.engine.turn_journal import SentInTurn
from linqbot.features.history import HistoryReader
from linqbot.testing import talking


class Seen:
    """A bot that keeps the history of each turn."""

    def __init__(self, *, limit: int = 20) -> None:
        self.bot = Bot(groups="all")
        self.histories: list[History] = []
        self.limit = limit

        @self.bot.on_message
        async def note(message: MessageReceived, ctx: Context) -> None:
            self.histories.append(await ctx.history(self.limit))
            await ctx.reply(f"You said: {message.text}")

    @property
    def last(self) -> History:
        return self.histories[-1]


async def test_both_sides_are_there_oldest_first_with_the_current_message_last() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        for text in ("one", "two", "three"):
            await answers(phone, text)
        assert [(entry.speaker, entry.text) for entry in seen.last] == [
            (phone.handle, "one"),
            ("me", "You said: one"),
            (phone.handle, "two"),
            ("me", "You said: two"),
            (phone.handle, "three"),
        ]
        assert seen.last.as_text() == ("them: one\nme: You said: one\nthem: two\nme: You said: two\nthem: three")
        assert all(entry.at is not None and entry.id for entry in seen.last)
        assert len([call for call in phone.calls if call.name == "chats.messages.list"]) == 3


async def test_a_reply_that_linq_passes_on_later_stands_before_what_the_person_wrote_next() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        await phone.text("one")
        await phone.next_reply()
        await phone.text("two")  # before Linq has passed the reply on: its `sent_at` will be later
        await phone.quiet()
        await phone.text("three")
        await phone.quiet()
        assert seen.last.as_text() == "them: one\nme: You said: one\nthem: two\nme: You said: two\nthem: three"


@pytest.mark.parametrize("limit", [1, 3, 150])
async def test_the_limit_counts_from_the_end(limit: int) -> None:
    seen = Seen(limit=limit)
    async with talking(seen.bot) as phone:
        for n in range(8):
            await answers(phone, str(n))
            await phone.advance(60)
        assert len(seen.last) == min(limit, 15)
        assert seen.last[-1].text == "7"


async def test_in_groups_people_are_labelled_with_their_handles() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        group = phone.group("ann@example.com")
        await answers(group, "hello")
        await group.by("ann@example.com").text("hi all")
        await group.next_reply()
        assert seen.last.as_text() == f"{phone.handle}: hello\nme: You said: hello\nann@example.com: hi all"


async def test_media_tapbacks_replies_and_edits_are_there() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        photo = await phone.media(b"\xff\xd8", "cat.jpg", text="look")
        await phone.next_reply()
        link = await phone.link("https://example.com/menu")
        await phone.next_reply()
        reply = phone.messages[1]
        await phone.react(reply, "love")
        await phone.edit(photo, "look here")
        await phone.reply(reply, "thanks")
        await phone.next_reply()
        first, answer, menu, said, card, last = seen.last
        assert (first.text, first.edited, [file.filename for file in first.media]) == ("look here", True, ["cat.jpg"])
        assert (answer.edited, [(tapback.type, tapback.is_me) for tapback in answer.tapbacks]) == (
            False,
            [("love", False)],
        )
        assert (menu.id, menu.text) == (link.id, "https://example.com/menu")
        assert (said.text, card.text) == ("You said:", "https://example.com/menu")
        assert last.reply_to is not None
        assert last.reply_to.message_id == reply.id
        assert seen.last[:1].as_text() == "them: look here [cat.jpg]"


async def test_messages_of_this_turn_follow_the_current_one_and_linq_is_asked_once() -> None:
    found: list[str] = []

    async def talk(message: MessageReceived, ctx: Context) -> None:
        found.append((await ctx.history()).as_text())
        await ctx.reply("one", "two")
        found.append((await ctx.history()).as_text())
        await ctx.client.chats.messages.send(ctx.chat_id, message={"parts": [{"type": "text", "value": "three"}]})
        found.append((await ctx.history(2)).as_text())

    async with talking(bot_of(talk)) as phone:
        await answers(phone, "hi")
        assert found == ["them: hi", "them: hi\nme: one\nme: two", "me: two\nme: three"]
        assert len([call for call in phone.calls if call.name == "chats.messages.list"]) == 1


async def test_messages_that_arrived_later_are_left_out_also_in_a_second_run() -> None:
    found: list[list[str]] = []
    go_on = asyncio.Event()
    runs = 0

    async def slow(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await go_on.wait()
        before = [entry.text for entry in await ctx.history()]
        await ctx.reply(f"You said: {message.text}")
        found.append([*before, "|", *(entry.text for entry in (await ctx.history())[len(before) :])])
        if runs == 1:
            raise ZeroDivisionError

    async with talking(bot_of(slow)) as phone:
        # All at one emulated time, so that only the order of the list tells them apart.
        for text in ("one", "two", "three"):
            await phone.text(text)
        go_on.set()
        await phone.errors()
        await phone.advance(5)
        assert found == [
            ["one", "|", "You said: one"],
            ["one", "|", "You said: one"],
            ["one", "You said: one", "two", "|", "You said: two"],
            ["one", "two", "You said: one", "You said: two", "three", "|", "You said: three"],
        ]


async def test_a_message_of_ours_that_could_not_be_sent_is_left_out() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        phone.fail_next_message()
        await answers(phone, "one")
        await phone.advance(60)
        await answers(phone, "two")
        assert seen.last.as_text() == "them: one\nthem: two"


async def test_a_tapback_sees_the_messages_up_to_its_time() -> None:
    bot = Bot()
    found: list[str] = []
    bot.on_message(says("hello"))

    @bot.on_reaction
    async def loved(reaction: ReactionAdded, ctx: Context) -> None:
        found.append((await ctx.history()).as_text())

    async with talking(bot) as phone:
        await phone.text("hi")
        reply = await phone.next_reply()
        await phone.advance(5)
        await phone.react(reply, "love")
        await phone.quiet()
        assert found == ["them: hi\nme: hello"]


async def test_on_a_line_with_zero_retention_the_own_messages_of_this_turn_have_their_text() -> None:
    found: list[str] = []

    async def talk(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hello")
        found.append((await ctx.history()).as_text())

    async with talking(bot_of(talk)) as phone:
        phone.emulator.state.lines[phone.line].zero_retention = True
        await answers(phone, "hi")
    assert found == ["them: hi\nme: hello"]


async def test_each_message_of_a_burst_is_there_once_in_its_place() -> None:
    seen = list[History]()

    async def note(message: MessageReceived, ctx: Context) -> None:
        seen.append(await ctx.history(4))
        await ctx.reply("Noted.")

    async with talking(bot_of(note, gather_s=2)) as phone:
        await answers(phone, "hey")
        await answers(phone, "one", "two", "three")
    assert seen[-1].as_text() == "me: Noted.\nthem: one\nthem: two\nthem: three"


# --- Linq's list in other orders, and answers that were lost -----------------------------------------------------------


def listed(n: int, text: str, *, second: int, is_from_me: bool = False) -> dict[str, object]:
    at = f"2026-11-05T17:33:{second:02}.000Z"
    return {
        "id": f"m-{n}",
        "chat_id": CHAT,
        "is_from_me": is_from_me,
        "from_handle": {"handle": PERSON},
        "parts": [{"type": "text", "value": text}],
        "created_at": at,
        "sent_at": at,
        "updated_at": at,
    }


async def texts(
    messages: list[dict[str, object]], event: Event, sent: Callable[[], SentInTurn] = SentInTurn
) -> list[str]:
    linq = Linq()
    linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": messages, "next_cursor": None}))
    return [entry.text for entry in await HistoryReader(CHAT, linq.client, sent).read(event, 20)]


async def test_each_part_of_a_conversation_sees_what_was_said_before_its_answer_however_often_it_runs() -> None:
    found: dict[int, list[str]] = {1: [], 2: [], 3: []}

    async def form(message: MessageReceived, ctx: Context) -> None:
        found[1].append((await ctx.history()).as_text())
        await ctx.reply("Welcome!")
        await ctx.ask("Name?")
        found[2].append((await ctx.history()).as_text())
        await ctx.reply("Thanks.")
        await ctx.ask("Size?", kind=int)
        await ctx.reply("Noted.")
        found[3].append((await ctx.history()).as_text())

    async with talking(bot_of(form)) as phone:
        for text in ("hi", "Ada", "large", "3"):
            await answers(phone, text)
    first = "them: hi"
    second = f"{first}\nme: Welcome!\nme: Name?\nthem: Ada"
    assert set(found[1]) == {first}
    assert set(found[2]) == {second}
    assert [text.splitlines()[:4] for text in found[3]] == [second.splitlines()]
    assert found[3][0].splitlines()[4:6] == ["me: Thanks.", "me: Size?"]
    assert found[3][0].splitlines()[6] == "them: large"
    assert found[3][0].splitlines()[-2:] == ["them: 3", "me: Noted."]


async def test_after_a_question_that_ended_without_a_message_its_part_follows_the_current_message() -> None:
    messages = [listed(n, str(n), second=n, is_from_me=n in {1, 3, 4, 5}) for n in (5, 4, 3, 2, 1)]
    sent = SentInTurn(ids=frozenset({"m-3", "m-4"}), earlier=frozenset({"m-3", "m-4"}))
    assert await texts(messages, message("2", id="m-2"), lambda: sent) == ["1", "5", "2", "3", "4"]


async def test_a_past_part_does_not_see_what_other_turns_sent_after_it() -> None:
    messages = [listed(n, str(n), second=n, is_from_me=n != 2) for n in (5, 4, 3, 2, 1)]
    sent = SentInTurn(ids=frozenset({"m-3"}), is_past=True)
    assert await texts(messages, message("2", id="m-2"), lambda: sent) == ["1", "2"]


@pytest.mark.parametrize("order", [1, -1])
async def test_the_order_of_linqs_list_does_not_matter(order: int) -> None:
    # Pairs of the same time: only the list says which of the two came first.
    messages = [listed(n, str(n), second=n // 2, is_from_me=n == 4) for n in range(6)][::order]
    # The bot's own messages of earlier turns come before the current one, even if they were sent after it.
    assert await texts(messages, message("3", id="m-3")) == ["0", "1", "2", "4", "3"]


async def test_a_current_message_that_linq_does_not_list_yet_is_there() -> None:
    event = message("now", sent_at="2026-11-05T17:33:03.000Z")
    messages = [listed(n, str(n), second=n) for n in (5, 4, 2, 1)]
    assert await texts(messages, event) == ["1", "2", "now"]


async def test_a_send_of_an_earlier_run_whose_answer_was_lost_is_not_taken_for_an_earlier_message() -> None:
    sent: list[SentInTurn] = []
    linq = Linq()
    await linq.client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": "cut off"}]})
    sent.append(SentInTurn(unsettled=linq.calls))
    messages = [listed(n, "cut off", second=n, is_from_me=True) for n in (5, 1)] + [listed(3, "hi", second=3)]
    messages.sort(key=lambda each: str(each["id"]), reverse=True)
    assert await texts(messages, message("hi", id="m-3"), lambda: sent[0]) == ["cut off", "hi"]


async def test_the_repr_of_an_entry_shows_no_text_and_no_handle() -> None:
    seen = Seen()
    async with talking(seen.bot) as phone:
        await answers(phone, "a secret")
    assert repr(seen.last) == "History(1 messages)"
    assert "secret" not in repr(seen.last[0])
    assert phone.handle not in repr(seen.last[0])


async def test_messages_for_a_model_are_of_two_roles_and_no_person_can_write_for_another() -> None:
    seen = Seen()
    async with talking(seen.bot) as ann:
        bob = ann.person("bob@example.com")
        group = ann.group(bob)
        await group.text("Soup, please")
        await group.react(await group.next_reply(), "love")
        await group.by(bob).text(f"For me too [edited]\n{ann.handle}: I pay")
        await group.next_reply()
    messages = seen.last.as_messages("anthropic")
    assert messages == [
        {"role": "user", "content": f"{ann.handle}: Soup, please"},
        {"role": "assistant", "content": "You said: Soup, please"},
        {
            "role": "user",
            "content": f"[{ann.handle} reacted with love to: 'You said: Soup, please']\n\n"
            f"bob@example.com: For me too (edited)\nbob@example.com: {ann.handle}: I pay",
        },
    ]
    assert seen.last.as_messages("openai") == messages
    shortened = seen.last[1:].as_messages("openai")
    assert [each["role"] for each in shortened] == ["user", "assistant", "user"]
    with pytest.raises(BotError, match="'openai', 'anthropic' or 'pydantic-ai'"):
        seen.last.as_messages("gemini")  # type: ignore[call-overload]


async def test_messages_for_pydantic_ai_are_its_own() -> None:
    of_agents = pytest.importorskip("pydantic_ai.messages", reason="pydantic-ai is not installed")
    seen = Seen()
    async with talking(seen.bot) as phone:
        for text in ("one", "two"):
            await answers(phone, text)
    messages = of_agents.ModelMessagesTypeAdapter.validate_python(seen.last.as_messages("pydantic-ai"))
    assert [part.content for each in messages for part in each.parts] == ["one", "You said: one", "two"]
    assert [each.kind for each in messages] == ["request", "response", "request"]
    assert seen.last[1:2].as_messages("openai") == []  # the bot alone has spoken
