"""The words that `kind=` and the fields of a form read: the same for a type, whatever stands around it, at both doors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial
from typing import Annotated, Any, Literal, NewType, get_args

import pytest
from answers import answers
from hypothesis import given
from hypothesis import strategies as st
from one_handler import bot_of
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    NaiveDatetime,
    NonNegativeInt,
    PastDate,
    PastDatetime,
    PositiveFloat,
    PositiveInt,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    conint,
    create_model,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from linqbot import BotError, Context, Event, MessageReceived, parse
from linqbot.bot.hours import Hours
from linqbot.features.asking.kinds import reader_of, sentence_of
from linqbot.language import CODES, ENGLISH, speaking, written
from linqbot.language.spoken import language_of
from linqbot.testing import Phone, talking

ZONE = "Europe/Paris"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday; 13:00 in Paris


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Stars(IntEnum):
    ONE = 1
    TWO = 2


TABLE: dict[str, dict[Any, dict[str, str]]] = {
    "en": {
        int: {
            "4": "four | 4 | table for four",
            "2": "２ | 2️⃣ | 2 people | two",
            "1000": "1,000",
            "-3": "−3 | -3 | minus 3",
        },
        float: {"1.5": "1.5 | 1,5", "4.0": "four", "1000.5": "1,000.50", "-3.0": "−3", "12.5": "$12.50 | 12,50"},
        Decimal: {"12.50": "12.50 | 12,50 | $12.50", "2": "two", "1000": "1,000", "-1.5": "minus 1.5"},
        bool: {"True": "yes | Sure! | 👍", "False": "nope | off | 👎"},
        date: {
            "2026-11-21": "tomorrow",
            "2026-11-20": "today",
            "2026-12-24": "24 Dec | 24.12.",
            "1990-02-01": "1 February 1990 | 1990-02-01 | 1.2.1990 | Feb 1st, 1990",
            "2026-11-19": "yesterday",
        },
        datetime: {
            "2026-11-21 10:00:00+01:00": "tomorrow at 10:00 | 2026-11-21 10:00 | 2026-11-21T09:00:00Z",
            "2026-11-21 19:00:00+01:00": "tomorrow at 7pm",
            "2020-07-01 18:00:00+02:00": "1 July 2020 18:00",
        },
        time: {"19:00:00": "7pm | 19:00 | 7 in the evening | 19:00:00", "12:00:00": "noon", "19:30:00": "19.30"},
        timedelta: {"1:30:00": "90 min | 1h30 | an hour and a half | PT90M | 01:30:00"},
        Size: {"Size.SMALL": "small | Small"},
        Stars: {"2": "2 | two"},
        Literal[1, 2, 3]: {"2": "2 | two"},
        Literal["Tee", "Kaffee"]: {"Tee": "tee | Tee"},
    },
    "de": {
        int: {"4": "vier | 4", "1000": "1.000", "2": "zwei Personen"},
        float: {"1.5": "1,5 | 1.5", "1000.5": "1.000,5"},
        Decimal: {"12.50": "12,50 | 12,50 €"},
        bool: {"True": "ja | klar", "False": "nein"},
        date: {
            "2026-11-21": "morgen",
            "1990-02-01": "1. Februar 1990 | 01.02.1990 | 1/2/1990",
            "2026-11-19": "gestern",
        },
        datetime: {"2026-11-21 10:00:00+01:00": "morgen um 10 Uhr"},
        time: {"19:00:00": "19 Uhr | 7 Uhr abends"},
        timedelta: {"1:30:00": "90 Minuten | anderthalb Stunden"},
    },
    "fr": {
        int: {"4": "quatre", "1000": "1.000 | 1 000"},
        float: {"1.5": "1,5"},
        bool: {"True": "d’accord", "False": "non merci"},
        date: {"2026-11-21": "demain", "1990-02-01": "1er février 1990 | 01/02/1990", "2026-11-19": "hier"},
        datetime: {"2026-11-21 10:00:00+01:00": "demain à 10h"},
        time: {"19:30:00": "19h30"},
        timedelta: {"1:30:00": "1h30 | une heure et demie"},
    },
    "ja": {
        int: {"4": "四つ | 4", "2": "２人", "1000": "1,000"},
        float: {"2.5": "2.5"},
        bool: {"True": "はい", "False": "いいえ"},
        date: {"2026-11-21": "明日", "1990-02-01": "1990年2月1日", "2026-11-19": "昨日"},
        datetime: {"2026-11-21 10:00:00+01:00": "明日の10時"},
        time: {"19:00:00": "午後7時"},
        timedelta: {"1:30:00": "1時間半"},
    },
}
"""By language, type and value, the texts that have this value, with ` | ` between them."""


def rows(language: str) -> Iterator[tuple[Any, str, str]]:
    for kind, meanings in TABLE[language].items():
        for value, texts in meanings.items():
            for text in texts.split(" | "):
                yield kind, text, value


def like(kind: Any) -> list[Any]:
    """Return a type, and the types that only add to it what a person cannot see."""
    found = [kind, Annotated[kind, "a note"], kind | None, Annotated[kind | None, Field(description="Well?")]]
    found += [Annotated[kind, AfterValidator(lambda value: value)] | None, NewType("Named", kind)]
    same: Mapping[Any, list[Any]] = {
        int: [StrictInt, StrictInt | None, conint(ge=-(10**9))],
        float: [FiniteFloat],
        bool: [StrictBool | None],
        datetime: [AwareDatetime, AwareDatetime | None],
    }
    return found + same.get(kind, [])


def read(kind: Any, text: str, *, language: str = "en") -> Any:
    with speaking(language):
        return reader_of(kind, ZONE).read(text, NOW)


@pytest.mark.parametrize("language", TABLE)
def test_a_type_is_read_alike_whatever_stands_around_it(language: str, subtests: pytest.Subtests) -> None:
    for kind, text, value in rows(language):
        for each in like(kind) if kind not in (Literal[1, 2, 3], Literal["Tee", "Kaffee"]) else [kind, kind | None]:
            with subtests.test(kind=str(each), text=text):
                said = (
                    text.capitalize()
                    if isinstance(value, str) and value == "Tee"
                    else text.casefold()
                    if kind is Size
                    else text
                )
                assert str(read(each, said, language=language)) == value


@pytest.mark.parametrize("language", TABLE)
async def test_a_question_and_a_form_read_alike(language: str) -> None:
    """One row of each type is a question of its own at both doors: a text that is refused would be asked for again."""
    asked = list({str(kind): (kind, text, value) for kind, text, value in rows(language)}.values())
    given_kinds: dict[str, Any] = {f"f{n}": (kind, ...) for n, (kind, _, _) in enumerate(asked)}
    model = create_model("Everything", **given_kinds)
    found = list[str]()

    async def ask(message: MessageReceived, ctx: Context) -> None:
        values = [await ctx.ask(f"{n}?", kind=kind, timezone=ZONE) for n, (kind, _, _) in enumerate(asked)]
        found.extend(map(str, values))

    async def fill(message: MessageReceived, ctx: Context) -> None:
        form = await ctx.form(model, timezone=ZONE, review=False)
        found.extend(str(getattr(form, name)) for name in given_kinds)

    for door in (ask, fill):
        found.clear()
        async with talking(
            bot_of(door, language=language, loop_breaker=False, read=False, typing=False), start=NOW, service="SMS"
        ) as phone:
            await phone.text("begin")
            for _, text, _ in asked:
                await phone.text(text)
                await phone.quiet()
                await phone.advance(2)  # Linq limits the messages of a minute
        assert found == [value for _, _, value in asked], door.__name__


REFUSED: list[tuple[Any, str, str]] = [
    (int, "1.000", "Please give one whole number, such as 2 or twelve."),
    (int, "1_000", "Please give one whole number, such as 2 or twelve."),
    (float, "nan", "Please answer with a number."),
    (Decimal, "1_000", "Please answer with a number."),
    (bool, "perhaps", "Please answer yes or no."),
    (date, "01/02/1990", "01/02/1990 could be two dates. Please write the month as a word, such as 1 Feb 1990."),
    (date, "30 Feb 1990", "There is no such date as 30 feb 1990. Please check it."),
    (datetime, "today at 9:00", "That time has passed. Please give a later one."),
    (datetime, "1830", "Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00."),
    (datetime, "tomorrow", "At which time? Please give the day and a time, such as Friday 19:30."),
    (time, "7", "7 in the morning or in the evening? Please write it like 7am, 7pm or 19:00."),
    (time, "tomorrow", "Please give a time of day, such as 19:30, 7pm or noon."),
    (timedelta, "1:30", "Please give a length of time, such as 20 min, 1h30 or 2 days."),
    (timedelta, "90", "Please give a length of time, such as 20 min, 1h30 or 2 days."),
    (Size, "medium", "Please answer with one of these: small, large."),
    (Literal[1, 2], "three", "Please answer with one of these: 1, 2."),
    (PositiveInt | None, "0", "Please answer with more than 0."),
    (NonNegativeInt, "minus 1", "Please answer with 0 or more."),
    (PositiveFloat, "-1", "Please answer with more than 0."),
    (Annotated[float, Field(le=1.5)], "2", "Please answer with 1.5 or less."),
    (Annotated[int, Field(multiple_of=6)], "four", "Please answer with a multiple of 6."),
    (Annotated[Decimal, Field(decimal_places=2)], "1.234", "Please answer with at most 2 decimal places."),
    (Annotated[Decimal, Field(max_digits=4, decimal_places=2)], "123.4", "Please answer with less than 100."),
    (Annotated[Decimal, Field(max_digits=4)], "12345", "Please answer with at most 4 characters."),
    (FutureDate, "1 February 1990", "That day has passed. Please give a later one."),
    (FutureDate, "today", "That is today. Please give a later day."),
    (FutureDatetime, "1 Feb 1990 18:00", "That time has passed. Please give a later one."),
    (PastDate | None, "tomorrow", "Please give a day that has passed, with its year, such as 1 February 1990."),
    (PastDate, "a while ago", "Please give a day that has passed, with its year, such as 1 February 1990."),
    (
        PastDatetime,
        "tomorrow at 9:00",
        "Please give a day and a time that have passed, with the year, such as 1 February 1990 18:00.",
    ),
    (Annotated[date, Field(ge=date(2027, 1, 1))], "tomorrow", "Please give Friday 1 January 2027 or later."),
    (
        Annotated[datetime, Field(lt=datetime(2026, 11, 20, 18, tzinfo=UTC))],
        "tomorrow at 9:00",
        "Please give a time before this: Friday 20 November 2026 at 19:00.",
    ),
    (Annotated[time, Field(gt=time(9))], "8:30", "Please give a time after this: 09:00."),
    (Annotated[timedelta, Field(le=timedelta(hours=2))], "3 hours", "Please answer with 2 h or less."),
    (Annotated[timedelta, Field(ge=timedelta(minutes=90))], "20 min", "Please answer with 1 h 30 min or more."),
    (HttpUrl, "ftp://example.com", "Please answer with a web address, such as https://example.com."),
]


def test_what_cannot_be_read_or_breaks_a_constraint_is_answered_with_a_sentence(subtests: pytest.Subtests) -> None:
    for kind, text, sentence in REFUSED:
        with subtests.test(kind=str(kind), text=text), pytest.raises(ValueError, match=re.escape(sentence)):
            read(kind, text)


def test_a_limit_has_the_decimal_mark_of_the_language() -> None:
    with pytest.raises(ValueError, match=r"1,5\D"):
        read(Annotated[float, Field(le=1.5)], "2", language="de")


def test_the_first_type_of_a_union_that_fits_is_read_and_a_text_stays_one(subtests: pytest.Subtests) -> None:
    for kind, text, value in [
        (int | str, "four", 4),
        (int | str, "7", 7),
        (int | str, "12 Main Street", "12 Main Street"),
        (int | str, "none", "none"),
        (str | int, "7", "7"),
        (float | str, "1.5", 1.5),
        (float | str, "1.5 or so", "1.5 or so"),
        (int | float, "1.5", 1.5),
        (date | datetime, "tomorrow", date(2026, 11, 21)),
        (Literal["any day"] | date, "any day", "any day"),
        (bool | str, "sure", True),
        (bool | str, "sure, but later", "sure, but later"),
    ]:
        with subtests.test(kind=str(kind), text=text):
            found = read(kind, text)
            assert (found, type(found)) == (value, type(value))


def test_a_naive_datetime_is_the_wall_time_of_the_person() -> None:
    assert read(NaiveDatetime, "tomorrow at 10:00") == datetime(2026, 11, 21, 10)  # noqa: DTZ001 - that of Paris
    assert read(PastDate, "1 February 1990") == date(1990, 2, 1)
    assert read(PastDatetime, "today at 9:00").isoformat() == "2026-11-20T09:00:00+01:00"


def test_a_function_of_the_author_gets_the_text_before_it_is_read() -> None:
    stripped = Annotated[int, BeforeValidator(lambda text: text.removeprefix("#"))]
    split = Annotated[list[str], BeforeValidator(lambda text: text.split(", "))]
    assert (read(stripped, "#four"), read(split, "a, b")) == (4, ["a", "b"])


@given(st.sampled_from(CODES), st.integers(-1_000_000, 1_000_000))
def test_a_number_that_is_written_in_a_language_is_read_back(language: str, value: int) -> None:
    for kind in (int, Annotated[int | None, Field(ge=-(10**9))], Decimal, float):
        assert read(kind, written(value, language=language), language=language) == value


@given(st.sampled_from(CODES), st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_a_day_that_is_written_in_a_language_is_read_back(language: str, value: date) -> None:
    assert read(date, written(value, language=language), language=language) == value
    if value != NOW.date():
        assert (
            read(PastDate if value < NOW.date() else FutureDate, written(value, language=language), language=language)
            == value
        )


KINDS = [
    int,
    float,
    Decimal,
    bool,
    date,
    datetime,
    time,
    timedelta,
    PastDate,
    FutureDatetime,
    int | str,
    Size,
    Literal[1, 2],
]


@given(st.sampled_from(CODES), st.text(min_size=1) | st.from_regex(r"[\d.,:/ PTHZ+-]{1,12}", fullmatch=True))
def test_any_text_has_a_value_or_a_sentence_for_the_person(language: str, text: str) -> None:
    for kind in KINDS:
        try:
            read(kind, text, language=language)
        except ValueError as error:
            sentence = str(error)
        else:
            continue
        assert is_sentence(sentence, language), (kind, sentence)


def is_sentence(text: str, language: str) -> bool:
    """Return True if a text begins as one of the sentences of a language, up to the first word that is filled in."""
    said = asdict(language_of(language).sentences).values()
    return any(text.startswith(each.partition("{")[0]) and text.endswith(each.rpartition("}")[2]) for each in said)


def error_of(kind: ErrorType) -> ValidationError | None:
    """Return an error of pydantic's, with whatever its text needs; None if no such error can be made from outside."""
    context: dict[str, Any] = dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length"), 3)
    context |= dict.fromkeys(
        ("max_digits", "decimal_places", "whole_digits", "actual_length", "tz_expected", "tz_actual"), 3
    )
    context |= dict.fromkeys(("error", "reason", "method_name", "attribute", "field_type", "class", "pattern"), "x")
    context |= dict.fromkeys(("expected", "expected_schemes", "discriminator", "tag", "expected_tags", "encoding"), "x")
    context |= dict.fromkeys(("encoding_error", "class_name", "mapping_type", "error_type"), "x")
    context["expected_version"] = 4
    if kind in ("value_error", "assertion_error"):
        context["error"] = ValueError("") if kind == "value_error" else AssertionError("for the author")
    try:
        details: InitErrorDetails = {"type": kind, "input": "x", "ctx": context}
        return ValidationError.from_exception_data("model", [details])
    except (TypeError, KeyError):
        return None


