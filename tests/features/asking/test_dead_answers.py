"""Dead letters of conversations: they swallow no later message, and a retry continues their own question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, LINE, PERSON, envelope, handle
from pydantic import BaseModel

from linqbot import AskTimeout, Context, MessageReceived
from linqbot.errors import StorageError
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.state import StateWrite


class Guest(BaseModel):
    visits: int = 0


class Shop:
    """A handler that asks for a name and for a town. It fails on answers as long as it `is_broken`."""

    def __init__(self, talk: Talk, kind: Any = str, timeout_s: float = 86_400.0) -> None:
        self.is_broken = True
        talk.attempts = 1
        shop = self

        async def order(message: MessageReceived, ctx: Context) -> None:
            try:
                name = await ctx.ask(f"{message.text}: name?", kind=kind, timeout_s=timeout_s)
            except AskTimeout:
                if shop.is_broken:
                    raise ValueError from None
                await ctx.reply(f"{message.text}: too late.")
                return
            if shop.is_broken:
                raise ValueError
            town = await ctx.ask(f"{message.text}: town?")
            await ctx.reply(f"{message.text}: {name} of {town}.")

        talk.deploy(order)


async def retry(talk: Talk) -> None:
    await talk.storage.retry([letter.delivery.id for letter in await talk.storage.dead_letters()])
    await talk.run()


async def test_a_retry_waits_for_the_end_of_a_newer_question(talk: Talk) -> None:
    shop = Shop(talk)
    await talk.say("old", "Ada")
    shop.is_broken = False
    await talk.say("new")
    await retry(talk)
    (letter,) = await talk.storage.dead_letters()
    assert "has already asked in this chat" in letter.whole_error
    assert sorted(talk.open_questions()) == ["failed", "waiting"]
    await talk.say("Grace", "Paris")
    await retry(talk)
    await talk.say("London")
    assert talk.said == [
        "old: name?",
        "new: name?",
        "new: town?",
        "new: Grace of Paris.",
        "old: town?",
        "old: Ada of London.",
    ]


async def test_an_answer_that_failed_may_be_retried_although_the_bot_was_removed_from_the_group(talk: Talk) -> None:
    shop = Shop(talk)
    await talk.say("old", "Ada")
    removed = {"chat_id": CHAT, "participant": handle(LINE, is_me=True), "handle": LINE}
    await talk.receive(envelope("participant.removed", removed))
    shop.is_broken = False
    await retry(talk)
    assert talk.said == ["old: name?", "old: town?"]


@pytest.mark.parametrize("how", ["retry", "replay"])
async def test_a_message_that_an_operator_puts_back_is_no_answer(talk: Talk, how: str) -> None:
    seen: list[str] = []
    broken = [True]

    async def note(message: MessageReceived, ctx: Context) -> None:
        if message.text == "ask":
            await ctx.ask("Your name?")
        elif broken:
            raise ValueError
        seen.append(message.text)

    talk.attempts = 1
    await talk.to(note, "early", "ask")
    broken.clear()
    (letter,) = await talk.storage.dead_letters()
    await (talk.storage.retry if how == "retry" else talk.storage.replay_live)([letter.delivery.id])
    await talk.run()
    assert seen == ["early"]
    assert talk.open_questions() == ["waiting"]
    await talk.say("Ada")
    assert seen == ["early", "ask"]


@pytest.mark.parametrize("how", ["conflict", "unwritable"])
async def test_an_end_that_cannot_be_stored_leaves_no_question_open(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    texts: list[str] = []

    async def visit(message: MessageReceived, ctx: Context) -> None:
        texts.append(message.text)
        if message.text != "hi":
            return
        await ctx.ask("Your name?")
        guest = await ctx.state.person(Guest)
        await ctx.reply(f"Visit {guest.visits + 1}.")
        guest.visits += 1

    talk.attempts = 1
    await talk.to(visit, "hi")
    undo = failing_end(talk, monkeypatch, how)
    await talk.say("Ada")
    assert talk.open_questions() == ["failed"]
    (letter,) = await talk.storage.dead_letters()
    assert "visits" not in str(await talk.storage.load(f"person:{PERSON}"))
    undo()
    await talk.say("something else")
    assert texts[-1] == "something else"
    await retry(talk)
    assert talk.open_questions() == []
    assert talk.said == ["Your name?", "Visit 1."]
    assert await talk.storage.dead_letters() == []
    assert letter.delivery.body


def failing_end(talk: Talk, monkeypatch: pytest.MonkeyPatch, how: str) -> Callable[[], None]:
    """Let no turn end successfully: because its state is always changed by others, or because its end cannot be stored."""
    finish = type(talk.storage).finish

    async def fails(self: Any, lease: Lease, end: Commit) -> None:
        if isinstance(end.outcome, Ack):
            if how == "unwritable":
                raise StorageError("The storage cannot hold this.")
            state = [StateWrite(each.scope, each.name, each.value, b"other", each.person) for each in end.state]
            end = Commit(end.outcome, end.entries, state=state)
        await finish(self, lease, end)

    monkeypatch.setattr(type(talk.storage), "finish", fails)
    return lambda: monkeypatch.setattr(type(talk.storage), "finish", finish)


async def test_a_retried_timeout_leaves_a_newer_question_open(talk: Talk) -> None:
    shop = Shop(talk, timeout_s=60)
    await talk.say("old")
    await talk.pass_time(60)
    assert talk.open_questions() == ["failed"]
    shop.is_broken = False
    await talk.say("new")
    await retry(talk)
    assert talk.said == ["old: name?", "new: name?", "old: too late."]
    assert talk.open_questions() == ["waiting"]
    await talk.say("Ada")
    assert talk.said[3:] == ["new: town?"]


async def test_a_retried_invalid_answer_is_refused_and_its_question_times_out_like_any_other(talk: Talk) -> None:
    def picky(text: str) -> str:
        if shop.is_broken:
            raise ZeroDivisionError
        if text == "Ada":
            raise ValueError("Another name, please.")
        return text

    shop = Shop(talk, kind=picky, timeout_s=60)
    await talk.say("old", "Ada")
    await talk.pass_time(100)
    assert talk.open_questions() == ["failed"]
    shop.is_broken = False
    await retry(talk)
    assert talk.said == ["old: name?", "Another name, please."]
    assert talk.open_questions() == ["waiting"]
    await talk.pass_time(59)
    assert talk.open_questions() == ["waiting"]
    await talk.pass_time(1)
    assert talk.said[2:] == ["old: too late."]
    assert talk.open_questions() == ["timed_out"]
