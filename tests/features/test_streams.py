"""Streams over real files: whatever ends a turn, its next run says the rest, and nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from engine_turns import turns_of
from fakes import NOW, Linq, delivery, text_body
from one_handler import does
from simulated_crash import Life, begun, crash

from linqbot import Bot, BotError, Context, LinqUnavailable, MessageReceived
from linqbot.client.call import ApiResponse, Call

Handle = Callable[[MessageReceived, Context], Awaitable[None]]

SCRIPT = (
    "Here is w0 **w1** w2. And w3 w4.\n\nThen [w5](https://x.test/w5x) is w6, see.\n\n"
    "- w7\n- *w8*\n- w9\n\n# w10\n\nw11 w12. w13 w14 `w15`!\n\nLast of all w16."
)
WORDS = [f"w{n}" for n in range(17)]


class TakingLinq(Linq):
    """A Linq that crashes the bot at a request: before it takes the request, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.crashes_at: tuple[int, bool] | None = None

    async def run(self, call: Call) -> ApiResponse:
        if call.name != "chats.messages.send":
            return await super().run(call)
        sends = len(self.bubbles)
        if self.crashes_at == (sends, False):
            await crash()
        answer = await super().run(call)
        if self.crashes_at == (sends, True):
            await crash()
        return answer

    @property
    def bubbles(self) -> list[str]:
        """The texts that people see. Linq carries out each key once."""
        taken: dict[str, str] = {}
        for call in self.calls:
            if call.name == "chats.messages.send":
                assert call.key is not None
                taken.setdefault(call.key, (call.body or {})["message"]["parts"][0]["value"])
        return list(taken.values())

    @property
    def words(self) -> list[str]:
        """The words of the script that people see, without cards."""
        said = " ".join(text for text in self.bubbles if not text.startswith("https://"))
        return [word for word in said.translate(str.maketrans(".,!•()", "      ")).split() if word[1:].isdigit()]


class Harness(Life):
    """A bot with one handler, its storage, and a clock that moves while a turn runs."""

    linq: TakingLinq

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(folder, stack)
        self.linq = TakingLinq()

    async def restart(self) -> None:
        self.linq.crashes_at = None
        await super().restart()

    async def put(self, **changes: Any) -> str:
        arrived = delivery(text_body("hello", **changes))
        await self.storage.put(arrived)
        return arrived.id

    async def run(self, handle: Handle) -> bool:
        """Run the turn. Return True if the process crashed."""
        bot = Bot(read=False, typing=False, groups="all")
        bot.on_message(handle)
        turns = turns_of(bot, self.linq, self.storage, self.clock)
        (lease,) = await self.storage.take(1, lease_s=1000)
        return await self.crashable.run(turns.run(lease))

    async def run_again(self, handle: Handle) -> None:
        """Run the turn again when it is due."""
        self.clock.advance(3600)
        await self.run(handle)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with begun(Harness, tmp_path) as opened:
        yield opened


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
async def test_a_stream_says_its_text(harness: Harness, handle: Handle) -> None:
    turn = await harness.put()
    await harness.run(handle)
    assert harness.linq.words == WORDS
    assert harness.linq.bubbles == [
        "Here is w0 w1 w2. And w3 w4.",
        "Then w5 (https://x.test/w5x) is w6, see.",
        "https://x.test/w5x",
        "• w7\n• w8\n• w9",
        "w10\nw11 w12. w13 w14 w15!",
        "Last of all w16.",
    ]
    assert await harness.storage.depth() == 0
    entries = await harness.storage.entries(turn)
    assert {entry.safety for entry in entries} == {"keyed", "step"}
    assert not any(b"w5" in entry.call + (entry.answer or b"") for entry in entries)


