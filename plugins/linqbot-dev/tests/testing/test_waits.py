"""Questions, payments, locations and votes of a bot that is killed at every point of its way, through the emulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from answers import answers
from one_handler import bot_of

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import Phone, killed_between_calls, talking

BOB = "+15550001111"

bot = Bot(groups="all", read=False, typing=False)


@bot.on_message("soup")
async def soup(message: MessageReceived, ctx: Context) -> None:
    await ctx.send(type(await ctx.pay(1250, "2 soups", timeout_s=3600)).__name__)


@bot.on_message("near me")
async def near_me(message: MessageReceived, ctx: Context) -> None:
    await ctx.send(f"{(await ctx.location(timeout_s=3600)).latitude:.1f}")


@bot.on_message("lunch")
async def lunch(message: MessageReceived, ctx: Context) -> None:
    result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)
    await ctx.send(f"{result.winner}: {sorted(result.votes)}")


async def pays(phone: Phone) -> None:
    await answers(phone, "soup")
    await phone.pay()
    await phone.quiet()


async def is_declined(phone: Phone) -> None:
    await answers(phone, "soup")
    await phone.decline()
    await phone.quiet()


async def waits_too_long(phone: Phone) -> None:
    await answers(phone, "soup")
    await phone.advance(3700)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "said", "status"),
    [(pays, "Paid", "succeeded"), (is_declined, "Declined", "canceled"), (waits_too_long, "Expired", "canceled")],
)
async def test_a_payment_is_requested_once_and_ends_once(
    scenario: Callable[[Phone], Awaitable[None]], said: str, status: str
) -> None:
    async for phone in killed_between_calls(bot, scenario, copies=2):
        assert [request.status for request in phone.emulator.state.payment_requests.values()] == [status], phone.killed
        card, *texts = [bubble for bubble in phone.messages if bubble.from_bot]
        assert (card.parts[0].type, texts) == ("imessage_app", [said]), phone.killed


async def shares(phone: Phone) -> None:
    await answers(phone, "near me")
    await phone.share_location(48.85, 2.35)
    await phone.quiet()


@pytest.mark.slow
async def test_a_payment_card_that_linq_refuses_is_replaced_by_one_link() -> None:
    async def asks(phone: Phone) -> None:
        # Linq refuses once. A second attempt would be accepted, and must not be made next to the link.
        phone.fail_next("chats.messages.send", status=400, code=1005)
        await answers(phone, "soup")

    async for phone in killed_between_calls(bot, asks):
        shown = [str(message).partition("?")[0] for message in phone.messages if message.from_bot]
        link = ["2 soups: $12.50", "https://zero.linqapp.com/pay/emulator"]
        if phone.killed is None:
            assert shown == link
        # Killed before the refusal was stored, the card is sent again, and is accepted.
        assert shown in (link, [""])


@pytest.mark.slow
async def test_a_location_is_answered_once() -> None:
    async for phone in killed_between_calls(bot, shares):
        requests = [call for call in phone.calls if call.name == "chats.location.request" and call.is_accepted]
        assert len(requests) <= 1, phone.killed
        assert [bubble for bubble in phone.messages if bubble.from_bot] == ["48.9"], phone.killed


async def vote(phone: Phone) -> None:
    group = phone.group(BOB)
    await group.text("lunch")
    await phone.quiet()
    (poll,) = [bubble for bubble in group.messages if bubble.votes]
    await group.vote(poll, "Thai")
    await phone.quiet()
    await group.by(BOB).vote(poll, "Thai")
    await phone.quiet()


@bot.on_message("dinner")
async def dinner(message: MessageReceived, ctx: Context) -> None:
    await ctx.send(await ctx.ask("Dinner?", choices=["Thai", "Pizza"]))


@pytest.mark.slow
@pytest.mark.parametrize(("text", "question"), [("dinner", "Dinner?"), ("lunch", "Lunch?")])
async def test_choices_that_linq_takes_as_no_poll_are_shown_once(text: str, question: str) -> None:
    async def asks(phone: Phone) -> None:
        # Linq refuses once. A second attempt would be accepted, and must not be made next to the list.
        phone.fail_next("chats.polls.create", status=400, code=1005)
        await answers(phone, text)

    async for phone in killed_between_calls(bot, asks):
        shown = [str(message) for message in phone.messages if message.from_bot]
        if phone.killed is None:
            assert shown == [question, "1. Thai\n2. Pizza"]
        # Killed before the refusal was stored, the poll is made again, and is accepted.
        assert shown in ([question, "1. Thai\n2. Pizza"], [question, ""])


@pytest.mark.slow
async def test_a_vote_has_one_poll_and_counts_each_vote() -> None:
    async for phone in killed_between_calls(bot, vote, copies=2):
        said = [bubble for bubble in phone.group(BOB).messages if bubble.from_bot and not bubble.votes]
        assert said == ["Lunch?", f"Thai: {sorted([phone.handle, BOB])}"], phone.killed


async def test_a_choice_that_is_a_cancel_word_is_voted_for_by_text() -> None:
    async def party(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Move", "Never mind"], "The party?")
        await ctx.send(str(result.winner))

    async with talking(bot_of(party, "party", groups="all"), service="SMS") as phone:
        group = phone.group("+15550001111")
        await group.text("party")
        await group.text("never mind")
        await group.by("+15550001111").text("never mind")
        assert await group.replies() == ["The party?\n1. Move\n2. Never mind", "Never mind"]
