"""Words at the doors of a running bot: what chooses, ends a question, approves, gives a chat back, or mutes."""

from __future__ import annotations

from typing import Any

import pytest
from answers import answers
from asking_talk import asking
from fakes import message
from one_handler import bot_of, does, says
from pydantic import BaseModel

from linqbot import AskCancelled, Bot, Context, MessageReceived, parse
from linqbot.features.asking.answers import choice_of, says_cancel_word
from linqbot.features.asking.question import OpenQuestion
from linqbot.testing import talking

OWNER, ANN, BOB, EVE = "+14155550143", "+14155550142", "+14155550144", "+14155550145"
PEOPLE = ("2 people", "4 people", "6 people")
TIMES = ("17:00", "18:00", "19:00", "20:00", "21:00")
SIZES = ("S", "M", "L")
Rows = dict[str, str | None]


def test_a_text_names_a_choice_by_its_words_or_by_a_number_that_was_shown(subtests: pytest.Subtests) -> None:
    rows: list[tuple[tuple[str, ...], Rows, Rows]] = [
        # the choices; what texts name if numbers were shown; and if there were none
        (
            SIZES,
            {
                **dict.fromkeys(
                    ("M 👍", "m please", "M, thanks!", "ｍ", "2", "2️⃣", "２", "٢", "②", "2.", "2)", "(2)", "2.)"), "M"
                ),
                **dict.fromkeys(("#2", "# 2", "number 2", "No. 2", "option 2, please", "Nr. 2", "2番", "02"), "M"),
                **dict.fromkeys(("the second one", "second", "2nd", "The 2nd option!"), "M"),
                **dict.fromkeys(("0", "4", "-2", "2 or 3", "the fourth one", "9" * 5000, "", "M or L", "1.5"), None),
            },
            {"M 👍": "M", "Ｌ": "L", "2": None, "#2": None, "2️⃣": None, "number 2": None, "the second one": None},
        ),
        (
            PEOPLE,
            {
                "3": "6 people",
                "4": "4 people",
                "2": "4 people",
                "4 people!": "4 people",
                "3 people": None,
                "6": "6 people",
            },
            {"3": None, "4": "4 people", "4️⃣": "4 people", "2 please": "2 people", "3 people": None, "#4": None},
        ),
        (
            TIMES,
            {"5": "21:00", "19": "19:00", "19:00": "19:00", "6": None},
            {"5": None, "19": "19:00", "19:00!": "19:00", "17 🙂": "17:00"},
        ),
        (("2", "4", "6"), {"2": "2", "3": "6", "2.": "2", "4)": "4"}, {"2": "2", "3": None, "(4)": "4"}),
        (("09:00", "09:30"), {"2": "09:30", "9": None}, {"9": None, "9:00": None, "09:00": "09:00"}),
        (("1.5 kg", "1 kg", "10 kg"), {"1": "1.5 kg", "10": "10 kg"}, {"1": "1 kg", "1.5": None, "15": None}),
        (("-3", "3", "5 €", "€10"), {"3": "3", "5": "5 €"}, {"3": "3", "5": "5 €", "10": "€10"}),
        (
            ("2nd floor", "3rd floor"),
            {"2nd": None, "second": "3rd floor"},
            {"2": "2nd floor", "2nd floor 🙏": "2nd floor"},
        ),
        (("Lea", "Léa"), {"LÉA": "Léa", "lea": "Lea", "Lèa": None, "2": "Léa"}, {"Lèa": None, "Léa, please": "Léa"}),
        (("Léa", "Marc"), {"Lea": "Léa", "LEA 👍": "Léa"}, {"lea": "Léa", "MARC": "Marc"}),
        (
            ("👍", "👎", "🍕 Pizza"),
            {"👍🏽": "👍", "pizza": "🍕 Pizza", "🎉": None},
            {"👎!": "👎", "Pizza 🍕": "🍕 Pizza"},
        ),
    ]
    for choices, with_numbers, without in rows:
        for numbered, written in ((True, with_numbers), (False, without)):
            with subtests.test(choices=choices, numbered=numbered):
                assert {text: choice_of(text, choices, numbered=numbered) for text in written} == written


def one_of(choices: tuple[str, ...]) -> str:
    return f"Please answer with one of these: {', '.join(choices)}."


