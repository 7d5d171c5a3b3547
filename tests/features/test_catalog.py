"""The parts of turns: a part that a lease leaves out would add nothing, and the order of most parts does not matter."""

from __future__ import annotations

import random
from typing import Any

import pytest
from every_part import every_part
from one_handler import does

from linqbot import Bot, Context, Event, Failure, MessageReceived
from linqbot.engine.feature import Catalogue, Feature
from linqbot.engine.turn import Turn
from linqbot.events import ParticipantAdded
from linqbot.storage.inbox import Commit, Lease, Outcome
from linqbot.testing import talking

FRIEND, OWNER = "+14155550199", "+14155550198"
ORDERS = 50


def bot_with_everything() -> Bot:
    bot = Bot(read=False, typing=False, groups="all", on_trouble="One moment, please.")
    bot.on_message("give up", attempts=1)(handle)
    bot.on_message("steer", overlap="steer")(handle)
    bot.on_message(handle)
    bot.on(ParticipantAdded)(does(lambda ctx: ctx.send("Welcome!")))

    @bot.on_dead_letter
    async def sorry(failure: Failure, event: Event, ctx: Context) -> None:
        await ctx.send("Sorry.")

    return bot


async def handle(message: MessageReceived, ctx: Context) -> None:
    match message.text:
        case "ask":
            await ctx.reply(f"Then {await ctx.ask('Which?')}.")
        case "later":
            await ctx.send_later("It is later.", after_s=60)
        case "bring":
            await ctx.chat.add(FRIEND)
        case "steer":
            await ctx.reply(f"{len([each async for each in ctx.incoming()])} more")
        case "person":
            await ctx.handoff(to=OWNER, say="One moment.")
        case "retry":
            first_run: list[str] = []
            await ctx.once("note", first_run.append)
            await ctx.reply("retry")
            if first_run:
                raise ValueError
        case "give up":
            raise ValueError
        case text:
            await ctx.reply(text)


def shape(commit: Commit) -> list[Any]:
    """Return what a commit stores, without ids and times."""
    entries = sorted((entry.slot.split()[0], entry.safety, entry.status) for entry in commit.entries)
    timers = sorted(timer.kind for timer in commit.timers)
    conversations = sorted(each.status for each in commit.conversations)
    counts = [len(each) for each in (commit.state, commit.cancelled, commit.ended, commit.recipients, commit.rearmed)]
    return [type(commit.outcome).__name__, entries, timers, conversations, *counts]


async def commits_of_a_day() -> list[list[Any]]:
    """Return what the commits store of a scenario in which each part has something to do."""
    made: list[list[Any]] = []
    build = Turn.commit

    def noted(turn: Turn, outcome: Outcome) -> Commit:
        commit = build(turn, outcome)
        made.append(shape(commit))
        return commit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Turn, "commit", noted)
        async with talking(bot_with_everything()) as phone:
            group = phone.group("+14155550102")
            for text in ("hello", "ask", "blue", "later", "retry", "give up", "steer"):
                await phone.text(text)
                await phone.errors()
                await phone.advance(90)
            for text in ("hello", "bring"):
                await group.text(text)
                await group.advance(1)
            of_person = {"sender_handle": {"handle": phone.handle}, "chat": {"id": phone.chat_id}}
            await phone.event("message.edited", {"id": "not-here-yet", "part": {"text": "hello"}, **of_person})
            for text in ("person", "hello"):
                await phone.text(text)
            await phone.person(OWNER).text("#done")
            await phone.text("later")
            await phone.text("ask")
            await phone.opt_out()
            await phone.advance(600)
    return made


async def test_a_turn_with_every_part_commits_the_same_as_one_with_the_parts_that_its_lease_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await commits_of_a_day()
    assert {"Ack", "Retry", "DeadLetter"} <= {each[0] for each in made}
    assert {kind for each in made for kind in each[2]} >= {"ask", "send", "own_change", "dead_letter", "edit"}
    monkeypatch.setattr(Catalogue, "concerned", every_part)
    assert await commits_of_a_day() == made


@pytest.mark.slow
async def test_parts_that_commute_may_be_called_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await commits_of_a_day()
    fixed = ("Mutes", "Handoffs", "Asks", "Lookups")
    names: list[str] = []
    concerned = Catalogue.concerned

    def in_order(features: Catalogue, lease: Lease) -> tuple[Feature, ...]:
        names[:] = names or [each.name for each in features.features]
        return tuple(sorted(concerned(features, lease), key=lambda each: names.index(each.name)))

    monkeypatch.setattr(Catalogue, "concerned", in_order)
    assert await commits_of_a_day() == made
    free = [name for name in names if name not in fixed]
    different = []
    dice = random.Random(1)
    for _ in range(ORDERS):  # each further part multiplies the number of all orders
        order = tuple(dice.sample(free, len(free)))
        names[:] = (*fixed, *order)
        if await commits_of_a_day() != made:
            different.append(order)
    assert not different
