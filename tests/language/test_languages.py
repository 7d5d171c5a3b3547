"""The languages of a bot: one for all, one for each person, and the author's own sentences."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import pytest
from answers import answers
from asking_talk import asking
from one_handler import bot_of, says
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot import Bot, BotError, Context, Event, MessageReceived, parse
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import SystemClock
from linqbot.errors import StorageUnavailable
from linqbot.installing import extra_command
from linqbot.language import sentences, speaking, written
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
        assert (await answers(phone, "hi", "12,50"))[-1].startswith("Merci de donner un jour et une heure")


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
        "print([name for name in sys.modules if name in ('babel', 'linqbot.bot.languages', 'tomllib')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_missing_library_is_named_when_the_bot_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "babel.dates", None)
    for language in ("fr", "en-US", of_number):
        with pytest.raises(BotError, match=re.escape(extra_command("languages"))):
            Bot(language=language)
    for language in ("en", "en-GB"):
        with speaking(language):
            assert written(datetime(2026, 11, 20, 9, 5)) == "Friday 20 November 2026 at 09:05"  # noqa: DTZ001
            assert written(42) == "forty-two"
            Bot(language=language)


@dataclass(frozen=True)
class Raises:
    error: Exception


async def test_a_language_that_linqbot_does_not_speak_is_english_with_one_error_in_the_log(
    subtests: pytest.Subtests,
) -> None:
    rows: list[tuple[object, str | None]] = [
        ("", "''"),
        ("xx", "'xx'"),
        ("klingon", "'klingon'"),
        ("zh-Hant-TW", "'zh-Hant-TW'"),
        ("a long text of a person, with her number", "str that is no code"),
        (5, "int that is no code"),
        (["fr"], "list that is no code"),
        (b"fr", "bytes that is no code"),
        (Raises(KeyError("x")), "KeyError"),
        (Raises(BotError("x")), "BotError"),
        (None, None),
        ("en", None),
    ]
    for returned, logged in rows:

        async def chosen(event: Any, ctx: Context, returned: Any = returned) -> Any:
            if isinstance(returned, Raises):
                raise returned.error
            return returned

        def plain(event: Any, ctx: Context, returned: Any = returned) -> Any:
            if isinstance(returned, Raises):
                raise returned.error
            return returned

        for function in (chosen, plain):
            with subtests.test(returned=returned, function=function.__name__), capture_logs() as logs:
                bot = bot_of(ask_how_many, language=function, sentences={"en": {"number": "A number, please."}})
                async with talking(bot) as phone:
                    assert await answers(phone, "hi", "vingt", "twenty") == ["?", "A number, please.", "en: 20"]
                    assert await answers(phone, "hi", "3") == ["?", "en: 3"]
                    assert await phone.errors() == []
                unknown = [log for log in logs if log["event"] == "language.unknown"]
                assert [log["log_level"] for log in unknown] == (["error"] if logged else [])
                assert not logged or logged.strip("'") in (unknown[0].get("code"), unknown[0].get("error"))
                assert "her number" not in str(unknown)


async def test_an_error_handler_speaks_english_where_the_language_is_unknown() -> None:
    bot = Bot(language=lambda event, ctx: "xx")

    @bot.on_message
    async def fail(message: MessageReceived, ctx: Context) -> None:
        raise ConnectionError

    @bot.on_error(ConnectionError)
    async def say(error: ConnectionError, event: Event, ctx: Context) -> None:
        await ctx.reply(f"{ctx.language}: {sentences().one_moment}")

    async with talking(bot) as phone:
        assert await answers(phone, "hi") == ["en: One moment …"]


async def test_a_language_that_cannot_be_looked_up_for_a_while_is_looked_up_again() -> None:
    calls: list[str] = []

    def chosen(event: Any, ctx: Context) -> str:
        calls.append("call")
        if len(calls) == 1:
            raise StorageUnavailable("The disk is full.")
        return "fr"

    async with talking(bot_of(ask_how_many, language=chosen)) as phone:
        await phone.text("hi")
        await phone.advance(60)
        assert await answers(phone, "vingt") == ["?", "fr: 20"]


def test_a_question_that_was_stored_with_an_unknown_language_is_answered_in_english() -> None:
    """A release that spoke another language may have asked it."""
    for bot in (Bot(), Bot(language="fr"), Bot(language=of_number, sentences={"en": {"number": "A number!"}})):
        with capture_logs() as logs:
            dispatcher = Dispatcher(bot, SystemClock())
            assert [dispatcher.language_named(code).code for code in ("xx", "xx", "fr-CA", None)] == [
                "en",
                "en",
                "fr",
                "en",
            ]
        assert [(log["event"], log["log_level"]) for log in logs] == [("language.unknown", "error")]


async def test_a_person_keeps_the_country_of_their_language_in_a_conversation() -> None:
    async def ask_when(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("?", kind=refuse)

    def refuse(text: str) -> None:
        raise ValueError(written(datetime(2026, 11, 20, 19, 30)))  # noqa: DTZ001

    for language, said in [
        ("en-US", "7:30 PM"),
        ("fr-CA", "19 h 30"),
        ("en", "19:30"),
        (lambda event, ctx: "en-US", "7:30 PM"),
    ]:
        async with talking(bot_of(ask_when, language=language)) as phone:
            for reply in (await answers(phone, "hi", "hm", "hm"))[1:]:
                assert said in reply