async def test_a_number_chooses_by_place_only_where_the_person_saw_numbers(subtests: pytest.Subtests) -> None:
    many = tuple(f"{n} seats" for n in range(20, 33))
    rows: list[tuple[tuple[str, ...], dict[str, Any], dict[str, str]]] = [
        # the choices, more options, and what is said to an answer
        (PEOPLE, {}, {"3": one_of(PEOPLE), "4": "4 people"}),
        (PEOPLE, {"service": "SMS"}, {"3": "6 people"}),
        (PEOPLE, {"service": "RCS"}, {"3️⃣": "6 people"}),
        (TIMES, {}, {"5": one_of(TIMES), "19": "19:00"}),
        (TIMES, {"service": "SMS"}, {"5": "21:00"}),
        (many, {}, {"3": "22 seats"}),  # too many for a poll
        (PEOPLE, {"kind": parse.number}, {"3": "3"}),
        (PEOPLE, {"kind": parse.number, "service": "SMS"}, {"3": "6 people"}),
    ]
    for choices, options, said in rows:
        service = options.get("service")
        asked = {name: value for name, value in options.items() if name != "service"}
        with subtests.test(choices=choices, options=options):
            bot = bot_of(asking("Which?", choices=choices, **asked))
            async with talking(bot, **({"service": service} if service else {})) as phone:
                await answers(phone, "hi")
                assert {text: (await answers(phone, text))[-1] for text in said} == said


async def test_a_question_that_is_asked_again_without_its_poll_has_no_numbers_either() -> None:
    bot = Bot()
    bot.on_message("book")(asking("How many?", choices=PEOPLE))
    bot.on_message("hours", during_ask=True)(says("From nine on."))
    async with talking(bot) as phone:
        await answers(phone, "book")
        assert await answers(phone, "hours?") == ["From nine on.", "How many?"]
        assert await answers(phone, "3") == [one_of(PEOPLE)]
        assert await answers(phone, "6") == ["6 people"]


async def test_the_review_of_a_form_has_no_numbers() -> None:
    class Order(BaseModel):
        dish: str
        people: int

    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(repr(await ctx.form(Order, timezone="UTC")))

    async with talking(bot_of(order)) as phone:
        *_, review = await answers(phone, "hi", "soup", "4")
        assert review.startswith("Dish: soup\nPeople: 4")
        assert await answers(phone, "2") == ["Please say yes if it is right, or name what to change: Dish, People."]
        assert await answers(phone, "people, please 🙂") == ["People?"]
        assert (await answers(phone, "3"))[-1].startswith("Dish: soup\nPeople: 3")
        assert await answers(phone, "Yes, thanks! 🎉") == ["Order(dish='soup', people=3)"]


