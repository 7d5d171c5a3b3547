"""Forms: each field is asked once, answers are kept, and the person can go back, skip, review and change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from answers import answers
from one_handler import bot_of, does
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PastDate,
    PlainValidator,
    PositiveInt,
    create_model,
    field_validator,
    model_validator,
)

from linqbot import AskCancelled, Bot, BotError, Context, MessageReceived
from linqbot.parse import date_time
from linqbot.testing import Phone, killed_between_calls, talking


class Guest(BaseModel):
    name: str = Field(description="What is your name?", min_length=2)
    people: int = Field(description="For how many?", ge=1, le=12)
    seat: Literal["inside", "terrace"]
    allergies: str | None = Field(None, description="Any allergies?")


RIGHT = "Is this right? Say yes, or name what to change."
REVIEW = "Name: Ann\nPeople: 4\nSeat: terrace\nAllergies: –\n\n" + RIGHT


def booking(model: type[BaseModel] = Guest, *, language: str = "en") -> Bot:
    bot = Bot(language=language, read=False, typing=False)

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> str:
        guest = await ctx.form(model, timezone="Europe/Paris")
        return guest.model_dump_json()

    return bot


async def says(phone: Phone, *lines: str) -> None:
    """Let a person answer, and check what the bot says to each answer: `question, answer, question, …`."""
    for number, line in enumerate(lines):
        if number % 2:
            await phone.text(line)
        else:
            found = [str(each) for each in await phone.replies() if str(each)]
            assert found == [line], lines[:number]


async def test_a_person_fills_in_a_form_with_words_numbers_and_choices() -> None:
    async with talking(booking()) as phone:
        await phone.text("book")
        await says(
            *(phone, "What is your name?", "A", "Please answer with at least 2 characters."),
            *("Ann", "For how many?", "lots", "Please give one whole number, such as 2 or twelve."),
            *("13", "Please answer with 12 or less.", "four"),
        )
        assert "Seat?" in [str(each) for each in await phone.replies()]
        await phone.text("roof")
        assert "Please answer with one of these: inside, terrace." in [str(each) for each in await phone.replies()]
        await phone.text("terrace")
        await says(phone, "Any allergies? You can also say: skip.", "skip", REVIEW, "yes")
        assert await phone.replies() == ['{"name":"Ann","people":4,"seat":"terrace","allergies":null}']


async def filled_in(phone: Phone, *answers: str) -> list[str]:
    """Answer the questions of a form, and return all that the bot said."""
    said = []
    for answer in ("book", *answers):
        await phone.text(answer)
        said += [str(each) for each in await phone.replies() if str(each)]
    return said


async def test_a_person_goes_back_and_changes_one_field_at_the_review() -> None:
    async with talking(booking()) as phone:
        said = await filled_in(phone, "back", "An", "back", "Ann", "4", "inside", "none", "seat", "terrace", "Yes!")
        assert said.count("What is your name?") == 3
        assert said[-2:] == [REVIEW, '{"name":"Ann","people":4,"seat":"terrace","allergies":null}']


async def test_an_answer_at_the_review_that_names_no_field_is_answered_with_the_names() -> None:
    async with talking(booking()) as phone:
        said = await filled_in(phone, "Ann", "4", "terrace", "skip", "hm", "no", "people", "back", "5", "yes")
        names = "Please say yes if it is right, or name what to change: Name, People, Seat, Allergies."
        assert said.count(names) == 2
        assert said[-1] == '{"name":"Ann","people":5,"seat":"terrace","allergies":null}'


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Order(BaseModel):
    when: datetime
    until: date = Field(title="Keep until")
    size: Size = Size.LARGE
    gift: bool = False
    email: Annotated[str, Field(pattern=r"\S+@\S+")]

    @field_validator("email")
    @classmethod
    def is_ours(cls, email: str) -> str:
        if not email.endswith("@example.com"):
            raise ValueError("Please use your address at example.com.")
        return email

    @model_validator(mode="after")
    def is_kept_long_enough(self) -> Order:
        if self.until < self.when.date():
            raise ValueError("It is collected after that day. Please change one of them.")
        return self


async def test_days_times_enums_and_yes_or_no_are_read_and_what_does_not_fit_together_is_changed() -> None:
    async with talking(booking(Order)) as phone:
        given = ("24 December 2030 at 7pm", "3 December 2030", "small", "sure", "ann@example.org")
        said = await filled_in(phone, *given, "yes", "ann@example.com", "yes", "keep until", "4 January 2031", "yes")
        assert "Please use your address at example.com. Email?" in said
        review, fault, asked, again, order = said[-5:]
        assert review.startswith(
            "When: Tuesday 24 December 2030 at 19:00\nKeep until: Tuesday 3 December 2030\nSize: small\nGift: Yes"
        )
        assert fault.endswith("\n\nIt is collected after that day. Please change one of them.")
        assert (asked, again.endswith(RIGHT)) == ("Keep until?", True)
        assert Order.model_validate_json(order).until == date(2031, 1, 4)


async def test_a_form_in_french() -> None:
    class Client(BaseModel):
        nom: str = Field(description="Votre nom ?", title="Nom")
        personnes: int = Field(description="Combien ?", title="Personnes")
        jour: date = Field(description="Quel jour ?", title="Jour")
        vin: bool = Field(True, description="Du vin ?", title="Vin")

    async with talking(booking(Client, language="fr")) as phone:
        await phone.text("book")
        for answer in ("Zoé", "quatre", "retour", "cinq", "24 décembre 2030", "passer"):
            await phone.text(answer)
        said = [str(each) for each in await phone.replies()]
        assert "Du vin ? Vous pouvez aussi dire : passer." in said
        assert said[-1].startswith("Nom: Zoé\nPersonnes: 5\nJour: mardi 24 décembre 2030\nVin: Oui\n\nEst-ce correct ?")
        assert await answers(phone, "oui") == ['{"nom":"Zoé","personnes":5,"jour":"2030-12-24","vin":true}']


async def test_a_field_is_read_with_the_marks_of_the_language_and_a_text_as_it_stands() -> None:
    class Price(BaseModel):
        code: Annotated[str, Field(min_length=5)] | None = Field(None, description="Code ?")
        total: float = Field(description="Total ?")

    async with talking(booking(Price, language="fr")) as phone:
        assert (await answers(phone, "book", "1.000", "1.000,5", "oui"))[-1] == '{"code":"1.000","total":1000.5}'


@pytest.mark.slow
async def test_a_form_is_the_same_however_the_process_is_killed() -> None:
    class Visitor(BaseModel):
        name: str = Field(description="What is your name?")
        allergies: str | None = Field(None, description="Any allergies?")

    async def scenario(phone: Phone) -> None:
        for answer in ("book", "An", "back", "Ann", "skip", "yes"):
            await phone.text(answer)
            await phone.quiet()

    name, allergies = "What is your name?", "Any allergies? You can also say: skip."
    async for phone in killed_between_calls(booking(Visitor), scenario):
        said = [str(each) for each in phone.messages if each.from_bot]
        review = f"Name: Ann\nAllergies: –\n\n{RIGHT}"
        assert said == [name, allergies, name, allergies, review, '{"name":"Ann","allergies":null}'], phone.killed


async def test_a_deploy_that_adds_a_field_asks_for_it_and_for_nothing_twice() -> None:
    class More(BaseModel):
        name: str = Field(description="What is your name?")
        phone: str = Field(description="Your phone number?")
        people: int = Field(description="For how many?")

    class Less(BaseModel):
        name: str = Field(description="What is your name?")
        people: int = Field(description="For how many?")

    More.__name__ = Less.__name__ = "Guest"

    def bot_with(model: type[BaseModel]) -> Bot:
        bot = Bot()

        @bot.on_message("book")
        async def book(message: MessageReceived, ctx: Context) -> str:
            return (await ctx.form(model, review=False)).model_dump_json()

        return bot

    async with talking(bot_with(Less)) as phone:
        assert await filled_in(phone, "Ann") == ["What is your name?", "For how many?"]
        await phone.restart(bot=bot_with(More))
        assert await answers(phone, "4") == ["Your phone number?"]
        assert await answers(phone, "555") == ['{"name":"Ann","phone":"555","people":4}']


async def test_the_cancel_word_and_the_handler_decide_what_an_unfinished_form_means() -> None:
    async def book(message: MessageReceived, ctx: Context) -> str:
        try:
            await ctx.form(Guest, cancel=["stop it"])
        except AskCancelled as error:
            return error.reason
        return "filled in"

    async with talking(bot_of(book, "book")) as phone:
        assert await filled_in(phone, "Ann", "stop it") == ["What is your name?", "For how many?", "word"]


async def test_a_model_that_cannot_be_asked_for_is_refused_when_the_form_begins() -> None:
    rows: list[tuple[Any, str]] = [
        (create_model("Nested", guest=(Guest, ...)), "a form of its own"),
        (create_model("Tagged", tags=(list[str], ...)), "tags is a list"),
        (create_model("Numbered", numbers=(set[int] | None, None)), "numbers is a set"),
        (create_model("Empty"), "a pydantic model with fields"),
        (int, "with fields"),
        (3, "with fields"),
    ]
    for model, why in rows:
        async with talking(booking(model)) as phone:
            await phone.text("book")
            (error,) = await phone.errors()
            assert isinstance(error, BotError)
            assert why in str(error)


async def test_a_time_zone_that_does_not_exist_is_the_authors_mistake_and_not_the_persons() -> None:
    when = create_model("When", at=(datetime, ...))
    for act in (
        lambda ctx: ctx.form(when, timezone="Europe/Pari"),
        lambda ctx: ctx.ask("When?", kind=partial(date_time, timezone="Europe/Pari")),
    ):
        async with talking(bot_of(does(act), "book")) as phone:
            await phone.text("book")
            await phone.text("tomorrow at 19:30")
            error, *_ = await phone.errors()
            assert isinstance(error, BotError)
            assert "There is no time zone 'Europe/Pari'." in str(error)
            assert [reply for reply in await phone.replies() if reply != "When?"] == []


def alias_models() -> list[type[BaseModel]]:
    """Return models whose fields `name` and `age` have other names outside."""
    age: Any = (int, Field(description="Age?", ge=0))
    named: list[Any] = [
        Field(description="Name?", alias="fullName"),
        Field(description="Name?", validation_alias="full-name"),
        Field(description="Name?", validation_alias=AliasChoices("fullName", AliasPath("names", 0))),
        Field(description="Name?", validation_alias=AliasPath("names", 0)),
        Field(description="Name?", alias="fullName", serialization_alias="n"),
    ]
    found = [create_model("Person", name=(str, each), age=age) for each in named]
    config = ConfigDict(alias_generator=str.upper, extra="forbid", frozen=True)
    plain: Any = (str, Field(description="Name?"))
    found.append(create_model("Person", __config__=config, name=plain, age=age))
    by_name = ConfigDict(populate_by_name=True)
    found.append(create_model("Person", __config__=by_name, name=(str, named[0]), age=age))
    return found


async def test_a_model_with_aliases_is_filled_in_by_the_names_of_its_fields(subtests: pytest.Subtests) -> None:
    for model in alias_models():
        made = list[BaseModel]()

        async def fill(message: MessageReceived, ctx: Context, model: Any = model, made: Any = made) -> None:
            made.append(await ctx.form(model))

        with subtests.test(model=str(model.model_fields)):
            async with talking(bot_of(fill, "book")) as phone:
                said = await filled_in(phone, "An", "five")
                assert said == ["Name?", "Age?", f"Name: An\nAge: 5\n\n{RIGHT}"]
                await phone.restart()
                await phone.text("name")
                await phone.text("Ann")
                await phone.text("yes")
                await phone.quiet()
            assert [(type(each), each.model_dump()) for each in made] == [(model, {"name": "Ann", "age": 5})]


async def test_a_fault_of_a_field_with_an_alias_is_asked_about_at_that_field() -> None:
    class Person(BaseModel):
        name: str = Field(description="Name?", alias="fullName")
        age: int = Field(description="Age?")

        @field_validator("name")
        @classmethod
        def is_whole(cls, name: str) -> str:
            if " " not in name:
                raise ValueError("With your family name, please.")
            return name

    async with talking(booking(Person)) as phone:
        said = await filled_in(phone, "Ann", "five", "yes", "Ann Smith", "yes")
        assert said[3] == "With your family name, please. Name?"
        assert said[-1] == '{"name":"Ann Smith","age":5}'


@pytest.mark.slow
async def test_a_form_with_aliases_is_the_same_however_the_process_is_killed() -> None:
    class Visitor(BaseModel):
        name: str = Field(description="Name?", alias="fullName")
        vegan: bool = Field(description="Vegan?", validation_alias=AliasChoices("v", "isVegan"))

    async def scenario(phone: Phone) -> None:
        for answer in ("book", "Ann"):
            await phone.text(answer)
            await phone.quiet()
        for _ in range(2):
            await phone.react([each for each in phone.messages if each.from_bot][-1], "like")
            await phone.quiet()

    async for phone in killed_between_calls(booking(Visitor), scenario):
        said = [str(each) for each in phone.messages if each.from_bot]
        review = f"Name: Ann\nVegan: Yes\n\n{RIGHT}"
        assert said == ["Name?", "Vegan?", review, '{"name":"Ann","vegan":true}'], phone.killed


async def test_a_function_that_gets_the_text_gets_it_for_the_model_too() -> None:
    class Tagged(BaseModel):
        tags: Annotated[list[str], BeforeValidator(lambda text: text.split(","))]
        count: Annotated[int, BeforeValidator(lambda text: text.removeprefix("#"))]
        size: Annotated[str, PlainValidator(lambda text: text[:1].upper())]

    async with talking(booking(Tagged)) as phone:
        said = await filled_in(phone, "a,b", "#four", "large", "yes")
        assert said[-1] == '{"tags":["a","b"],"count":4,"size":"L"}'


async def test_two_fields_of_one_enum_and_of_constrained_and_optional_types_are_filled_in() -> None:
    class Trip(BaseModel):
        first: Size
        second: Size | None = None
        nights: PositiveInt | None = None
        leaves: Annotated[datetime, Field(description="When?")] | None = None
        wake: time | None = None
        stay: timedelta | None = None
        born: PastDate

    async with talking(booking(Trip), start=datetime(2026, 11, 20, 12, tzinfo=UTC)) as phone:
        given = ("small", "Large", "four", "tomorrow at 10:00", "7am", "90 min", "1 February 1990")
        *_, review, trip = await filled_in(phone, *given, "yes")
        assert review.startswith(
            "First: small\nSecond: large\nNights: 4\nLeaves: Saturday 21 November 2026 at 10:00\nWake: 07:00\n"
            "Stay: 1 h 30 min\nBorn: Thursday 1 February 1990\n"
        )
        assert Trip.model_validate_json(trip).leaves == datetime(2026, 11, 21, 9, tzinfo=UTC)


async def test_a_number_at_the_review_names_no_field() -> None:
    async with talking(booking()) as phone:
        *_, said = await filled_in(phone, "Ann", "4", "terrace", "skip", "4")
        assert said == "Please say yes if it is right, or name what to change: Name, People, Seat, Allergies."
