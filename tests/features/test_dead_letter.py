"""`on_dead_letter`: it runs once for an event that was given up, survives crashes, and never runs for itself."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import NOW, PERSON, delivery, tapback, text_body
from simulated_crash import crash
from structlog.testing import capture_logs

from linqbot import Context, Event, Failure, LinqApiError, MessageReceived, ReactionAdded, Router
from linqbot.client.call import Call
from linqbot.features import notices
from linqbot.storage.inbox import DeadLetter, Lease


async def failing(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("the kitchen is closed")


@pytest.fixture
def failures(talk: Talk) -> list[Failure]:
    """Deploy a bot whose handler of messages fails, and which apologises. Return what it is notified of."""
    found: list[Failure] = []

    @talk.deploy(failing).on_dead_letter
    async def sorry(failure: Failure, message: MessageReceived, ctx: Context) -> None:
        found.append(failure)
        await ctx.reply(f"Sorry about {message.text}")

    talk.attempts = 1
    return found


async def test_the_person_hears_once_that_a_message_was_given_up_although_a_retry_fails_again(
    talk: Talk, failures: list[Failure]
) -> None:
    arrived = await talk.put(text_body("soup"))
    await talk.run()
    assert talk.linq.said() == ["Sorry about soup"]
    (failure,) = failures
    assert "ValueError: the kitchen is closed" in failure.reason
    assert "kitchen" not in repr(failure)
    assert (failure.handler or "").endswith("failing")
    assert failure.attempts == 1
    assert [letter.delivery.id for letter in await talk.storage.dead_letters()] == [arrived.id]
    assert await talk.storage.retry([arrived.id]) == 1
    await talk.run()
    assert talk.linq.said() == ["Sorry about soup"]
    assert len(await talk.storage.dead_letters()) == 1


async def test_without_a_handler_nothing_is_stored_for_it(talk: Talk) -> None:
    talk.attempts = 1
    talk.deploy(failing)
    await talk.put(text_body("soup"))
    assert await talk.turn()
    assert await talk.storage.next_timer() is None


@pytest.mark.parametrize("survives", [False, True])
async def test_a_crash_sends_the_apology_under_one_key(talk: Talk, failures: list[Failure], survives: bool) -> None:
    async def crash_once(call: Call) -> None:
        if survives:
            talk.linq.calls.append(call)  # Linq got it, and the answer was lost
        await crash()

    talk.linq.before = crash_once
    assert await talk.crashable.run(talk.say("soup"))
    await talk.restart()
    await talk.run()
    assert talk.said == ["Sorry about soup"]


async def test_a_failing_handler_is_logged_and_never_runs_for_itself(talk: Talk) -> None:
    @talk.deploy(failing).on_dead_letter(Event)
    async def sorry(failure: Failure, event: Event, ctx: Context) -> None:
        raise KeyError("no words")

    talk.attempts = 1
    with capture_logs() as logs:
        await talk.say("soup")
    places = [line["handler"].rpartition(".")[2] for line in logs if line["event"] == "turn.dead_lettered"]
    assert [place.rpartition(":")[2] for place in places] == ["failing", "sorry"]


async def test_an_outage_of_linq_delays_the_apology(talk: Talk, failures: list[Failure]) -> None:
    talk.linq.will_answer("chats.messages.send", LinqApiError("no", status=401, code=2004))
    await talk.say("soup")
    assert len(talk.linq.calls) == 1
    await talk.pass_time(60)
    assert len(talk.linq.calls) == 2
    assert talk.said == ["Sorry about soup"]
    assert len(await talk.storage.dead_letters()) == 1


async def test_other_events_than_messages_have_a_handler_of_their_own(talk: Talk, failures: list[Failure]) -> None:
    heard: list[str] = []

    @talk.bot.on(ReactionAdded)
    async def failing(event: ReactionAdded, ctx: Context) -> None:
        raise ValueError

    await talk.receive(tapback("love", "m"))
    assert (talk.linq.names(), len(await talk.storage.dead_letters())) == ([], 1)
    router = Router()

    @router.on_dead_letter(ReactionAdded)
    async def note(failure: Failure, event: ReactionAdded, ctx: Context) -> None:
        heard.append(event.reaction_type)

    talk.bot.include(router)
    await talk.receive(tapback("love", "m"))
    assert heard == ["love"]


async def test_people_whom_the_bot_ignores_hear_nothing(talk: Talk, failures: list[Failure]) -> None:
    @talk.bot.use
    def failing(handle: Any) -> Any:
        async def around(event: Event, ctx: Context) -> None:
            raise ValueError

        return around

    await talk.say("soup", is_group=True)
    assert talk.said == []


async def test_a_line_that_keeps_nothing_marks_the_notices_of_a_dead_letter_and_of_an_outage() -> None:
    for zero_retention in (True, False):
        lease = Lease(delivery(text_body("soup", zero_retention=zero_retention)), 1)
        assert notices.dead_letter_timer(lease, DeadLetter("why"), NOW).is_off_the_record == zero_retention
        assert notices.outage_begun(lease.delivery, None, NOW).is_off_the_record == zero_retention


async def test_a_waiting_apology_is_no_scheduled_send_of_the_chat_and_is_forgotten_with_the_person(
    talk: Talk, failures: list[Failure]
) -> None:
    listed: list[int] = []

    @talk.bot.use
    def list_first(next_: Any) -> Any:
        async def around(event: Event, ctx: Context) -> None:
            listed.append(len(await ctx.scheduled()))
            await next_(event, ctx)

        return around

    for dish in ("soup", "salad"):
        await talk.put(text_body(dish))
    await talk.turn()
    assert await talk.storage.next_timer() is not None
    await talk.turn()
    assert listed == [0, 0]
    await talk.storage.forget(PERSON)
    assert await talk.storage.next_timer() is None
