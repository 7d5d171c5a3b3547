"""`linqbot mute` and its end, next to a running bot: nothing is sent after it, nothing is lost, nothing is answered late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from answers import answers
from one_handler import does
from postgres_server import empty_storage_url
from storages import open_storage

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.errors import KeyMissing, StorageError
from linqbot.ops import mutes
from linqbot.ops.why import look
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.testing import Phone, talking

ANN, BOB, OWNER = "+14155550142", "+14155550143", "+14155550144"
PEOPLE = [f"+1415555032{n}" for n in range(4)]
BY = By("dana", "Dana answers")
on_each_backend = pytest.mark.parametrize(
    "desk", ["sqlite", pytest.param("postgres", marks=pytest.mark.process)], indirect=True
)
"""For how a running process notices a command, and for what the end of a mute stores."""


async def human(message: MessageReceived, ctx: Context) -> None:
    await ctx.handoff(to=OWNER, say="Dana answers.", name="Ann", owner_name="Dana", back_after_s=60_000)


class Desk:
    """A bot, its phone, and the operator's commands. A text such as "3 2" gets three replies, and a mute after two."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bot = bot = Bot(max_age_s=600, owner=OWNER, mute_word="bot off")
        self.phone: Phone
        self.muted_at = ""  # the step of a handler at which an operator mutes the bot everywhere

        @bot.on_message("name")
        async def name(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(f"Hello, {await ctx.ask('Your name?', timeout_s=600)}.")

        bot.on_message("human")(human)

        bot.on_message("later")(does(lambda ctx: ctx.send_later("It is time.", after_s=60)))
        bot.on_message("july")(
            does(lambda ctx: ctx.bot.broadcast([ANN, BOB], "July is out.", name="july", per_minute=60))
        )

        @bot.on_message("table")
        async def table(message: MessageReceived, ctx: Context) -> None:
            await self.step("begun")
            people = await ctx.ask("How many?", kind=int, timeout_s=6000)
            await self.step("answered")
            await ctx.reply(f"For {people}.")
            await self.step("replied")

        @bot.on_message("august")
        async def august(message: MessageReceived, ctx: Context) -> None:
            await ctx.bot.broadcast(PEOPLE, "August is out.", name=f"august-{message.message_id}", per_minute=60)

        @bot.on_message("tell bob")
        async def tell(message: MessageReceived, ctx: Context) -> None:
            sent = await ctx.bot.send("Hello, Bob.", to=BOB)
            await ctx.reply(sent.status)

        @bot.on_message
        async def count(message: MessageReceived, ctx: Context) -> None:
            if not message.text[0].isdigit():
                await ctx.reply(message.text)
                return
            replies, muted_after = (*map(int, message.text.split()), -1)[:2]
            for number in range(replies + 1):
                if number == muted_after:
                    await self.mute(None)
                if number < replies:
                    await ctx.reply(str(number))

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Storage]:
        clock = MovableClock(self.phone.now, frozen=True)
        async with open_storage(self.url, serving=False, clock=clock) as storage:
            yield storage

    async def step(self, name: str) -> None:
        if name == self.muted_at:
            self.muted_at = ""  # the handler runs again from its start when the answer comes
            await self.mute(None)

    async def mute(self, who: str | None, *, for_s: float | None = None, only_proactive: bool = False) -> None:
        async with self.operator() as storage:
            client, now = self.phone.client, self.phone.now
            await mutes.mute(storage, client, who, by=BY, now=now, for_s=for_s, only_proactive=only_proactive)

    async def unmute(self, who: str | None, *, catch_up: bool = False) -> mutes.Unmuted:
        async with self.operator() as storage:
            ended = await mutes.unmute(storage, self.phone.client, who, by=BY, now=self.phone.now, catch_up=catch_up)
        # The running process notices the change at its next write at the latest.
        await self.phone.person("+14155550399").text("0")
        return ended


@pytest.fixture
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    is_postgres = getattr(request, "param", "sqlite") == "postgres"
    url = empty_storage_url("mutes") if is_postgres else f"sqlite:///{tmp_path}/bot.db"
    desk = Desk(url)
    async with talking(desk.bot, handle=ANN, storage=url) as desk.phone:
        yield desk


