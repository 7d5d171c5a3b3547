"""Messages that come while a handler runs: `overlap=` of `@bot.on_message`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from answers import answers
from fakes import settled
from one_handler import bot_of, notes, says
from patience import until
from pydantic import BaseModel
from slow_work import Work

from linqbot import AskTimeout, Bot, Context, Event, MessageEdited, MessageReceived, hookimpl
from linqbot.bot.router import Next
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.engine.outbox import Outbox
from linqbot.options import OverlapMode
from linqbot.testing import Phone, killed_between_calls, talking
from linqbot.turn_events import Observers, TurnEnded


async def incoming(ctx: Context) -> list[str]:
    """Return the texts of the messages that have come meanwhile."""
    return [later.text async for later in ctx.incoming()]


async def overtaken(work: Work, phone: Phone, first: str, *later: str) -> None:
    """Write `first`, and the later texts while its handler works; then let the work end."""
    await phone.text(first)
    await work.begun.wait()
    for text in later:
        await phone.text(text)
    work.end.set()


async def test_a_newer_message_restarts_the_handler_with_both_and_withdraws_what_was_not_sent() -> None:
    work, runs, reports = Work(), [], list[tuple[str, int]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append((message.text, list(ctx.already_sent)))
        await ctx.reply(f"Let me see: {message.text.splitlines()[-1]}")
        if len(runs) == 1:
            await work()
        mine = [entry.text for entry in await ctx.history() if entry.speaker == "me"]
        assert mine == [*ctx.already_sent, f"Let me see: {message.text.splitlines()[-1]}"]
        await ctx.reply(f"done with {len(message.burst) or 1}")

    class Reports:
        """Lists the handler and the number of calls of each turn that has ended."""

        @hookimpl
        def register_observers(self) -> Observers:
            return {TurnEnded: self.turn_ended}

        def turn_ended(self, turn: TurnEnded) -> None:
            if turn.delivery.type == "message.received":
                reports.append((turn.handler or "", len(turn.calls)))

    async with talking(bot_of(answer, overlap="restart", plugins=[Reports()])) as phone:
        await phone.text("a table for two")
        assert await phone.next_reply() == "Let me see: a table for two"
        await work.begun.wait()
        await phone.text("no, three")
        assert await phone.next_reply() == "Let me see: no, three"
        assert await phone.next_reply() == "done with 2"
        assert await phone.replies() == []
    assert runs == [("a table for two", []), ("a table for two\nno, three", ["Let me see: a table for two"])]
    assert [(handler.rpartition(".")[2], calls) for handler, calls in reports] == [("answer", 3)]


@pytest.mark.parametrize("is_group", [False, True])
async def test_an_edit_of_its_message_restarts_the_handler_with_the_new_text(is_group: bool) -> None:
    bot, work, runs = Bot(), Work(), []
    edits = list[str]()

    @bot.on_message(overlap="restart")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append([message.text, *(one.text for one in message.burst)])
        if len(runs) < 3:
            work.begun.set()
            await work.end.wait()
        assert (await ctx.history())[-1].text == message.text.split("\n")[-1]
        await ctx.reply(f"Booked {message.text}")

    bot.on(MessageEdited)(notes(edits, lambda event: event.text))

    async with talking(bot) as ann:
        chat = ann.group("+14155550143") if is_group else ann
        wrote = await chat.text("@bot for two", mention=is_group)
        await work.begun.wait()
        work.begun.clear()
        await chat.edit(wrote, "@bot for three")
        await work.begun.wait()
        await chat.text("@bot at eight", mention=is_group)
        await chat.next_reply()
        assert edits == []
        await chat.edit(wrote, "@bot for four")
        await chat.quiet()
    joined = "@bot for three\n@bot at eight"
    assert runs == [["@bot for two"], ["@bot for three"], [joined, "@bot for three", "@bot at eight"]]
    assert edits == ["@bot for four"]


async def test_an_edit_of_another_message_or_in_another_mode_waits() -> None:
    modes: list[OverlapMode] = ["queue", "steer", "restart"]
    for mode in modes:
        bot, work, seen = Bot(), Work(), list[str]()

        @bot.on_message("now", overlap=mode)
        async def answer(message: MessageReceived, ctx: Context, work: Work = work, seen: list[str] = seen) -> None:
            await work()
            if ctx.takes_incoming:
                seen.extend(await incoming(ctx))
            seen.append(message.text)

        @bot.on(MessageEdited)
        async def edited(event: MessageEdited, ctx: Context, seen: list[str] = seen) -> None:
            seen.append(f"edited: {event.text}")

        async with talking(bot) as phone:
            earlier = await phone.text("before")
            await phone.quiet()
            wrote = await phone.text("now")
            await work.begun.wait()
            await phone.edit(earlier, "changed")
            await phone.edit(wrote, "later")
            work.end.set()
            await phone.quiet()
        assert seen == ["now", "edited: changed", "edited: later"], mode


async def test_what_was_sent_before_a_restart_is_known_after_a_question_too() -> None:
    work, sent = Work(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        if not ctx.already_sent:
            await ctx.reply("Let me look.")
            await work()
        await ctx.ask("Which day?")
        sent.append([*ctx.already_sent])

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await phone.text("for two")
        await work.begun.wait()
        assert await answers(phone, "no, three") == ["Let me look.", "Which day?"]
        await phone.text("Friday")
        await phone.quiet()
    assert sent == [["Let me look."]]


@pytest.mark.parametrize(
    ("ends", "said", "last"),
    [
        ("fails", ["one", "two"], ("two", [])),
        ("is killed", ["one", "two"], ("two", [])),
        ("fails and works on", ["one", "one and two"], ("one\ntwo", ["one"])),
        ("streams and works on", ["one", "one and two"], ("one\ntwo", ["one"])),
        ("sends nothing", ["one and two"], ("one\ntwo", [])),
    ],
)
async def test_a_run_that_begins_again_is_restarted_only_behind_what_an_earlier_run_has_sent(
    ends: str, said: list[str], last: tuple[str, list[str]]
) -> None:
    thought, ended, runs = Work(), Work(), list[tuple[str, list[str]]]()

    async def chunks(text: str) -> AsyncIterator[str]:
        yield text

    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append((message.text, list(ctx.already_sent)))
        run = len(runs)
        if run == 2:
            await thought()
        text = message.text.replace("\n", " and ")
        if ends == "streams and works on":
            await ctx.stream(chunks(text), pace="fast")
        elif run > 1 or ends != "sends nothing":
            await ctx.reply(text)
        if run == 1:
            if ends == "is killed":
                await ended()
            raise OSError
        if run == 2 and ends.endswith("works on"):
            await ended()

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await phone.text("one")
        if ends == "is killed":
            await ended.begun.wait()
            await phone.restart()
            again = asyncio.create_task(phone.quiet())
        else:
            await phone.errors()
            again = asyncio.create_task(phone.advance(2))
        await thought.begun.wait()
        await phone.text("two")
        await settled(50)
        thought.end.set()
        await again
        assert await phone.replies() == said
    assert runs[-1] == last


async def test_a_queued_message_waits_for_the_end_of_the_handler_also_where_another_handler_is_restarted() -> None:
    bot, work, runs = Bot(), Work(), list[str]()
    bot.on_message("weather", overlap="restart")(says("sunny"))

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        await work()
        await ctx.reply(message.text)

    async with talking(bot) as phone:
        await phone.text("one")
        await work.begun.wait()
        await phone.text("two")
        await settled(50)  # a handler that is restarted would be by now
        work.end.set()
        assert await phone.replies() == ["one", "two"]
    assert runs == ["one", "two"]


async def test_a_message_for_another_handler_interrupts_nothing() -> None:
    bot, work, runs = Bot(), Work(), []
    bot.on_message("help")(says("helping"))

    @bot.on_message(overlap="restart")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        await work()
        await ctx.reply("answer")

    async with talking(bot) as phone:
        await overtaken(work, phone, "one", "help")
        assert [await phone.next_reply(), await phone.next_reply()] == ["answer", "helping"]
    assert runs == ["one"]


async def test_a_message_that_fits_the_handler_only_alone_interrupts_nothing() -> None:
    bot, work, runs = Bot(), Work(), []

    @bot.on_message("more", overlap="restart")
    async def more(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        await work()
        await ctx.reply("one more")

    bot.on_message(says("I do not understand {}."))

    async with talking(bot) as phone:
        await overtaken(work, phone, "more", "more")
        assert await phone.replies() == ["one more", "one more"]
    assert runs == ["more", "more"]


async def test_a_protected_section_ends_before_the_restart() -> None:
    work, booked = Work(), []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        if not ctx.already_sent:
            async with ctx.uninterrupted():
                await ctx.reply("booking")
                await work()
                booked.append(message.text)
            await ctx.reply("not sent")
        await ctx.reply(f"{len(message.burst)} messages")

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await phone.text("one")
        assert await phone.next_reply() == "booking"
        await work.begun.wait()
        await phone.text("two")
        assert booked == []
        work.end.set()
        assert await phone.next_reply() == "2 messages"
        assert await phone.replies() == []
    assert booked == ["one"]


async def test_a_turn_that_has_stored_state_with_a_call_is_not_restarted() -> None:
    work = Work()

    class Count(BaseModel):
        texts: list[str] = []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        count = await ctx.state.person(Count)
        count.texts.append(message.text)
        await ctx.reply(f"Number {len(count.texts)}.")
        if len(count.texts) == 1:
            await work()

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await overtaken(work, phone, "one", "two")
        assert await phone.replies() == ["Number 1.", "Number 2."]
        assert (await phone.state(Count)).texts == ["one", "two"]


async def test_a_turn_is_restarted_after_a_step_that_may_be_made_again() -> None:
    work, made = Work(), []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        def think(key: str) -> str:
            made.append(key)
            return message.text

        text = await ctx.once("thought", think, restartable=True)
        if not message.burst:
            await work()
        await ctx.reply(text)

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await phone.text("one")
        await work.begun.wait()
        assert await answers(phone, "two") == ["one\ntwo"]
    assert len(set(made)) == 2


async def test_a_step_of_a_run_that_was_killed_keeps_the_next_run_from_being_restarted() -> None:
    work, made, runs = Work(), list[str](), list[str]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        # The newer message is noticed before the second run comes to its step.
        for _ in range(50):
            await asyncio.sleep(0)
        await ctx.once("order", lambda key: made.append(message.text))
        if len(runs) == 1:
            await work()
        await ctx.reply(message.text)

    async with talking(bot_of(answer, overlap="restart")) as phone:
        await phone.text("one")
        await work.begun.wait()
        await phone.text("two")
        await phone.restart()
        assert await phone.replies() == ["one", "two"]
    assert runs == ["one", "one", "two"]
    assert made == ["one", "two"]


async def test_a_handler_whose_call_takes_long_goes_on_and_is_not_restarted_when_it_fails_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, goes_on, made = Work(), asyncio.Event(), list[str]()
    wait_for_calls = Outbox.wait_for_calls

    async def waits_in_vain(outbox: Outbox) -> None:
        try:
            await wait_for_calls(outbox)
        except asyncio.CancelledError:
            goes_on.set()
            raise

    monkeypatch.setattr("linqbot.features.overlap.LAST_CALL_S", 0.0)
    monkeypatch.setattr(Outbox, "wait_for_calls", waits_in_vain)

    class SlowCalls:
        @hookimpl
        def register_outbound(self) -> list[Callable[[Run], Run]]:
            def slow(run: Run) -> Run:
                async def late(call: Call) -> ApiResponse:
                    if call.safety == "keyed":
                        await work()
                    return await run(call)

                return late

            return [slow]

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"You wrote: {message.text}")
        is_first = not made
        await ctx.once("order", lambda _: made.append(message.text))
        if is_first:
            raise ConnectionError

    async with talking(bot_of(answer, overlap="restart", plugins=[SlowCalls()])) as phone:
        await phone.text("one")
        await work.begun.wait()
        await phone.text("two")
        await goes_on.wait()
        work.end.set()
        assert [type(each) for each in await phone.errors()] == [ConnectionError]
        await phone.advance(60)
        assert await phone.replies() == ["You wrote: one", "You wrote: two"]
    assert made == ["one", "two"]


async def test_someone_who_keeps_writing_gets_an_answer_after_three_restarts() -> None:
    runs = []
    running: list[Work] = []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append(len(message.burst) or 1)
        running.append(Work())
        await running[-1]()
        await ctx.reply(f"{len(message.burst) or 1} messages")

    def runs_are_begun(count: int) -> bool:
        return len(running) == count and running[-1].begun.is_set()

    async with talking(bot_of(answer, overlap="restart")) as phone:
        for number in range(5):
            await phone.text(str(number))
            await until(partial(runs_are_begun, min(number + 1, 4)))
        assert runs == [1, 2, 3, 4]
        running[-1].end.set()
        assert await phone.next_reply() == "4 messages"
        await until(lambda: len(running) == 5)
        running[-1].end.set()
        assert await phone.next_reply() == "1 messages"


async def test_a_steered_handler_takes_an_edit_as_the_message_with_its_new_text() -> None:
    bot, steps = Bot(), [Work(), Work(), Work()]
    seen, edits = list[list[tuple[str, bool]]](), list[str]()

    @bot.on_message(overlap="steer")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        ids = {message.id}
        for work in steps:
            await work()
            later = [each async for each in ctx.incoming()]
            seen.append([(each.text, each.edited) for each in later])
            ids |= {each.id for each in later}
        await ctx.reply(f"{len(ids)} messages")

    bot.on(MessageEdited)(notes(edits, lambda event: event.text))

    async with talking(bot) as phone:
        table = await phone.text("for two")
        await steps[0].begun.wait()
        time = await phone.text("at seven")
        await phone.edit(table, "for three")
        await phone.edit(time, "at eight")
        steps[0].end.set()
        await steps[1].begun.wait()
        await phone.edit(time, "at nine")
        await phone.edit(table, "for four")
        steps[1].end.set()
        await steps[2].begun.wait()
        steps[2].end.set()
        assert await phone.next_reply() == "2 messages"
        await phone.edit(table, "for five")  # is answered already
        await phone.quiet()
    assert seen == [[("at eight", True), ("for three", True)], [("at nine", True), ("for four", True)], []]
    assert edits == ["for five"]


async def take(kind: str, number: int, work: Work, ctx: Context) -> list[str]:
    """Take the messages that have come when the work ends: in a call, in a step, or in a step inside of another."""

    async def step(key: str = "") -> list[str]:
        await work()
        return await incoming(ctx)

    match kind:
        case "a call":
            return await step()
        case "a step":
            return await ctx.once(f"step {number}", step, kind=list[str])
        case _:
            return await ctx.once(
                f"outer {number}", lambda key: ctx.once(f"step {number}", step), kind=list[str], retry=True
            )


async def taken_in_each_run(kinds: Sequence[str], arrivals: Sequence[bool], *, killed: bool) -> list[list[list[str]]]:
    """Let a steered handler take messages twice, and fail or be killed at its end. Return what each run took."""
    works, runs = [Work() for _ in kinds], list[list[list[str]]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append([await take(kind, number, works[number], ctx) for number, kind in enumerate(kinds)])
        if len(runs) == 1:
            if killed:
                await asyncio.Event().wait()
            raise RuntimeError("the model failed")
        await ctx.reply("done")

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await phone.text("one")
        for number, (work, arrives) in enumerate(zip(works, arrivals, strict=True)):
            await work.begun.wait()
            if arrives:
                await phone.text(f"later {number}")
            work.end.set()
        while not runs:
            await asyncio.sleep(0)
        if killed:
            await phone.restart()
        else:
            assert [str(error) for error in await phone.errors()] == ["the model failed"]
        await phone.advance(10)
        assert [str(reply) for reply in await phone.replies()] == ["done"]
    return runs


@pytest.mark.slow
async def test_the_next_run_gets_the_same_messages_at_the_same_calls(subtests: pytest.Subtests) -> None:
    ways = ("a call", "a step", "a step in a step")
    for kinds, arrivals, killed in product(product(ways, repeat=2), product((True, False), repeat=2), (False, True)):
        with subtests.test(kinds=kinds, arrivals=arrivals, killed=killed):
            came = [[f"later {number}"] if arrives else [] for number, arrives in enumerate(arrivals)]
            assert await taken_in_each_run(kinds, arrivals, killed=killed) == [came] * 2


async def test_what_only_a_failed_run_of_a_steered_handler_has_taken_is_handled_by_itself() -> None:
    bot, work, runs = Bot(), Work(), list[list[str]]()

    @bot.on_message(overlap="steer")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        runs.append(words)
        if len(runs) == 1:
            await work()
            words += await incoming(ctx)
            raise RuntimeError("the model failed")
        # Another way than the first time: the messages that have joined are not asked for.
        await ctx.reply(message.text)

    bot.on(MessageEdited)(notes(runs, lambda event: [event.text]))

    async with talking(bot) as phone:
        await phone.text("one")
        await work.begun.wait()
        two = await phone.text("two")
        await phone.edit(two, "2")
        await phone.text("three")
        work.end.set()
        assert [str(error) for error in await phone.errors()] == ["the model failed"]
        await phone.advance(0.1)
        await phone.text("four")
        await phone.advance(10)
        assert [str(reply) for reply in await phone.replies()] == ["one", "2", "three", "four"]
    assert runs == [["one", "2", "three"], ["one"], ["2"], ["three"], ["four"]]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["restart", "steer"])
async def test_a_kill_at_any_point_neither_drops_a_message_nor_sends_a_bubble_twice(mode: OverlapMode) -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = message.text.split("\n")
        await ctx.reply(f"seen {words[-1]}")
        await asyncio.sleep(0)
        if mode == "steer":
            words += await incoming(ctx)
        await ctx.reply(f"answered {' '.join(words)}")

    async def scenario(phone: Phone) -> None:
        await phone.text("a")
        await phone.text("b")
        await phone.text("c")

    async for phone in killed_between_calls(bot_of(answer, overlap=mode, read=False, typing=False), scenario):
        said = [str(reply) for reply in await phone.replies()]
        assert len(said) == len(set(said)), said
        answered = [word for reply in said if reply.startswith("answered") for word in reply.split()[1:]]
        assert sorted(answered) == ["a", "b", "c"], said


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["restart", "steer"])
async def test_a_kill_at_any_point_neither_drops_an_edit_nor_answers_the_old_text_after_it(mode: OverlapMode) -> None:
    bot = Bot()

    @bot.on_message(overlap=mode)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        text = message.text
        await ctx.reply(f"seen {text}")
        await asyncio.sleep(0)
        if mode == "steer":
            text = [text, *await incoming(ctx)][-1]
        await ctx.reply(f"answered {text}")

    @bot.on(MessageEdited)
    async def edited(edit: MessageEdited, ctx: Context) -> None:
        await ctx.reply(f"answered {edit.text}")

    async def scenario(phone: Phone) -> None:
        await phone.edit(await phone.text("old"), "new")

    async for phone in killed_between_calls(bot, scenario):
        said = [str(reply) for reply in await phone.replies()]
        assert len(said) == len(set(said)), said
        assert said[-1] == "answered new", said


async def test_incoming_without_steer_says_how_to_register_the_handler() -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None:
        async for _ in ctx.incoming():
            pass

    async with talking(bot_of(answer)) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
        assert 'overlap="steer"' in str(error)


@pytest.mark.parametrize("mode", ["restart", "steer"])
async def test_in_a_group_what_is_not_for_the_bot_is_not_taken(mode: OverlapMode) -> None:
    work, took = Work(), list[str]()

    async def weather(message: MessageReceived, ctx: Context) -> None:
        took.append(message.text)
        await work()
        if ctx.takes_incoming:
            took.extend(await incoming(ctx))

    async with talking(bot_of(weather, overlap=mode)) as ann:
        group = ann.group("+14155550143", "cat@example.com")
        await group.text("@bot weather?", mention=True)
        await work.begun.wait()
        await group.text("Bob, my PIN is 1234")
        work.end.set()
        await group.quiet()
    assert took == ["@bot weather?"]


async def test_a_message_that_a_when_decides_about_waits_for_its_own_turn() -> None:
    work, took = Work(), list[str]()

    async def is_serious(message: MessageReceived, ctx: Context) -> bool:
        return message.text != "lol"

    async def weather(message: MessageReceived, ctx: Context) -> None:
        await work()
        took.extend([message.text, *await incoming(ctx)])

    async with talking(bot_of(weather, overlap="steer", when=is_serious)) as phone:
        await overtaken(work, phone, "weather?", "lol")
        await phone.quiet()
    assert took == ["weather?"]


@pytest.mark.parametrize("answer", ["a tapback", "a message", "nothing"])
async def test_a_steered_handler_goes_on_after_its_question_however_it_ends(answer: str) -> None:
    work = Work()

    async def order(message: MessageReceived, ctx: Context) -> None:
        if not work.end.is_set():
            await work()
        words = [message.text, *await incoming(ctx)]
        try:
            sure = await ctx.ask("Sure?", yes="like", timeout_s=60)
        except AskTimeout:
            sure = False
        words += await incoming(ctx)
        await ctx.reply(f"{' '.join(words)}: {sure}")

    async with talking(bot_of(order, overlap="steer")) as phone:
        await overtaken(work, phone, "soup", "for two")
        question = await phone.next_reply()
        if answer == "a tapback":
            await phone.react(question, "like")
        elif answer == "a message":
            await phone.text("yes")
        else:
            await phone.advance(60)
        assert await phone.next_reply() == f"soup for two: {answer != 'nothing'}"


async def test_a_step_on_record_that_took_nothing_leaves_later_messages_to_the_next_call() -> None:
    seen = list[list[list[str]]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        seen.append([await ctx.once("model", lambda _: incoming(ctx))])
        if len(seen) == 1:
            raise RuntimeError("the model failed")
        seen[-1].append(await incoming(ctx))
        await ctx.reply("done")

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await phone.text("one")
        await phone.errors()
        await phone.text("two")
        await phone.advance(10)
        assert [str(reply) for reply in await phone.replies()] == ["done"]
    assert seen == [[[]], [[], ["two"]]]


async def test_a_question_after_fewer_calls_leaves_the_messages_of_the_failed_run_to_their_own_turns() -> None:
    work, runs = Work(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        runs.append(words)
        if len(runs) == 1:
            await work()
        if len(runs) != 2:
            words += await incoming(ctx)
        if len(runs) == 1:
            raise RuntimeError("the model failed")
        if message.text == "one":
            words.append(await ctx.ask("Which?"))
        await ctx.reply(" ".join(words))

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await overtaken(work, phone, "one", "two")
        await phone.errors()
        await phone.advance(10)
        assert await phone.next_reply() == "Which?"
        # As any message that waits while a question is asked, it is the answer.
        assert await phone.next_reply() == "one two"


async def test_what_a_steered_handler_took_before_a_question_is_there_after_the_answer() -> None:
    works = [Work(), Work()]

    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        for n, work in enumerate(works):
            if not work.end.is_set():
                await work()
            words += [*await incoming(ctx), *await incoming(ctx)]
            words.append(await ctx.ask(f"Question {n}?"))
        await ctx.reply(" ".join([*words, *await incoming(ctx)]))

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await phone.text("one")
        for work, word, question in zip(works, ("two", "four"), ("Question 0?", "Question 1?"), strict=True):
            await work.begun.wait()
            await phone.text(word)
            work.end.set()
            assert await phone.next_reply() == question
            await phone.text({"two": "three", "four": "five"}[word])
        assert await phone.next_reply() == "one two three four five"


async def test_an_edit_of_an_answer_that_a_steered_handler_took_is_there_after_later_answers() -> None:
    work, runs = Work(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        day = await ctx.ask("Which day?")
        if not work.end.is_set():
            await work()
        taken = [f"{later.text}, {later.edited}" async for later in ctx.incoming()]
        runs.append([day, *taken])
        name = await ctx.ask("Your name?")
        await ctx.reply(f"{await ctx.ask('How many?')} for {name}")

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await phone.text("book")
        assert await phone.next_reply() == "Which day?"
        day = await phone.text("Friday")
        await work.begun.wait()
        await phone.text("evening")
        await phone.edit(day, "Saturday")
        work.end.set()
        assert await phone.next_reply() == "Your name?"
        await phone.text("Ada")
        assert await phone.next_reply() == "How many?"
        await phone.text("Two")
        assert await phone.next_reply() == "Two for Ada"
    assert runs == 3 * [["Friday", "evening, False", "Saturday, True"]]


@pytest.mark.parametrize("is_step", [False, True])
@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_run_that_begins_again_takes_newer_messages_only_behind_what_is_on_record(
    is_step: bool, is_sent: bool
) -> None:
    runs = list[str]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        said = " and ".join([message.text, *await incoming(ctx)])
        if is_step:
            said = await ctx.once("think", lambda _: said, kind=str)
        if is_sent:
            await ctx.reply(said)
        runs.append(said)
        if len(runs) == 1:
            raise OSError
        said = " and ".join([said, *await incoming(ctx)])
        await ctx.reply(f"Done: {said}")

    async with talking(bot_of(answer, overlap="steer")) as phone:
        await phone.text("one")
        await phone.errors()
        await phone.text("two")
        await phone.advance(2)
        assert await phone.replies() == [*(["one"] if is_sent else []), "Done: one and two"]
    assert runs == ["one", "one" if is_step or is_sent else "one and two"]


async def test_a_step_on_record_that_no_further_run_makes_keeps_no_message_from_a_steered_handler() -> None:
    """A step inside of another one, one whose result is recalled, one of middleware, and one before a question."""
    runs, taken = list[str](), list[str]()

    def outside(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            try:
                await next_(event, ctx)
            finally:
                await ctx.once(f"outside {len(runs)}", lambda _: 1)

        return handle

    async def answer(message: MessageReceived, ctx: Context) -> None:
        async def outer(_: str) -> int:
            return await ctx.once("inner", lambda _: 1, kind=int)

        runs.append(message.text)
        if len(runs) == 1:
            await ctx.once("first run", lambda _: 1)
        await ctx.ask("Which day?")
        if ctx.recall("plan") is None:
            await ctx.once("plan", lambda _: 1)
        taken.extend(await incoming(ctx))
        await ctx.once("outer", outer, kind=int)
        if len(runs) == 2:
            raise OSError
        taken.extend(await incoming(ctx))

    bot = bot_of(answer, overlap="steer")
    bot.use(outside)
    async with talking(bot) as phone:
        await phone.text("one")
        await phone.text("Friday")
        await phone.errors()
        await phone.text("two")
        await phone.advance(2)
    assert (runs, taken) == (["one"] * 3, ["two"])


async def test_two_tasks_of_a_handler_that_take_messages_at_once_take_each_once(tmp_path: Path) -> None:
    work = Work()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await work()
        taken = await asyncio.gather(incoming(ctx), incoming(ctx))
        await ctx.reply(" ".join(sorted(word for words in taken for word in words)))

    async with talking(bot_of(answer, overlap="steer"), storage=f"sqlite:///{tmp_path}/bot.db") as phone:
        await overtaken(work, phone, "one", "two", "three")
        assert await phone.next_reply() == "three two"
