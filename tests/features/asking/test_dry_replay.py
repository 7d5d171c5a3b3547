"""A dry replay of a conversation shows what it can, and says why not more."""

from __future__ import annotations

import pytest
from asking_talk import Talk

from linqbot.bot.context import Context
from linqbot.errors import AskTimeout
from linqbot.linq.events.message import MessageReceived
from linqbot.ops.dry_runs.chosen_turns import chosen_turns
from linqbot.ops.dry_runs.dry_run import DryRun, Simulation
from linqbot.plugins.registry import Plugins
from linqbot.storage.upkeep import Selection

pytestmark = pytest.mark.anyio


async def replayed(talk: Talk, delivery_id: str | None = None) -> Simulation:
    """Replay a delivery without sending; by default the dead letter."""
    letters = await talk.storage.dead_letters()
    meant = delivery_id or letters[0].delivery.id
    made = len(talk.linq.calls)
    chosen = await chosen_turns(talk.storage, Selection(ids=(meant,)), looked=lambda done, of: None)
    dry = DryRun(talk.bot, talk.linq.client, talk.storage, chosen, reads=False, plugins=Plugins())
    (done,) = [each async for each in dry.replay([meant])]
    assert len(talk.linq.calls) == made
    return done


def texts(done: Simulation) -> list[str]:
    sent = (call.body or {} for call in done.calls if call.name == "chats.messages.send")
    return [body["message"]["parts"][0]["value"] for body in sent]


async def test_a_handler_that_asks_ends_at_its_question(talk: Talk) -> None:
    broken = [True]

    async def ask(message: MessageReceived, ctx: Context) -> None:
        if broken:
            raise ValueError
        await ctx.reply("Welcome!")
        await ctx.reply(await ctx.ask("Which day?", choices=["Friday", "Saturday"]))

    talk.attempts = 1
    talk.deploy(ask)
    await talk.say("hi")
    broken.clear()
    done = await replayed(talk)
    (choices,) = (call for call in done.calls if call.name == "chats.polls.create")
    assert [each["text"] for each in (choices.body or {})["poll"]["options"]] == ["Friday", "Saturday"]
    assert texts(done) == ["Welcome!", "Which day?"]
    assert done.error is None
    assert done.note == "It asks this question and waits. No answer is on record, so the dry run ends here."
    assert talk.open_questions() == []


async def test_a_step_without_a_result_on_record_is_not_made(talk: Talk) -> None:
    made: list[str] = []

    async def order(message: MessageReceived, ctx: Context) -> None:
        number = await ctx.once("price", lambda key: 42)
        await ctx.reply(f"It costs {number}.")
        if not made:
            made.append("failed")
            raise ValueError
        await ctx.once("order", made.append)

    talk.attempts = 1
    talk.deploy(order)
    await talk.say("hi")
    done = await replayed(talk)
    assert texts(done) == ["It costs 42."]
    assert done.note is not None
    assert done.note.startswith("ctx.once('order') has an effect outside of Linq")
    assert made == ["failed"]


async def test_a_dead_answer_says_how_to_continue_its_conversation(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask(f"{message.text}: your name?")
        raise ValueError

    talk.attempts = 1
    talk.deploy(ask)
    await talk.say("hi", "Ada")
    done = await replayed(talk)
    assert texts(done) == ["Ada: your name?"]
    assert done.error is None
    assert done.note is not None
    assert "It answered a question of handler" in done.note
    assert "No answer is on record" in done.note

    async def other(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello.")

    talk.deploy(other)
    done = await replayed(talk)
    assert texts(done) == ["Hello."]
    assert done.note is not None
    assert f"linqbot waiting retry {done.delivery.id}" in done.note


async def test_a_dead_timeout_says_how_to_continue_its_conversation(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Your name?", timeout_s=60)
        except AskTimeout:
            raise ValueError from None

    talk.attempts = 1
    talk.deploy(ask)
    await talk.say("hi")
    await talk.pass_time(60)
    done = await replayed(talk)
    assert (done.calls, done.error) == ([], None)
    assert "such as after a timeout" in (done.note or "")
