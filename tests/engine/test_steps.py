"""Steps outside of Linq: done once, with the same key in every run, also across questions."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import text_body
from pydantic import BaseModel
from simulated_crash import crash

from linqbot import Ambiguous, Context, MessageReceived
from linqbot.engine import helpers
from linqbot.features.asking import session


class Order(BaseModel):
    id: int
    items: tuple[str, ...] = ()


class Shop:
    """Another system, which notes the key of each order."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.fails = 0
        self.crashes = 0

    async def create(self, key: str) -> Order:
        self.keys.append(key)
        if self.crashes:
            self.crashes -= 1
            await crash()
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        return Order(id=len(self.keys), items=("pizza",))


async def test_a_step_is_done_once_and_its_result_is_the_same_in_every_run(talk: Talk) -> None:
    shop, results = Shop(), list[Any]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.once("order", shop.create)
        typed = await ctx.once("again", shop.create, kind=Order)
        results.append((result, typed))
        await ctx.ask("Sure?")
        await ctx.reply(f"Order {typed.id}")
        if len(results) == 2:
            raise ValueError("after the answer")

    await talk.to(order, "hi")
    await talk.restart()
    await talk.say("yes")
    await talk.pass_time(2)
    assert len(shop.keys) == len(set(shop.keys)) == 2
    assert results == [({"id": 1, "items": ["pizza"]}, Order(id=2, items=("pizza",)))] * 3
    assert talk.said == ["Sure?", "Order 2"]