def test_no_error_of_pydantic_is_said_to_a_person(subtests: pytest.Subtests) -> None:
    errors = {kind: error_of(kind) for kind in get_args(ErrorType)}
    made = {kind: error for kind, error in errors.items() if error is not None}
    assert len(made) > 80
    for language in ("en", "fr"):
        for kind, error in made.items():
            with subtests.test(kind=kind, language=language), speaking(language):
                assert is_sentence(sentence_of(error), language)
    own = PydanticCustomError("greater_than", "Input should be larger")
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[int, AfterValidator(partial(fail, own))]).validate_python(1)
    assert sentence_of(caught.value) == ENGLISH.sentences.other_form


def fail(error: Exception, value: Any) -> Any:
    raise error


def of_pydantic(text: str) -> int:
    return TypeAdapter(int).validate_strings(text)


AUTHORS: list[tuple[str, Any, str]] = [
    ("a present without a zone", lambda text: parse.day(text, timezone=ZONE, now=datetime(2026, 1, 1)), "now= has no"),  # noqa: DTZ001
    ("an unknown zone", partial(parse.day, timezone="Europe/Pari"), "no time zone 'Europe/Pari'"),
    ("an unknown language", partial(parse.number, language="xx"), "does not speak 'xx'"),
    (
        "hours of a naive time",
        Annotated[NaiveDatetime, AfterValidator(Hours("mon-sun 9-18", timezone=ZONE).check)],
        "no time zone",
    ),
    (
        "a rhythm of a naive time",
        lambda text: parse.recurrence("day 9:00", timezone=ZONE).next_after(datetime(2026, 1, 1)),  # noqa: DTZ001
        "no time zone",
    ),
]