@on_each_backend
async def test_nothing_is_sent_after_the_mute_wherever_it_comes_in_a_turn(desk: Desk) -> None:
    for after in range(4):
        phone = desk.phone.person(f"+1415555030{after}")
        assert await answers(phone, f"3 {after}") == ["0", "1", "2"][:after], after
        assert await answers(phone, "2") == []
        ended = await desk.unmute(None, catch_up=after % 2 == 0)
        # What the turn had not sent stays unsent; what came meanwhile is answered only on request.
        assert await phone.replies() == (["0", "1"] if after % 2 == 0 else [])
        assert (ended.caught_up, ended.gone) == (int(after % 2 == 0), 0)
        assert await answers(phone, "1") == ["0"]


@on_each_backend
async def test_messages_of_days_are_caught_up_with_in_order_once(desk: Desk) -> None:
    bob = desk.phone.person(BOB)
    await desk.phone.text("1")
    await desk.phone.quiet()
    await desk.mute(ANN)
    for text in ("2", "3"):
        await desk.phone.text(text)
        await desk.phone.advance(40_000)
        assert await answers(bob, "1") == ["0"]
    async with desk.operator() as storage:
        found = await look(storage, desk.phone.client, ANN, now=desk.phone.now)
    assert [each.answer.partition(".")[0] for each in found.cases[-2:]] == [
        "No handler took it: the bot is muted in this chat"
    ] * 2
    assert [mute.person for mute in found.mutes] == [ANN]
    assert await desk.phone.replies() == ["0"]
    assert (await desk.unmute(ANN, catch_up=True)).caught_up == 2
    assert await desk.phone.replies() == ["0", "1", "0", "1", "2"]
    await desk.mute(ANN)
    assert (await desk.unmute(ANN, catch_up=True)).caught_up == 0
    assert await desk.phone.replies() == []


async def test_a_mute_between_any_two_steps_of_a_question_sends_nothing_and_loses_nothing(desk: Desk) -> None:
    for n, (step, said) in enumerate(
        (
            ("begun", []),
            ("asked", ["How many?"]),
            ("answered", ["How many?"]),
            ("replied", ["How many?", "For 4."]),
        )
    ):
        desk.muted_at, guest = step, desk.phone.person(f"+1415555031{n}")
        await guest.text("table")
        if step == "asked":
            await guest.quiet()
            await desk.mute(None)
        assert await answers(guest, "4") == said, step
        await guest.text("5")
        await guest.quiet()
        await desk.unmute(None)
        assert await guest.replies() == [], step
        # A question that was asked is still open, and one that was never sent takes no message.
        assert await answers(guest, "1") == (["For 1."] if step == "asked" else ["0"]), step


@on_each_backend
async def test_a_mute_after_any_person_of_a_broadcast_sends_nothing_until_it_is_over(desk: Desk) -> None:
    def got() -> int:
        return sum(one.from_bot for each in PEOPLE for one in desk.phone.person(each).messages)

    for sent in range(1, 5):
        before = got()
        await desk.phone.text("august")
        await desk.phone.advance(sent - 1)
        await desk.mute(None)
        assert got() == before + sent
        await desk.phone.advance(60)
        assert got() == before + sent
        await desk.unmute(None)
        await desk.phone.advance(60)
        assert got() == before + 4


async def test_what_waits_goes_on_after_the_mute_of_all(desk: Desk) -> None:
    bob = desk.phone.person(BOB)
    await answers(bob, "1")
    await desk.phone.text("later")
    await desk.phone.text("name")
    assert await desk.phone.next_reply() == "Your name?"
    await bob.text("july")
    assert await desk.phone.next_reply() == "July is out."
    await desk.mute(None, for_s=3600)
    await desk.phone.advance(1800)
    assert (await desk.phone.replies(), await bob.replies()) == ([], [])
    await desk.phone.advance(1801)
    assert (await desk.phone.replies(), await bob.replies()) == (["It is time."], ["July is out."])
    assert await answers(desk.phone, "Ada") == ["Ada"]  # the time of the question was over in the mute


async def test_a_proactive_mute_lets_the_bot_answer(desk: Desk) -> None:
    bob = desk.phone.person(BOB)
    await answers(bob, "1")
    await desk.phone.text("later")
    await desk.mute(None, only_proactive=True)
    assert await answers(desk.phone, "tell bob") == ["muted"]
    await desk.phone.text("name")
    assert await desk.phone.next_reply() == "Your name?"
    assert await answers(desk.phone, "Ada") == ["Hello, Ada."]
    await desk.phone.advance(3600)
    assert (await desk.phone.replies(), await bob.replies()) == ([], [])
    await desk.unmute(None)
    assert await desk.phone.next_reply() == "It is time."


