"""Days, times and numbers, written in the form of a language and of a country."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from answers import answers
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Context, Hours, MessageReceived
from linqbot.language import CODES, Sentences, sentences, speaking, written
from linqbot.testing import talking

EVENING = datetime(2026, 11, 21, 19, 5, tzinfo=UTC)
HOURS = Hours("mon 9-12", "sat 19-20:30", timezone="UTC")


def test_a_day_and_a_time_are_written_as_people_of_the_country_do(subtests: pytest.Subtests) -> None:
    for language, day, at, both in [
        ("en", "Saturday 21 November 2026", "19:05", "{day} at {at}"),
        ("en-GB", "Saturday 21 November 2026", "19:05", "{day} at {at}"),
        ("en_US", "Saturday, November 21, 2026", "7:05 PM", "{day} at {at}"),
        ("EN-us", "Saturday, November 21, 2026", "7:05 PM", "{day} at {at}"),
        ("de", "Samstag, 21. November 2026", "19:05", "{day} um {at}"),
        ("de-AT", "Samstag, 21. November 2026", "19:05", "{day} um {at}"),
        ("fr", "samedi 21 novembre 2026", "19:05", "{day} à {at}"),
        ("fr-CA", "samedi 21 novembre 2026", "19 h 05", "{day} à {at}"),
        ("fr-XX", "samedi 21 novembre 2026", "19:05", "{day} à {at}"),  # no such country
        ("pt-BR", "sábado, 21 de novembro de 2026", "19:05", "{day} às {at}"),
        ("es-MX", "sábado, 21 de noviembre de 2026", "7:05 p.m.", "{day} a las {at}"),
        ("es-419", "sábado, 21 de noviembre de 2026", "7:05 p.m.", "{day} a las {at}"),
        ("ja-JP", "2026年11月21日土曜日", "19:05", "{day} {at}"),
    ]:
        with subtests.test(language=language):
            assert written(EVENING.date(), language=language) == day
            assert written(EVENING.time(), language=language) == at
            assert written(EVENING, language=language) == both.format(day=day, at=at)
    assert written(date(2027, 1, 6), language="de-AT") == "Mittwoch, 6. Jänner 2027"
    assert written(time(10, 12), language="en-DK") == "10:12"  # with a point it would be a date


def test_each_number_to_a_hundred_has_its_word(subtests: pytest.Subtests) -> None:
    for language, words in [
        ("en", "zero nineteen twenty ninety-nine one_hundred"),
        ("de", "null neunzehn zwanzig neunundneunzig einhundert"),
        ("es", "cero diecinueve veinte noventa_y_nueve cien"),
        ("fr", "zéro dix-neuf vingt quatre-vingt-dix-neuf cent"),
        ("fr-CA", "zéro dix-neuf vingt quatre-vingt-dix-neuf cent"),
        ("fr-BE", "zéro dix-neuf vingt nonante-neuf cent"),
        ("it", "zero diciannove venti novantanove cento"),
        ("ja", "零 十九 二十 九十九 百"),
        ("nl", "nul negentien twintig negenennegentig honderd"),
        ("pt", "zero dezenove vinte noventa_e_nove cem"),
        ("pt-BR", "zero dezenove vinte noventa_e_nove cem"),
        ("pt-PT", "zero dezanove vinte noventa_e_nove cem"),
    ]:
        with subtests.test(language=language):
            said = [written(number, language=language) for number in (0, 19, 20, 99, 100)]
            assert said == [each.replace("_", " ") for each in words.split()]
    for language in CODES:
        with subtests.test(language=language):
            assert len({written(number, language=language) for number in range(101)}) == 101
            assert [written(number, language=language) for number in (-1, 101)] == ["-1", "101"]


async def test_hours_forms_and_handlers_write_a_time_in_one_form(subtests: pytest.Subtests) -> None:
    monday = datetime(2030, 11, 25, 9, tzinfo=UTC)

    class Visit(BaseModel):
        at: datetime

    async def fill_in(message: MessageReceived, ctx: Context) -> str:
        await ctx.ask("?", kind=lambda text: HOURS.check(monday - timedelta(days=1)) if text == "closed" else text)
        await ctx.form(Visit, timezone="UTC")
        return written(monday)

    for language in ("en", "en-US", "en-GB", "de-AT", "fr-CA", "pt-BR"):
        with subtests.test(language=language):
            async with talking(bot_of(fill_in, language=language)) as phone:
                texts = ("hi", "closed", "go", written(monday, language=language), sentences_of(language).yes)
                _, refusal, _, review, said = await answers(phone, *texts)
            assert said == written(monday, language=language)
            assert said in refusal
            assert said in review


def sentences_of(language: str) -> Sentences:
    with speaking(language):
        return sentences()
