"""Votes: a handler that lets a group vote ends, and goes on when all have voted or the time is over."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, LINE, PERSON, POLL, envelope, handle, poll_made, poll_vote
from one_handler import notes

from linqbot import AskCancelled, BotError, Context, MessageReceived, VoteResult
from linqbot.client.call import ApiResponse
from linqbot.events import ParticipantRemoved

BOB, EVE = "+15550001111", "Eve@example.com"


async def lunch(message: MessageReceived, ctx: Context) -> None:
    if message.text != "lunch":
        await ctx.send(f"Routed: {message.text}")
        return
    try:
        result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)
    except AskCancelled as error:
        await ctx.send(f"Cancelled: {error.reason}")
        return
    how = "all voted" if result.is_complete else "time is over"
    await ctx.send(f"{how}: {', '.join(result.winners) or 'nothing'} {dict(result.counts)}")


def prepare(talk: Talk, *people: str) -> None:
    """Let Linq say who is in the chat, and answer a poll."""
    left = handle("+15559999999") | {"status": "left"}
    handles = [handle(LINE, is_me=True), *(handle(person) for person in people), left]
    talk.linq.will_answer("chats.retrieve", ApiResponse(200, {"id": CHAT, "handles": handles}))
    talk.linq.will_answer("chats.polls.create", poll_made("t", "p"))


async def begin(talk: Talk, *people: str, **changes: Any) -> None:
    talk.deploy(lunch, groups="all")
    prepare(talk, *people)
    await talk.say("lunch", is_group=True, **changes)


async def test_when_all_have_voted_the_handler_goes_on(talk: Talk) -> None:
    await begin(talk, PERSON, BOB, EVE)
    assert talk.said == ["Lunch?"]
    await talk.receive(poll_vote("t", BOB), poll_vote("p", PERSON))
    await talk.restart()
    assert talk.open_questions() == ["waiting"]
    await talk.receive(poll_vote("t", EVE.lower()))
    assert talk.said == ["Lunch?", "all voted: Thai {'Thai': 2, 'Pizza': 1}"]
    assert talk.open_questions() == []
    assert await talk.storage.scheduled() == []
    await talk.receive(poll_vote("p", EVE))
    assert len(talk.said) == 2


async def test_a_vote_does_not_run_the_handler(talk: Talk) -> None:
    runs = []

    async def counting(message: MessageReceived, ctx: Context) -> None:
        runs.append(message.text)
        await ctx.vote(["Thai", "Pizza"], until=2)

    talk.deploy(counting, groups="all")
    prepare(talk)
    await talk.say("lunch", is_group=True)
    await talk.receive(poll_vote("t", BOB), poll_vote("p", BOB, kind="removed"))
    assert runs == ["lunch"]
    await talk.receive(poll_vote("t", EVE))
    assert runs == ["lunch", "lunch"]


async def test_a_person_may_choose_several_options_and_each_counts_once(talk: Talk) -> None:
    await begin(talk, PERSON, BOB)
    await talk.receive(poll_vote("t", BOB), poll_vote("p", BOB), poll_vote("t", BOB), poll_vote("t", PERSON))
    assert talk.said[1:] == ["all voted: Thai {'Thai': 2, 'Pizza': 1}"]


async def test_options_that_people_add_count(talk: Talk) -> None:
    await begin(talk, PERSON, BOB)
    added = {"option_id": "s", "text": "Sushi", "creator_handle": handle(BOB)}
    update = {"message_id": POLL, "chat": {"id": CHAT}, "direction": "inbound", "added_options": [added]}
    await talk.receive(envelope("poll.updated", update), poll_vote("s", BOB), poll_vote("s", PERSON))
    assert talk.said[1:] == ["all voted: Sushi {'Thai': 0, 'Pizza': 0, 'Sushi': 2}"]


async def test_the_vote_ends_with_the_time(talk: Talk) -> None:
    await begin(talk, PERSON, BOB)
    await talk.receive(poll_vote("t", BOB), poll_vote("unknown", PERSON), poll_vote("t", PERSON, poll="another"))
    await talk.pass_time(3600)
    assert talk.said[1:] == ["time is over: Thai {'Thai': 1, 'Pizza': 0}"]
    assert talk.open_questions() == []


async def test_a_number_of_people_is_enough_and_the_result_stays(talk: Talk) -> None:
    seen: list[VoteResult] = []

    async def plan(message: MessageReceived, ctx: Context) -> None:
        seen.append(await ctx.vote(["Thai", "Pizza"], until=2))
        await ctx.send(await ctx.ask("At what time?"))

    talk.deploy(plan, groups="all")
    prepare(talk)
    await talk.say("plan", is_group=True)
    assert talk.said == []
    await talk.receive(poll_vote("t", BOB), poll_vote("p", EVE))
    await talk.say("Noon", is_group=True)
    assert talk.said == ["At what time?", "Noon"]
    assert seen == [VoteResult({BOB: ("Thai",), EVE.lower(): ("Pizza",)}, {"Thai": 1, "Pizza": 1}, True)] * 2
    assert (seen[0].winners, seen[0].winner) == (("Thai", "Pizza"), None)


async def test_without_polls_people_vote_by_text(talk: Talk) -> None:
    await begin(talk, PERSON, BOB, EVE, service="SMS")
    assert talk.said == ["Lunch?\n1. Thai\n2. Pizza"]
    sms = {"is_group": True, "service": "SMS"}
    await talk.say("1", **sms)
    await talk.say("what about sushi?", sender=BOB, **sms)
    await talk.say("pizza", sender=BOB, **sms)
    await talk.say("2.", **sms)
    await talk.say("Thai", sender=EVE, **sms)
    assert talk.said[1:] == ["Routed: what about sushi?", "all voted: Pizza {'Thai': 1, 'Pizza': 2}"]


async def test_next_to_a_poll_texts_are_no_votes(talk: Talk) -> None:
    await begin(talk, PERSON, BOB)
    await talk.say("Pizza", is_group=True)
    await talk.say("never mind", is_group=True, sender=BOB)
    assert talk.said == ["Lunch?", "Routed: Pizza", "Routed: never mind"]
    await talk.say("Never mind", is_group=True)
    assert talk.said[-1] == "Cancelled: word"
    assert talk.open_questions() == []


async def test_people_whom_the_bot_does_not_allow_do_not_vote(talk: Talk) -> None:
    talk.deploy(lunch, groups="all", allow=[PERSON, BOB])
    prepare(talk, PERSON, BOB)
    await talk.say("lunch", is_group=True)
    await talk.receive(poll_vote("p", EVE), poll_vote("t", BOB), poll_vote("t", PERSON))
    assert talk.said[1:] == ["all voted: Thai {'Thai': 2, 'Pizza': 0}"]


def member(kind: str, person: str, *, is_me: bool = False) -> bytes:
    data = {"chat_id": CHAT, "participant": handle(person, is_me=is_me), "handle": person}
    return envelope(f"participant.{kind}", data)


async def test_a_person_who_leaves_is_not_waited_for_and_one_who_comes_is(talk: Talk) -> None:
    bot = talk.deploy(lunch, groups="all")
    seen = list[str]()
    bot.on(ParticipantRemoved)(notes(seen, lambda event: event.participant.handle))
    prepare(talk, PERSON, BOB)
    await talk.say("lunch", is_group=True)
    await talk.receive(poll_vote("t", PERSON), member("added", EVE), poll_vote("t", BOB))
    assert talk.open_questions() == ["waiting"]
    await talk.receive(member("removed", EVE))
    await talk.run()
    assert talk.said[1:] == ["all voted: Thai {'Thai': 2, 'Pizza': 0}"]
    assert seen == [EVE]
    assert talk.open_questions() == []
    assert await talk.storage.scheduled() == []


async def test_the_bot_is_not_waited_for_although_it_is_added_to_the_group(talk: Talk) -> None:
    await begin(talk, PERSON, BOB)
    await talk.receive(member("added", LINE, is_me=True), poll_vote("t", PERSON), poll_vote("t", BOB))
    assert talk.said[1:] == ["all voted: Thai {'Thai': 2, 'Pizza': 0}"]


async def test_choices_and_ends_that_cannot_be_right_are_refused(talk: Talk, subtests: pytest.Subtests) -> None:
    rows: list[tuple[Any, Any, str]] = [
        (["Thai"], "all", "2 choices"),
        ("Thai", "all", r"ctx\.vote\(choices='Thai'\): give a list of texts"),
        ({"Thai", "Pizza"}, "all", r"ctx\.vote\(choices=…\) takes a list of texts, not a value of type set"),
        (["a", "A "], "all", r"ctx\.vote.*two choices are equal"),
        *((["a", "b"], until, r"ctx\.vote") for until in (0, "most", 1.5, True)),
    ]

    async def bad(message: MessageReceived, ctx: Context) -> None:
        for choices, until, problem in rows:
            with subtests.test(choices=choices, until=until), pytest.raises(BotError, match=problem):
                await ctx.vote(choices, until=until)

    await talk.to(bad, "hi")
    assert talk.said == []


async def test_a_person_who_leaves_is_not_waited_for_although_the_handler_of_that_fails(talk: Talk) -> None:
    bot = talk.deploy(lunch, groups="all")
    talk.attempts = 1

    @bot.on(ParticipantRemoved)
    async def left(event: ParticipantRemoved, ctx: Context) -> None:
        raise RuntimeError

    prepare(talk, PERSON, BOB)
    await talk.say("lunch", is_group=True)
    await talk.receive(poll_vote("t", PERSON), member("removed", BOB))
    await talk.run()
    assert talk.said[1:] == ["all voted: Thai {'Thai': 1, 'Pizza': 0}"]
    assert len(await talk.storage.dead_letters()) == 1
