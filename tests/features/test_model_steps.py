"""`ctx.model_step`: wherever the bot is killed, the model is not asked for what is on record, and its text is said once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from answers import answers
from pydantic import BaseModel

from linqbot import Bot, Context, Draft, MessageReceived, ModelStep, Running, hookimpl
from linqbot.clock import Clock
from linqbot.testing import Phone, killed_between_calls, talking
from linqbot.turn_events import Observers, StepEnded

PARAGRAPHS = ["A table is free at 8.", "It is booked for two.", "The weather is fine.", "Enjoy your meal!"]


class Answer(BaseModel):
    text: str


class Model:
    """A model that words each request in another way, and goes on behind what was said.

    Attributes:
        requests: What each request was shown of its own response.
        fails_at: The numbers of the requests that fail after their first paragraph.
    """

    def __init__(self, *, streams: bool, fails_at: tuple[int, ...] = ()) -> None:
        self.streams = streams
        self.requests: list[str] = []
        self.fails_at = fails_at
        self.clock: Clock | None = None
        self.steps: list[ModelStep[Answer]] = []

    async def answer(self, draft: Draft) -> Answer:
        self.requests.append(draft.said)
        number, read = len(self.requests), draft.said.count("\n\n") + 1 if draft.said else 0
        left = [f"{paragraph} ({number})" for paragraph in PARAGRAPHS[read:]]
        assert self.clock is not None
        for paragraph in left if self.streams else ():
            draft.write(f"{paragraph}\n\n")
            await self.clock.wait_until(self.clock.now() + 3)
            if number in self.fails_at:
                raise ConnectionError
        return Answer(text="\n\n".join(left))

    def bot(self, say: Callable[[Answer], str] | None = lambda answer: answer.text, **how: Any) -> Bot:
        bot = Bot(**how)

        @bot.on_start
        async def note_clock(running: Running) -> None:
            self.clock = running.clock

        @bot.on_message
        async def chat(message: MessageReceived, ctx: Context) -> None:
            step = await ctx.model_step("answer", self.answer, kind=Answer, say=say)
            self.steps.append(step)
            await ctx.reply("Bye.")

        return bot


@pytest.mark.slow
@pytest.mark.parametrize("streams", [False, True])
async def test_a_response_that_is_cut_off_is_said_once_and_asked_for_once_when_it_is_on_record(streams: bool) -> None:
    model, points, cuts = Model(streams=streams), 0, 0

    async def scenario(phone: Phone) -> None:
        model.requests.clear()
        await phone.text("A table for two, please")

    async for phone in killed_between_calls(model.bot(), scenario):
        points += 1
        said = [text.partition(" (")[0] for text in phone.messages[1:]]
        assert said == [*PARAGRAPHS, "Bye."], phone.killed
        assert len(model.requests) <= 2, phone.killed
        step = model.steps[-1]
        shown = "\n\n".join(filter(None, [step.said, step.response.text]))
        assert shown.split("\n\n") == phone.messages[1:-1], phone.killed
        cuts += bool(step.said)
    assert points > 12
    assert cuts > 3 if streams else not cuts


@pytest.mark.parametrize("fails_at", [(1,), (1, 2)])
async def test_a_provider_that_cuts_a_response_is_asked_once_to_go_on(fails_at: tuple[int, ...]) -> None:
    model = Model(streams=True, fails_at=fails_at)
    async with talking(model.bot()) as phone:
        await phone.text("Hello")
        assert [type(error) for error in await phone.errors()] == [ConnectionError] * (len(fails_at) - 1)
        said = [f"{PARAGRAPHS[0]} (1)", *(f"{each} (2)" for each in PARAGRAPHS[1:]), "Bye."]
        assert phone.messages[1:] == said[: len(said) if len(fails_at) == 1 else 2]
    assert model.requests == ["", f"{PARAGRAPHS[0]} (1)"]


async def test_a_step_that_is_not_said_is_recorded_only() -> None:
    model = Model(streams=False)
    async with talking(model.bot(say=None)) as phone:
        assert await answers(phone, "Hello") == ["Bye."]
    assert [step.is_made for step in model.steps] == [True]


class Steps:
    name = "steps"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None, bool, Mapping[str, float]]] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {StepEnded: self.step_ended}

    def step_ended(self, step: StepEnded) -> None:
        error = None if step.error is None else type(step.error).__name__
        self.seen.append((step.name, error, step.from_journal, step.usage))


async def test_plugins_observe_steps_and_the_tokens_of_a_model() -> None:
    observer = Steps()
    bot, runs = Bot(plugins=[observer]), list[int]()

    async def ask(draft: Draft) -> dict[str, Any]:
        return {"text": "Hi", "usage": {"input_tokens": 7, "output_tokens": 2, "cost": None}}

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> None:
        runs.append(1)
        await ctx.model_step("model", ask)

        def pay(key: str) -> str:
            if len(runs) == 1:
                raise OSError
            return key

        await ctx.once("pay", pay)

    async with talking(bot) as phone:
        await phone.text("Hello")
        assert len(await phone.errors()) == 1
        await phone.advance(60)
    usage = {"input_tokens": 7, "output_tokens": 2}
    assert observer.seen == [
        ("model", None, False, usage),
        ("pay", "OSError", False, {}),
        ("model", None, True, usage),
        ("pay", None, False, {}),
    ]


async def test_a_source_learns_that_nothing_more_of_its_text_is_said() -> None:
    bot, clocks, written = Bot(), list[Clock](), list[str]()

    @bot.on_start
    async def note_clock(running: Running) -> None:
        clocks.append(running.clock)

    async def endless(draft: Draft) -> str:
        while not draft.is_over:
            written.append(f"Paragraph {len(written)}.")
            draft.write(f"{written[-1]}\n\n")
            await clocks[0].wait_until(clocks[0].now() + 3)
        return "\n\n".join(written)

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> None:
        await ctx.model_step("answer", endless, say=str, stream=partial(ctx.stream, max_messages=2, more="More?"))

    async with talking(bot) as phone:
        assert await answers(phone, "Tell me all") == ["Paragraph 0.", "Paragraph 1.", "More?"]
    assert len(written) <= 5
