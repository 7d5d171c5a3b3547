"""Streams over real files: whatever ends a turn, its next run says the rest, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest
from answers import answers
from asking_talk import Talk
from fakes import NOW, text_body
from one_handler import bot_of, does
from patience import until
from simulated_crash import begun, crash

from linqbot import BotError, Context, LinqUnavailable, MessageReceived
from linqbot.client.call import Call
from linqbot.testing import talking

Handle = Callable[[MessageReceived, Context], Awaitable[None]]

SCRIPT = (
    "Here is w0 **w1** w2. And w3 w4.\n\nThen [w5](https://x.test/w5x) is w6, see.\n\n"
    "- w7\n- *w8*\n- w9\n\n# w10\n\nw11 w12. w13 w14 `w15`!\n\nLast of all w16."
)
WORDS = [f"w{n}" for n in range(17)]


def words(talk: Talk) -> list[str]:
    """Return the words of the script that people see, without cards."""
    said = " ".join(text for text in talk.said if not text.startswith("https://"))
    return [word for word in said.translate(str.maketrans(".,!•()", "      ")).split() if word[1:].isdigit()]


async def hello(talk: Talk, handle: Handle) -> bool:
    """Say hello to a handler. Return True if the process crashed."""
    return await talk.crashable.run(talk.to(handle, "hello"))


async def again(talk: Talk, handle: Handle) -> None:
    """Run the turn again when it is due."""
    talk.deploy(handle)
    await talk.pass_time(3600)


def crash_at(talk: Talk, sends: int, *, is_after: bool) -> None:
    """Let the process crash in the send after so many: before Linq takes it, or after."""

    async def crash_in(call: Call) -> None:
        if call.name == "chats.messages.send" and len(talk.said) == sends:
            if is_after:
                talk.linq.calls.append(call)
            await crash()

    talk.linq.before = crash_in


async def tokens(text: str) -> AsyncIterator[str]:
    for at in range(0, len(text), 3):
        yield text[at : at + 3]


async def from_the_start(message: MessageReceived, ctx: Context) -> None:
    await ctx.stream(tokens(SCRIPT), pace="fast")


async def going_on(message: MessageReceived, ctx: Context) -> None:
    def model(so_far: str) -> AsyncIterator[str]:
        seen = [word for word in WORDS if f"{word} " in so_far.translate(str.maketrans(".,!•()\n", "       ")) + " "]
        if not seen:
            return tokens(SCRIPT)
        return tokens(
            SCRIPT[SCRIPT.index(seen[-1]) + len(seen[-1]) :].removeprefix("](https://x.test/w5x)").lstrip("*`.!")
        )

    await ctx.stream(model, pace="fast")


@pytest.mark.parametrize("handle", [from_the_start, going_on])
async def test_a_stream_says_its_text(talk: Talk, handle: Handle) -> None:
    talk.deploy(handle)
    turn = await talk.put(text_body("hello"))
    await talk.run()
    assert words(talk) == WORDS
    assert talk.said == [
        "Here is w0 w1 w2. And w3 w4.",
        "Then w5 (https://x.test/w5x) is w6, see.",
        "https://x.test/w5x",
        "• w7\n• w8\n• w9",
        "w10\nw11 w12. w13 w14 w15!",
        "Last of all w16.",
    ]
    assert await talk.storage.depth() == 0
    entries = await talk.storage.entries(turn.id)
    assert {entry.safety for entry in entries} == {"keyed", "step"}
    assert not any(b"w5" in entry.call + (entry.answer or b"") for entry in entries)


async def test_a_crash_at_any_send_loses_and_repeats_no_word(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for n, (handle, at, is_after) in enumerate(product([from_the_start, going_on], range(6), [False, True])):
        (tmp_path / f"{n}").mkdir()
        with subtests.test(handle=handle.__name__, at=at, is_after=is_after):
            async with begun(Talk, tmp_path / f"{n}") as talk:
                crash_at(talk, at, is_after=is_after)
                assert await hello(talk, handle)
                await talk.restart()
                await talk.run()
                assert words(talk) == WORDS
                assert talk.said.count("https://x.test/w5x") == 1
                assert await talk.storage.depth() == 0


async def test_a_text_is_repeated_with_all_of_its_cards_after_it_failed_between_them(talk: Talk) -> None:
    async def model(so_far: str) -> AsyncIterator[str]:
        for text in ["See https://x.test/1 and https://x.test/2 for more.\n\n", "w0."]:
            if text.split()[0] not in so_far:
                yield text

    handle = does(lambda ctx: ctx.stream(model, pace="fast"))

    async def away(call: Call) -> None:
        if call.name == "chats.messages.send" and len(talk.said) == 2:
            talk.clock.advance(60)
            raise LinqUnavailable("It is away.", status=503)

    talk.linq.before = away
    await talk.to(handle, "hello")
    assert talk.said == ["See https://x.test/1 and https://x.test/2 for more.", "https://x.test/1"]
    talk.linq.before = None
    await again(talk, handle)
    assert talk.said[1:] == ["https://x.test/1", "https://x.test/2", "w0."]


async def test_a_crash_between_chunks_loses_and_repeats_no_word(talk: Talk) -> None:
    async def dying(message: MessageReceived, ctx: Context) -> None:
        async def chunks() -> AsyncIterator[str]:
            async for chunk in tokens(SCRIPT[:60]):
                yield chunk
            await until(lambda: talk.said)
            await crash()

        await ctx.stream(chunks(), pace="fast")

    assert await hello(talk, dying)
    await talk.restart()
    talk.deploy(from_the_start)
    await talk.run()
    assert words(talk) == WORDS


async def fail_after(talk: Talk, text: str, sends: int) -> AsyncIterator[str]:
    """Yield a text, and fail when so many of its messages are sent."""
    async for chunk in tokens(text):
        yield chunk
    await until(lambda: len(talk.said) >= sends)
    raise ValueError("overloaded")


@pytest.mark.parametrize("handle", [from_the_start, going_on])
@pytest.mark.parametrize(("count", "sends"), [(3, 0), (42, 1), (80, 3), (120, 4), (138, 5)])
async def test_a_source_that_fails_goes_on_in_the_next_run(talk: Talk, handle: Handle, count: int, sends: int) -> None:
    talk.deploy(does(lambda ctx: ctx.stream(fail_after(talk, SCRIPT[:count], sends), pace="fast")))
    turn = await talk.put(text_body("hello"))
    await talk.run()
    before = talk.said
    assert len(before) == sends
    await again(talk, handle)
    assert talk.said[: len(before)] == before
    assert words(talk) == WORDS
    assert len(talk.said) == len([call for call in talk.linq.calls if call.safety == "keyed"])
    texts = [
        entry.answer for entry in await talk.storage.entries(turn.id) if b"w1" in (entry.answer or b"") + entry.call
    ]
    assert texts == []


async def test_a_finished_stream_does_not_ask_its_source_again(talk: Talk) -> None:
    asked = list[str]()

    async def model(so_far: str) -> AsyncIterator[str]:
        asked.append(so_far)
        yield "w0.\n\nw1.\n\nw2."

    async def failing_later(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.stream(model, pace="fast")
        assert [one.id for one in sent] == ["sent-1", "sent-2", "sent-3"]
        if talk.clock.now() == NOW:
            raise ValueError
        await ctx.reply("w3")

    await talk.to(failing_later, "hello")
    await again(talk, failing_later)
    assert asked == [""]
    assert talk.said == ["w0.", "w1.", "w2.", "w3"]


async def test_a_source_sees_what_was_really_said(talk: Talk) -> None:
    asked = list[str]()

    async def model(so_far: str) -> AsyncIterator[str]:
        asked.append(so_far)
        yield "**One** [site](https://x.test/a) here.\n\nSee https://y.test/b\n\nMore"
        if len(asked) == 1:
            await until(lambda: len(talk.said) >= 3)
            raise ValueError

    handle = does(lambda ctx: ctx.stream(model, pace="fast"))
    await talk.to(handle, "hello")
    await again(talk, handle)
    assert asked == ["", "One site (https://x.test/a) here.\n\nSee\nhttps://y.test/b"]


async def test_another_text_is_said_from_its_start_and_logged(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [fail_after(talk, "Soup is w0.\n\nBread", 1), tokens("Tea is w1.\n\nBread is w2.")]

    handle = does(lambda ctx: ctx.stream(sources.pop(0), pace="fast"))
    await talk.to(handle, "hello")
    await again(talk, handle)
    assert talk.said == ["Soup is w0.", "Tea is w1.", "Bread is w2."]
    assert "stream.differs" in capsys.readouterr().out


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_two_streams_of_a_turn_have_keys_of_their_own(talk: Talk, at: int) -> None:
    async def handle(message: MessageReceived, ctx: Context) -> None:
        await ctx.stream(tokens("w0.\n\nw1."), pace="fast")
        await ctx.stream(tokens("w2.\n\nw3."), pace="fast", key="second")
        with pytest.raises(BotError, match="the key was used before"):
            await ctx.stream(tokens("w4."), key="second")

    crash_at(talk, at, is_after=True)
    assert await hello(talk, handle)
    await talk.restart()
    await talk.run()
    assert talk.said == ["w0.", "w1.", "w2.", "w3."]


async def test_a_stream_with_the_key_of_a_stream_in_a_recorded_step_is_sent(talk: Talk) -> None:
    runs = 0

    async def handle(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1

        async def say(text: str) -> None:
            await ctx.stream(tokens(text), pace="fast", key="status")

        await ctx.once("first", lambda _: say("w0."), retry=True)
        if runs == 1:
            raise ConnectionError
        await ctx.once("second", lambda _: say("w1."), retry=True)
        await say("w2.")

    await talk.to(handle, "hello")
    await talk.pass_time(10)
    assert runs == 2
    assert talk.said == ["w0.", "w1.", "w2."]


async def test_a_group_gets_one_threaded_reply(talk: Talk) -> None:
    talk.deploy(from_the_start, groups="all")
    await talk.say("hello", is_group=True)
    threads = ["reply_to" in (call.body or {})["message"] for call in talk.linq.calls if call.safety == "keyed"]
    assert threads == [True, *[False] * (len(threads) - 1)]


async def test_a_stream_before_a_question_is_not_asked_again_when_the_answer_comes() -> None:
    asked = list[str]()

    async def model(name: str) -> AsyncIterator[str]:
        asked.append(name)
        yield f"One, {name}.\n\nTwo, {name}."

    async def handle(message: MessageReceived, ctx: Context) -> None:
        first = await ctx.stream(model("first"))
        name = await ctx.ask("Your name?")
        second = await ctx.stream(lambda so_far: model(name))
        await ctx.reply(f"{len(first)} and {len(second)}")

    async with talking(bot_of(handle)) as phone:
        assert await answers(phone, "hi") == ["One, first.", "Two, first.", "Your name?"]
        assert await answers(phone, "Ada") == ["One, Ada.", "Two, Ada.", "2 and 2"]
    assert asked == ["first", "Ada"]


async def test_a_source_may_do_real_work_without_seeming_to_stall() -> None:
    async def slow() -> AsyncIterator[str]:
        for word in ("One. ", "Two. ", "Three."):
            for _ in range(100):
                await asyncio.sleep(0)
            yield word

    async with talking(bot_of(does(lambda ctx: ctx.stream(slow(), stall_s=1)))) as phone:
        assert " ".join(await answers(phone, "hi")) == "One. Two. Three."