async def test_the_owner_mutes_all_chats_by_a_word(desk: Desk) -> None:
    owner = desk.phone.person(OWNER)
    assert await answers(desk.phone, "Bot off!") == ["Bot off!"]  # not the owner
    assert await answers(owner, "Bot off!") == ["The bot is silent in all chats. To end that, write: bot on"]
    for phone in (desk.phone, owner):
        assert await answers(phone, "1") == []
    assert await answers(owner, "bot on") == ["The bot answers again."]
    assert await answers(desk.phone, "1") == ["0"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"mute_word": "bot off"}, "needs the handle"),
        ({"owner": "(415) 555-0144", "mute_word": "bot off"}, "owner"),
        ({"owner": OWNER, "mute_word": "stop"}, "opts out"),
        ({"owner": OWNER, "mute_word": " "}, "takes a word"),
        ({"owner": OWNER, "mute_word": "bot on"}, "same word"),
    ],
)
def test_a_word_that_cannot_be_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(BotError, match=says):
        Bot(**how)


async def test_wrong_orders_say_what_to_do(desk: Desk) -> None:
    async with desk.operator() as storage:
        with pytest.raises(KeyMissing, match="name a chat"):
            await mutes.mute(storage, None, ANN, by=BY, now=desk.phone.now)
        with pytest.raises(StorageError, match="lists no direct chat"):
            await mutes.mute(storage, desk.phone.client, "+19995550100", by=BY, now=desk.phone.now)
        with pytest.raises(StorageError, match="not muted anywhere"):
            await mutes.unmute(storage, None, None, by=BY, now=desk.phone.now, catch_up=False)
        await mutes.mute(storage, None, None, by=BY, now=desk.phone.now)
        with pytest.raises(StorageError, match="mute --all --end"):
            await mutes.unmute(storage, None, "some-chat", by=BY, now=desk.phone.now, catch_up=False)
        with pytest.raises(KeyMissing, match="catch-up"):
            await mutes.unmute(storage, None, None, by=BY, now=desk.phone.now, catch_up=True)
        storage.keep_outcomes_days = 0
        with pytest.raises(StorageError, match="LINQBOT_KEEP_OUTCOMES_DAYS is 0"):
            await mutes.unmute(storage, desk.phone.client, None, by=BY, now=desk.phone.now, catch_up=True)
        await mutes.unmute(storage, None, None, by=BY, now=desk.phone.now, catch_up=False)


async def test_a_handoff_passes_nothing_on_while_all_chats_are_muted(desk: Desk) -> None:
    phone, owner = desk.phone, desk.phone.person(OWNER)
    assert await answers(phone, "human") == ["Dana answers."]
    await owner.text("I am here.")
    assert await phone.replies() == ["Dana: I am here."]
    await owner.replies()
    for by_word in (True, False):
        if by_word:
            assert await answers(owner, "bot off") == ["The bot is silent in all chats. To end that, write: bot on"]
        else:
            await desk.mute(None)
        await phone.text("Is Mia in?")
        await owner.text("Yes.")
        await phone.quiet()
        assert (await phone.replies(), await owner.replies()) == ([], [])
        if by_word:
            assert await answers(owner, "bot on") == ["The bot answers again."]
        else:
            assert (await desk.unmute("*", catch_up=True)).caught_up == 2
            assert (await phone.replies(), await owner.replies()) == (["Dana: Yes."], ["Ann: Is Mia in?"])
    await owner.text("All day.")
    assert await phone.replies() == ["Dana: All day."]


async def test_a_mute_of_the_person_ends_a_handoff_and_both_know_when_it_is_over(desk: Desk) -> None:
    phone, owner = desk.phone, desk.phone.person(OWNER)
    assert await answers(phone, "human") == ["Dana answers."]
    await owner.replies()
    await desk.mute(ANN)
    await phone.text("Hello?")
    await phone.advance(5)
    await owner.text("Yes?")
    assert (await phone.replies(), await owner.replies()) == ([], ["Yes?"])
    await desk.unmute(ANN)
    assert await phone.replies() == ["You are talking to the bot again."]
    assert await owner.replies() == ["The bot answers Ann again."]
