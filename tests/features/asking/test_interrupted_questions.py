"""A turn is interrupted while it asks, and then other code runs it: what was begun is matched by its key or its words, never by its place."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from asking_talk import Talk
from fakes import CHAT, NOW, text_body
from simulated_crash import begun, crash

from linqbot import Context, LinqUnavailable, MessageReceived
from linqbot.client.call import ApiResponse
from linqbot.engine.prompts import begun_prompts

_versions = itertools.count()
Interruption: TypeAlias = Callable[[Talk], Awaitable[None]]


def handler(*lines: str) -> Any:
    """Return a handler with the name `order` and this code, which differs from that of every other one."""
    scope: dict[str, Any] = {}
    body = "".join(f"    {line}\n" for line in lines)
    exec(f"async def order(message, ctx):\n{body}    _ = {next(_versions)}", scope)
    scope["order"].__module__ = "bot"
    return scope["order"]


def asks(*questions: str) -> Any:
    """Return a handler that asks these questions, each as the arguments of `ctx.ask`, and replies with the answers."""
    answers = [f"await ctx.ask({question})," for question in questions]
    return handler("got = [", *answers, "]", "await ctx.reply(' '.join(got))")


async def _kill_in_the_send(talk: Talk) -> None:
    talk.crash_before_the_answer()
    assert await talk.crashable.run(talk.run())
    await talk.restart()


async def _kill_after_the_send(talk: Talk) -> None:
    talk.storage.finish = lambda *_: crash()  # type: ignore[method-assign]
    assert await talk.crashable.run(talk.run())
    await talk.restart()


async def _unavailable(talk: Talk) -> None:
    away = LinqUnavailable("away", status=503, retry_after_s=3600)
    talk.linq.will_answer("chats.messages.send", away)
    await talk.run()
    talk.clock.advance(3601)


INTERRUPTIONS: dict[str, Interruption] = {
    "killed in the send": _kill_in_the_send,
    "killed after the send": _kill_after_the_send,
    "503": _unavailable,
}


@pytest.fixture(params=INTERRUPTIONS)
def interrupt(request: pytest.FixtureRequest) -> Interruption:
    return INTERRUPTIONS[request.param]


async def deploy_within_the_question(
    talk: Talk, interrupt: Interruption, old: Any, new: Any, *answers: str, then: tuple[str, ...] = ()
) -> None:
    """Interrupt the old code after so many answers, in its next question; then run the new code, and answer it."""
    await talk.to(old, *(("hi", *answers)[:-1] if answers else ()))
    await talk.put(text_body(answers[-1] if answers else "hi"))
    await interrupt(talk)
    talk.deploy(new)
    await talk.run()
    await talk.say(*then)


def keys_of(talk: Talk, text: str) -> set[str | None]:
    sends = [each for each in talk.linq.calls if each.name == "chats.messages.send" and each.body]
    return {each.key for each in sends if each.body and each.body["message"]["parts"][0]["value"] == text}


async def test_other_words_are_another_question_and_the_same_words_are_asked_once(
    talk: Talk, interrupt: Interruption
) -> None:
    new = asks("'Name?'", "'First?'")
    await deploy_within_the_question(talk, interrupt, asks("'First?'"), new, then=("Ada", "soup"))
    assert talk.said == ["First?", "Name?", "Ada soup"]
    assert [len(keys_of(talk, text)) for text in ("First?", "Name?")] == [1, 1]
    assert talk.open_questions() == []


async def test_the_same_holds_for_a_later_question(talk: Talk, interrupt: Interruption) -> None:
    old, new = asks("'Town?'", "'First?'"), asks("'Town?'", "'Name?'", "'First?'")
    await deploy_within_the_question(talk, interrupt, old, new, "Paris", then=("Ada", "soup"))
    assert talk.said == ["Town?", "First?", "Name?", "Paris Ada soup"]


async def test_what_was_begun_is_found_whatever_the_number_of_questions_before(
    talk: Talk, interrupt: Interruption
) -> None:
    new = asks("'Name?'", "'Town?'", "'First?'", "'Last?'")
    then = ("Ada", "Paris", "soup", "cake")
    await deploy_within_the_question(talk, interrupt, asks("'First?'"), new, then=then)
    assert talk.said == ["First?", "Name?", "Town?", "Last?", "Ada Paris soup cake"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'First?'", "'First?', kind=str"),
        ("'First?', key='first'", "'What first?', key='first'"),
        ("'First?'", "'First?', key='first'"),
    ],
)
async def test_the_same_question_of_changed_code_is_not_shown_twice(
    talk: Talk, interrupt: Interruption, old: str, new: str
) -> None:
    await deploy_within_the_question(talk, interrupt, asks(old), asks(new, "'Name?'"), then=("soup", "Ada"))
    assert talk.said == ["First?", "Name?", "soup Ada"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("'First?', key='first'", "'First?', key='name'"), ("'First?', key='first'", "'First?'")],
)
async def test_a_changed_or_removed_key_asks_again(talk: Talk, interrupt: Interruption, old: str, new: str) -> None:
    await deploy_within_the_question(talk, interrupt, asks(old), asks(new), then=("soup",))
    assert talk.said == ["First?", "First?", "soup"]


async def test_a_question_of_other_code_that_is_asked_no_more_is_left_as_it_is(
    talk: Talk, interrupt: Interruption
) -> None:
    await deploy_within_the_question(talk, interrupt, asks("'First?'"), asks("'Name?'"), then=("Ada",))
    assert talk.said == ["First?", "Name?", "Ada"]


async def test_the_same_code_repeats_what_it_has_begun_and_does_not_send_its_new_words(
    talk: Talk, interrupt: Interruption
) -> None:
    runs = itertools.count(1)

    async def order(message: MessageReceived, ctx: Context) -> None:
        town = await ctx.ask("Town?")
        await ctx.reply(f"{town} {await ctx.ask(f'In run {next(runs)}?')}")

    await talk.to(order, "hi")
    await talk.put(text_body("Paris"))
    await interrupt(talk)
    await talk.run()
    assert talk.said == ["Town?", "In run 1?"]
    sends = [each for each in talk.linq.calls if each.key in keys_of(talk, "In run 1?")]
    assert len({str(each.body) for each in sends}) == 1


async def test_three_releases_that_are_interrupted_have_a_question_each(talk: Talk, interrupt: Interruption) -> None:
    await talk.to(asks("'First?'"))
    await talk.put(text_body("hi"))
    await interrupt(talk)
    talk.deploy(asks("'Name?'", "'First?'"))
    await interrupt(talk)
    talk.deploy(asks("'Town?'", "'Name?'", "'First?'"))
    await talk.run()
    await talk.say("Paris", "Ada", "soup")
    assert talk.said == ["First?", "Name?", "Town?", "Paris Ada soup"]


def sent(at: float) -> ApiResponse:
    """Return Linq's answer to a send, with the time at which it took the message."""
    message = {"id": f"sent {at}", "delivery_status": "pending", "parts": []}
    return ApiResponse(
        202, {"chat_id": CHAT, "message": message | {"created_at": datetime.fromtimestamp(at, UTC).isoformat()}}
    )


