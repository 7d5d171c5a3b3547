"""The lines and reports of `linqbot dev`: each turn with its handler, its answer, its error, or why nothing answered."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from answers import answers
from linqbot_dev.dev.reporting import TurnLines, TurnReports, is_shown, line, quoted
from linqbot_dev.dev.turn_report import ObservedTurn
from linqbot_dev.emulator.acts.chat_acts import SetOptOut
from one_handler import bot_of, says
from storages import open_storage

from linqbot import Bot, Context, Event, LinkPart, MessageReceived, ReactionAdded, markdown, poll
from linqbot.bot.router import Next
from linqbot.ops.why import look
from linqbot.testing import HandlerFailed, talking


class Dev:
    """A bot with the observer of `linqbot dev`."""

    def __init__(self, **how: Any) -> None:
        self.turns: list[ObservedTurn] = []
        self.posted: list[dict[str, Any]] = []
        self.reporter = TurnReports(self.turns.append, self.posted.append)
        self.bot = Bot(plugins=[self.reporter], **how)

    @property
    def lines(self) -> list[str]:
        """The lines without their time and colors, with `N ms` for each duration and without module names."""
        plain = [click.unstyle(line(turn)) for turn in self.turns if is_shown(turn)]
        assert all(re.match(r"\d\d:\d\d:\d\d  ", each) for each in plain)
        return [re.sub(r"\S*<locals>\.|\d+(?= ms)", _simple, each[10:]) for each in plain]

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [turn.to_json() for turn in self.turns if is_shown(turn)]


def _simple(found: re.Match[str]) -> str:
    return "N" if found[0].isdecimal() else ""


async def test_an_answered_message_is_one_line_with_sender_text_handler_and_answer() -> None:
    dev = Dev()

    @dev.bot.on_message("hi")
    async def greet(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello!", effect="confetti")

    async with talking(dev.bot) as phone:
        await answers(phone, "hi")
    assert dev.lines == [f'{phone.handle} "hi" → greet N ms → "Hello!" (confetti)']
    (report,) = dev.reports
    assert report["handler"].endswith(".greet")
    assert (report["kind"], report["outcome"], report["replies"], report["attempt"]) == ("turn", "acked", 1, 1)
    assert (report["file"], report["line"]) == ("test_dev_turns.py", greet.__code__.co_firstlineno)
    assert (report["event_type"], report["error"], report["reason"]) == ("message.received", None, None)
    assert all(report[name] for name in ("event_id", "chat_id", "message_id"))
    assert report["started_at"].endswith("Z")
    loaded = dev.posted[0]
    assert (loaded["kind"], loaded["status"]) == ("bot", "loaded")
    assert loaded["at"] <= report["started_at"], "a saved test tells by these times which code a turn ran"
    assert "hi" not in report.values()


async def test_each_end_of_a_turn_is_one_line() -> None:  # noqa: C901 - a handler for each end
    dev = Dev()

    @dev.bot.use
    def swallow(after: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            if getattr(event, "text", "") != "swallowed":
                await after(event, ctx)

        return handle

    @dev.bot.on_message("menu")
    def menu(message: MessageReceived, ctx: Context) -> list[Any]:
        return ["Soup", LinkPart(value="https://menu.example/")]

    @dev.bot.on_message("love")
    async def love(message: MessageReceived, ctx: Context) -> None:
        await ctx.react("love")

    @dev.bot.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("ding", after_s=60)

    @dev.bot.on_message("soup")
    async def sell(message: MessageReceived, ctx: Context) -> None:
        await ctx.pay(800, "Soup")

    @dev.bot.on_message("cake", "pie")
    async def order(message: MessageReceived, ctx: Context) -> None:
        raise KeyError(message.text)

    @dev.bot.on_error(KeyError)
    async def sorry(error: KeyError, event: Event, ctx: Context) -> None:
        if getattr(event, "text", "") == "cake":
            await ctx.reply("Sold out.")

    at = f"test_dev_turns.py:{order.__code__.co_firstlineno + 2}"
    ends = {
        "menu": 'menu N ms → "Soup" https://menu.example/',
        "love": "love N ms → (add love)",
        "later": "later N ms → sent nothing",
        "cake": f"order N ms → KeyError at {at}: 'cake', handled by sorry → \"Sold out.\"",
        "pie": f"order N ms → KeyError at {at}: 'pie', handled by sorry → sent nothing",
        "swallowed": "no handler took it: middleware ended the event before its handler",
        "what?": "no handler took it: no filter fits (tried menu, love, later, sell, order)",
    }
    async with talking(dev.bot) as phone:
        for said in ends:
            await answers(phone, said)
        await answers(phone, "what?")
        await answers(phone.group("+14155550188"), "hello all")
        await phone.advance(60)
        await answers(phone.person("+14155550189"), "soup")
        await answers(phone, "STOP")
    lines = [f'{phone.handle} "{said}" → {end}' for said, end in ends.items()]
    unaddressed = "the message neither mentions the bot nor replies to it"
    in_group = f'{phone.handle} in a group "hello all" → no handler took it: {unaddressed}'
    paid = '+14155550189 "soup" → sell N ms → (payment_requests.create) [agentpay]'
    stopped = f'{phone.handle} "STOP" → no handler took it: the person opted out'
    assert dev.lines == [*lines, lines[-1], in_group, 'scheduled send → "ding"', paid, stopped]
    assert [report["replies"] for report in dev.reports[:-2]] == [2, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    _, _, of_later, _, of_pie, _, unfitting, _, of_group, scheduled, _, of_stop = dev.reports
    assert scheduled["chat_id"] == of_later["chat_id"]
    (note,) = of_pie["notes"]
    assert (note["title"], f"{note['file']}:{note['line']}") == ("KeyError", at)
    assert "so the message counts as done" in note["message"]
    assert (unfitting["outcome"], unfitting["handler"], unfitting["reason"]) == ("not_handled", None, "no filter fits")
    assert [(one["filter"], one["fits"], one["file"]) for one in unfitting["tried"]][:2] == [
        ("exact('menu')", False, "test_dev_turns.py"),
        ("exact('love')", False, "test_dev_turns.py"),
    ]
    assert of_group["reason"] == unaddressed
    assert 'Bot(groups="all") takes every message' in of_group["notes"][0]["message"]
    assert ["@bot.on_opt_out" in note["message"] for note in of_stop["notes"]] == [True]


async def test_a_handler_that_does_not_return_is_shown_while_it_runs() -> None:
    shown, returns = list[str](), asyncio.Event()

    def show(turn: ObservedTurn) -> None:
        if turn.handler is None:
            return
        shown.append(f"{turn.to_json()['outcome']}: {click.unstyle(line(turn)).partition(' → ')[2]}")
        returns.set()

    async def hang(message: MessageReceived, ctx: Context) -> None:
        await returns.wait()

    async with talking(bot_of(hang, plugins=[TurnReports(show, lambda _: None, long_s=0)])) as phone:
        await answers(phone, "hi")
    line_of_wait = hang.__code__.co_firstlineno + 1
    assert [re.sub(r"\S*<locals>\.|\d+(?= ms)", _simple, each) for each in shown] == [
        f"running: hang N ms → still running at test_dev_turns.py:{line_of_wait}",
        "acked: hang N ms → sent nothing",
    ]


async def test_the_report_of_a_burst_names_the_messages_that_joined_its_first() -> None:
    dev = Dev(gather_s=2)

    @dev.bot.on_message
    async def count(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(str(len(message.burst)))

    async with talking(dev.bot) as phone:
        said = [await phone.text(each) for each in ("one", "two", "three")]
        assert await phone.next_reply() == "3"
    assert dev.reports[0]["joined"] == [said[1].id, said[2].id]


async def test_a_message_that_a_running_handler_takes_is_shown_at_once_with_that_handler() -> None:
    dev = Dev()
    begun, written, taken, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    @dev.bot.on_message(overlap="steer")
    async def work(message: MessageReceived, ctx: Context) -> None:
        begun.set()
        await written.wait()
        async for more in ctx.incoming():
            await ctx.reply(f"{message.text} and {more.text}")
            taken.set()
        await go_on.wait()

    async with talking(dev.bot) as phone:
        first = await phone.text("soup")
        await begun.wait()
        more = await phone.text("bread")
        written.set()
        await taken.wait()
        shown_while_it_runs = dev.reports
        go_on.set()
        assert await phone.next_reply() == "soup and bread"
        await phone.quiet()
    (report,) = shown_while_it_runs
    assert (report["outcome"], report["message_id"], report["replies"]) == ("taken", more.id, 0)
    assert report["handler"].endswith(".work")
    assert (report["file"], report["line"]) == ("test_dev_turns.py", work.__code__.co_firstlineno)
    assert dev.lines[0] == f'{phone.handle} "bread" → work took it with ctx.incoming() while it handled "soup"'
    (of_soup,) = dev.reports[1:]
    assert (of_soup["message_id"], of_soup["event_id"]) == (first.id, report["taken_by"])


async def test_an_answer_is_shown_with_its_question_and_with_what_became_of_it() -> None:
    dev = Dev()

    @dev.bot.on_message("help", during_ask=True)
    async def helps(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Your name, please.")

    @dev.bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        await ctx.ask("How many?", kind=int, tries=2)

    async with talking(dev.bot) as phone:
        for said in ("book", "help", "Ann", "many", "very many", "book", "never mind", "book"):
            await answers(phone, said)
        await phone.advance(90_000)
        await phone.quiet()
    found = [turn.for_page() for turn in dev.turns if is_shown(turn)]
    met = [(one["question"]["text"], one["question"]["result"]) if one["question"] else None for one in found]
    assert met == [
        None,
        ("Your name?", "kept_open"),
        ("Your name?", "answered"),
        ("How many?", "invalid"),
        ("How many?", "given_up"),
        None,
        ("Your name?", "cancelled"),
        None,
        ("Your name?", "timed_out"),
    ]
    assert [one["asks"] for one in found] == [
        "Your name?", None, "How many?", None, None, "Your name?", None, "Your name?", None,
    ]  # fmt: skip
    assert {one["question"]["handler"].rpartition(".")[2] for one in found if one["question"]} == {"book"}
    assert '"very many" → book N ms → "Sorry, I do not understand' in dev.lines[4]
    assert dev.lines[4].endswith(' → no valid answer, which ends the question "How many?"')
    assert '"never mind" → book' in dev.lines[6], "a message that ends a question is shown, not the one that began it"
    assert "How many?" not in json.dumps([turn.to_json() for turn in dev.turns])
    # A handler that goes on after its question was not chosen by filters.
    assert [[each["filter"] for each in one["tried"]] for one in dev.reports[:3]] == [["exact('help')"], [], []]


async def test_a_vote_that_is_counted_is_shown_although_no_handler_runs() -> None:
    dev = Dev(groups="all")

    @dev.bot.on_message("lunch")
    async def lunch(message: MessageReceived, ctx: Context) -> None:
        await ctx.vote(["Thai", "Pizza"], "Lunch?")

    async with talking(dev.bot, service="SMS") as phone:
        group = phone.group("+14155550188")
        await group.text("lunch")
        await group.next_reply()
        await group.text("Thai")
        await phone.quiet()
    turn = dev.turns[-1]
    assert turn.for_page()["question"]["result"] == "counted"
    assert (turn.outcome, turn.handler) == ("acked", None)
    assert dev.lines[-1].startswith(f'{phone.handle} in a group "Thai" → counted as a vote on "Lunch?')


async def test_a_question_to_a_person_of_another_chat_is_shown_with_whom_it_went_to_and_who_answered() -> None:
    dev, dana = Dev(), "+14155550199"

    @dev.bot.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> str:
        agreed = await ctx.ask("May I?", yes="like", who=dana, meanwhile="I have asked Dana.", timeout_s=60)
        return "Refunded." if agreed else "Sorry."

    @dev.bot.on_message("both")
    async def both(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Shall I?", yes="like", also=[dana])

    async with talking(dev.bot) as phone:
        await phone.person(dana).text("hello")  # so that the chat of the owner is known
        await phone.quiet()
        dev.turns.clear()
        for text in ("refund", "both"):
            await phone.text(text)
            await phone.quiet()
            for answer in ("maybe", "yes") if text == "refund" else ("yes",):
                await phone.person(dana).text(answer)
                await phone.quiet()
        await phone.text("refund")
        await phone.advance(61)
        await phone.person(dana).text("yes")
        await phone.quiet()
    ann, asked = phone.handle, f"For {phone.handle}: May I?"
    guest_asks = f'{ann} "refund" → refund N ms → asks {dana} "May I?"'
    shows = f'question to {dana} → "{asked}" to {ann}: "I have asked Dana."'
    no_answer = 'no answer in time, which ends the question "May I?"'
    assert dev.lines == [
        guest_asks,
        shows,
        f'{dana} "maybe" → answers "May I?" of refund',
        f'{dana} "maybe" → refund N ms → no valid answer, so the person is asked again "May I?"',
        f'question to {dana} → "Please answer yes or no." "{asked}"',
        f'{dana} "yes" → answers "May I?" of refund',
        f'{dana} "yes" → refund N ms → "Refunded."',
        f'{ann} "both" → both N ms → "Shall I?" → asks {dana} "Shall I?"',
        f'question to {dana} → "For {ann}: Shall I?"',
        f'{dana} "yes" → answers "Shall I?" of both',
        f'{dana} "yes" → both N ms → "{dana} has decided: yes."',
        guest_asks,
        shows,
        f'linqbot.ask → refund N ms → "Sorry, I could not get an answer for you, so I have stopped…" → {no_answer}',
        f'{dana} "yes" → "That question is over, so your answer came too late." → comes too late for "May I?" of refund',
    ]
    pages = [turn.for_page() for turn in dev.turns if is_shown(turn)]
    assert [(one["asks"], one["asks_elsewhere"]) for one in pages if one["asks"]][:2] == [
        ("May I?", [dana]),
        ("Shall I?", [dana]),
    ]
    assert [one["question"]["result"] for one in pages if one["question"]][:3] == ["passed_on", "invalid", "passed_on"]
    assert dana not in json.dumps([turn.to_json() for turn in dev.turns])


async def test_a_text_that_a_handoff_passes_on_is_shown_with_what_was_sent() -> None:
    """It has no handler, and no reason for that: the line was "no handler took it: None"."""
    dev = Dev()

    @dev.bot.on_message("a person")
    async def hand_over(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to="+14155550199", say="One moment.")

    async with talking(dev.bot) as phone:
        await answers(phone, "a person")
        await phone.text("hello?")
        await phone.quiet()
    assert dev.lines[-1] == f'{phone.handle} "hello?" → "{phone.handle}: hello?"'
    assert (dev.reports[-1]["outcome"], dev.reports[-1]["handler"]) == ("acked", None)


async def test_a_failing_handler_is_shown_with_the_authors_line_and_the_pause_until_the_last_attempt() -> None:
    dev = Dev()

    @dev.bot.on_message(attempts=2)
    async def boom(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("before")
        1 / 0  # noqa: B018

    async with talking(dev.bot) as phone:
        await phone.text("boom")
        assert await phone.next_reply() == "before"
        with pytest.raises(HandlerFailed):
            await phone.advance(60)
    at = boom.__code__.co_firstlineno + 3
    retried, dead = dev.lines
    error = f"ZeroDivisionError at test_dev_turns.py:{at}: division by zero"
    assert re.fullmatch(
        rf'{re.escape(phone.handle)} "boom" → boom N ms → "before" → {error} → again in [\d.]+ s', retried
    )
    # The second run found its reply in the journal and did not send it again.
    assert dead == f'{phone.handle} "boom" → boom N ms → {error} → given up after attempt 2'
    first, second = dev.reports
    assert (first["outcome"], first["replies"], second["outcome"], second["replies"]) == (
        "retried", 1, "dead_lettered", 0,
    )  # fmt: skip
    assert 0 < first["retry_in_s"] < 2
    assert second["retry_in_s"] is None
    shown = first["error"]
    assert (shown["type"], shown["message"]) == ("ZeroDivisionError", "division by zero")
    assert (shown["file"], shown["line"], shown["code"]) == ("test_dev_turns.py", at, "1 / 0  # noqa: B018")
    assert "test_dev_turns.py" in shown["traceback"].splitlines()[1]
    assert shown["traceback"].endswith("ZeroDivisionError: division by zero\n")
    assert first["reason"] is None


async def test_an_error_is_printed_once_with_its_whole_message_its_frames_and_the_way_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dev = Dev()

    @dev.bot.on_message("data", attempts=3)
    async def fails(message: MessageReceived, ctx: Context) -> None:
        raise ValueError("\n".join(["a long message"] * 9))

    @dev.bot.on_message("return")
    def returns(message: MessageReceived, ctx: Context) -> Any:
        return 42

    @dev.bot.on_message("typo")
    async def mistypes(message: MessageReceived, ctx: Context) -> None:
        await ctx.repl("hi")  # type: ignore[attr-defined]

    async def misses() -> None:
        raise KeyError("k")

    @dev.bot.on_message("group", attempts=1)
    async def groups(message: MessageReceived, ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(misses())

    for said in ("data", "return", "typo", "group"):
        async with talking(dev.bot) as phone:
            await phone.text(said)
            with pytest.raises(HandlerFailed):
                await phone.advance(60)
    capsys.readouterr()
    with_page, without_page = TurnLines(has_page=True), TurnLines(has_page=False)
    for turn in dev.turns:
        with_page.print(turn)
    shown = capsys.readouterr().err
    first, second, third, returned, mistyped, _ = re.split(r"^\d\d:\d\d:\d\d  ", shown, flags=re.MULTILINE)[1:]
    assert [block.count("\n") for block in (second, third, returned)] == [1, 2, 1], shown
    assert r"a long message\na long message" in first
    assert 'raise ValueError("\\n".join(' in first
    assert third.endswith("To handle it again: correct the bot, save, and choose Run Again on the page.\n")
    assert (
        "Give a str, the result of markdown(…), a part such as MediaPart, or a MessageContent. → given up" in returned
    )
    assert "Did you mean reply? → given up after attempt 1\n" in mistyped
    in_group = dev.reports[-1]["error"]
    assert (in_group["type"], in_group["code"]) == ("KeyError", 'raise KeyError("k")')
    without_page.print(dev.turns[-1])
    assert f"linqbot waiting retry --dev {dev.turns[-1].report.delivery.id}\n" in capsys.readouterr().err


async def test_a_message_to_a_bot_without_a_handler_for_messages_says_what_it_handles() -> None:
    dev = Dev()

    @dev.bot.on_reaction
    async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...

    async with talking(dev.bot) as phone:
        await answers(phone, "hi")
    (report,) = dev.reports
    assert (report["outcome"], report["reason"]) == ("not_handled", "the bot has no handler for this event type")
    assert [note["message"] for note in report["notes"]] == [
        "The bot handles only reaction.added. Add a handler for messages with @bot.on_message."
    ]


async def test_a_turn_that_blocks_the_event_loop_shows_the_place_on_the_page_before_it_ends_and_once() -> None:
    dev = Dev()
    shown: list[dict[str, Any]] = []

    @dev.bot.on_message
    async def slow(message: MessageReceived, ctx: Context) -> None:
        if message.text == "slow":
            dev.reporter.blocked("bot:slow", "bot.py:9")
            shown.extend(report for report in dev.posted if report["kind"] == "turn")

    async with talking(dev.bot) as phone:
        await answers(phone, "slow")
        await answers(phone, "quick")
    (running,) = shown
    assert running["outcome"] == "running"
    (note,), none = (report["notes"] for report in dev.reports)
    assert (note["title"], note["file"], note["line"], none) == ("Blocked the event loop", "bot.py", 9, [])
    assert running["notes"] == [note]
    dev.reporter.blocked("bot:slow", "bot.py:9")
    assert [report["kind"] for report in dev.posted].count("turn") == 1, "no turn runs any more"


async def test_the_page_shows_the_sentence_of_why(tmp_path: Path, subtests: pytest.Subtests) -> None:
    dev = Dev()

    @dev.bot.on_message("menu", "refused", "away")
    async def menu(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Soup.")

    @dev.bot.on_message("nothing")
    async def nothing(message: MessageReceived, ctx: Context) -> None: ...

    @dev.bot.on_message("broken", attempts=2)
    async def broken(message: MessageReceived, ctx: Context) -> None:
        raise KeyError("soup")

    @dev.bot.on_message("order")
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("How many?")

    @dev.bot.on_message("quiet")
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute()

    url = f"sqlite:///{tmp_path}/bot.db"
    async with talking(dev.bot, storage=url) as phone, open_storage(url, serving=False) as storage:
        for said, expected in (
            ("menu", "menu took it."),
            ("nothing", "nothing took it. It sent nothing."),
            ("what", "No handler took it: no filter fits."),
            ("refused", "Linq refused chats.messages.send with 403/2024"),
            ("order", "order took it. It has asked a question, and waits for the answer."),
            ("2", "order took it as the answer to the question of w."),
            ("broken", "Its handler has failed once: KeyError at test_dev_turns.py"),
            ("broken", "It was given up in the handler"),
            ("away", "It is deferred: Linq answered chats.messages.send with 429"),
            ("quiet", "quiet took it. It sent nothing."),
            ("hello?", "No handler took it: the bot is muted in this chat."),
        ):
            if said == "refused":
                phone.fail_next("chats.messages.send", status=403, code=2024)
            elif said == "away":
                phone.fail_next("chats.messages.send", status=429, retry_after_s=600, times=9)
            with suppress(HandlerFailed):
                await (phone.advance(60) if expected.startswith("It was given up") else answers(phone, said))
            phone.emulator.world.faults.clear()
            shown = dev.reports[-1]
            with subtests.test(said, why=expected):
                assert expected in shown["why"]
                found = await look(storage, None, shown["event_id"], now=phone.now)
                # The page counts down to the next run by itself, and has its own way to handle a message again.
                assert found.cases[-1].answer.startswith(shown["why"])
            if said == "away":
                with suppress(HandlerFailed):
                    await phone.advance(600)


async def test_a_call_that_waits_for_the_rate_limit_or_a_retry_is_shown_on_the_page_with_its_reason() -> None:
    dev = Dev()

    @dev.bot.on_message
    async def count(message: MessageReceived, ctx: Context) -> None:
        for number in range(int(message.text)):
            await ctx.reply(str(number))

    async with talking(dev.bot) as phone:
        phone.fail_next("chats.messages.send", status=503, times=3)  # the client itself tries it again twice
        await answers(phone, "30")
        await phone.advance(50)
        await phone.text("1")
        await phone.advance(20)
        await phone.quiet()
    retries, limited = [report for report in dev.posted if report["kind"] == "turn"]
    assert (retries["outcome"], retries["retry_in_s"]) == ("running", 0.5)
    assert "503" in retries["reason"]
    assert (limited["outcome"], limited["reason"]) == (
        "running", "Linq allows 30 messages a minute from a line to a person",
    )  # fmt: skip
    assert 0 < limited["retry_in_s"] <= 10
    # The reason is that of the wait: no report says it after the wait is over.
    assert [(report["outcome"], report["reason"]) for report in dev.reports] == [("acked", None)] * 2


async def test_a_reply_to_a_person_who_opted_out_is_shown_as_not_sent() -> None:
    dev = Dev()
    dev.bot.on_message(says("hello"))

    @dev.bot.on_reaction
    async def thank(reaction: ReactionAdded, ctx: Context) -> None:
        await ctx.reply("thanks")

    async with talking(dev.bot) as phone:
        (reply,) = await answers(phone, "hi")
        phone.emulator.do(SetOptOut(handle=phone.handle, opted_out=True))
        await phone.react(reply, "love")
        await phone.quiet()
    assert dev.lines[-1].endswith("→ not sent: the person opted out with STOP")
    assert dev.reports[-1]["replies"] == 0
    assert [note["title"] for note in dev.reports[-1]["notes"]] == ["Reply refused: opted out"]


async def test_other_events_are_shown_by_their_type_if_they_are_handled_and_receipts_of_the_journal_are_not() -> None:
    dev = Dev()
    dev.bot.on_message(says("hello"))

    @dev.bot.on_reaction("love")
    async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...

    async with talking(dev.bot) as phone:
        (reply,) = await answers(phone, "hi")
        await phone.typing()
        await phone.react(reply, "love")
        await phone.read()
        await phone.quiet()
    who = phone.handle
    assert dev.lines == [
        f'{who} "hi" → answer N ms → "hello"',
        f"{who} reaction.added love → loved N ms → sent nothing",
    ]
    assert {report["event_type"] for report in dev.reports} == {"message.received", "reaction.added"}


def test_a_text_is_shown_on_one_line_without_control_characters_and_cut() -> None:
    assert quoted("two\n\x1b[31mred\a") == r'"two\n\x1b[31mred\x07"'
    assert quoted("a" * 61) == '"' + "a" * 59 + '…"'


async def test_the_page_gets_each_send_as_it_looks_on_each_service() -> None:
    dev = Dev()

    @dev.bot.on_message("lunch")
    async def lunch(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(markdown("**Lunch?**"), poll("Thai", "Pizza"), effect="confetti")
        await ctx.client.chats.messages.send(ctx.chat_id, message={"parts": [{"type": "text", "value": "Raw"}]})

    async with talking(dev.bot, service="SMS") as phone:
        await answers(phone, "lunch")
        lunch_id, options_id, raw_id = [bubble.id for bubble in phone.messages if bubble is not None][-3:]
    (turn,) = [each for each in dev.turns if is_shown(each)]
    report = turn.for_page()
    reply, raw = report["previews"]
    assert (reply["message_ids"], raw["message_ids"]) == ([lunch_id, options_id], [raw_id])
    look = {
        name: [(one["kind"], one["text"]) for one in reply[name]["messages"]] for name in ("imessage", "rcs", "sms")
    }
    assert look["imessage"] == [("message", "Lunch?"), ("poll", "Thai\nPizza")]
    assert look["rcs"] == look["sms"] == [("message", "Lunch?"), ("message", "1. Thai\n2. Pizza")]
    assert reply["imessage"]["messages"][0]["parts"][0]["text_decorations"]
    assert "text_decorations" not in reply["sms"]["messages"][0]["parts"][0]
    assert (reply["imessage"]["degraded"], reply["sms"]["degraded"]) == ([], ["poll", "effect"])
    assert raw["imessage"]["messages"] == raw["sms"]["messages"]
    assert "previews" not in turn.to_json()
