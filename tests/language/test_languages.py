"""The languages of a bot: one for all, one for each person, and the author's own sentences."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from typing import Annotated, Any

import pytest
from answers import answers
from asking_talk import asking
from one_handler import bot_of, says
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, Event, MessageReceived, parse
from linqbot.language import sentences, speaking, written
from linqbot.parse import translation
from linqbot.testing import talking

FRENCH, GERMAN, ENGLISH = "+33612345678", "+4915123456789", "+14155550142"


def of_number(event: Any, ctx: Context) -> str | None:
    """Return the language of the country of a phone number."""
    return {"+3": "fr", "+4": "de-AT"}.get((event.actor or "")[:2])


async def ask_how_many(message: MessageReceived, ctx: Context) -> None:
    people = await ctx.ask("?", kind=parse.number)
    await ctx.reply(f"{ctx.language}: {people}")


async def ask_twice(message: MessageReceived, ctx: Context) -> None:
    people = await ctx.ask("?", kind=parse.number, key="people")
    agrees = await ctx.ask("!", yes="like", key="agrees")
    await ctx.reply(f"{people} {agrees}")


async def test_each_person_is_understood_in_the_language_that_a_function_chooses(subtests: pytest.Subtests) -> None:
    rows = [
        (FRENCH, "deux ou trois", "Merci de donner un seul nombre entier", "vingt et un", "fr: 21"),
        (GERMAN, "zwei oder drei", "Bitte nenne eine ganze Zahl", "einundzwanzig", "de: 21"),
        (ENGLISH, "two or three", "Please give one whole number", "twenty-one", "en: 21"),
    ]
    for handle, unclear, refusal, answer, said in rows:
        bot = bot_of(ask_how_many, language=of_number)
        with subtests.test(handle=handle):
            async with talking(bot, handle=handle, service="SMS") as phone:
                assert refusal in (await answers(phone, "hi", unclear))[-1]
                assert await answers(phone, answer) == [said]


async def test_a_person_may_choose_the_language_in_a_conversation() -> None:
    class Person(BaseModel):
        language: str = "en"

    async def chosen(event: Any, ctx: Context) -> str:
        return (await ctx.state.person(Person)).language

    async def ask(message: MessageReceived, ctx: Context) -> None:
        person = await ctx.state.person(Person)
        person.language = await ctx.ask("Language?", choices=["fr", "de"])
        with speaking(person.language):
            people = await ctx.ask("?", kind=parse.number)
            agrees = await ctx.ask("!", yes="like")
        await ctx.reply(f"{people} {agrees}")

    async with talking(
        bot_of(ask, language=lambda event, ctx: None if event.actor is None or event.is_own else chosen(event, ctx)),
        service="SMS",
    ) as phone:
        assert (await answers(phone, "hi", "fr", "beaucoup", "trente", "d'accord"))[1:] == [
            "?",
            "Merci de donner un seul nombre entier, par exemple 2 ou douze.",
            "!",
            "30 True",
        ]
        assert "Merci de choisir parmi : fr, de." in await answers(phone, "hi", "?")


async def test_an_answer_is_understood_in_the_language_of_its_question_after_a_deploy_too(
    subtests: pytest.Subtests,
) -> None:
    rows = [
        ("fr", "de", "trente", "Oui", "Non"),
        ("fr", None, "trente", "oui", "non"),
        (None, "fr", "thirty", "sure", "nope"),
    ]
    for asked, deployed, answer, yes, no in rows:
        for said, is_yes in ((yes, True), (no, False)):
            with subtests.test(asked=asked, deployed=deployed, said=said):
                async with talking(bot_of(ask_twice, language=asked)) as phone:
                    assert (await answers(phone, "hi", answer))[-1] == "!"
                    await phone.restart(bot=bot_of(ask_twice, language=deployed))
                    assert await answers(phone, said) == [f"30 {is_yes}"]


async def test_another_person_who_may_decide_says_yes_in_the_language_of_the_question() -> None:
    bot = Bot(language="fr", groups="all")

    @bot.on_message("go")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        agrees = await ctx.ask("?", yes="like", also=[FRENCH], side_questions=True)
        await ctx.reply(f"{agrees}")

    bot.on_message(says("other"))

    async with talking(bot) as phone:
        group = phone.group(FRENCH)
        assert await answers(group, "go") == ["?"]
        await group.by(FRENCH).text("je ne sais pas")
        assert await group.next_reply() == "other"
        await group.by(FRENCH).text("d'accord", reply_to=(group.messages)[1])
        assert "True" in await group.replies()


async def test_full_width_digits_and_decimal_commas_are_numbers(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Any, str, object]] = [
        ("ja", int, "２１", 21),
        ("ja", float, "２.５", 2.5),
        ("fr", float, "2,5", 2.5),
        ("de", int, "1.000", 1000),
        ("de", float, "1.000,5", 1000.5),
        ("en", float, "2.5", 2.5),
        ("fr", Annotated[str, "a code"], "1.000", "1.000"),
    ]
    for code, kind, text, value in rows:
        with subtests.test(language=code, text=text):
            async with talking(bot_of(asking("?", kind=kind), language=code)) as phone:
                assert await answers(phone, "hi", text) == ["?", str(value)]


async def test_a_decimal_number_is_no_time() -> None:
    async with talking(bot_of(asking("?", kind=datetime), language="fr")) as phone:
        assert (await answers(phone, "hi", "12,50"))[-1].startswith("Merci de répondre par une date et une heure")


async def test_a_choice_may_be_numbered_in_full_width_digits() -> None:
    async with talking(bot_of(asking("?", choices=["赤", "青"]), language="ja"), service="SMS") as phone:
        assert (await answers(phone, "hi", "２"))[-1] == "青"


async def test_an_error_handler_speaks_the_language_of_the_person() -> None:
    bot = Bot(language=of_number)

    @bot.on_message
    async def fail(message: MessageReceived, ctx: Context) -> None:
        raise ConnectionError

    @bot.on_error(ConnectionError)
    async def say(error: ConnectionError, event: Event, ctx: Context) -> None:
        await ctx.reply(f"{ctx.language}: {sentences().sorry}")

    async with talking(bot, handle=GERMAN) as phone:
        await phone.text("hi")
        assert (await phone.next_reply()).startswith("de: Leider kann ich gerade nicht antworten.")


async def test_an_author_replaces_sentences_by_name() -> None:
    own = {"yes_or_no": "Oui ? Non ?"}
    rows: list[dict[str, Any]] = [
        {"language": "fr", "sentences": own},
        {"sentences": own},
        {"language": lambda event, ctx: "fr", "sentences": {"fr": own, "en": {"number": "A number!"}}},
    ]
    for options in rows:
        async with talking(bot_of(asking("?", yes="like"), **options)) as phone:
            assert (await answers(phone, "hi", "hm"))[-1] == "Oui ? Non ?"


def test_an_option_that_cannot_be_right_is_refused_when_the_bot_is_made(subtests: pytest.Subtests) -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"language": "fx"}, "does not speak 'fx'"),
        ({"language": "fra"}, "Did you mean 'fr'"),
        ({"language": 3}, "takes a code such as 'fr'"),
        ({"sentences": {"yes_no": "?"}}, "no sentence 'yes_no'. Did you mean 'yes_or_no'"),
        ({"sentences": {"yes_or_no": ""}}, "takes a text, not ''"),
        ({"sentences": {"more_than": "{lt}"}}, r"cannot be filled in: 'lt'. .* \{gt\}"),
        ({"sentences": {"number": "{"}}, "cannot be filled in"),
        ({"language": of_number, "sentences": {"number": "?"}}, "does not say for which language"),
        ({"language": of_number, "sentences": {"xx": {}}}, "does not speak 'xx'"),
    ]
    for options, why in rows:
        with subtests.test(options=options), pytest.raises(BotError, match=why):
            Bot(**options)


@pytest.mark.process
def test_a_bot_that_asks_in_english_reads_no_other_language() -> None:
    code = (
        "import sys; from linqbot import Bot, parse; from linqbot.bot import dispatch; from linqbot.features.asking import session;"
        "Bot(); parse.number('two'); parse.day('tomorrow', timezone='UTC');"
        "print([name for name in sys.modules if name in ('babel', 'num2words', 'linqbot.bot.languages', 'tomllib')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_missing_library_is_named_when_the_bot_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", None)
    monkeypatch.setattr(translation, "load", lambda code: written(3))
    with pytest.raises(BotError, match=r"pip install 'linqbot\[languages\]'"):
        Bot(language="fr")


async def test_a_function_that_returns_no_language_fails_the_turn_with_the_reason() -> None:
    async with talking(bot_of(says("never"), language=lambda event, ctx: "klingon")) as phone:
        await phone.text("hi")
        assert any("does not speak 'klingon'" in str(error) for error in await phone.errors())
        assert await phone.replies() == []