def asks(*question: str, **options: Any) -> Callable[..., Any]:
    """Return a handler that asks a question and says the answer."""

    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(str(await ctx.ask(*question, **options)))

    return ask


def fills(model: Any, **options: Any) -> Callable[..., Any]:
    """Return a handler that fills in a form and says it."""

    async def fill(message: MessageReceived, ctx: Context) -> None:
        form: BaseModel = await ctx.form(model, **options)
        await ctx.reply(form.model_dump_json())

    return fill


async def test_what_is_meant_for_an_author_is_an_error_of_the_bot_and_no_answer(subtests: pytest.Subtests) -> None:
    for name, kind, why in AUTHORS:
        doors = [asks("When?", kind=kind)]
        if hasattr(kind, "__metadata__"):  # a type
            doors.append(fills(create_model("Form", when=(kind, ...))))
        for door in doors:
            async with talking(bot_of(door), start=NOW) as phone:
                with subtests.test(name=name):
                    await phone.text("book")
                    await phone.text("tomorrow at 10:00")
                    error, *_ = await phone.errors()
                    assert isinstance(error, BotError)
                    assert why in str(error)
                    assert [str(each) for each in await phone.replies()] == ["When?"]


async def test_a_sentence_of_pydantic_or_about_cron_in_a_function_becomes_one_for_the_person() -> None:
    rhythm = partial(parse.recurrence, timezone=ZONE)
    for kind, text, sentence in [
        (of_pydantic, "many", ENGLISH.sentences.number),
        (Annotated[str, AfterValidator(of_pydantic)], "many", ENGLISH.sentences.number),
        (rhythm, "61 * * * *", ENGLISH.sentences.rhythm),
    ]:
        async with talking(bot_of(asks("Well?", kind=kind))) as phone:
            assert await answers(phone, "hi", text) == ["Well?", sentence]


