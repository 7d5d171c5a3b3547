"""Deploys: the code of a handler changes while its question is open, or the operator ends the question."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sqlite3
from typing import Any

import pytest
from asking_talk import Talk
from click.testing import CliRunner
from fakes import CHAT, NOW, PERSON, envelope, handle, text_body
from one_handler import says
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot import AskCancelled, Bot, Context, MessageReceived
from linqbot.bot.dispatch import Dispatcher
from linqbot.cli.main import main
from linqbot.engine.opening import Opening
from linqbot.events import Delivery
from linqbot.features.asking.admission import after_timeouts, log_unresumable
from linqbot.testing import talking

_versions = itertools.count()


class Order(BaseModel):
    is_open: bool = False
    runs: int = 0


def form(code: str) -> Any:
    """Return a handler with the name `form` and this code, which differs from that of every other one."""
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    scope: dict[str, Any] = {"AskCancelled": AskCancelled, "Order": Order}
    exec(f"async def form(message, ctx):\n{body}\n    _ = {next(_versions)}", scope)
    handler = scope["form"]
    handler.__module__ = "bot"
    return handler


async def test_an_answer_is_found_by_its_key_whatever_the_words_and_the_place(talk: Talk) -> None:
    await talk.to(
        form("a = await ctx.ask('Name?', key='name')\nb = await ctx.ask('Town?', key='town')\nawait ctx.reply(a + b)"),
        "hi",
        "Ada",
    )
    await talk.to(
        form("b = await ctx.ask('City?', key='town')\na = await ctx.ask('Who?', key='name')\nawait ctx.reply(a + b)"),
        "Paris",
    )
    assert talk.said == ["Name?", "Town?", "AdaParis"]


DISHES = """
dishes = []
for course in {courses}:
    dishes.append(await ctx.ask("Dish?"{kind}))