async def test_a_crash_at_any_send_loses_and_repeats_no_word(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for n, (handle, at, is_after) in enumerate(product([from_the_start, going_on], range(6), [False, True])):
        (tmp_path / f"{n}").mkdir()
        with subtests.test(handle=handle.__name__, at=at, is_after=is_after):
            async with begun(Harness, tmp_path / f"{n}") as harness:
                await harness.put()
                harness.linq.crashes_at = (at, is_after)
                assert await harness.run(handle)
                await harness.restart()
                assert not await harness.run(handle)
                assert harness.linq.words == WORDS
                assert harness.linq.bubbles.count("https://x.test/w5x") == 1
                assert await harness.storage.depth() == 0


async def test_a_text_is_repeated_with_all_of_its_cards_after_it_failed_between_them(harness: Harness) -> None:
    async def model(so_far: str) -> AsyncIterator[str]:
        for text in ["See https://x.test/1 and https://x.test/2 for more.\n\n", "w0."]:
            if text.split()[0] not in so_far:
                yield text

    async def handle(message: MessageReceived, ctx: Context) -> None:
        await ctx.stream(model, pace="fast")

    async def away(call: Call) -> None:
        if call.name == "chats.messages.send" and len(harness.linq.bubbles) == 2:
            harness.clock.advance(60)
            raise LinqUnavailable("It is away.", status=503)

    await harness.put()
    harness.linq.before = away
    await harness.run(handle)
    assert harness.linq.bubbles == ["See https://x.test/1 and https://x.test/2 for more.", "https://x.test/1"]
    harness.linq.before = None
    await harness.run_again(handle)
    assert harness.linq.bubbles[1:] == ["https://x.test/1", "https://x.test/2", "w0."]


async def test_a_crash_between_chunks_loses_and_repeats_no_word(harness: Harness) -> None:
    async def dying(message: MessageReceived, ctx: Context) -> None:
        async def chunks() -> AsyncIterator[str]:
            async for chunk in tokens(SCRIPT[:60]):
                yield chunk
            while not harness.linq.bubbles:
                await asyncio.sleep(0)
            await crash()

        await ctx.stream(chunks(), pace="fast")

    await harness.put()
    assert await harness.run(dying)
    await harness.restart()
    assert not await harness.run(from_the_start)
    assert harness.linq.words == WORDS


async def fail_after(harness: Harness, text: str, sends: int) -> AsyncIterator[str]:
    """Yield a text, and fail when so many of its messages are sent."""
    async for chunk in tokens(text):
        yield chunk
    while len(harness.linq.bubbles) < sends:
        await asyncio.sleep(0)
    raise ValueError("overloaded")


@pytest.mark.parametrize("handle", [from_the_start, going_on])
@pytest.mark.parametrize(("count", "sends"), [(3, 0), (42, 1), (80, 3), (120, 4), (138, 5)])
async def test_a_source_that_fails_goes_on_in_the_next_run(
    harness: Harness, handle: Handle, count: int, sends: int
) -> None:
    turn = await harness.put()
    assert not await harness.run(does(lambda ctx: ctx.stream(fail_after(harness, SCRIPT[:count], sends), pace="fast")))
    before = harness.linq.bubbles
    assert len(before) == sends
    await harness.run_again(handle)
    assert harness.linq.bubbles[: len(before)] == before
    assert harness.linq.words == WORDS
    assert len(harness.linq.bubbles) == len([call for call in harness.linq.calls if call.safety == "keyed"])
    texts = [
        entry.answer for entry in await harness.storage.entries(turn) if b"w1" in (entry.answer or b"") + entry.call
    ]
    assert texts == []


async def test_a_finished_stream_does_not_ask_its_source_again(harness: Harness) -> None:
    asked = list[str]()

    async def model(so_far: str) -> AsyncIterator[str]:
        asked.append(so_far)
        yield "w0.\n\nw1.\n\nw2."

    async def failing_later(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.stream(model, pace="fast")
        assert [one.id for one in sent] == ["sent-1", "sent-2", "sent-3"]
        if harness.clock.now() == NOW:
            raise ValueError
        await ctx.reply("w3")

    await harness.put()
    await harness.run(failing_later)
    await harness.run_again(failing_later)
    assert asked == [""]
    assert harness.linq.bubbles == ["w0.", "w1.", "w2.", "w3"]


async def test_a_source_sees_what_was_really_said(harness: Harness) -> None:
    asked = list[str]()

    async def model(so_far: str) -> AsyncIterator[str]:
        asked.append(so_far)
        yield "**One** [site](https://x.test/a) here.\n\nSee https://y.test/b\n\nMore"
        if len(asked) == 1:
            while len(harness.linq.bubbles) < 3:
                await asyncio.sleep(0)
            raise ValueError

    async def handle(message: MessageReceived, ctx: Context) -> None:
        await ctx.stream(model, pace="fast")

    await harness.put()
    await harness.run(handle)
    await harness.run_again(handle)
    assert asked == ["", "One site (https://x.test/a) here.\n\nSee\nhttps://y.test/b"]


async def test_another_text_is_said_from_its_start_and_logged(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [fail_after(harness, "Soup is w0.\n\nBread", 1), tokens("Tea is w1.\n\nBread is w2.")]

    async def handle(message: MessageReceived, ctx: Context) -> None:
        await ctx.stream(sources.pop(0), pace="fast")

    await harness.put()
    await harness.run(handle)
    await harness.run_again(handle)
    assert harness.linq.bubbles == ["Soup is w0.", "Tea is w1.", "Bread is w2."]
    assert "stream.differs" in capsys.readouterr().out


async def test_two_streams_of_a_turn_have_keys_of_their_own(harness: Harness) -> None:
    async def handle(message: MessageReceived, ctx: Context) -> None:
        await ctx.stream(tokens("w0.\n\nw1."), pace="fast")
        await ctx.stream(tokens("w2.\n\nw3."), pace="fast", key="second")
        with pytest.raises(BotError, match="the key was used before"):
            await ctx.stream(tokens("w4."), key="second")

    for at in (1, 2, 3):
        await harness.put()
        harness.linq.crashes_at = (at + len(harness.linq.bubbles), True)
        if await harness.run(handle):
            break
    await harness.restart()
    assert not await harness.run(handle)
    assert harness.linq.bubbles == ["w0.", "w1.", "w2.", "w3."]


async def test_a_stream_with_the_key_of_a_stream_in_a_recorded_step_is_sent(harness: Harness) -> None:
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

    await harness.put()
    await harness.run(handle)
    harness.clock.advance(10)
    await harness.run(handle)
    assert runs == 2
    assert harness.linq.bubbles == ["w0.", "w1.", "w2."]


async def test_a_group_gets_one_threaded_reply(harness: Harness) -> None:
    await harness.put(is_group=True)
    await harness.run(from_the_start)
    threads = ["reply_to" in (call.body or {})["message"] for call in harness.linq.calls if call.safety == "keyed"]
    assert threads == [True, *[False] * (len(threads) - 1)]