async def test_a_type_that_no_text_can_be_read_as_is_refused_before_anything_is_asked(
    subtests: pytest.Subtests,
) -> None:
    class Nested(BaseModel):
        a: int = 1

    class Own:
        pass

    kinds: list[Any] = [list[int], dict[str, int] | None, Nested, Annotated[Nested | None, "a note"], tuple[int, int]]
    for kind in (*kinds, type[int]):
        with subtests.test(kind=str(kind)):
            model = create_model("Form", first=(str, ...), wrong=(kind, ...))
            for door, named in ((asks("?", kind=kind), "kind="), (fills(model), "wrong")):
                async with talking(bot_of(door)) as phone:
                    await phone.text("hi")
                    (error,) = await phone.errors()
                    assert isinstance(error, BotError)
                    assert named in str(error)
                    assert await phone.replies() == []

    own = create_model("Form", wrong=(Own, ...), __config__=ConfigDict(arbitrary_types_allowed=True))
    async with talking(bot_of(fills(own))) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
        assert "the field wrong is a class" in str(error)


async def test_tomorrow_is_the_day_after_the_answer_also_when_the_handler_runs_again_later() -> None:
    async def ask(message: MessageReceived, ctx: Context) -> str:
        day = await ctx.ask("Day?", kind=FutureDate, timezone=ZONE, timeout_s=86_400 * 9)
        await ctx.ask("Name?", timeout_s=86_400 * 9)
        return f"{day}"

    async with talking(bot_of(ask), start=NOW) as phone:
        assert await answers(phone, "hi", "tomorrow") == ["Day?", "Name?"]
        await phone.advance(86_400 * 3)
        await phone.restart()
        assert await answers(phone, "Ann") == ["2026-11-21"]