await ctx.reply(" ".join(map(str, dishes)) + " for " + await ctx.ask("Name?"))
"""


async def test_questions_of_the_same_words_are_told_apart_by_their_order_also_after_one_was_asked_again(
    talk: Talk,
) -> None:
    await talk.to(form(DISHES.format(courses=(1, 2, 3), kind="")), "hi", "soup", "22", "33")
    await talk.to(form(DISHES.format(courses=(1, 2, 3), kind=", kind=int")), "Ada", "11")
    assert talk.said == ["Dish?", "Dish?", "Dish?", "Name?", "Dish?", "11 22 33 for Ada"]


async def test_a_question_that_gets_a_key_keeps_the_answer_to_its_words(talk: Talk) -> None:
    await talk.to(form("a = await ctx.ask('Name?')\nb = await ctx.ask('Town?')\nawait ctx.reply(a + b)"), "hi", "Ada")
    await talk.to(
        form("a = await ctx.ask('Name?', key='name')\nb = await ctx.ask('Town?', key='town')\nawait ctx.reply(a + b)"),
        "Paris",
    )
    assert talk.said == ["Name?", "Town?", "AdaParis"]


async def test_an_answer_that_fits_no_question_is_kept_and_logged_once_without_its_words(talk: Talk) -> None:
    await talk.to(form("a = await ctx.ask('Nmae?')\nb = await ctx.ask('Town?')\nawait ctx.reply(a + b)"), "hi")
    with capture_logs() as logs:
        await talk.to(
            form("a = await ctx.ask('Name?')\nb = await ctx.ask('Town?')\nawait ctx.reply(a + b)"), "Ada Lovelace"
        )
        await talk.say("Ada", "Paris")
    assert talk.said == ["Nmae?", "Name?", "Town?", "AdaParis"]
    assert [each["log_level"] for each in logs if each["event"] == "ask.answer_kept"] == ["warning"]
    assert "Lovelace" not in str(logs)
    await talk.to(form("a = await ctx.ask('Nmae?')\nb = await ctx.ask('Town?')\nawait ctx.reply(a + b)"), "hi")
    assert talk.said[-1] == "Nmae?"


async def test_a_question_keeps_its_answer_when_the_language_of_the_person_changes(talk: Talk) -> None:
    language = "fr"

    async def ask(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask("Quel nom?" if ctx.language == "fr" else "Which name?")
        town = await ctx.ask("Quelle ville?" if ctx.language == "fr" else "Which town?")
        await ctx.reply(f"{name} {town} {ctx.language}")

    await talk.to(ask, "hi", "Ada", language=lambda event, ctx: language)
    language = "en"
    await talk.say("Paris")
    assert talk.said == ["Quel nom?", "Quelle ville?", "Ada Paris en"]


async def test_answers_that_an_earlier_release_has_recorded_are_found_by_their_words(talk: Talk) -> None:
    await talk.to(form(DISHES.format(courses=(1, 2), kind="")), "hi", "soup", "fish")
    with contextlib.closing(sqlite3.connect(talk.path)) as database, database:
        for key, call in database.execute("SELECT key, call FROM journal WHERE safety = 'ask'").fetchall():
            old = {name: each for name, each in json.loads(call).items() if name not in ("words", "nth")}
            database.execute("UPDATE journal SET call = ? WHERE key = ?", (json.dumps(old).encode(), key))
    await talk.restart()
    await talk.say("Ada")
    assert talk.said[-1] == "soup fish for Ada"


FOOD = ["Thai", "Pizza", *(f"Soup {n}" for n in range(12))]
"""More choices than a poll can have, so they are a numbered list."""


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "timed out"])
async def test_a_vote_is_no_answer_in_words_under_the_same_key(talk: Talk, *, is_answered: bool) -> None:
    await talk.to(form(f"await ctx.vote({FOOD}, 'Lunch?', key='lunch', until=1)"), "hi")
    talk.deploy(form("a = await ctx.ask('What do you eat?', key='lunch')\nawait ctx.reply(a)"))
    await (talk.say("Pizza") if is_answered else talk.pass_time(86_400))
    assert talk.said[-1] == "What do you eat?"
    await talk.restart()
    await talk.say("Soup")
    assert talk.said[-1] == "Soup"
    assert await talk.storage.dead_letters() == []
    assert talk.open_questions() == []


async def test_words_that_each_run_makes_anew_need_a_key_and_without_one_the_question_is_asked_again(
    talk: Talk,
) -> None:
    """The price may have risen between two runs: a yes to the first one is no yes to the other."""
    runs = itertools.count(1)

    async def ask(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask(f"Run {next(runs)}: name?", key="name")
        price = next(runs)
        answer = await ctx.ask(f"Pay {price} dollars, {name}?")
        await ctx.reply(f"{answer} to {price}")

    await talk.to(ask, "hi", "Ada", "yes")
    assert talk.said == ["Run 1: name?", "Pay 3 dollars, Ada?", "Pay 5 dollars, Ada?"]


async def test_an_answer_that_todays_code_refuses_is_asked_again(talk: Talk) -> None:
    await talk.to(
        form("a = await ctx.ask('Age?')\nb = await ctx.ask('Town?')\nawait ctx.reply(f'{a} {b}')"), "hi", "old"
    )
    await talk.to(
        form("a = await ctx.ask('Age?', kind=int)\nb = await ctx.ask('Town?')\nawait ctx.reply(f'{a} {b}')"), "Paris"
    )
    assert talk.said == ["Age?", "Town?", "Age?"]
    await talk.restart()
    await talk.say("42")
    assert talk.said == ["Age?", "Town?", "Age?", "42 Paris"]


ORDER = """
order = await ctx.state.chat(Order)
if order.is_open:
    await ctx.reply("You have an open order.")
    return
