"""A broadcast reaches each person once, at the pace of its line, and reports an outcome for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from answers import answers
from asking_talk import Talk
from fakes import text_body
from one_handler import does
from refusing import Refusing

from linqbot import (
    Bot,
    BotError,
    Broadcast,
    BroadcastDone,
    Context,
    LinkPart,
    MessageReceived,
    Refused,
    RuleBroken,
    Running,
    hookimpl,
)
from linqbot.client.call import Call
from linqbot.error_details import ErrorDetails
from linqbot.errors import CallSkipped
from linqbot.events import Delivery
from linqbot.features.broadcasts import broadcast_send, give_up_person, people_of
from linqbot.linq.events.parse import EventNotUnderstood
from linqbot.storage.broadcasts import RecipientUpdate
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking

PEOPLE = [f"+1415555{n:04}" for n in range(200, 206)]
TEXT = "The menu of July is out."
Act = Callable[[Context], Awaitable[Any]]


class Sending:
    """A bot that does `act` when it is written to, and what its handlers saw."""

    def __init__(self, act: Act, **settings: Any) -> None:
        self.bot = Bot(**settings)
        self.results: list[Any] = []
        self.done: list[BroadcastDone] = []
        self.refused: list[tuple[str, str]] = []
        """The people that the broadcast `july` did not reach because they are refused, and why, after `report`."""

        @self.bot.on_message("go")
        async def go(message: MessageReceived, ctx: Context) -> None:
            self.results.append(await act(ctx))

        @self.bot.on_broadcast_done
        async def ended(broadcast: BroadcastDone, ctx: Context) -> None:
            self.done.append(broadcast)

        @self.bot.on_message("report")
        async def report(message: MessageReceived, ctx: Context) -> None:
            self.refused = [(one.handle, one.reason or "") async for one in ctx.bot.recipients("july", "refused")]


def july(people: Any = tuple(PEOPLE), **changes: Any) -> Act:
    async def act(ctx: Context) -> Broadcast:
        return await ctx.bot.broadcast(people, TEXT, **{"name": "july", **changes})

    return act


async def begin(phone: Phone) -> None:
    await phone.text("go")
    await phone.advance(60)


def got(phone: Phone, people: list[str] = PEOPLE) -> list[int]:
    """Return the number of messages that each of these people got."""
    return [sum(bubble == TEXT for bubble in phone.person(handle).messages) for handle in people]


async def test_it_returns_at_once_and_then_reaches_one_person_after_the_other() -> None:
    sending = Sending(july())
    async with talking(sending.bot) as phone:
        await answers(phone, "go")
        (broadcast,) = sending.results
        assert (broadcast.name, broadcast.people, broadcast.pending, broadcast.sent) == ("july", 6, 6, 0)
        assert got(phone) == [1, 0, 0, 0, 0, 0]
        await phone.advance(1)  # the delivery of the first message took up to a second
        assert got(phone) == [1, 0, 0, 0, 0, 0]
        await phone.advance(6)
        assert got(phone) == [1, 1, 1, 0, 0, 0]
        assert sending.done == []
        await phone.advance(60)
        assert got(phone) == [1] * 6
        (done,) = sending.done
        assert (done.name, done.people, done.sent, done.line, done.was_cancelled) == ("july", 6, 6, phone.line, False)


@pytest.mark.slow
async def test_wherever_the_bot_is_killed_each_person_gets_it_once_and_one_report_comes() -> None:
    bot, runs = Bot(read=False, typing=False), 0
    bot.on_message("go")(does(july(PEOPLE[:2])))

    @bot.on_broadcast_done
    async def done(broadcast: BroadcastDone, ctx: Context) -> None:
        await ctx.bot.send(f"{broadcast.sent} of {broadcast.people}", to=PEOPLE[5])

    async for phone in killed_between_calls(bot, begin):
        runs += 1
        assert got(phone, PEOPLE[:2]) == [1, 1]
        assert [str(bubble) for bubble in phone.person(PEOPLE[5]).messages] == ["2 of 2"]
    assert runs > 20


@pytest.mark.slow
async def test_the_report_comes_after_the_reply_of_the_handler_that_began_it() -> None:
    """A broadcast to no people ends before its handler does."""
    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def go(message: MessageReceived, ctx: Context) -> str:
        made = await ctx.bot.broadcast([], TEXT, name="july")
        while made.status != "done":
            await asyncio.sleep(0)
            made = await ctx.bot.find_broadcast("july") or made
        return f"Sending to {made.people}."

    @bot.on_broadcast_done
    async def done(broadcast: BroadcastDone, ctx: Context) -> None:
        await ctx.bot.send(f"{broadcast.sent} sent.", to="+14155550142")

    wrong = []
    async for phone in killed_between_calls(bot, begin):
        said = [str(each) for each in phone.messages if each.from_bot]
        if said != ["Sending to 0.", "0 sent."]:
            wrong.append((phone.killed, said))
    assert wrong == []


async def test_a_handle_that_occurs_twice_counts_once() -> None:
    people = ["Ann@example.com", PEOPLE[0], "ann@EXAMPLE.com ", PEOPLE[0]]
    assert await people_of(people) == ["Ann@example.com", PEOPLE[0]]


async def test_people_who_opted_out_or_are_refused_are_outcomes_and_stop_nothing() -> None:
    async def act(ctx: Context) -> Any:
        await ctx.client.blocked_handles.block(handle=PEOPLE[1])
        return await july([*PEOPLE, "not a handle"])(ctx)

    sending = Sending(act)

    @sending.bot.on_message("check")
    async def check(message: MessageReceived, ctx: Context) -> None:
        assert [one.handle async for one in ctx.bot.recipients("july", "opted_out")] == [PEOPLE[0]]
        assert len([one async for one in ctx.bot.recipients("july")]) == 7

    async with talking(sending.bot) as phone:
        await phone.person(PEOPLE[0]).opt_out()
        await phone.text("go")
        await phone.advance(60)
        assert got(phone) == [0, 0, 1, 1, 1, 1]
        (done,) = sending.done
        assert (done.people, done.sent, done.opted_out, done.refused, done.failed) == (7, 4, 1, 2, 0)
        await answers(phone, "check", "report")
    (blocked, code), (unreadable, rule) = sending.refused
    assert (blocked, unreadable) == (PEOPLE[1], "not a handle")
    assert "2026" in code
    assert "R8" in rule


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 403, "code": 2027, "times": 30},
        {"status": 401, "code": 2004, "times": 30},
        {"status": 429, "code": 1007, "retry_after_s": 45},
    ],
    ids=["the line", "the API key", "the rate"],
)
async def test_what_keeps_all_people_from_being_reached_delays_the_broadcast_and_repeats_nothing(
    trouble: dict[str, Any],
) -> None:
    sending = Sending(july())
    async with talking(sending.bot) as phone:
        phone.fail_next("chats.create", **trouble)
        phone.drop_next("chats.create", lost="answer")
        await phone.text("go")
        await phone.advance(2000)
        assert got(phone) == [1] * 6
        assert sending.done[0].sent == 6


async def test_a_person_whose_send_fails_for_a_day_is_a_dead_letter_and_the_others_go_on() -> None:
    sending = Sending(july(PEOPLE[:2], per_minute=0.001))  # the second in 16 hours
    async with talking(sending.bot) as phone:
        phone.fail_next("chats.create", status=429, retry_after_s=3600, times=100_000)
        await phone.text("go")
        with pytest.raises(HandlerFailed, match="deferred for 24 hours"):
            await phone.advance(90_000)
        phone.emulator.world.faults.clear()
        await phone.advance(3600)
        (done,) = sending.done
        assert (done.failed, done.sent) == (1, 1)


async def test_a_wrong_call_says_what_is_wrong_and_stores_nothing(subtests: pytest.Subtests) -> None:
    wrong: list[tuple[Act, str]] = [
        (july(PEOPLE[0]), "takes the handles of people"),
        (july(7), "takes the handles of people"),
        (july([""]), "an empty text"),
        (july([7]), "an object of type int"),
        (july(name="a name"), "'a name' cannot be the name"),
        (july(name=""), "cannot be the name"),
        (july(per_minute=0), "per_minute=0"),
        (july(line="+12025550"), "The line= of ctx.bot.broadcast.* is none of the 2 lines of this account"),
        (july(per_minute=float("nan")), "per_minute=nan"),
        (lambda ctx: ctx.bot.broadcast(PEOPLE, name="july"), "needs content"),
        (lambda ctx: ctx.bot.broadcast(PEOPLE, 7, name="july"), "cannot be sent"),  # type: ignore[arg-type]
    ]
    against_a_rule: list[tuple[Act, str]] = [
        (lambda ctx: ctx.bot.broadcast(PEOPLE, LinkPart(value="no address"), name="july"), "must be an http"),
        (lambda ctx: ctx.bot.broadcast(PEOPLE, TEXT, LinkPart(value="here"), name="july"), "must be an http"),
        (july(line=""), r"from is not E\.164"),  # not from the line of the chat
    ]

    async def attempt(ctx: Context) -> None:
        for rows, kind in ((wrong, BotError), (against_a_rule, RuleBroken)):
            for act, text in rows:
                with subtests.test(text=text):
                    with pytest.raises(kind, match=text):
                        await act(ctx)
                    assert await ctx.bot.find_broadcast("july") is None

    sending = Sending(attempt)
    async with talking(sending.bot) as phone:
        await answers(phone, "go")
        assert sending.results == [None]


async def test_a_broadcast_may_come_from_another_line_of_the_account() -> None:
    sending = Sending(july(PEOPLE[:1], line="+12025550101"))
    async with talking(sending.bot) as phone:
        await answers(phone, "go")
        assert [(done.line, done.sent) for done in sending.done] == [("+12025550101", 1)]


async def test_a_handler_that_asks_goes_on_with_the_broadcast_that_it_has_begun() -> None:
    async def act(ctx: Context) -> Any:
        begun = await july()(ctx)
        answer = await ctx.ask("Shall I tell you when it is done?")
        return begun.name, answer

    sending = Sending(act)
    async with talking(sending.bot) as phone:
        await answers(phone, "go")
        await phone.advance(60)
        await phone.text("yes")
        await phone.quiet()
        assert sending.results == [("july", "yes")]
        assert got(phone) == [1] * 6


async def test_a_broadcast_that_a_new_release_begins_in_a_part_that_is_over_is_skipped() -> None:
    runs: list[Context] = []

    async def act(ctx: Context) -> Any:
        runs.append(ctx)
        if len(runs) == 2:
            with pytest.raises(CallSkipped):
                await july()(ctx)
        await ctx.ask("Shall I?")
        return await ctx.bot.find_broadcast("july")

    sending = Sending(act)
    async with talking(sending.bot) as phone:
        await answers(phone, "go", "no")
        assert (len(runs), sending.results) == (2, [None])


async def test_no_text_is_kept_of_a_broadcast_that_a_line_with_zero_retention_begins(talk: Talk) -> None:
    for zero_retention in (True, False):
        talk.deploy(does(july(PEOPLE[:1], name=f"july-{zero_retention}")))
        await talk.put(text_body("go", zero_retention=zero_retention))
        assert await talk.turn()
        await talk.storage.fire(talk.clock.now())
        (lease,) = await talk.storage.take(1, lease_s=60)
        assert lease.delivery.is_off_the_record == zero_retention
        await talk.storage.finish(lease, Commit(Ack()))
        talk.clock.advance(60)


async def test_all_messages_of_a_broadcast_belong_to_the_person_who_got_them() -> None:
    sending = Sending(lambda ctx: ctx.bot.broadcast(PEOPLE[:1], TEXT, "https://x.test", name="july"))
    stored: list[Any] = []

    @sending.bot.on_start
    async def started(running: Running) -> None:
        stored.append(running.storage)

    async with talking(sending.bot) as phone:
        await answers(phone, "go")
        await phone.advance(60)
        assert len(phone.person(PEOPLE[0]).messages) == 2
        assert (await stored[0].export(PEOPLE[0])).counts["journal"] == 2


async def test_a_person_whom_a_plugin_refuses_is_an_outcome_and_stops_nothing() -> None:
    def is_for_the_first(call: Call) -> bool:
        return call.name == "chats.create" and (call.body or {})["to"] == PEOPLE[:1]

    sending = Sending(july(PEOPLE[:2]), plugins=[Refusing(is_for_the_first, "not this person")])
    async with talking(sending.bot) as phone:
        await phone.text("go")
        await phone.advance(60)
        await answers(phone, "report")
        assert got(phone, PEOPLE[:2]) == [0, 1]
        assert sending.refused == [(PEOPLE[0], "policy: not this person")]


async def test_a_send_that_cannot_be_read_fails_for_its_person_only() -> None:
    broken = Delivery("i.broadcast.july.7", "b:july.7", "linqbot.broadcast", b'{"broadcast":"july"}', 0.0)
    with pytest.raises(EventNotUnderstood):
        broadcast_send(broken)
    text = "Traceback (most recent call last):\n  in go\nRuntimeError: Boom\nDear Ada, your code is 1234\n"
    failed = DeadLetter("RuntimeError at bot.py:7", failed=True, details=ErrorDetails(text=text))
    late = "It was deferred for 24 hours without success: 503"
    for outcome, why in (
        (failed, "RuntimeError at bot.py:7"),
        (DeadLetter(late), late),
        (Ack(), None),
    ):
        commit = Commit(outcome)
        give_up_person(broken, commit)
        assert list(commit.recipients) == ([] if why is None else [RecipientUpdate("july", 7, "failed", why)])


class Checking:
    """A plugin whose check of broadcasts raises an error."""

    name = "checking"

    def __init__(self, error: Exception | None, *, required: bool = False) -> None:
        self.required = required
        self.error = error
        self.checked: list[tuple[str, int]] = []

    @hookimpl
    def register_broadcast_checks(self) -> Any:
        return [self.check]

    def check(self, name: str, people: Sequence[str]) -> None:
        self.checked.append((name, len(people)))
        if self.error is not None:
            raise self.error


async def test_a_plugin_vetoes_a_broadcast_before_it_is_stored() -> None:
    found: list[Any] = []

    async def act(ctx: Context) -> None:
        with pytest.raises(Refused, match="not in July"):
            await july()(ctx)
        found.append(await ctx.bot.find_broadcast("july"))

    plugin = Checking(Refused("not in July"))
    sending = Sending(act, plugins=[plugin])
    async with talking(sending.bot) as phone:
        await phone.text("go")
        await phone.advance(60)
        assert got(phone) == [0] * 6
        assert found == [None]
        await answers(phone, "go")
    # A veto does not disable the plugin.
    assert plugin.checked == [("july", 6)] * 2


@pytest.mark.parametrize("required", [False, True])
async def test_a_check_that_fails_is_skipped_unless_its_plugin_is_required(required: bool) -> None:
    plugin = Checking(ValueError("a bug"), required=required)
    sending = Sending(july(), plugins=[plugin])
    async with talking(sending.bot) as phone:
        await phone.text("go")
        await phone.advance(120)
        assert got(phone) == ([0] * 6 if required else [1] * 6)
        plugin.error = None
        await phone.advance(4000)
        assert got(phone) == [1] * 6