async def test_a_time_that_has_passed_when_the_form_ends_is_asked_for_again() -> None:
    model = create_model("Form", when=(FutureDatetime, ...), name=(str, ...))
    async with talking(bot_of(fills(model, timezone=ZONE, review=False)), start=NOW) as phone:
        assert await answers(phone, "hi", "in 20 min") == ["When?", "Name?"]
        await phone.advance(3600)
        assert await answers(phone, "Ann") == ["That time has passed. Please give a later one. When?"]


async def test_a_wrong_time_zone_of_a_question_is_refused() -> None:
    for timezone, why in (("Europe/Pari", "There is no time zone"), (1, "takes the IANA name")):
        async with talking(bot_of(asks("?", kind=date, timezone=timezone))) as phone:
            await phone.text("hi")
            (error,) = await phone.errors()
            assert isinstance(error, BotError)
            assert why in str(error)


# Tapbacks


async def said_to(phone: Phone, reaction: str) -> list[str]:
    """Let the person react to the bot's last message, and return what the bot says then."""
    await phone.react([each for each in phone.messages if each.from_bot][-1], reaction)
    return [str(each) for each in await phone.replies()]


YES_OR_NO: list[Any] = [
    {"yes": "like"},
    {"yes": "emphasize"},
    {"kind": bool},
    {"kind": Annotated[bool | None, "a note"]},
    {"kind": parse.yes_no},
    {"kind": partial(parse.yes_no, language="fr")},
]