order.is_open = True
order.runs += 1
"""
"""A handler that begins only once in a chat, by a value of state that it changes before its question."""


async def test_state_before_a_question_that_new_code_asks_again_is_what_it_was(talk: Talk) -> None:
    await talk.to(form(f"{ORDER}await ctx.ask('Size?')"), "hi")
    await talk.to(form(f"{ORDER}size = await ctx.ask('Which size?')\nawait ctx.reply(f'{{order.runs}} {{size}}')"), "S")
    await talk.restart()
    await talk.say("M")
    assert talk.said == ["Size?", "Which size?", "1 M"]


async def test_state_before_a_question_that_was_asked_again_and_is_gone_counts_once(talk: Talk) -> None:
    await talk.to(form(f"{ORDER}await ctx.ask('Size?')"), "hi")
    await talk.to(form(f"{ORDER}await ctx.ask('Which size?')"), "S")
    await talk.to(form(f"{ORDER}await ctx.reply(f'Run {{order.runs}}')"), "M")
    assert talk.said == ["Size?", "Which size?", "Run 1"]
    stored = (await talk.storage.load(f"chat:{CHAT}"))["Order"]
    assert Order.model_validate_json(stored) == Order(is_open=True, runs=1)


@pytest.mark.parametrize("is_paid", [True, False])
async def test_a_payment_with_another_description_is_not_requested_again(*, is_paid: bool) -> None:
    bots = []
    for words in ("1 soup", "One soup"):
        bots.append(bot := Bot())
        bot.on_message("hi")(form(f"await ctx.reply(type(await ctx.pay(800, {words!r}, timeout_s=3600)).__name__)"))
    async with talking(bots[0], service="SMS") as phone:
        await phone.text("hi")
        assert (await phone.next_reply()).startswith("1 soup: $8.00")
        await phone.restart(bot=bots[1])
        await (phone.pay() if is_paid else phone.advance(3601))
        assert await phone.replies() == ["Paid" if is_paid else "Expired"]
        assert len(phone.payments) == 1


@pytest.mark.parametrize("answers", [("1", "Ada"), ("1.", "Ada"), ("9:00", "Ada")])
async def test_a_number_counts_in_the_list_that_the_person_saw(talk: Talk, answers: tuple[str, str]) -> None:
    free = ["9:00", "10:00", "11:00"]

    async def book(message: MessageReceived, ctx: Context) -> None:
        time = await ctx.ask("Which time?", choices=free)
        name = await ctx.ask("Your name?")
        await ctx.reply(f"{time} for {name}.")

    talk.deploy(book)
    await talk.say("hi", service="SMS")
    await talk.say(answers[0], service="SMS")
    free.insert(0, "8:00")
    await talk.say(answers[1], service="SMS")
    assert talk.said[1:] == ["Your name?", "9:00 for Ada."]


async def test_a_choice_that_is_gone_is_refused_before_the_answer_and_asked_again_after_it(talk: Talk) -> None:
    free = ["9:00", "10:00", "11:00"]

    async def book(message: MessageReceived, ctx: Context) -> None:
        time = await ctx.ask("Which time?", choices=list(free))
        name = await ctx.ask("Your name?")
        await ctx.reply(f"{time} for {name}.")

    talk.deploy(book)
    await talk.say("hi", service="SMS")
    free.remove("9:00")
    await talk.say("1", service="SMS")
    assert talk.said[1:] == ["Please answer with one of these: 10:00, 11:00."]
    await talk.say("2", service="SMS")
    free.remove("10:00")
    await talk.say("Ada", service="SMS")
    assert talk.said[2:] == ["Your name?", "Which time?\n1. 11:00"]
    await talk.say("1", service="SMS")
    assert talk.said[4:] == ["11:00 for Ada."]


async def test_a_conversation_goes_on_with_the_ids_of_scheduled_sends_with_which_it_began(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        reminder = await ctx.send_later("Still there?", after_s=60)
        await ctx.ask("Name?")
        await ctx.reply(str(await ctx.cancel(reminder)))

    with monkeypatch.context() as another_release:
        another_release.setattr(Opening, "keyed_by", lambda opening, delivery: opening.turn_id)
        await talk.to(remind, "hi")
    await talk.to(remind, "Ada")
    assert talk.said == ["Name?", "True"]


async def test_a_call_that_is_new_in_the_past_is_skipped(talk: Talk) -> None:
    statuses: list[str] = []

    async def first(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One")
        await ctx.send_later("Later", after_s=60)
        await ctx.ask("Two?")

    async def second(message: MessageReceived, ctx: Context) -> None:
        statuses.append((await ctx.reply("One")).status)
        assert not await ctx.cancel(await ctx.send_later("Later", after_s=60))
        await ctx.send_later("Never", after_s=60)
        statuses.append((await ctx.reply("New")).status)
        statuses.append((await ctx.bot.send("New", to="+14155550177", line=message.line)).status)
        await ctx.react("love")
        await ctx.ask("Two?")
        statuses.append((await ctx.reply("New")).status)

    second.__qualname__ = first.__qualname__
    await talk.to(first, "hi")
    await talk.to(second, "2")
    assert talk.said == ["One", "Two?", "New"]
    assert statuses == ["accepted", "skipped", "skipped", "accepted"]
    assert "messages.add_reaction" not in talk.linq.names()
    await talk.pass_time(60)
    assert talk.said[3:] == ["Later"]


async def test_a_handler_that_is_gone_is_abandoned_and_the_message_is_an_ordinary_one(talk: Talk) -> None:
    await talk.to(form("await ctx.ask('Name?')"), "hi")
    bot = talk.deploy(says("Echo {}"))
    with capture_logs() as logs:
        await log_unresumable(talk.storage, Dispatcher(bot, talk.clock).routes)
        await talk.say("Ada")
    assert [(each["event"], each.get("handler"), each.get("questions"), each["log_level"]) for each in logs] == [
        ("ask.no_handler", "bot:form", 1, "error"),
        ("ask.abandoned", "bot:form", None, "error"),
    ]
    assert talk.said == ["Name?", "Echo Ada"]
    assert talk.open_questions() == []
    await talk.pass_time(86_400)
    assert await talk.storage.dead_letters() == []


def store_question(talk: Talk, question: str) -> None:
    """Replace the question of each conversation, as another release may have stored it."""
    with contextlib.closing(sqlite3.connect(talk.path)) as database, database:
        database.execute("UPDATE conversation SET question = ?", (question.encode(),))


# A rolling update: processes of two releases share a storage


async def ask_in_new_release(talk: Talk) -> Any:
    """Let a new release ask a question after a process of the old one has begun. Return its handler."""
    new = form("await ctx.reply('Hello ' + await ctx.ask('Name?', timeout_s=600))")
    talk.shared_since = talk.clock.now()
    talk.clock.advance(5)
    await talk.to(new, "hi")
    return new


async def test_the_timeout_of_a_question_of_the_new_release_is_left_to_it_too(talk: Talk) -> None:
    new = await ask_in_new_release(talk)
    talk.deploy(says("Echo {}"))
    await talk.pass_time(600)
    assert talk.open_questions() == ["waiting"]
    talk.deploy(new)
    await talk.pass_time(1)
    assert talk.open_questions() == ["timed_out"]


SIZE = "a = await ctx.ask('Size?')\n"
ASKS_MORE = form(f"{SIZE}b = await ctx.ask('Color?')\nawait ctx.reply(f'One {{a}}, {{b}}.')")


@pytest.mark.parametrize("is_withdrawn", [False, True])
@pytest.mark.parametrize(
    ("old", "by_old"),
    [(form(f"{SIZE}await ctx.reply(f'One {{a}}.')"), "One large."), (says("Echo {}"), "Echo red")],
    ids=["the old one asks less", "the old one has no such handler"],
)
async def test_an_answer_to_a_question_of_the_new_release_waits_a_minute_for_a_process_that_serves_it(
    talk: Talk, old: Any, by_old: str, is_withdrawn: bool
) -> None:
    talk.shared_since = talk.clock.now()
    talk.clock.advance(5)
    await talk.to(ASKS_MORE, "hi", "large")
    await talk.to(old, "red")
    await talk.pass_time(50)
    assert talk.said == ["Size?", "Color?"]
    if not is_withdrawn:
        talk.deploy(ASKS_MORE)
    await talk.pass_time(10 if is_withdrawn else 1)
    assert talk.said == ["Size?", "Color?", by_old if is_withdrawn else "One large, red."]
    assert talk.open_questions() == []


async def test_a_question_that_was_asked_before_the_process_began_is_abandoned_at_once(talk: Talk) -> None:
    await ask_in_new_release(talk)
    talk.clock.advance(1)
    talk.shared_since = talk.clock.now()
    await talk.to(says("Echo {}"), "Ada")
    assert talk.said == ["Name?", "Echo Ada"]


@pytest.mark.parametrize("stored", ["{}", "null", "no JSON"])
async def test_a_question_that_cannot_be_read_is_abandoned_and_the_message_is_an_ordinary_one(
    talk: Talk, stored: str
) -> None:
    handler = form("await ctx.reply('Hello ' + await ctx.ask('Name?'))")
    await talk.to(handler, "hi")
    store_question(talk, stored)
    with capture_logs() as logs:
        await talk.say("Ada")
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["ask.abandoned"]
    await talk.say("Ada, as I said")
    assert talk.said == ["Name?", "Name?", "Hello Ada, as I said"]
    await talk.pass_time(86_400)
    assert await talk.storage.dead_letters() == []
    assert talk.open_questions() == []


async def test_a_question_that_has_timed_out_and_cannot_be_read_costs_no_message(talk: Talk) -> None:
    await talk.to(form("await ctx.reply('Hello ' + await ctx.ask('Name?', timeout_s=60))"), "hi")
    await talk.pass_time(60)
    store_question(talk, "{}")
    await talk.say("Ada")
    assert (talk.said, talk.open_questions()) == (["Name?", "Name?"], ["waiting"])
    assert await talk.storage.dead_letters() == []


async def test_a_person_who_comes_while_a_vote_cannot_be_read_makes_no_dead_letter(talk: Talk) -> None:
    talk.deploy(form("await ctx.vote(['Thai', 'Pizza'], 'Lunch?', until=2)"), groups="all")
    await talk.say("lunch", is_group=True, service="SMS")
    store_question(talk, "{}")
    await talk.receive(envelope("participant.added", {"chat_id": CHAT, "participant": handle(PERSON)}))
    assert (talk.open_questions(), await talk.storage.dead_letters()) == ([], [])


async def test_a_message_after_the_timeout_of_a_question_that_cannot_be_read_is_handled_at_once(talk: Talk) -> None:
    await talk.to(form("await ctx.reply('Hello ' + await ctx.ask('Name?', timeout_s=60))"), "hi")
    store_question(talk, "{}")
    talk.clock.advance(100)
    late = text_body("Ada", sent_at="2026-11-05T17:35:00.000Z")
    await talk.storage.put(Delivery.from_webhook(late, webhook_id="w", received_at=talk.clock.now()))
    (lease,) = await talk.storage.take(1, lease_s=1000)
    assert await after_timeouts(lease, talk.storage, talk.clock) is lease


# The operator


async def cli(*arguments: str) -> Any:
    result = await asyncio.to_thread(CliRunner().invoke, main, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.output)


@pytest.fixture
def served(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> Talk:
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{talk.path}")
    return talk


async def test_the_operator_sees_questions_and_answers_one(served: Talk) -> None:
    await served.to(form("a = await ctx.ask('How many?', kind=int)\nawait ctx.reply(f'Got {a + 1}.')"), "hi", "many")
    (row,) = await cli("waiting", "list", "--questions")
    assert row["question"] == "How many?"
    assert (row["handler"], row["status"], row["invalid_answers"]) == ("bot:form", "waiting", 1)
    assert row["until"] > row["asked_at"]
    assert await cli("waiting", "list", "--questions", "--handler", "bot:other") == []
    assert await cli("waiting", "answer", row["id"], "3") == {"answered": row["id"]}
    await served.run()
    assert served.said[-1] == "Got 4."
    assert await cli("waiting", "list", "--questions") == []


async def test_the_operator_ends_a_question(served: Talk) -> None:
    await served.to(
        form("try:\n    await ctx.ask('Name?')\nexcept AskCancelled as error:\n    await ctx.reply(error.reason)"), "hi"
    )
    (row,) = await cli("waiting", "list", "--questions")
    await cli("waiting", "cancel", row["id"])
    await served.run()
    assert served.said == ["Name?", "operator"]
    assert served.open_questions() == []
    assert await served.storage.scheduled() == []


async def test_an_answer_of_the_operator_that_comes_after_the_persons_is_nothing(served: Talk) -> None:
    await served.to(form("a = await ctx.ask('One?')\nb = await ctx.ask('Two?')\nawait ctx.reply(a + b)"), "hi")
    (row,) = await cli("waiting", "list", "--questions")
    await served.put(text_body("person"))
    await cli("waiting", "answer", row["id"], "operator")
    await served.run()
    assert served.said == ["One?", "Two?"]
    assert served.clock.now() == NOW
