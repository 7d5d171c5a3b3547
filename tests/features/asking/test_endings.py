"""The sentences that linqbot says by itself when a question ends without an answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from answers import answers
from one_handler import does
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from linqbot import AskCancelled, AskEnded, AskTimeout, Bot, Context, MessageReceived, Posted
from linqbot.language import CODES, ENGLISH
from linqbot.language.spoken import language_of
from linqbot.testing import Phone, talking

BOB = "+14155550143"
DANA = "+14155550199"
NO_NUMBER = ENGLISH.sentences.number


class Guest(BaseModel):
    name: str = Field(description="Name?")
    people: int = Field(description="How many?")


def asking(**settings: Any) -> Bot:
    made = Bot(loop_breaker=False, **settings)
    made.on_message("end", during_ask=True)(does(lambda ctx: ctx.bot.end_questions(ctx.chat_id)))

    @made.on_message("form")
    async def form(message: MessageReceived, ctx: Context) -> None:
        await ctx.form(Guest, timeout_s=60)

    @made.on_message("where")
    async def where(message: MessageReceived, ctx: Context) -> None:
        await ctx.location("Where?", timeout_s=60)

    @made.on_message("ask")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("How many?", kind=int, tries=2, timeout_s=60)

    @made.on_message("two")
    async def two(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Name?", timeout_s=60)
        await ctx.ask("How many?", kind=int, timeout_s=60)

    @made.on_message("catch")
    async def catch(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("How many?", kind=int, tries=2, timeout_s=60)
        except (AskCancelled, AskTimeout):
            await ctx.send("Caught.")

    return made


def asking_dana(**settings: Any) -> Bot:
    """Return a bot that asks Dana, in her own chat, for the person who writes or is posted about."""
    made = Bot(loop_breaker=False, **settings)

    made.on_message("end")(does(lambda ctx: ctx.bot.end_questions(ctx.chat_id)))

    async def ask_dana(ctx: Context) -> None:
        await ctx.ask("May I?", yes="like", who=DANA, tries=2, timeout_s=60)

    @made.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> None:
        await ask_dana(ctx)

    @made.on_post("refund")
    async def posted(post: Posted, ctx: Context) -> None:
        await ask_dana(ctx)

    @made.on_message("named")
    async def named(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Name?")
        await ask_dana(ctx)

    @made.on_message("caught")
    async def caught(message: MessageReceived, ctx: Context) -> None:
        try:
            await ask_dana(ctx)
        except AskEnded:
            await ctx.send("Caught.")

    @made.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hi!")

    return made


async def heard_of_dana(made: Bot, asks: str, how: str) -> list[str]:
    """Return what the person reads whose question to Dana has ended in some way, without the answer to their first text."""
    async with talking(made, copies=2) as phone:
        dana = phone.person(DANA)
        await answers(phone, "hello")
        if how == "opted out":
            await answers(dana, "hello")
            await dana.opt_out()
        if how == "allow":
            made.allow = lambda event: event.actor == phone.handle
        await (phone.post("refund", {}) if asks == "post" else phone.text(asks))
        if asks == "named":
            await phone.next_reply()
            await phone.text("Ann")
        await phone.quiet()
        for text in {"a word": ["never mind"], "invalid": ["?", "?"]}.get(how, []):
            await dana.text(text)
        if how == "an operator":
            await phone.text("end")
        heard = [str(each) for each in await phone.replies()]
        await phone.advance(61)
        return heard + [str(each) for each in await phone.replies()]


async def heard_after(phone: Phone, texts: list[str]) -> list[str]:
    """Return what the person reads last after their texts, and then in two minutes of silence."""
    heard = [str(each) for each in (await answers(phone, *texts))[-1:]]
    await phone.advance(121)
    return heard + [str(each) for each in await phone.replies()]


async def test_a_person_reads_in_their_language_that_a_question_has_ended() -> None:
    wrong = []
    for code in CODES:
        said, cancel = language_of(code).sentences, language_of(code).cancel[0]
        rows = {
            ("ask", cancel): [said.ask_cancelled],
            ("form", cancel): [said.ask_cancelled],
            ("form", "Ann", cancel): [said.ask_cancelled],
            ("where", cancel): [said.ask_cancelled],
            ("ask", "?", "?"): [said.ask_given_up],
            ("form", "Ann", "?", "?", "?"): [said.ask_given_up],
            ("ask", "?"): [said.number, said.ask_timed_out],
            ("form", "Ann"): ["How many?", said.ask_timed_out],
            ("two", "Ann"): ["How many?", said.ask_timed_out],
        }
        for texts, expected in rows.items():
            async with talking(asking(language=None if code == "en" else code), copies=2) as phone:
                if (heard := await heard_after(phone, list(texts))) != expected:
                    wrong.append((code, texts, heard))
    assert wrong == []


async def test_linqbot_says_nothing_of_its_own_where_no_one_waits_for_it() -> None:
    rows: dict[tuple[str, ...], list[str]] = {
        ("ask",): ["How many?"],  # a person who has answered nothing
        ("form",): ["Name?"],
        ("where",): ["Where?"],
        ("ask", "STOP"): ["How many?"],
        ("ask", "end"): ["How many?"],  # an operator's end
        ("catch", "never mind"): ["Caught."],
        ("catch", "?", "?"): ["Caught."],
        ("catch", "?"): [NO_NUMBER, "Caught."],
    }
    wrong = []
    for texts, expected in rows.items():
        async with talking(asking()) as phone:
            if (heard := await heard_after(phone, list(texts))) != expected:
                wrong.append((texts, heard))
    assert wrong == []


async def test_an_author_changes_or_silences_what_linqbot_says_of_an_ended_question() -> None:
    texts = {"ask_cancelled": "Cancelled.", "ask_given_up": "Given up.", "ask_timed_out": "Timed out."}
    rows: list[tuple[dict[str, Any], list[str]]] = [
        ({"sentences": texts}, ["Cancelled.", "Given up.", "Timed out."]),
        ({"on_ask_cancelled": "OK.", "on_ask_timeout": "Late."}, ["OK.", "OK.", "Late."]),
        ({"on_ask_cancelled": None, "on_ask_timeout": None}, ["", "", ""]),
        ({"on_ask_cancelled": None, "sentences": texts}, ["", "", "Timed out."]),
    ]
    said, wrong = {*texts.values(), "OK.", "Late.", *asdict(ENGLISH.sentences).values()} - {NO_NUMBER}, []
    for settings, expected in rows:
        found = []
        for given in (["ask", "never mind"], ["ask", "?", "?"], ["two", "Ann"]):
            async with talking(asking(**settings)) as phone:
                heard = await heard_after(phone, given)
                found.append(next((each for each in heard if each in said), ""))
        if found != expected:
            wrong.append((settings, found))
    assert wrong == []


async def test_in_a_group_everyone_reads_that_the_question_has_ended() -> None:
    async with talking(asking(groups="all")) as phone:
        group = phone.group(BOB, "+14155550144")
        assert await answers(group, "ask") == ["How many?"]
        await group.by(BOB).text("never mind")
        assert await group.replies() == []
        assert await answers(group, "never mind") == ["OK, I have stopped here."]


ENDS = ("opted out", "allow", "time", "a word", "invalid")


async def test_a_person_for_whom_another_one_was_asked_reads_that_there_is_no_answer(subtests: pytest.Subtests) -> None:
    for code, asks in (("en", "refund"), ("en", "named"), ("fr", "refund")):
        for how in ENDS:
            with subtests.test(language=code, asks=asks, how=how):
                made = asking_dana(language=None if code == "en" else code)
                assert await heard_of_dana(made, asks, how) == [language_of(code).sentences.ask_unanswered]


async def test_one_except_of_ask_ended_catches_each_way_in_which_no_answer_comes(subtests: pytest.Subtests) -> None:
    for how in ENDS:
        with subtests.test(how=how):
            assert await heard_of_dana(asking_dana(), "caught", how) == ["Caught."]


async def test_nothing_is_said_of_a_missing_answer_to_a_person_who_waits_for_none(subtests: pytest.Subtests) -> None:
    silent = {"on_ask_cancelled": None, "on_ask_timeout": None}
    rows = [*(("post", how, {}) for how in ENDS), *(("refund", how, silent) for how in ENDS)]
    for asks, how, settings in [*rows, ("refund", "an operator", {})]:
        with subtests.test(asks=asks, how=how):
            assert await heard_of_dana(asking_dana(**settings), asks, how) == []


async def test_a_person_who_cannot_be_asked_is_no_failure_of_the_handler_and_the_log_says_why() -> None:
    for how, why in (("opted out", "has opted out"), ("allow", "Bot(allow=…)")):
        with capture_logs() as logs:
            await heard_of_dana(asking_dana(), "refund", how)
        (logged,) = (each for each in logs if each["event"] == "ask.uncaught")
        assert why in logged["why"]
        assert "error" not in [each["log_level"] for each in logs]