async def test_votes_by_text_are_read_like_other_choices() -> None:
    async def vote(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Thaï", "Pizza"], "Lunch?", until=3)
        await ctx.reply(f"{dict(result.counts)}")

    bot = Bot(groups="all")
    bot.on_message("lunch")(vote)
    async with talking(bot, service="SMS") as phone:
        group = phone.group(BOB, EVE)
        await group.text("lunch")
        await group.next_reply()
        for person, text in ((EVE, "thai 🙂"), (BOB, "2️⃣")):
            await group.by(person).text(text)
        await group.text("Pizza, please!")
        assert await group.next_reply() == "{'Thaï': 1, 'Pizza': 2}"


async def ask_name(message: MessageReceived, ctx: Context) -> None:
    try:
        await ctx.reply(await ctx.ask("Your name?"))
    except AskCancelled as ended:
        await ctx.reply(f"ended: {ended.reason}")


async def test_a_word_ends_a_question_and_in_capitals_alone_it_opts_out_in_a_direct_chat(
    subtests: pytest.Subtests,
) -> None:
    ending = (
        "cancel",
        "Cancel",
        "CANCEL!",
        "Cancel, please 🙏",
        "quit",
        "Never mind…",
        "nevermind",
        "forget it, thanks",
        "ｃancel",
    )
    opting_out = ("CANCEL", "QUIT", " CANCEL ", "STOP")
    answering = ("stop", "Cancel culture", "No", "Quitterie", "thanks")
    for texts, said in ((ending, "ended: word"), (opting_out, None), (answering, "{}")):
        for text in texts:
            with subtests.test(text=text):
                async with talking(bot_of(ask_name)) as phone:
                    await answers(phone, "hi")
                    assert await answers(phone, text) == ([] if said is None else [said.format(text)])


async def test_in_a_group_capitals_are_like_other_letters() -> None:
    async with talking(bot_of(ask_name, groups="all")) as phone:
        group = phone.group(BOB)
        assert await answers(group, "hi") == ["Your name?"]
        assert await answers(group, "CANCEL") == ["ended: word"]


async def test_a_handler_for_a_word_that_would_end_a_question_comes_first() -> None:
    bot = Bot()
    bot.on_message("cancel", during_ask=True)(says("Which order?"))
    bot.on_message(ask_name)
    async with talking(bot) as phone:
        await answers(phone, "hi")
        assert await answers(phone, "Cancel!") == ["Which order?", "Your name?"]
        assert await answers(phone, "never mind") == ["ended: word"]


def test_a_question_that_another_release_has_stored_is_ended_by_its_words() -> None:
    stored = OpenQuestion(n=1, cancel=("déjalo", "c'est bon"))
    assert all(says_cancel_word(stored, message(text)) for text in ("dejalo!", "Déjalo, gracias", "C’est bon 🙂"))


async def test_another_person_approves_in_the_words_that_people_write(subtests: pytest.Subtests) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{await ctx.ask('May I?', yes='like', also=[BOB], side_questions=True)}")

    rows = {"yes 👍": "True", "ok 👌": "True", "Nope 😅": "False", "no, thanks 🙏": "False", "yes but later": "other"}
    for text, said in rows.items():
        with subtests.test(text=text):
            bot = Bot(groups="all")
            bot.on_message("go")(ask)
            bot.on_message(says("other"))
            async with talking(bot) as phone:
                group = phone.group(BOB)
                await answers(group, "go")
                await group.by(BOB).text(text)
                assert (await group.replies())[-1].startswith(said)


def test_an_answer_with_an_emoji_is_yes_or_no_unless_the_emoji_says_something_else(subtests: pytest.Subtests) -> None:
    rows: dict[str, bool | None] = {
        **dict.fromkeys(
            (
                "yes 👍",
                "Yes!!! 🎉",
                "ok 👌",
                "yes, thanks",
                "👍🏽 thanks!",
                "🎉 yes",
                "👍🎉",
                "👍👍",
                "y",
                "YES :)",
            ),
            True,
        ),
        **dict.fromkeys(
            ("nope 😅", "no 🙏", "No, thank you 🙂", "👎🏿", "please don’t", "ｎｏ", "n\u200bo", "🙅🏽‍♀️"), False
        ),
        **dict.fromkeys(("yes 👎", "no 👍", "👍👎", "🎉", "maybe 👍", "thanks", "yes no", "5 👍"), None),
    }

    def read(text: str) -> bool | None:
        try:
            return parse.yes_no(text)
        except ValueError:
            return None

    assert {text: read(text) for text in rows} == rows


async def test_the_owner_gives_a_chat_back_in_any_way_of_writing_it(subtests: pytest.Subtests) -> None:
    ending = (
        "#done.",
        "# done",
        "＃done",
        "#Done!",
        "#DONE 👍",
        "#done, thanks",
        "\u200e#done",
        "👍",
        "👍🏽",
        "✅",
        "👍👍",
    )
    passed_on = ("done", "thanks 👍", "ok 👍", "I am #done here", "👍 see you")
    for text in (*ending, *passed_on):
        with subtests.test(text=text):
            bot = bot_of(does(lambda ctx: ctx.handoff(to=OWNER, say="Dana answers you.", owner_name="Dana")), "human")
            async with talking(bot, handle=ANN) as phone:
                owner = phone.person(OWNER)
                await answers(phone, "human")
                await owner.replies()
                await owner.text(text)
                said = await phone.replies()
                assert said == (["You are talking to the bot again."] if text in ending else [f"Dana: {text}"])


async def test_the_owner_mutes_the_bot_in_any_way_of_writing_the_word(subtests: pytest.Subtests) -> None:
    for off, on in (
        ("Bot off!", "bot ON 🙂"),
        ("bot off, please", "ｂｏｔ　ｏｎ"),
        ("bot\u00a0off 🙏", "Bot on, thanks."),
    ):
        with subtests.test(off=off, on=on):
            bot = Bot(owner=OWNER, mute_word="bot off")
            bot.on_message(says("hello"))
            async with talking(bot, handle=OWNER) as owner:
                assert "silent" in (await answers(owner, off))[0]
                assert await answers(owner, on) == ["The bot answers again."]
                assert await answers(owner, "the bot is off") == ["hello"]