async def test_a_tapback_answers_where_a_yes_or_no_does(subtests: pytest.Subtests) -> None:
    tapbacks = {"like": "True", "love": "True", "✅": "True", "dislike": "False", "❌": "False"}
    for options in YES_OR_NO:
        async with talking(bot_of(asks("Sure?", **options), loop_breaker=False)) as phone:
            for reaction, value in tapbacks.items():
                with subtests.test(options=str(options), reaction=reaction):
                    await phone.advance(60)
                    assert await answers(phone, "hi") == ["Sure?"]
                    assert await said_to(phone, "🎉") == []
                    assert await said_to(phone, reaction) == [value]


async def test_a_tapback_elsewhere_or_on_another_kind_of_question_stays_an_event() -> None:
    heard = list[str]()
    for kind in (str, int, bool):
        bot = bot_of(asks("Sure?", kind=kind))

        @bot.on_reaction
        async def note(event: Event, ctx: Context) -> None:
            heard.append("heard")

        async with talking(bot) as phone:
            await answers(phone, "hi")
            first, question = phone.messages
            await phone.react(first if kind is bool else question, "like")
            await phone.quiet()
            assert len(await answers(phone, "yes" if kind is bool else "4")) == 1
    assert heard == ["heard"] * 3


async def test_a_tapback_answers_a_yes_or_no_field_of_a_form_and_its_review() -> None:
    model = create_model("Form", vegan=(bool, ...), window=(bool | None, None))
    async with talking(bot_of(fills(model))) as phone:
        assert await answers(phone, "hi") == ["Vegan?"]
        assert await said_to(phone, "dislike") == ["Window? You can also say: skip."]
        (review,) = await said_to(phone, "like")
        assert review.startswith("Vegan: No\nWindow: Yes\n")
        (names,) = await said_to(phone, "dislike")
        assert names == "Please say yes if it is right, or name what to change: Vegan, Window."
        assert await said_to(phone, "love") == ['{"vegan":false,"window":true}']