async def test_a_step_that_was_cut_off_is_ambiguous_and_listed(talk: Talk) -> None:
    shop, caught = Shop(), list[str]()
    shop.crashes = 1

    async def order(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.once("order", shop.create)
        except Ambiguous as error:
            caught.append(error.name)
            raise

    talk.deploy(order)
    await talk.put(text_body("hi"))
    assert await talk.crashable.run(talk.run())
    await talk.restart()
    await talk.run()
    assert caught == ["order"]
    assert len(shop.keys) == 1
    (letter,) = await talk.storage.dead_letters()  # a retry would not help
    assert (
        "If it changes nothing, or the other system recognises its key, write ctx.once(…, retry=True)" in letter.error
    )
    (entry,) = await talk.storage.ambiguous()
    assert (entry.turn, entry.slot, entry.key) == (letter.delivery.id, "step:order", shop.keys[0])
    await talk.storage.retry([letter.delivery.id])
    await talk.run()
    assert caught == ["order", "order"]
    assert len(shop.keys) == 1


@pytest.mark.parametrize("how", ["crashes", "fails"])
async def test_a_step_that_raised_or_may_be_repeated_is_called_again_under_the_same_key(talk: Talk, how: str) -> None:
    shop = Shop()
    setattr(shop, how, 1)

    async def order(message: MessageReceived, ctx: Context) -> None:
        made = await ctx.once("order", shop.create, retry=how == "crashes")
        await ctx.reply(f"Order {made['id']}")

    talk.deploy(order)
    if await talk.crashable.run(talk.say("hi")):
        await talk.restart()
    await talk.pass_time(2)
    assert shop.keys == [shop.keys[0]] * 2
    assert talk.said == ["Order 2"]


async def test_a_result_that_a_changed_type_does_not_take_names_step_and_field_and_counts_once_it_does(
    talk: Talk,
) -> None:
    class Changed(BaseModel):
        id: int
        items: int

    class Corrected(BaseModel):
        id: int
        items: int | tuple[str, ...]

    shop, kinds = Shop(), list[type[BaseModel]]([Order])

    async def order(message: MessageReceived, ctx: Context) -> None:
        made = await ctx.once("order", shop.create, kind=kinds[-1])
        await ctx.ask("Where to?")
        await ctx.reply(f"{made}")

    await talk.to(order, "hi")
    kinds.append(Changed)
    await talk.say("Paris")
    (dead,) = await talk.storage.dead_letters()
    why = "The result of the step 'order' does not fit kind="
    assert f"{why}{Changed.__qualname__}: items: Input should be a valid integer." in dead.whole_error
    assert "pizza" not in dead.whole_error
    kinds.append(Corrected)
    await talk.storage.retry([dead.delivery.id])
    await talk.run()
    assert talk.said == ["Where to?", "id=1 items=('pizza',)"]
    assert len(shop.keys) == 1


async def test_a_name_is_used_once_and_a_plain_function_works(talk: Talk) -> None:
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.once("order", len)
        await ctx.once("order", len)

    talk.deploy(order)
    assert "called twice" in await talk.error_of("hi")


async def test_steps_need_no_session_of_questions(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(session, "AskSession", lambda *given: made.append(given))
    results = []

    async def order(message: MessageReceived, ctx: Context) -> None:
        results.append(ctx.recall("order"))
        results.append(await ctx.once("order", lambda _: 1))
        await ctx.mute(for_s=1)
        await ctx.bot.post("ordered", {}, id="1")
        if len(results) == 2:
            raise ConnectionError

    await talk.to(order, "hi")
    await talk.pass_time(2)
    assert (results, made) == ([None, 1, 1, 1], [])


async def test_an_echo_makes_no_object_for_steps(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(helpers, "Steps", lambda *given: made.append(given))

    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    await talk.to(echo, "hi")
    assert (talk.said, made) == (["hi"], [])


async def test_a_step_that_is_made_again_repeats_none_of_its_calls(talk: Talk) -> None:
    runs = 0

    async def order(message: MessageReceived, ctx: Context) -> None:
        async def look(_: str) -> None:
            nonlocal runs
            runs += 1
            await ctx.reply(f"I look, run {runs}.")
            await ctx.reply("Found.")
            if runs == 1:
                raise ConnectionError

        await ctx.reply("Hello!")
        await ctx.once("look", look, retry=True)
        await ctx.reply("Found.")

    await talk.to(order, "hi")
    await talk.pass_time(2)
    assert talk.said == ["Hello!", "I look, run 1.", "Found.", "Found."]


@pytest.mark.parametrize("place", ["the handler", "another step"])
async def test_a_call_with_the_key_of_a_call_in_a_recorded_step_is_made(place: str, talk: Talk) -> None:
    runs = 0

    async def order(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1

        async def say(text: str) -> None:
            await ctx.reply(text, key="status")
            await ctx.reply(f"{text}!", key="status")

        await ctx.once("first", lambda _: say("One moment"), retry=True)
        if runs == 1:
            raise ConnectionError
        if place == "the handler":
            await say("Done")
        else:
            await ctx.once("second", lambda _: say("Done"), retry=True)
        if runs == 2:
            raise ConnectionError

    await talk.to(order, "hi")
    await talk.pass_time(10)
    assert talk.said == ["One moment", "One moment!", "Done", "Done!"]


async def test_what_a_recorded_step_has_scheduled_is_sent_once(talk: Talk) -> None:
    runs = 0

    async def order(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1

        async def remind(_: str) -> None:
            await ctx.send_later("Your order is ready.", after_s=3600)
            wrong = await ctx.send_later("Never sent.", after_s=1800, key="wrong")
            moved = await ctx.send_later("Write again soon.", after_s=600)
            await ctx.reschedule(moved, after_s=7200)
            await ctx.cancel(wrong)

        await ctx.once("remind", remind)
        if runs == 1:
            raise ConnectionError
        await ctx.ask("Sure?")
        await ctx.reply("Done.")

    await talk.to(order, "hi")
    await talk.pass_time(2)
    await talk.restart()
    await talk.pass_time(3600)
    await talk.say("yes")
    await talk.pass_time(3600)
    assert talk.said == ["Sure?", "Your order is ready.", "Done.", "Write again soon."]


@pytest.mark.slow
async def test_a_turn_that_goes_on_at_each_run_survives_many_crashes(talk: Talk) -> None:
    """Each run makes the steps up to its number of the row, and crashes. The last number is what the turn needs."""
    rows = {
        "three steps, then the same place again and again": ([1, 2, 3, 3, 3, 3, 3, 3], 8),
        "nothing at all": ([0] * 9, 5),
        "goes on at each run, and ends": ([*range(1, 12)], None),
        "goes on at every fourth run, and ends": ([n // 4 for n in range(1, 24)], None),
        "goes on for ever": ([*range(1, 40)], 25),
    }
    wrong = {}
    for name, (runs, dead_after) in rows.items():
        found = await crashes_until_dead(talk, runs)
        if found != dead_after:
            wrong[name] = (found, dead_after)
    assert wrong == {}


async def crashes_until_dead(talk: Talk, runs: list[int]) -> int | None:
    """Return the number of crashes after which the message is a dead letter; None if its turn ends before."""
    left = iter(runs)

    async def work(message: MessageReceived, ctx: Context) -> None:
        steps = next(left, None)
        for step in range(max(runs) if steps is None else steps):
            await ctx.once(f"step {step}", lambda _: None)
        if steps is not None:
            await crash()

    talk.deploy(work)
    await talk.put(text_body("hi"))
    talk.clock.advance(1)
    crashes = 0
    before = len(await talk.storage.dead_letters())
    while await talk.crashable.run(talk.run()):
        crashes += 1
        await talk.restart()
    return crashes if len(await talk.storage.dead_letters()) > before else None
