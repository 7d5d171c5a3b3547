"""New code runs on what was handled: each kind of difference, what explains it, and that nothing changes by it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from fakes import delivery, edit_body, text_body
from linqbot_dev.dry_runs.dry_deploy import loaded
from one_handler import does, says
from patience import PATIENCE_S
from pydantic import BaseModel
from simulated_crash import begun

from linqbot import Bot, Context, LinqApiError, Manners, MessageReceived, contains, muted
from linqbot.client.call import ApiResponse
from linqbot.errors import StorageUnavailable
from linqbot.features.handoff import RELAY_STEP
from linqbot.features.streams import PaceName
from linqbot.linq.events.delivery import Joined
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.upkeep import Selection


class Guest(BaseModel):
    visits: int = 0


def echo(message: MessageReceived, ctx: Context) -> str:
    return f"You said: {message.text}"


HERE = Path(__file__).name


def _line(function: Any) -> int:
    return int(function.__code__.co_firstlineno)


def bot_of(**handlers: Any) -> Bot:
    """Return a bot whose handlers take the messages that contain their name; `rest` takes the others."""
    bot = Bot(read=False, typing=False)
    for word, handler in handlers.items():
        if word == "rest":
            bot.on_message(handler)
        else:
            bot.on_message(contains(word))(handler)
    return bot


async def test_all_that_a_handler_can_do_runs_dry_and_changes_nothing(day: Day) -> None:
    made: list[str] = []

    async def busy(message: MessageReceived, ctx: Context) -> None:
        await ctx.mark_read()
        async with ctx.typing():
            number = await ctx.once("order", made.append)
        guest = await ctx.state.chat(Guest)
        guest.visits += 1
        await ctx.react("love")
        first = await ctx.send_later(f"Order {number}", after_s=3600, tag="order")
        await ctx.send_later("Cancelled", after_s=60, tag="other")
        await ctx.reschedule(first, after_s=7200)
        await ctx.cancel(tag="other")
        await ctx.chat.rename("Orders")
        await ctx.chat.add("+14155550143")
        await ctx.bot.send("An order", to="+14155550144")
        await ctx.bot.broadcast(["+14155550145"], "News", name="news", line="+14155550199")
        await ctx.bot.end_questions("another-chat")
        await ctx.reply("Done", effect="confetti")

    bot = day.deploy(busy, groups="all")
    lines = {"phone_numbers": [{"id": "line", "phone_number": "+14155550199"}]}
    day.linq.will_answer("phone_numbers.list", ApiResponse(200, lines))
    created = {"chat": {"id": "other", "message": {"id": "sent", "delivery_status": "pending", "parts": []}}}
    day.linq.will_answer("chats.create", *2 * [ApiResponse(201, created)])
    await day.say("hello", is_group=True)
    assert await day.storage.dead_letters() == []
    before = "\n".join(rows(day.path))
    # The turn, and those of the broadcast's person and of its end.
    assert (await day.compared(bot)).counts == {"same": 3}
    assert "\n".join(rows(day.path)) == before
    assert len(made) == 1


def rows(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def shout(message: MessageReceived, ctx: Context) -> str:
    return f"You said: {message.text.upper()}"


def broken(message: MessageReceived, ctx: Context) -> str:
    raise KeyError(message.text)


def broken_otherwise(message: MessageReceived, ctx: Context) -> str:
    raise ValueError


def limited(handler: Any) -> Bot:
    """Return a bot whose handler has a time limit that is over at once."""
    bot = Bot(read=False, typing=False)
    bot.on_message(deadline_s=0.01)(handler)
    return bot


def counting(words: str) -> Any:
    """Return a handler that uses the state, on which its answer does not depend."""

    async def count(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.chat(Guest)).visits += 1
        await ctx.reply(words)

    return count


def ordering(words: str, *, first: str | None = None, step: str = "order") -> Any:
    """Return a handler that makes a step."""

    async def order(message: MessageReceived, ctx: Context) -> None:
        if first is not None:
            await ctx.reply(first)
        await ctx.reply(words.format(await ctx.once(step, make)))

    def make(key: str) -> int:
        made.append(step)
        return 42

    return order


made: list[str] = []
"""The steps that were really made."""


async def read(message: MessageReceived, ctx: Context) -> None:
    try:
        chat = await ctx.client.chats.retrieve(ctx.chat_id)
    except Exception:  # noqa: BLE001 - the run ends all the same
        await ctx.reply("Which chat?")
    else:
        await ctx.reply(f"Chat {chat.id}")


CHANGES: list[tuple[Any, Any, str, str, list[tuple[str | None, str | None]] | None]] = [
    # the handler then, the new one, the kind of the difference, its cause, and the texts of then and now
    (echo, shout, "different answer", "other words in a message", [("You said: hello", "You said: HELLO")]),
    (counting("Hi"), counting("HI"), "different answer", "other words in a message", [("Hi", "HI")]),
    (echo, bot_of(menu=echo), "different answer", "no handler takes it now", None),
    (echo, broken, "new failure", f"KeyError at {HERE}:{_line(broken) + 1}", [("You said: hello", None)]),
    (echo, limited(does(lambda ctx: asyncio.Event().wait())), "new failure", "TimeoutError at", None),
    (broken, echo, "fixed failure", "KeyError then, no error now", [(None, "You said: hello")]),
    (broken, broken_otherwise, "new failure", ", KeyError then", None),
    # A step is answered from the record, and never made.
    (ordering("Order {}"), ordering("Number {}"), "different answer", "other words", [("Order 42", "Number 42")]),
    (echo, ordering("", first="You said: hello"), "could not be compared", "not recorded: the step 'order'", None),
    (
        ordering("", step="reserve"),
        ordering(""),
        "different answer",
        "takes other steps: 'reserve' is not made now; not recorded: the step 'order'",
        None,
    ),
    (read, read, "could not be compared", "not recorded: what chats.retrieve returned", None),
]


async def test_a_difference_is_named_with_its_kind_its_cause_and_the_words_of_then_and_now(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for n, (then, now, kind, cause, said) in enumerate(CHANGES):
        with subtests.test(then=then, now=now):
            (tmp_path / str(n)).mkdir()
            async with begun(Day, tmp_path / str(n)) as day:
                day.deploy(then)
                await day.say()
                steps = len(made)
                group = the_group(await day.compared(now))
                assert (group.kind, group.count, cause in group.cause) == (kind, 1, True), group.cause
                assert said is None or texts(group) == said
                assert len(made) == steps
                if now is shout:
                    assert group.examples[0].after.handler == f"{__name__}:shout"
                    assert group.examples[0].after.handler_at == f"{HERE}:{_line(shout)}"
                assert then is read or (await day.compared(then)).counts == {"same": 1}


async def test_turns_of_one_cause_are_one_group_and_the_largest_group_is_first(day: Day) -> None:
    day.deploy(echo)
    await day.say("more please", "one", "two", "three", "four")
    report = await day.compared(bot_of(more=says("You said: {}", "Anything else?"), rest=says("Other.")))
    assert [(group.cause, group.count, len(group.examples)) for group in report.groups] == [
        ("other words in a message", 4, 3),
        ("one message more", 1, 1),
    ]
    assert texts(report.groups[1]) == [(None, "Anything else?")]


async def test_what_a_handler_says_about_a_number_of_visits_depends_on_the_state(day: Day) -> None:
    def counting(word: str) -> Any:
        async def count(message: MessageReceived, ctx: Context) -> None:
            guest = await ctx.state.chat(Guest)
            guest.visits += 1
            await ctx.reply(f"{word} {guest.visits}")

        return count

    day.deploy(counting("Visit"))
    await day.say("one", "two")
    group = the_group(await day.compared(counting("VISIT")))
    assert (group.kind, group.count) == ("could not be compared", 2)
    assert "ctx.state" in group.cause
    # Both run on the state of now, so what differs is the code.
    report = await day.compared(counting("Visit"), present=counting("Visit"))
    assert report.counts == {"same": 2}
    assert report.notes.total() == 2
    group = the_group(await day.compared(counting("VISIT"), present=counting("Visit")))
    assert (group.kind, group.count) == ("different answer", 2)
    assert texts(group) == [("Visit 3", "VISIT 3")]
    assert group.examples[0].is_against_present


async def test_an_answer_by_chance_cannot_be_compared(day: Day) -> None:
    numbers = itertools.count()

    def by_chance(message: MessageReceived, ctx: Context) -> str:
        return f"Number {next(numbers)}"

    day.deploy(by_chance)
    await day.say()
    for present in (None, by_chance):
        group = the_group(await day.compared(by_chance, present=present))
        assert group.kind == "could not be compared"
        assert "by chance" in group.cause


async def test_the_history_of_a_chat_is_read_from_what_is_kept(day: Day) -> None:
    async def recall(message: MessageReceived, ctx: Context) -> None:
        if message.text == "recall":
            await ctx.reply((await ctx.history(3)).as_text())
        else:
            await ctx.reply(f"You said: {message.text}")

    day.deploy(recall)
    # Then, Linq had nothing of the chat.
    day.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": []}))
    await day.say("one", "two", "recall", "three")
    group = the_group(await day.compared(recall))
    assert texts(group) == [("them: recall", "them: two\nme: You said: two\nthem: recall")]


async def test_a_history_of_which_less_is_kept_than_asked_for_cannot_be_compared(day: Day) -> None:
    async def recall(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(str(len(await ctx.history(20))))

    async def recall_loudly(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{len(await ctx.history(20))} messages")

    day.deploy(recall)
    nothing = ApiResponse(200, {"messages": []})
    day.linq.will_answer("chats.messages.list", nothing, nothing)
    await day.say("one", "two")
    report = await day.compared(recall_loudly, limit=1)
    assert the_group(report).kind == "could not be compared"
    assert "ctx.history(20), of which the storage has only 3" in the_group(report).cause

    async def count_silently(message: MessageReceived, ctx: Context) -> None:
        await ctx.history(20)
        await ctx.reply("I have counted them.")

    report = await day.compared(count_silently, limit=1)
    assert the_group(report).kind == "different answer"


async def test_a_muted_chat_is_muted_in_a_dry_run_too(day: Day) -> None:
    def desk(first: str) -> Bot:
        bot = Bot(read=False, typing=False)

        @bot.on_message("mute")
        async def mute(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(first)
            await ctx.mute(reason="asked for")
            await ctx.reply("Not now.")

        @bot.on_message("#done", muted)
        async def done(message: MessageReceived, ctx: Context) -> None:
            sent = await ctx.reply("Not yet.")
            await ctx.unmute()
            await ctx.reply(f"I am back: {sent.status}")

        bot.on_message(echo)
        return bot

    day.bot = desk("Dana comes.")
    await day.say("mute", "hello", "#done", "hello")
    assert (await day.compared(desk("Dana comes."))).counts == {"same": 4}
    report = await day.compared(desk("Ben comes."))
    assert report.counts == {"same": 3, "different answer": 1}
    assert texts(the_group(report)) == [("Dana comes.", "Ben comes.")]


async def test_a_message_of_a_handoff_cannot_be_compared(day: Day) -> None:
    day.deploy(echo)
    await day.say("hello")
    (handled,) = await day.storage.replayable(Selection(since=0.0))
    made = json.dumps({"verb": "once", "name": RELAY_STEP}).encode()  # as the relay of a handoff leaves it
    step = JournalEntry(handled, 0, f"^:step:{RELAY_STEP}", "k", "step", made, "accepted", day.clock.now(), b"[]")
    await day.storage.settle(step)
    report = await day.compared(echo)
    assert report.counts == {"could not be compared": 1}


async def test_a_call_that_linq_refused_is_refused_again(day: Day) -> None:
    async def react(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.client.messages.add_reaction(message.id, operation="add", type="love")
        except LinqApiError as error:
            await ctx.reply(f"Refused: {error.status}")

    day.deploy(react)
    day.linq.will_answer("messages.add_reaction", LinqApiError("no", status=403, code=2001))
    await day.say()
    assert day.said == ["Refused: 403"]
    assert (await day.compared(react)).counts == {"same": 1}


async def test_messages_that_a_running_handler_took_are_those_of_then(day: Day) -> None:
    def bot(word: str) -> Bot:
        made = Bot(read=False, typing=False)

        @made.on_message(overlap="steer")
        async def steer(message: MessageReceived, ctx: Context) -> None:
            more = [each.text async for each in ctx.incoming()]
            await ctx.reply(f"{word}: {message.text}, {', '.join(more)}")

        return made

    day.bot = bot("Both")
    later = delivery(text_body("two"))
    first = delivery(text_body("one")).with_joined(Joined(incoming=((later.content,),)))
    await day.storage.put(replace(first, received_at=day.clock.now()))
    await day.run()
    assert day.said == ["Both: one, two"]
    assert (await day.compared(bot("Both"))).counts == {"same": 1}
    assert texts(the_group(await day.compared(bot("All")))) == [("Both: one, two", "All: one, two")]


async def test_a_stream_is_compared_as_one_text_whatever_its_pauses_are(day: Day) -> None:
    def streaming(*paragraphs: str, pace: PaceName) -> Any:
        async def stream(message: MessageReceived, ctx: Context) -> None:
            async def texts() -> AsyncIterator[str]:
                for paragraph in paragraphs:
                    yield f"{paragraph}\n\n"
                    for _ in range(20):  # longer than an alarm on the clock of the run would take
                        await asyncio.sleep(0)

            await ctx.stream(texts(), pace=pace)

        return stream

    said = [f"{word} " * 40 for word in ("One", "Two", "Three")]
    day.deploy(streaming(*said, pace="fast"))
    await day.say()
    assert (await day.compared(streaming(*said, pace="human"))).counts == {"same": 1}
    group = the_group(await day.compared(streaming(*said[:2], "Four " * 40, pace="human")))
    assert (group.kind, group.cause) == ("different answer", "other words in a message")


async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("Tomorrow!", after_s=3600)


async def test_other_words_in_a_scheduled_send_are_shown(day: Day) -> None:
    async def remind_politely(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("See you tomorrow!", after_s=3600)

    day.deploy(remind)
    await day.say()
    for seconds in (0, 3600):  # while it waits, and after it was sent
        await day.pass_time(seconds)
        assert (await day.compared(remind)).counts["same"] >= 1
        group = the_group(await day.compared(remind_politely))
        assert group.cause == "other words in a scheduled message"
        assert texts(group) == [("Tomorrow!", "See you tomorrow!")]


async def test_each_time_of_a_recurring_send_is_the_same(day: Day) -> None:
    async def water(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Drink water!", every="hour", timezone="UTC")

    day.deploy(water)
    await day.say()
    for _ in range(2):
        await day.pass_time(3600)
    assert day.said == ["Drink water!"] * 2
    assert (await day.compared(water)).counts == {"same": 3}


async def test_a_cancelled_send_is_not_on_record_but_what_was_read_of_it_and_its_cancelling_are(day: Day) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        if message.text == "cancel":
            for send in await ctx.scheduled():
                await ctx.reply(f"Cancelled {send.tag}: {await ctx.cancel(send)}.")
        else:
            await ctx.send_later("Tomorrow!", after_s=3600, tag="call")

    day.deploy(remind)
    await day.say("remind me", "cancel")
    assert day.said == ["Cancelled call: True."]
    report = await day.compared(remind)
    assert report.counts == {"same": 1, "could not be compared": 1}
    assert "ctx.send_later" in the_group(report).cause
    assert (await day.compared(remind, present=remind)).counts == {"same": 2}


async def test_what_is_scheduled_for_a_person_who_opts_out_is_not_sent_by_either_code(day: Day) -> None:
    async def bye(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Do you miss us?", after_s=3600)

    bot = day.deploy(echo)
    bot.on_opt_out(bye)
    await day.say("hello", "STOP")
    assert (await day.compared(bot)).counts == {"same": 2}


async def test_a_send_that_the_manners_withheld_is_no_failure(day: Day) -> None:
    async def tell(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.bot.send("News!", to="+14155550199", line="+12025550100", purpose="promotional")
        await ctx.reply(sent.status)

    bot = day.deploy(tell, manners=Manners())
    day.linq.will_answer("phone_numbers.list", *[ApiResponse(200, {"phone_numbers": []})] * 3)
    await day.say("one", "two", "three")
    assert day.said[-2:] == ["waiting", "refused"]
    assert (await day.compared(bot)).counts == {"same": 3}


@pytest.mark.parametrize(("status", "code"), [(403, 2024), (409, 1006)])
async def test_a_scheduled_send_that_reached_no_person_is_no_failure(day: Day, status: int, code: int) -> None:
    day.deploy(remind)
    await day.say()
    day.linq.will_answer("chats.messages.send", LinqApiError("refused", status=status, code=code))
    await day.pass_time(3600)
    assert (await day.compared(remind)).counts == {"same": 2}


async def test_without_the_texts_a_difference_shows_in_the_digest(tmp_path: Path) -> None:
    async def twice(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One.")
        raise ValueError

    async with begun(Day, tmp_path, keep_days=0) as day:
        day.deploy(twice)
        await day.say()
        assert texts(the_group(await day.compared(says("Two.")))) == [(None, "Two.")]
        assert texts(the_group(await day.compared(says("One.")))) == []


async def test_only_the_newest_deliveries_and_those_of_a_handler_are_compared(day: Day) -> None:
    def menu(message: MessageReceived, ctx: Context) -> str:
        return "Soup."

    day.bot = bot_of(menu=menu, rest=echo)
    await day.say("menu", "hello", "menu")
    assert (await day.compared(day.bot, limit=2)).counts == {"same": 2}
    name = menu.__qualname__
    assert (await day.compared(day.bot, handler=name)).counts == {"same": 2}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[sqlite3.Connection]]:
    """The databases in memory that are opened from now on. The garbage collector closes none of them."""
    MemoryStorage()  # opens the one that all are copies of
    found, connect = list[sqlite3.Connection](), sqlite3.connect

    def noted(name: str, **how: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(name, **how)
        found.extend([db] if name == ":memory:" else [])
        return db

    monkeypatch.setattr(sqlite3, "connect", noted)
    gc.disable()
    yield found
    gc.enable()


async def test_each_run_frees_its_database_however_it_ends(
    day: Day, opened: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, hangs = threading.Event(), asyncio.Event()

    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{await ctx.ask('How many?', kind=int)} people.")

    def fail(message: MessageReceived) -> bool:
        raise ValueError

    def stuck(message: MessageReceived, ctx: Context) -> None:
        goes_on.wait(PATIENCE_S)

    async def hang(message: MessageReceived, ctx: Context) -> None:
        hangs.set()
        await asyncio.Event().wait()

    async def away(scope: str) -> dict[str, bytes]:
        raise StorageUnavailable("It is away.")

    day.deploy(ask)
    await day.say("hi", "a few", "4")
    broken = Bot(read=False, typing=False)
    broken.on_message(fail, during_ask=True)(echo)
    for new in (ask, broken, limited(stuck)):
        await day.compared(new)
    running = asyncio.create_task(day.compared(hang))
    await hangs.wait()
    running.cancel()
    await asyncio.wait({running})
    monkeypatch.setattr(day.storage, "load", away)
    with pytest.raises(StorageUnavailable):
        await day.compared(counting("Hi"))
    goes_on.set()
    assert len(opened) > 5
    assert [db for db in opened if is_open(db)] == []


def is_open(db: sqlite3.Connection) -> bool:
    try:
        db.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def test_two_versions_of_a_bot_import_their_own_modules(tmp_path: Path) -> None:
    found = []
    for version in ("old", "new"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "words_of_bot.py").write_text(f"WORD = {version!r}")
        (folder / "bot.py").write_text(
            "import words_of_bot\nfrom linqbot import Bot\nbot = Bot(on_trouble=words_of_bot.WORD)"
        )
        with loaded(str(folder / "bot.py")) as bot:
            found.append(bot.on_trouble)
    assert found == ["old", "new"]
    assert "words_of_bot" not in sys.modules


def test_what_is_installed_below_the_folder_of_a_bot_stays_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot may be in a home folder that has Python itself too, whose modules do not work when they are imported twice."""
    home = Path(os.__file__).parents[2]
    monkeypatch.setattr("linqbot_dev.dry_runs.dry_deploy.load_bot", lambda _: Bot())
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    with loaded(str(home / "bot.py")):
        pass
    assert {"asyncio", "json", "typing"} <= sys.modules.keys()


async def test_an_edit_runs_dry_if_a_handler_got_it_and_not_if_it_was_kept_for_its_message(day: Day) -> None:
    def bot_with(answer: str) -> Bot:
        bot = day.deploy(says("{}"))
        bot.on_edit(does(lambda ctx: ctx.reply(answer)))
        return bot

    bot_with("I see.")
    await day.receive(edit_body("early", of="m1"), text_body("first", id="m1"), edit_body("later", of="m1"))
    assert day.said == ["early", "I see."]
    assert (await day.compared(bot_with("I see."))).counts == {"same": 3}
    assert (await day.compared(bot_with("Thanks."))).counts == {"same": 2, "different answer": 1}
