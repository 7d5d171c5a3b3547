"""The sentences of all languages: complete, filled in alike, and said in a bot of that language instead of the English ones."""

from __future__ import annotations

import ast
import ipaddress
import re
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

import pytest
from answers import answers
from one_handler import bot_of
from pydantic import Field, FutureDate, HttpUrl, PastDate, PastDatetime

from linqbot import AskCancelled, Context, MediaPart, MessageReceived, ReactionAdded, parse, poll
from linqbot.events import ContactCardReceived, LocationSharingStarted
from linqbot.language import CODES, ENGLISH, Sentences, speaking
from linqbot.language.spoken import language_of
from linqbot.language.wording import MEANINGS, Words
from linqbot.linq.rules.message import is_opt_out
from linqbot.testing import talking

ROOT = Path(__file__).parents[2]
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = [each.name for each in fields(Sentences)]
OTHERS = [code for code in CODES if code != "en"]


def blanks(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def pattern(sentence: str) -> str:
    return "".join(
        re.escape(text) + ("" if name is None else "(.+)") for text, name, _, _ in Formatter().parse(sentence)
    )


def test_a_sentence_of_each_language_is_its_own_and_fills_in_what_the_english_one_does(
    subtests: pytest.Subtests,
) -> None:
    for code in OTHERS:
        for name in NAMES:
            with subtests.test(language=code, sentence=name):
                said, in_english = getattr(language_of(code).sentences, name), getattr(ENGLISH.sentences, name)
                assert blanks(said) <= blanks(in_english)
                assert re.fullmatch(pattern(in_english), said) is None or name in {"day_at_time", "no"}
                assert said.strip()


FOR_AUTHORS = (
    "now= has no time zone",
    "This time has no time zone",
    "There is no time zone",
    "The cron expression",
    "{…} is not a cron expression",
)
"""Beginnings of errors of the parsers that only an author's mistake causes."""


def written_out(node: ast.expr) -> str | None:
    """Return a text that the code has at this place; None for other values."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(each.value) if isinstance(each, ast.Constant) else "{…}" for each in values)
    return None


def test_what_linqbot_says_to_people_is_written_in_its_languages_only() -> None:
    found = list[str]()
    for path in [*(ROOT / "linqbot").rglob("*.py"), *(ROOT / "plugins").glob("*/linqbot_*/*.py")]:
        refuses = path.parent.name in ("parse", "asking")
        source = path.read_text()
        if not (refuses or re.search(r"\.(reply|send)\(", source)):
            continue
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError"), args=[text])) if refuses:
                    said = written_out(text)
                case ast.Call(func=ast.Attribute(attr="reply" | "send"), args=[text, *_]) if (
                    "emulator" not in path.parts
                ):
                    said = written_out(text)
                case _:
                    continue
            if said is not None and not said.startswith(FOR_AUTHORS):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {said}")
    assert found == []


def test_a_language_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="no words for: tomorrow"):
        Words(
            yes="",
            no="",
            back="b",
            skip="s",
            nothing="",
            cancel="",
            meanings=dict.fromkeys({*MEANINGS} - {"tomorrow"}, ""),
            numbers="",
            hundreds="",
        )


def test_only_cancel_and_quit_end_a_question_and_are_an_opt_out_in_capitals(subtests: pytest.Subtests) -> None:
    for code in CODES:
        for word in language_of(code).cancel:
            with subtests.test(language=code, word=word):
                assert not is_opt_out(word)
                assert is_opt_out(word.upper()) == (code == "en" and word in ("cancel", "quit"))
                for read in (parse.yes_no, parse.number):
                    with pytest.raises(ValueError):  # noqa: PT011 - each sentence is refused as it is
                        read(word, language=code)


def test_no_answer_means_yes_and_no(subtests: pytest.Subtests) -> None:
    for code in OTHERS:
        words = language_of(code).words
        assert words is not None
        for said, is_yes in ((words.yes, True), (words.no, False)):
            for answer in said.split(","):
                with subtests.test(language=code, answer=answer):
                    assert parse.yes_no(answer, language=code) is is_yes
                    assert parse.yes_no(f"{answer.upper()}!", language=code) is is_yes


when = partial(parse.date_time, timezone="Europe/Paris", now=FRIDAY)
which_day = partial(parse.day, timezone="Europe/Paris", now=FRIDAY)
KINDS: dict[str, tuple[Any, str]] = {
    "other_form": (ipaddress.IPv4Address, "non"),
    "photo_or_file": (MediaPart, "non"),
    "location": (LocationSharingStarted, "non"),
    "contact_card": (ContactCardReceived, "non"),
    "something_else": (ReactionAdded, "non"),
    "one_of_these": (Literal["rouge", "vert"], "bleu"),
    "any_number": (float, "beaucoup"),
    "more_than": (Annotated[int, Field(gt=2)], "2"),
    "at_least": (Annotated[int, Field(ge=2)], "1"),
    "less_than": (Annotated[int, Field(lt=2)], "2"),
    "at_most": (Annotated[int, Field(le=2)], "3"),
    "longer": (Annotated[str, Field(min_length=5)], "a"),
    "shorter": (Annotated[str, Field(max_length=2)], "abc"),
    "web_address": (HttpUrl, "ici"),
    "multiple_of": (Annotated[int, Field(multiple_of=2)], "trois"),
    "decimal_places": (Annotated[Decimal, Field(decimal_places=1)], "1,25"),
    "later_than": (Annotated[date, Field(gt=date(2030, 1, 1))], "demain"),
    "from_then": (Annotated[time, Field(ge=time(9))], "8h30"),
    "earlier_than": (Annotated[date, Field(lt=date(2020, 1, 1))], "demain"),
    "until_then": (Annotated[datetime, Field(le=FRIDAY)], "demain à 9h"),
    "clock_time": (time, "demain"),
    "past_day": (PastDate, "demain"),
    "past_time": (PastDatetime, "demain à 9h"),
    "after_today": (FutureDate, "aujourd'hui"),
    "too_long": (parse.number, "1 " * 200),
    "number": (parse.number, "beaucoup"),
    "yes_or_no": (bool, "peut-être"),
    "day": (which_day, "hein"),
    "day_and_time": (when, "hein"),
    "which_time": (when, "demain"),
    "day_passed": (which_day, "1/2/2020"),
    "time_passed": (when, "1/2/2020 10h"),
    "morning_or_evening": (when, "à 9"),
    "no_such_time": (when, "25h"),
    "no_such_date": (when, "31 février à 10h"),
    "two_numbers": (parse.duration, "1,500 s"),
    "duration": (parse.duration, "longtemps"),
    "rhythm": (parse.recurrence, "parfois à 9h"),
    "unclear_rhythm": (parse.recurrence, "lundi 9h mardi 10h"),
    "rhythm_time": (parse.recurrence, "tous les jours"),
}
"""A kind of answer and an answer, for each sentence that says what is wrong with one."""
ELSEWHERE = {
    "text",  # see the test
    "two_dates",  # French writes the day first
    *("ask_cancelled", "ask_given_up", "ask_timed_out", "ask_unanswered"),  # see tests/features/asking/test_endings.py
    "day_at_time",  # of `written`
    *("hours_example", "closed_then"),  # of `Hours`
    *("started", "help"),  # see `tests/features/test_consent.py`
    *("asked_for", "has_decided", "too_late"),  # see tests/features/asking/test_elsewhere.py
    *("yes", "no", "may_skip", "is_it_right", "name_what_to_change"),  # of forms
    # Of handoffs: see tests/features/test_handoff.py
    *(
        "handoff",
        "which_person",
        "or_answer",
        "which_done",
        "not_delivered",
        "handoff_over",
        "handed_back",
        "bot_is_back",
        "no_one_answers",
    ),
    *("shared_location", "shared_card", "sent_poll", "sent_app_card", "put_sticker", "sent_unknown"),
    *("bot_is_off", "bot_is_on"),  # see tests/ops/test_mutes.py
    *("sorry", "done", "one_moment", "more", "may_i", "asked_elsewhere"),  # of agents
    *("used_up_hour", "used_up_day", "used_up_week", "used_up_month"),
}


async def ask(message: MessageReceived, ctx: Context) -> None:
    """Ask for an answer of the kind that the message names."""
    try:
        if message.text == "text":
            await ctx.ask("Votre nom ?")
        else:
            await ctx.ask("Combien ?", kind=KINDS[message.text][0], tries=2)
    except AskCancelled as error:
        await ctx.reply(f"Fin : {error.reason}")


async def test_a_french_bot_says_no_sentence_in_english(subtests: pytest.Subtests) -> None:
    assert {*KINDS, *ELSEWHERE} == {*NAMES}
    said: list[str] = []
    in_french = language_of("fr").sentences
    async with talking(bot_of(ask, language="fr", loop_breaker=False), start=FRIDAY) as phone:

        async def refused(question: str, answer: str | None, name: str) -> None:
            await phone.advance(60)  # Linq limits the messages of a minute
            await phone.text(question)
            await phone.quiet()
            if answer is None:
                await phone.media(b"\xff\xd8\xff\xe0", "photo.jpg")
            else:
                await phone.text(answer)
            replies = await phone.replies()
            said.extend(replies)
            with subtests.test(sentence=name):
                assert any(re.fullmatch(pattern(getattr(in_french, name)), each) for each in replies), replies
            assert (await answers(phone, "Laissez tomber"))[-1] == "Fin : word"

        for name, (_, answer) in KINDS.items():
            await refused(name, answer, name)
        await refused("text", None, "text")
    assert "Merci de choisir parmi : rouge, vert." in said
    for text in said:
        with subtests.test(text=text):
            assert not any(
                re.fullmatch(pattern(getattr(ENGLISH.sentences, name)), text) for name in NAMES if name != "day_at_time"
            )


async def test_waits_polls_and_lists_of_a_french_bot_have_no_sentence_in_english(subtests: pytest.Subtests) -> None:
    async def everything(message: MessageReceived, ctx: Context) -> None:
        await ctx.remind("Demain !", at=FRIDAY + timedelta(days=2), before="1 day")
        try:
            await ctx.location("Où êtes-vous ?")
        except AskCancelled:
            await ctx.reply("Tant pis.", poll("Oui", "Non"))
        result = await ctx.vote(["Thaï", "Pizza"], "Quoi ?", until=1)
        await ctx.reply(f"{result.winner} !")
        await ctx.pay(1250, "2 soupes", timeout_s=60)
        await ctx.reply("Trop tard.")

    async with talking(bot_of(everything, language="fr", groups="all"), start=FRIDAY, service="SMS") as phone:
        await phone.text("bonjour")
        await phone.text("2")
        await phone.quiet()
        await phone.advance(2 * 86_400)
        said = [str(each).replace("\u00a0", " ") for each in await phone.replies()]
    assert said[:3] == ["Tant pis.", "1. Oui\n2. Non", "Quoi ?\n1. Thaï\n2. Pizza"]
    assert said[3] == "Pizza !"
    assert said[4].startswith("2 soupes: 12,50 $US")
    assert sorted(said[5:]) == ["Demain !", "Trop tard."]


def test_a_sentence_names_answers_that_its_language_understands(subtests: pytest.Subtests) -> None:
    rows = {
        "fr": ["vendredi 19h30", "demain à 19h", "le 24 décembre à 18h", "7h du soir", "19h"],
        "de": ["Freitag 19:30", "morgen um 19 Uhr", "24. Dezember 18 Uhr", "7 Uhr abends"],
        "es": ["viernes 19:30", "mañana a las 19:00", "24 de diciembre a las 18:00", "7 de la tarde"],
        "pt": ["sexta-feira 19h30", "amanhã às 19h", "24 de dezembro às 18h", "7 da noite"],
        "it": ["venerdì 19:30", "domani alle 19:00", "24 dicembre alle 18:00", "7 di sera"],
        "nl": ["vrijdag 19:30", "morgen om 19 uur", "24 december 18:00", "7 uur ’s avonds"],
        "ja": ["金曜日19:30", "明日の19時", "12月24日18時", "午後7時", "午前7時"],
    }
    for code, texts in rows.items():
        in_it = language_of(code).sentences
        for text in texts:
            with subtests.test(language=code, text=text):
                assert text in in_it.day_and_time + in_it.morning_or_evening
                assert when(text, language=code) > FRIDAY


def test_the_rhythms_that_a_sentence_names_are_understood(subtests: pytest.Subtests) -> None:
    rows = {
        "fr": ["tous les jours à 9h", "en semaine à 8h30", "lundi et jeudi à 19h30", "toutes les 2 heures"],
        "de": ["jeden Tag um 9 Uhr", "werktags 8:30", "Mo und Do 19:30", "alle 2 Stunden"],
        "es": ["cada día a las 9:00", "entre semana 8:30", "lunes y jueves 19:30", "cada 2 horas"],
        "pt": ["todos os dias às 9h", "dias úteis 8h30", "segunda e quinta 19h30", "a cada 2 horas"],
        "it": ["ogni giorno alle 9:00", "giorni feriali 8:30", "lunedì e giovedì 19:30", "ogni 2 ore"],
        "nl": ["elke dag om 9:00", "doordeweeks 8:30", "ma en do 19:30", "elke 2 uur"],
        "ja": ["毎日9時", "平日8:30", "月曜と木曜の19:30", "2時間ごと"],
    }
    first = ["2026-11-21 09:00", "2026-11-23 08:30", "2026-11-23 19:30", "2026-11-20 14:00"]
    for code, texts in rows.items():
        for text, at in zip(texts, first, strict=True):
            with subtests.test(language=code, text=text):
                assert text in language_of(code).sentences.rhythm
                rhythm = parse.recurrence(text, timezone="Europe/Paris", language=code)
                # A stored rhythm is read again in any turn.
                with speaking("de"):
                    again = parse.recurrence(rhythm.spec, timezone="Europe/Paris", language="en")
                for each in (rhythm, again):
                    assert each.next_after(FRIDAY).isoformat(" ", "minutes")[:16] == at