async def test_what_was_written_before_the_new_question_was_shown_does_not_answer_it(talk: Talk) -> None:
    await talk.to(asks("'First?'"))
    await talk.put(text_body("hi", sent_at=datetime.fromtimestamp(NOW, UTC).isoformat()))
    talk.linq.will_answer("chats.messages.send", sent(NOW + 1))
    await _kill_after_the_send(talk)
    talk.linq.will_answer("chats.messages.send", sent(NOW + 20))
    others: list[str] = []

    async def other(message: MessageReceived, ctx: Context) -> None:
        others.append(message.text)

    talk.deploy().on_message("hi")(asks("'Name?'"))
    talk.bot.on_message(other)
    await talk.put(text_body("soup", sent_at=datetime.fromtimestamp(NOW + 10, UTC).isoformat()))
    await talk.run()
    assert (talk.said, others) == (["First?", "Name?"], ["soup"])
    await talk.say("Ada", sent_at=datetime.fromtimestamp(NOW + 30, UTC).isoformat())
    assert talk.said == ["First?", "Name?", "Ada"]


def at(seconds: float) -> str:
    """Return the time so many seconds after the first text, in Linq's form."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


async def test_a_question_counts_from_its_first_send_whenever_its_turn_ends(talk: Talk) -> None:
    """The person has answered before the answer of Linq comes, or before the run after a crash."""
    await talk.to(asks("'First?'"))
    await talk.put(text_body("hi", sent_at=at(0)))
    talk.linq.will_answer("chats.messages.send", sent(NOW + 1))
    await _kill_after_the_send(talk)
    talk.clock.advance(1500)
    await talk.put(text_body("soup", sent_at=at(2)))
    await talk.run()
    assert talk.said == ["First?", "soup"]


async def _answered_between(talk: Talk, old: Any, new: Any, written_at: float) -> None:
    """Interrupt the old code after its question, let the new code ask its first one, and take a text that was written then."""
    await talk.to(old)
    await talk.put(text_body("hi", sent_at=at(0)))
    talk.linq.will_answer("chats.messages.send", sent(NOW + 1))
    await _kill_after_the_send(talk)
    talk.linq.will_answer("chats.messages.send", sent(NOW + 20))

    async def other(message: MessageReceived, ctx: Context) -> None:
        """Handle what is no answer."""

    talk.deploy().on_message("hi")(new)
    talk.bot.on_message(other)
    await talk.put(text_body("soup", sent_at=at(written_at)))
    await talk.run()


async def test_a_question_that_was_answered_before_another_one_of_new_code_is_asked_again(talk: Talk) -> None:
    new = asks("'Name?'", "'Town?'", "'First?'", "'First?'")
    await _answered_between(talk, asks("'First?'"), new, 10)
    await talk.say("Ada", "Paris", sent_at=at(30))
    assert talk.said == ["First?", "Name?", "Town?", "First?"]
    await talk.restart()
    await talk.say("soup", "cake", sent_at=at(40))
    assert talk.said[4:] == ["First?", "Ada Paris soup cake"]
    assert talk.open_questions() == []


async def test_a_run_that_is_interrupted_while_it_asks_again_does_so_once(talk: Talk, interrupt: Interruption) -> None:
    await _answered_between(talk, asks("'First?'"), asks("'Name?'", "'First?'"), 10)
    await talk.put(text_body("Ada", sent_at=at(30)))
    await interrupt(talk)
    await talk.run()
    await talk.say("soup", sent_at=at(40))
    assert talk.said == ["First?", "Name?", "First?", "Ada soup"]


async def test_a_payment_that_was_begun_is_not_requested_again_after_a_text(talk: Talk) -> None:
    pay = "await ctx.pay(500, 'Soup')"
    await talk.to(handler(pay))
    await talk.put(text_body("hi", sent_at=at(0)))
    await _kill_after_the_send(talk)
    talk.linq.will_answer("chats.messages.send", sent(NOW + 20))
    talk.deploy().on_message("hi")(handler("await ctx.ask('Name?')", pay))
    await talk.put(text_body("ok", sent_at=at(10)))
    await talk.run()
    await talk.say("Ada", sent_at=at(30))
    requests = {each.key for each in talk.linq.calls if each.name == "payment_requests.create"}
    assert (talk.said[-1], len(requests)) == ("Name?", 1)


async def test_a_payment_of_another_amount_is_another_request(talk: Talk, interrupt: Interruption) -> None:
    old, new = (handler(f"await ctx.pay({cents}, 'Soup')") for cents in (500, 700))
    await deploy_within_the_question(talk, interrupt, old, new)
    amounts = {
        each.key: each.body["amount"]
        for each in talk.linq.calls
        if each.name == "payment_requests.create" and each.body
    }
    assert sorted(amounts.values()) == [500, 700]


async def test_a_location_is_requested_once_also_if_new_code_asks_something_before(talk: Talk) -> None:
    new = handler("await ctx.ask('Name?')", "await ctx.location()")
    await deploy_within_the_question(talk, _kill_after_the_send, handler("await ctx.location()"), new, then=("Ada",))
    assert talk.said == ["Name?"]
    assert talk.linq.names().count("chats.location.request") == 1


async def test_what_an_earlier_release_has_begun_is_not_sent_twice(tmp_path: Path) -> None:
    """Its labels had no digests."""
    async with begun(Talk, tmp_path) as talk:
        await talk.to(asks("'First?'"))
        await talk.put(text_body("hi"))
        await _kill_in_the_send(talk)
        with contextlib.closing(sqlite3.connect(talk.path)) as database, database:
            assert database.execute("UPDATE journal SET slot = 'k:?1' WHERE slot LIKE 'k:?1~%'").rowcount == 1
        await talk.restart()
        await talk.run()
        await talk.say("soup")
        assert talk.said == ["First?", "soup"]


async def test_a_question_on_record_leaves_nothing_begun(talk: Talk) -> None:
    await talk.to(asks("'First?'", "'Name?'"), "hi", "a")
    (conversation,) = talk.storage.conversations_in(CHAT)
    found = await talk.storage.conversation(conversation.id)
    assert found is not None
    assert begun_prompts(found[1]) == []
    assert len(begun_prompts([each for each in found[1] if each.safety != "ask"])) == 2
