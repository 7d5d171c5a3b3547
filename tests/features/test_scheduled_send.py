"""Scheduled sends go out once, in their chat's order, after restarts too, and not if they are too late."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asking_talk import Talk
from fakes import CHAT, NOW, PERSON
from one_handler import does, says
from simulated_crash import crash

from linqbot import Bot, BotError, Context, LinqApiError, MessageReceived, RuleBroken
from linqbot.client.call import Call
from linqbot.features.later import due_at
from linqbot.parse.recurrences import recurrence
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer
from linqbot.testing import talking


async def test_a_send_goes_out_when_it_is_due_and_not_before(talk: Talk) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        two = await ctx.send_later("two", after_s=5)
        await ctx.send_later("one", "and a half", at=datetime.fromtimestamp(NOW + 10, UTC))
        assert (await ctx.reschedule(two, after_s=20)).id == two.id
        assert await ctx.cancel(await ctx.send_later("three", after_s=30))
        due = [datetime.fromtimestamp(NOW + s, UTC) for s in (10, 20)]
        assert [entry.due for entry in await ctx.scheduled()] == due

    await talk.to(remind, "hello")
    await talk.pass_time(9)
    assert talk.said == []
    await talk.pass_time(1)
    assert talk.said == ["one", "and a half"]
    await talk.pass_time(100)
    assert talk.said == ["one", "and a half", "two"]
    assert {call.path for call in talk.linq.calls} == {f"/v3/chats/{CHAT}/messages"}
    assert len(talk.linq.calls) == 3


SEND = (
    '{"calls":[{"noun":"chats.messages","verb":"send","method":"POST","path":"/v3/chats/%s/messages","safety":"keyed",'
    '"body":{"message":{"parts":[{"type":"text","value":"hi"}]}},"query":[],"headers":{},"key_in":["message"]}],'
    '"due":%.1f,"grace_s":%s,"origin":{"handles":["%s"],"chat_id":"%s","is_group":false}%s}'
)


def stored_form(due: float, grace_s: str, more: str) -> dict[str, Any]:
    """Return a scheduled send in the form in which all releases store it."""
    found: dict[str, Any] = json.loads(SEND % (CHAT, due, grace_s, PERSON, CHAT, more))
    return found


@pytest.mark.parametrize("mark", ["", ',"data":{"zero_retention":true}'])
async def test_a_send_is_stored_in_the_form_that_other_releases_read(talk: Talk, mark: str) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("hi", after_s=5, grace_s=math.inf, tag="a")
        again = await ctx.send_later("hi", every="minute", timezone="UTC", grace_s=60.0, tag="b")
        await ctx.reschedule(again, after_s=1)

    talk.deploy(remind)
    await talk.say("hello", zero_retention=bool(mark))
    stored = {each.due: each for each in await talk.storage.scheduled()}
    (recurring,) = (each for each in stored.values() if each.kind == "repeat")
    every = f',"every":{{"spec":"minute","timezone":"UTC"}},"tag":"b"{mark}'
    assert {due: json.loads(each.payload) for due, each in stored.items()} == {
        NOW + 1: stored_form(NOW + 1, "60.0", f',"tag":"b","series":"{recurring.id}"{mark}'),
        NOW + 5: stored_form(NOW + 5, "Infinity", f',"tag":"a"{mark}'),
        recurring.due: stored_form(recurring.due, "60.0", every),
    }


async def test_a_send_of_another_release_is_made_and_keeps_what_this_one_does_not_know_when_it_is_moved(
    talk: Talk,
) -> None:
    new = ',"tag":"a","purpose":"news","turn":"w.1","badge":{"count":null},"data":{"zero_retention":true}'
    for name, more in (("old", ""), ("new", new)):
        payload = (SEND % (CHAT, NOW + 5, "Infinity", PERSON, CHAT, more)).encode()
        await talk.storage.schedule(Timer(name, NOW + 5, f"c:{CHAT}", "send", payload))

    async def move(message: MessageReceived, ctx: Context) -> None:
        for each in await ctx.scheduled():
            await ctx.reschedule(each, after_s=60)

    await talk.to(move, "hello")
    found = {each.id: json.loads(each.payload) for each in await talk.storage.scheduled()}
    assert found == {name: stored_form(NOW + 60, "Infinity", more) for name, more in (("old", ""), ("new", new))}
    await talk.pass_time(60)
    assert talk.said == ["hi", "hi"]


async def test_all_sends_of_a_chat_are_listed_however_many_there_are(talk: Talk) -> None:
    counts: list[int] = []

    async def remind(message: MessageReceived, ctx: Context) -> None:
        counts.append(len(await ctx.scheduled()))
        for n in range(130):
            await ctx.send_later(f"Number {n}", after_s=60)

    await talk.to(remind, "hello", "hello again")
    assert counts == [0, 130]


@pytest.mark.parametrize("zero_retention", [True, False])
async def test_a_history_has_the_scheduled_sends_of_all_lines_but_those_with_zero_retention(
    talk: Talk, *, zero_retention: bool
) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("At once.")
        await ctx.send_later("In a moment.", after_s=20)

    talk.deploy(remind)
    talk.path = talk.path.with_name("history.db")
    async with SQLiteStorage(talk.path, clock=talk.clock, keep_days=9) as talk.storage:
        await talk.say("Hello.", zero_retention=zero_retention)
        await talk.pass_time(21)
    assert talk.said == ["At once.", "In a moment."]
    with sqlite3.connect(talk.path) as db:
        kept = b"".join(b"".join(map(bytes, row)) for row in db.execute("SELECT body FROM done"))
        said = b"".join(bytes(call) for (call,) in db.execute("SELECT call FROM journal"))
    db.close()
    texts = (b"Hello.", b"At once.", b"In a moment.")
    found = [each for each in texts if each in kept], [each for each in texts if each in said]
    assert found == (([], []) if zero_retention else ([texts[0], texts[2]], [texts[1], texts[2]]))


async def test_a_cancellation_holds_even_if_the_handler_fails(talk: Talk) -> None:
    bot = talk.deploy()
    bot.on_message("put off")(does(lambda ctx: ctx.send_later("later", after_s=3600)))

    @bot.on_message("take back", attempts=1)
    async def take_back(message: MessageReceived, ctx: Context) -> None:
        (waiting,) = await ctx.scheduled()
        await ctx.cancel(waiting)
        await ctx.send_later("instead", after_s=3600)
        raise ValueError

    await talk.say("put off", "take back")
    assert len(await talk.storage.dead_letters()) == 1
    assert await talk.storage.scheduled() == []


@pytest.mark.parametrize("is_due_before", [False, True], ids=["due in the downtime", "due before the downtime"])
@pytest.mark.parametrize(("down_s", "said"), [(600, ["in grace"]), (7200, [])])
async def test_after_a_downtime_a_scheduled_send_is_sent_once_or_dead_lettered(
    talk: Talk, down_s: float, said: list[str], is_due_before: bool
) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("in grace", after_s=60, grace_s=3600)), "hello")
    talk.clock.advance(60)
    if is_due_before:
        assert await talk.storage.fire(talk.clock.now()) == 1
    talk.clock.advance(down_s)
    for _ in range(2):
        await talk.restart()
        await talk.run()
    assert talk.said == said
    problem = "A message of send_later was due 7200 s ago"
    assert [letter.error[: len(problem)] for letter in await talk.storage.dead_letters()] == [problem] * (not said)


async def test_a_send_of_which_a_crash_left_a_part_unsent_goes_on_however_long_the_downtime_was(talk: Talk) -> None:
    async def crash_before_the_second(call: Call) -> None:
        if talk.linq.calls:
            await crash()

    await talk.to(does(lambda ctx: ctx.send_later("one", "two", after_s=60, grace_s=0)), "hello")
    talk.linq.before = crash_before_the_second
    assert await talk.crashable.run(talk.pass_time(60))
    assert talk.said == ["one"]
    talk.clock.advance(7200)
    await talk.restart()
    await talk.run()
    assert talk.said == ["one", "two"]
    assert await talk.storage.dead_letters() == []


async def test_a_due_send_whose_first_message_was_deleted_before_its_answer_came_goes_on_with_the_next(
    talk: Talk,
) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("one", "two", after_s=60)), "hello")
    talk.crash_before_the_answer()
    assert await talk.crashable.run(talk.pass_time(60))
    await talk.restart()
    talk.linq.will_answer("chats.messages.send", LinqApiError("deleted", status=404, code=2002))
    await talk.run()
    assert talk.said == ["one", "two"]
    assert await talk.storage.dead_letters() == []


async def test_a_due_send_is_dropped_if_the_person_has_opted_out_and_is_a_dead_letter_if_linq_refuses_it(
    talk: Talk,
) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("later", after_s=5)), "hello")
    talk.linq.will_answer("chats.messages.send", LinqApiError("opted out", status=403, code=2024))
    await talk.pass_time(10)
    assert await talk.storage.dead_letters() == []
    await talk.say("again")
    talk.linq.will_answer("chats.messages.send", LinqApiError("blocked", status=403, code=2026))
    await talk.pass_time(10)
    (dead,) = await talk.storage.dead_letters()
    assert "2026" in dead.error


async def test_a_recurring_send_goes_on_after_a_refusal(talk: Talk) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("Stretch!", every="hour", timezone="UTC")), "hello")
    talk.linq.will_answer("chats.messages.send", LinqApiError("blocked", status=403, code=2026))
    for letters in (1, 1):
        await talk.pass_time(3600)
        assert len(await talk.storage.dead_letters()) == letters
    assert talk.said == ["Stretch!"] * 2


def test_times_are_interpreted_in_their_zone() -> None:
    noon = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the zone is said apart
    assert due_at(noon, None, "Europe/Paris", NOW) == datetime(2026, 7, 1, 10, tzinfo=UTC).timestamp()
    assert due_at(noon.replace(tzinfo=UTC), None, None, NOW) == noon.replace(tzinfo=UTC).timestamp()
    assert due_at(None, 90, None, NOW) == NOW + 90
    # Wall time over the change of clocks: 09:00 stays 09:00.
    nine = datetime(2026, 3, 28, 9)  # noqa: DTZ001
    winter, summer = (due_at(nine + timedelta(days=n), None, "Europe/Paris", NOW) for n in (0, 1))
    assert timedelta(seconds=summer - winter) == timedelta(hours=23)
    # 02:30 does not exist in the night when summer begins, and comes twice in the night when summer ends.
    skipped, doubled = datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - as above
    half_past_three = datetime.fromisoformat("2026-03-29T03:30+02:00").timestamp()
    first = datetime.fromisoformat("2026-10-25T02:30+02:00").timestamp()
    assert due_at(skipped, None, "Europe/Paris", NOW) == half_past_three
    assert due_at(doubled, None, "Europe/Paris", NOW) == first
    assert due_at(doubled.replace(fold=1), None, "Europe/Paris", NOW) == first + 3600


Act = Callable[[Context], Awaitable[Any]]
NOON = datetime(2030, 7, 1, 12, tzinfo=UTC)
LOCAL = NOON.replace(tzinfo=None)


def later(*content: str, **how: Any) -> Act:
    return lambda ctx: ctx.send_later(*content, **how)


def before(text: Any, **how: Any) -> Act:
    return lambda ctx: ctx.remind("Tomorrow!", before=text, **{"at": NOON, **how})


async def test_what_could_not_be_sent_is_refused_when_it_is_scheduled(talk: Talk) -> None:
    rows: list[tuple[Act, str]] = [
        (later(after_s=5), "nothing to send"),
        (later(every="hour", timezone="UTC"), "nothing to send"),
        (later("x", after_s=5, effect="confeti"), "Did you mean confetti?"),
        (later("x"), "Give send_later one of at=, after_s= and every=."),
        (later("x", at=NOON, after_s=5), "Give send_later one of at=, after_s= and every=."),
        (later("x", every="hour", timezone="UTC", after_s=5), "Give send_later one of at=, after_s= and every=."),
        *((later("x", after_s=wrong), "number of seconds") for wrong in (-1, float("inf"), 1e18)),
        *((later("x", after_s=wrong), "after_s=") for wrong in (float("nan"), "5", timedelta(hours=1))),
        (later("x", after_s=5, timezone="UTC"), "timezone= was given with it"),
        *((later("x", after_s=5, grace_s=wrong), "grace_s=") for wrong in ("60", float("nan"))),
        (later("x", at="tomorrow"), "takes a datetime"),
        (later("x", at=LOCAL), "at= has no time zone"),
        (later("x", at=LOCAL, timezone="Mars/Olympus"), "There is no time zone 'Mars/Olympus'"),
        (later("x", at=LOCAL, timezone=ZoneInfo("Europe/Paris")), "takes the IANA name of a time zone"),
        (later("x", at=NOON, timezone="UTC"), "at= has a time zone already"),
        *((later("x", at=NOON.replace(year=wrong)), "Give a time from 1970 to 9998") for wrong in (1, 1969, 9999)),
        (later("x", every="sometimes", timezone="UTC"), "every='sometimes': Please say how often"),
        (later("x", every=5, timezone="UTC"), "takes a rhythm, such as 'weekdays 09:00'"),
        (later("x", every="hour", timezone=5), "takes the IANA name of a time zone"),
        (later("x", every="hour"), "every= needs the time zone of the person"),
        (later("x", every=recurrence("hour"), timezone="UTC"), "every= has a time zone already"),
        *(
            (before(wrong), "give the time before the event")
            for wrong in (3600, "at six", "1 day at", "1 day at 25:00")
        ),
        (before("1 day at noonish please"), "give the time before the event"),
        (before("2 hours at 18:00"), "give the time before the event"),
        (before("1 day", at=LOCAL), "at= has no time zone"),
        (before("1 day", at="tomorrow"), "takes a datetime"),
        (before("1 day", timezone="Paris"), "There is no time zone 'Paris'"),
    ]
    said: list[str] = []

    async def remind(message: MessageReceived, ctx: Context) -> None:
        for act, _ in rows:
            try:
                await act(ctx)
                said.append("It was taken.")
            except (BotError, RuleBroken) as error:
                said.append(str(error))

    await talk.to(remind, "hello")
    assert [text for (_, problem), text in zip(rows, said, strict=True) if problem not in text] == []
    assert await talk.storage.scheduled() == []


async def test_a_send_that_is_due_while_linq_is_away_waits_as_a_reply_does() -> None:
    """A message of the person that cannot be answered waits in front of it."""
    bot = Bot()
    bot.on_message("remind me")(does(lambda ctx: ctx.send_later("It is time.", after_s=60, grace_s=120)))
    bot.on_message(says("echo: {}"))

    async with talking(bot) as phone:
        await phone.text("remind me")
        phone.fail_next("POST /v3", status=503, times=100_000)
        await phone.text("hello")
        await phone.advance(60 + 120 + 60)
        phone.emulator.world.faults.clear()
        await phone.advance(3600)
        assert await phone.replies() == ["echo: hello", "It is time."]
