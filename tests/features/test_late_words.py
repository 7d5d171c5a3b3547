"""STOP, START and other texts count in the order in which they were written, in whatever order Linq delivers them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fakes import settled
from patience import until

from linqbot import AskCancelled, Bot, Context, Manners, MessageReceived, Running
from linqbot.storage.backend import Storage
from linqbot.testing import Phone, killed_between_calls, talking

ANN = "+14155550142"

START = datetime(2026, 11, 19, 12, 30, tzinfo=UTC)
"""Far from a full hour, at which the recurring sends are due."""


class Shop:
    """A bot that notes what its handlers saw."""

    def __init__(self, **options: Any) -> None:
        self.bot = bot = Bot(read=False, typing=False, **options)
        self.seen: list[str] = []
        self.storages: list[Storage] = []
        self.before_consent: Any = settled

        @bot.on_start
        async def begun(running: Running) -> None:
            self.storages.append(running.storage)

        @bot.on_message("remind me")
        async def remind(message: MessageReceived, ctx: Context) -> None:
            await ctx.send_later("Stretch!", every="hour", timezone="UTC")

        @bot.on_message("ask")
        async def ask(message: MessageReceived, ctx: Context) -> None:
            try:
                self.seen.append(await ctx.ask("Which one?"))
            except AskCancelled as ended:
                self.seen.append(ended.reason)

        @bot.on_message("yes, news")
        async def agree(message: MessageReceived, ctx: Context) -> None:
            await self.before_consent()
            await ctx.bot.record_consent(message.sender.handle, given=True, how="said so")

        @bot.on_message
        async def other(message: MessageReceived, ctx: Context) -> None:
            self.seen.append(f"{message.text}: {(await ctx.reply('…')).status}")

    async def is_stopped(self) -> bool:
        return (await self.storages[-1].consent_of(ANN)).is_stopped


async def write_late(phone: Phone, late: str, *others: str) -> None:
    """Write texts, the first attempt to deliver the first of which fails, so that it comes after the others."""
    phone.fail_next_delivery("message.received", status=503)
    await phone.text(late)
    await phone.advance(0.5)
    for text in others:
        await phone.text(text)
        await phone.advance(0.3)
    await phone.advance(10)


async def test_a_text_that_was_written_before_stop_is_not_handled_after_it_and_does_not_lift_it() -> None:
    shop = Shop(manners=Manners())
    async with talking(shop.bot, handle=ANN, start=START) as phone:
        await write_late(phone, "written before", "STOP")
        assert (shop.seen, await shop.is_stopped(), [call.name for call in phone.calls]) == ([], True, [])
        await phone.text("written after")
        await phone.quiet()
        assert (shop.seen, await shop.is_stopped()) == (["written after: accepted"], False)


async def test_a_text_that_was_accepted_before_stop_is_handled_although_it_waited() -> None:
    shop = Shop(manners=Manners())
    async with talking(shop.bot, handle=ANN, start=START) as phone:

        async def stopped() -> None:
            phone.emulator.clock.advance(1)
            await phone.text("cancel my order")
            phone.emulator.clock.advance(1)
            await phone.text("STOP")
            await until(shop.storages[-1].consents)

        shop.before_consent = stopped
        await phone.text("yes, news")
        await phone.quiet()
        assert (shop.seen, await shop.is_stopped()) == (["cancel my order: opted_out"], True)


async def test_a_consent_of_a_message_from_before_stop_does_not_undo_it() -> None:
    shop = Shop(manners=Manners())
    async with talking(shop.bot, handle=ANN, start=START) as phone:

        async def stopped() -> None:
            phone.emulator.clock.advance(1)
            await phone.text("STOP")
            await until(shop.storages[-1].consents)

        shop.before_consent = stopped
        await phone.text("yes, news")
        await phone.quiet()
        assert await shop.is_stopped()
        state = await shop.storages[-1].consent_of(ANN)
        assert state.consent is not None
        assert state.consent.what == "stopped"


@pytest.mark.parametrize("options", [{"manners": Manners()}, {}], ids=["with manners", "without"])
async def test_a_start_that_was_written_before_stop_does_not_undo_it(options: dict[str, Any]) -> None:
    shop = Shop(**options)
    async with talking(shop.bot, handle=ANN, start=START) as phone:
        await phone.text("remind me")
        await phone.quiet()
        await write_late(phone, "START", "STOP")
        await phone.advance(2 * 3600)
        assert await phone.replies() == []
        state = await shop.storages[-1].consent_of(ANN)
        assert state.consent is not None
        assert state.consent.what in ("stopped", "withdrawn")
        await phone.text("START")
        await phone.advance(3600)
        assert "Stretch!" in await phone.replies()


@pytest.mark.parametrize("options", [{"manners": Manners()}, {}], ids=["with manners", "without"])
async def test_a_stop_that_was_written_before_start_does_not_undo_it(options: dict[str, Any]) -> None:
    shop = Shop(**options)
    async with talking(shop.bot, handle=ANN, start=START) as phone:
        await phone.text("remind me")
        await phone.quiet()
        await write_late(phone, "STOP", "START", "ask")
        assert not await shop.is_stopped()
        await phone.text("this one")
        await phone.advance(3600)
        assert shop.seen[-1] == "this one"
        said = await phone.replies()
        assert [each for each in said if each in ("Which one?", "Stretch!")] == ["Which one?", "Stretch!"]


@pytest.mark.slow
async def test_wherever_the_bot_is_killed_a_late_text_does_not_lift_stop() -> None:
    shop = Shop(manners=Manners())

    async def scenario(phone: Phone) -> None:
        await write_late(phone, "written before", "STOP")
        await phone.quiet()
        assert await shop.is_stopped()

    async for phone in killed_between_calls(shop.bot, scenario, handle=ANN):
        assert (shop.seen, phone.messages) == ([], ["written before", "STOP"]), phone.killed
