"""Handles: one form in which they are given to Linq, one key under which people are compared, the same at every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from linqbot import AllowFile, Bot, Context, Event, Manners, MessageReceived, from_handle
from linqbot.engine.filters import Filter
from linqbot.errors import BotError
from linqbot.linq.handles import is_handle, person_key, plain_handle, read_handle
from linqbot.testing import Contact, DeclaredWorld, Phone, talking

ANN, LINE = "ann@example.com", "+12025550100"

WRITTEN = {
    "mailto:Ann@Example.com": "Ann@Example.com",
    "MAILTO: ann@example.com": ANN,
    "mailto:mailto:ann@example.com": ANN,
    " ann@example.com\n": ANN,
    "\uff21\uff2e\uff2e@example.com": "ANN@example.com",
    "ann\uff20example\uff0ecom": ANN,
    "\u202aann@example.com\u202c": ANN,
    "tel:+14155550142": "+14155550142",
    "\u202a+14155550142\u202c": "+14155550142",
    "+\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff14\uff12": "+14155550142",
    "\uff16\uff18\uff18\uff14\uff19": "68849",
    "Support": "Support",
    "stra\u00dfe@m\u00fcnchen.example": "stra\u00dfe@m\u00fcnchen.example",
    "e\u0301@example.com": "e\u0301@example.com",  # stored under these letters
}


def test_the_plain_form_has_nothing_around_a_handle_and_the_key_folds_its_case() -> None:
    found = {each: (plain_handle(each), person_key(each)) for each in WRITTEN}
    assert found == {each: (plain, plain.casefold()) for each, plain in WRITTEN.items()}


def test_what_is_no_handle_is_not_read_as_one() -> None:
    wrong = ["", "ann", "ann@", "mailto:", "mailto:ann", "tel:4155550142", "+1 415 555 0142", "<ann@example.com>", "xmpp:ann@example.com",
             "ann@example.com,", "ann@example.com;bob@example.com", "ann@example.com?subject=hi", "68849", "SUPPORT", None, 14155550142]  # fmt: skip
    assert [each for each in wrong if read_handle(each) is not None] == []


SENT_BY_LINQ = (
    st.from_regex(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9][A-Za-z0-9 ]{0,9}[A-Za-z0-9]", fullmatch=True)
    | st.emails()
)


@given(SENT_BY_LINQ)
def test_the_key_of_what_linq_sends_is_its_folded_case_under_which_all_is_stored(handle: str) -> None:
    assert person_key(handle) == handle.casefold()


@given(st.text(max_size=12) | SENT_BY_LINQ.map("mailto:{}".format))
def test_the_key_of_a_key_is_the_key(handle: str) -> None:
    assert person_key(person_key(handle)) == person_key(handle)


class Guest(BaseModel):
    visits: int = 0


EMAILS = [each for each, plain in WRITTEN.items() if plain.casefold() == ANN]


@pytest.mark.parametrize("written", [pytest.param(each, id=ascii(each)) for each in EMAILS])
async def test_each_door_that_takes_a_handle_finds_the_person(written: str, tmp_path: Path) -> None:
    (tmp_path / "allowed.txt").write_text(written.strip() + "  # Ann\n", "utf-8")

    async def greeted(bot: Bot, *filters: Filter[Event]) -> str:
        @bot.on_message(*filters)
        async def hello(message: MessageReceived, ctx: Context) -> None:
            (await ctx.state.person(Guest)).visits += 1
            await ctx.reply("hello")

        async with talking(bot, handle=written) as ann:
            await ann.text("hi")
            said = await ann.next_reply()
            assert (await ann.state(Guest)).visits == 1
            return said

    found = {
        "allow": await greeted(Bot(allow=[written])),
        "AllowFile": await greeted(Bot(allow=AllowFile(tmp_path / "allowed.txt"))),
        "from_handle": await greeted(Bot(), from_handle(written)),
        "allow_to": await greeted(Bot(allow_to=[written])),
        "send": await by_another("told", lambda ctx: ctx.bot.send("told", to=written, line=LINE)),
        "broadcast": await by_another("news", lambda ctx: ctx.bot.broadcast([written, ANN], "news", name="n", line=LINE)),
        "record_consent": await by_another("sale", lambda ctx: _sale(ctx, written), manners=Manners()),
        "handoff": await by_another("Over to you", lambda ctx: ctx.handoff(to=written, say="One moment.", summary="Over to you")),
    }  # fmt: skip
    assert {door: said for door, said in found.items() if said not in ("hello", "told", "news", "sale")} == {}


async def _sale(ctx: Context, written: str) -> None:
    await ctx.bot.record_consent(written, given=True, how="in the shop")
    await ctx.bot.send("sale", to=ANN, line=LINE, purpose="promotional")


async def by_another(wanted: str, do: Callable[[Context], Awaitable[object]], manners: Manners | None = None) -> str:
    """Return what Ann gets when another person writes: `wanted`, if that is in it."""
    bot = Bot(manners=manners)

    @bot.on_message
    async def on(message: MessageReceived, ctx: Context) -> None:
        if message.actor != ANN:
            await do(ctx)

    async with talking(bot) as other:
        ann = other.person(ANN)
        await ann.text("hi")
        await other.text("go")
        said = " ".join(map(str, await ann.replies()))
        return "told" if wanted in said else said


async def test_the_person_who_is_asked_answers_however_the_handler_wrote_the_handle() -> None:
    for written in EMAILS:
        bot = Bot()

        @bot.on_message
        async def ask(message: MessageReceived, ctx: Context, written: str = written) -> None:
            await ctx.reply(f"Noted: {await ctx.ask('Size?', who=written)}")

        async with talking(bot, handle=ANN) as ann:
            await ann.text("order")
            assert await ann.next_reply() == "Size?"
            await ann.text("M")
            assert await ann.next_reply() == "Noted: M"


async def test_short_codes_and_names_of_senders_write_to_a_bot_that_allows_them() -> None:
    for handle in ("68849", "SUPPORT", "LINQ 2FA"):
        bot = Bot(allow=[handle.lower()], allow_to=[handle])

        @bot.on_message
        async def echo(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply("ok")

        async with talking(bot) as phone:
            sender: Phone = phone.person(handle, service="SMS")
            await sender.text("hi")
            assert await sender.next_reply() == "ok"
        async with talking(bot, world=DeclaredWorld(people=[Contact(handle, name="the bank")])) as bank:
            await bank.text("hi")
            assert await bank.next_reply() == "ok"


def test_options_refuse_what_can_never_be_a_person() -> None:
    accepted = []
    for wrong in ("<ann@example.com>", "xmpp:ann@example.com", "ann@example.com,", "mailto:ann", "+1 415 555 0142", ""):
        try:
            Bot(allow=[wrong])
            accepted.append(wrong)
        except BotError:
            assert not is_handle(wrong)
    assert accepted == []
