"""Consent: after STOP nothing begins, START and HELP are answered, and promotional messages need what the ledger says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from answers import answers
from fakes import settled
from one_handler import bot_of, does, says
from patience import until
from pydantic import BaseModel
from slow_work import Work

from linqbot import AskCancelled, Bot, Broadcast, Context, Manners, MessageReceived, Running
from linqbot.errors import StorageUnavailable
from linqbot.options import OverlapMode
from linqbot.storage.backend import Storage
from linqbot.storage.consents import ConsentState
from linqbot.testing import Phone, killed_between_calls, talking

ANN, BOB = "+14155550142", "+14155550143"
HELP = "You are writing to an automatic service. STOP ends its messages, START begins them again."
AGAIN = "You get our messages again. STOP ends them."


class Order(BaseModel):
    drink: str
    size: str


class Shop:
    """A bot whose handlers do things while the person writes STOP, and what they saw."""

    def __init__(self, **options: Any) -> None:
        self.bot = bot = Bot(manners=Manners(**options), loop_breaker=False)
        self.seen: list[str] = []
        self.phone: Phone | None = None  # of the person who writes STOP
        self.before: list[str] = []  # what the person writes before that
        self.made_at_stop = 0
        self.storage: Storage | None = None

        @bot.on_start
        async def begun(running: Running) -> None:
            self.storage = running.storage

        @bot.on_message("order")
        async def order(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply("One moment.")
            await self._stopped()
            self.seen += [(await ctx.reply("Here it is.")).status, (await ctx.bot.send("Hello?", to=ANN)).status]
            await ctx.chat.set_background("mango")
            await ctx.react("like")

        @bot.on_message("ask")
        async def ask(message: MessageReceived, ctx: Context) -> None:
            await self._stopped()
            try:
                await ctx.ask("Which one?")
            except AskCancelled as ended:
                self.seen.append(ended.reason)

        @bot.on_message("form")
        async def form(message: MessageReceived, ctx: Context) -> None:
            try:
                await ctx.form(Order)
            except AskCancelled as ended:
                self.seen.append(ended.reason)

        @bot.on_message("news")
        async def news(message: MessageReceived, ctx: Context) -> None:
            await ctx.bot.broadcast([ANN, BOB], "News!", name=f"news-{message.id}")

        @bot.on_message("yes, news")
        async def agree(message: MessageReceived, ctx: Context) -> None:
            assert message.actor is not None
            await ctx.bot.record_consent(message.actor, given=True, how="said so")

        bot.on_message(says("{}"))

    async def _stopped(self) -> None:
        """Let the person write STOP now, and wait until the bot has stored it."""
        if self.phone is not None:
            assert self.storage is not None
            phone, self.phone = self.phone, None
            for text in self.before:
                await phone.text(text)
            await phone.opt_out()
            await until(self.storage.consents)
            self.made_at_stop = made(phone)

    async def broadcasts(self) -> list[Broadcast]:
        assert self.storage is not None
        return await self.storage.broadcasts()


def made(phone: Phone) -> int:
    """Return the number of calls that show something to people."""
    return sum(call.method != "GET" for call in phone.calls)


async def test_no_call_begins_after_stop_is_stored_while_a_handler_runs(subtests: pytest.Subtests) -> None:
    rows = {"order": (["One moment.", "STOP"], ["opted_out", "opted_out"]), "ask": (["STOP"], ["opted_out"])}
    for text, (said, seen) in rows.items():
        with subtests.test(text=text):
            shop = Shop()
            async with talking(shop.bot, handle=ANN) as phone:
                shop.phone = phone
                await phone.text(text)
                await phone.advance(60)
                assert phone.messages == [text, *said]
                assert shop.seen == seen
                assert (made(phone), await phone.dead_letters()) == (shop.made_at_stop, [])


async def test_stop_counts_although_what_was_written_before_it_is_handled_later() -> None:
    shop = Shop()
    async with talking(shop.bot, handle=ANN) as phone:
        shop.phone, shop.before = phone, ["START", "hello"]
        await phone.text("order")
        await phone.advance(60)
        assert phone.messages == ["order", "One moment.", "START", "hello", "STOP"]
        assert shop.storage is not None
        assert (await shop.storage.consent_of(ANN)).is_stopped
        assert await answers(phone, "hello again") == ["One moment.", "hello again"]


async def test_stop_ends_a_form_and_a_broadcast_in_the_middle() -> None:
    shop = Shop()
    async with talking(shop.bot, handle=ANN) as phone:
        bob = phone.person(BOB)
        assert len(await answers(bob, "form")) == 1
        await phone.text("news")
        await phone.advance(1)
        assert await phone.replies() == ["News!"]
        await bob.opt_out()
        await phone.advance(60)
        assert await bob.replies() == []
        (made,) = await shop.broadcasts()
        assert (made.sent, made.opted_out) == (1, 1)
        assert shop.seen == ["opted_out"]


async def test_after_stop_any_message_is_answered_and_only_start_brings_promotional_messages() -> None:
    shop = Shop(per_day=None)
    async with talking(shop.bot, handle=ANN) as phone:
        bob = phone.person(BOB)
        await bob.text("hello")
        await bob.opt_out()
        assert await answers(bob, "hello again") == ["hello", "hello again"]
        await phone.text("news")
        await phone.advance(60)
        assert await bob.replies() == []
        assert await answers(bob, "START") == [AGAIN]
        await phone.text("news")
        await phone.advance(60)
        assert await bob.replies() == ["News!"]


async def test_with_needs_consent_only_those_on_record_get_promotional_messages() -> None:
    shop = Shop(needs_consent=True)
    async with talking(shop.bot, handle=ANN) as phone:
        bob = phone.person(BOB)
        await bob.text("yes, news")
        await phone.text("news")
        await phone.advance(60)
        assert (await phone.replies(), await bob.replies()) == ([], ["News!"])
        assert shop.storage is not None
        ((_, row),) = await shop.storage.consents()
        assert (row.person, row.what, row.how) == (BOB, "given", "said so")
        reasons = {each.reason for each in await shop.storage.decisions() if each.verdict == "refused"}
        assert reasons == {"No consent of the person is on record."}


async def test_help_and_start_are_answered_also_while_a_question_is_open() -> None:
    shop = Shop()
    async with talking(shop.bot, handle=ANN) as phone:
        assert await answers(phone, "ask") == ["Which one?"]
        assert await answers(phone, "HELP", "START") == [HELP, AGAIN]
        assert await answers(phone, "help") == []  # the answer


@pytest.mark.parametrize(("gather_s", "overlap"), [(2.0, "queue"), (None, "restart"), (None, "steer")])
async def test_help_and_start_join_no_other_message(gather_s: float | None, overlap: OverlapMode) -> None:
    bot = Bot(manners=Manners(), gather_s=gather_s)
    work = Work()

    @bot.on_message(overlap=overlap)
    async def echo(message: MessageReceived, ctx: Context) -> None:
        if not work.end.is_set() and gather_s is None:
            await work()
        await ctx.reply(message.text)

    async with talking(bot) as phone:
        await phone.text("one")
        if gather_s is None:
            await work.begun.wait()
        for text in ("HELP", "two", "START", "three"):
            await phone.text(text)
        await settled(50)
        work.end.set()
        assert await phone.replies() == ["one", HELP, "two", AGAIN, "three"]


async def test_start_in_a_burst_brings_recurring_sends_back() -> None:
    bot = Bot(gather_s=2)
    bot.on_message("remind me")(does(lambda ctx: ctx.send_later("Stretch!", every="hour", timezone="UTC")))

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None: ...

    async with talking(bot, start=datetime(2026, 11, 19, 12, 30, tzinfo=UTC)) as phone:
        for text in ("remind me", "STOP", "START", "I am back"):
            await phone.text(text)
        await phone.advance(3600)
        assert await phone.replies() == ["Stretch!"]


async def test_a_handler_for_help_comes_first() -> None:
    async with talking(bot_of(says("Ask me anything."), "help", manners=Manners(), language="fr")) as phone:
        assert await answers(phone, "HELP", "START") == [
            "Ask me anything.",
            "Vous recevez de nouveau nos messages. STOP y met fin.",
        ]


async def test_nothing_is_sent_while_the_ledger_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, is_away = Shop(), True
    read = Storage.consent_of

    async def consent_of(self: Storage, person: str) -> ConsentState:
        if is_away:
            raise StorageUnavailable("The ledger is away.")
        return await read(self, person)

    monkeypatch.setattr(Storage, "consent_of", consent_of)
    async with talking(shop.bot, handle=ANN) as phone:
        await phone.text("news")
        await phone.text("hello")
        await phone.advance(60)
        assert (await phone.replies(), phone.person(BOB).messages) == ([], [])
        is_away = False
        await phone.advance(60)
        assert sorted(map(str, await phone.replies())) == ["News!", "hello"]
        assert phone.person(BOB).messages == ["News!"]


@pytest.mark.slow
async def test_wherever_the_bot_is_killed_a_person_who_writes_stop_gets_nothing_after_it() -> None:
    async def scenario(phone: Phone) -> None:
        bob = phone.person(BOB)
        await bob.text("hello")
        assert await bob.next_reply() == "hello"
        await phone.text("news")
        await bob.opt_out()
        await phone.advance(60)
        await bob.text("hello again")
        await phone.advance(60)

    async for phone in killed_between_calls(Shop().bot, scenario, handle=ANN):
        said = phone.person(BOB).messages
        assert said == ["hello", "hello", "STOP", "hello again", "hello again"], phone.killed
