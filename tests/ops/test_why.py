"""`linqbot why` names the reason of a silence, and of an answer that a person doubts, on the day after."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.emulator.model.faults import Fault
from one_handler import does, says
from postgres_server import empty_storage_url
from refusing import Refusing
from storages import open_storage

from linqbot import Bot, Context, Event, MessageReceived, Router, contains, in_group, muted
from linqbot.bot.router import Next
from linqbot.clock import MovableClock
from linqbot.ops.why import look
from linqbot.storage.backend import Storage
from linqbot.testing import HandlerFailed, Phone, talking

STRANGER, OWNER, SECRET, DAY = "+14155550999", "+14155550143", "my secret", 86_400


NIGHT = Refusing(lambda call: "night" in str(call.body), "it is night", name="night")
"""A plugin that allows no message about the night."""


def desk() -> Bot:  # noqa: C901 - one handler for each way in which a message can end
    bot = Bot(allow=lambda event: event.actor != STRANGER, plugins=[NIGHT], max_age_s=600, typing=False, read=False)

    @bot.use
    def swallow(after: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            if not (isinstance(event, MessageReceived) and event.text == "swallowed"):
                await after(event, ctx)

        return handle

    @bot.on_message("back", muted)
    async def back(message: MessageReceived, ctx: Context) -> None:
        await ctx.unmute()
        await ctx.reply("Back.")

    @bot.on_message("maybe", when=never)
    async def maybe(message: MessageReceived, ctx: Context) -> None: ...

    bot.on_message("menu")(says("Soup."))
    bot.on_message("night")(says("Good night."))
    bot.on_message("together", in_group)(says("Hello, all."))
    bot.on_message("wrong")(does(lambda ctx: ctx.client.chats.retrieve("20000000-0000-4000-8000-000000000000")))
    bot.on_message("later")(does(lambda ctx: ctx.send_later("It is time.", after_s=3600)))

    @bot.on_message("nothing")
    async def nothing(message: MessageReceived, ctx: Context) -> None: ...

    @bot.on_message("broken")
    async def broken(message: MessageReceived, ctx: Context) -> None:
        raise KeyError(SECRET)

    @bot.on_message("clumsy")
    async def clumsy(message: MessageReceived, ctx: Context) -> None:
        raise ZeroDivisionError

    @bot.on_error(ZeroDivisionError)
    async def sorry(error: ZeroDivisionError, event: Event, ctx: Context) -> None:
        await ctx.reply("Sorry.")

    @bot.on_message("quiet")
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute(for_s=100 * DAY, reason="Dana answers")
        await ctx.reply("You do not see this.")

    @bot.on_message("night call")
    async def night_call(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.chats.messages.send(ctx.chat_id, message={"parts": [{"type": "text", "value": "night"}]})

    @bot.on_message("name")
    async def name(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Hello, {await ctx.ask('Your name?', timeout_s=9 * DAY)}.")

    @bot.on_message("enough", during_ask=True)
    async def enough(message: MessageReceived, ctx: Context) -> None:
        ctx.end_questions()

    @bot.on_message("once more")
    async def once_more(message: MessageReceived, ctx: Context) -> None:
        failures.append(1)
        if len(failures) < 3:
            raise OSError
        await ctx.reply("Now.")

    @bot.on_message("town")
    async def town(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your town?", timeout_s=9 * DAY)

    async def write_elsewhere(ctx: Context) -> None:
        await ctx.client.chats.create(
            from_=str(ctx.event.line), to=[STRANGER], message={"parts": [{"type": "text", "value": "Hi."}]}
        )

    bot.on_message("elsewhere")(does(write_elsewhere))

    @bot.on_message("also elsewhere")
    async def also_elsewhere(message: MessageReceived, ctx: Context) -> None:
        await write_elsewhere(ctx)
        await ctx.reply("I have written to them.")

    @bot.on_message("a person, please")
    async def hand_over(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say="Dana answers.", taken_within_s=9 * DAY)

    bursts = Router(gather_s=3)

    @bursts.on_message(contains("photo"))
    async def burst(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Thanks.")

    bot.include(bursts)
    failures: list[int] = []
    return bot


async def never(message: MessageReceived, ctx: Context) -> bool:
    return False


Act = Callable[[Phone], Awaitable[str | None]]


@dataclass(frozen=True)
class Plant:
    """A silence, or an answer to doubt. `act` returns the id by which `why` is asked; None asks by the handle."""

    act: Act
    says: str  # in the answer, or among what was tried
    kind: str = "message.received"


SILENCES: list[Plant] = []
DOUBTS: list[Plant] = []
WAITING: list[Plant] = []
"""Silences that are asked about at once, because they end."""


def plant(plants: list[Plant], says: str, kind: str = "message.received") -> Callable[[Act], Act]:
    def keep(act: Act) -> Act:
        plants.append(Plant(act, says, kind))
        return act

    return keep


def texts(*words: str) -> Act:
    """Return what writes these words, and asks about the last message."""

    async def act(phone: Phone) -> str | None:
        for word in words:
            bubble = await phone.text(word)
            await phone.errors()
        return bubble.id

    return act


def failing(times: int, text: str = "menu", **how: Any) -> Act:
    async def act(phone: Phone) -> str | None:
        phone.fail_next("chats.messages.send", times=times, **how)
        return await texts(text)(phone)

    return act


async def pass_time(phone: Phone, seconds: float) -> None:
    with suppress(HandlerFailed):
        await phone.advance(seconds)


def lost(phone: Phone, **how: Any) -> None:
    phone.emulator.world.faults.add(Fault(on="delivery", match="message.received", **how))


plant(SILENCES, "no filter fits")(texts("hello?"))
plant(SILENCES, "middleware ended the event")(texts("swallowed"))
plant(SILENCES, "maybe (when)")(texts("maybe"))
plant(SILENCES, "took it. It sent nothing.")(texts("nothing"))
plant(SILENCES, "the bot is muted in this chat")(texts("quiet", "hello?"))
plant(SILENCES, "a mute refused chats.messages.send")(texts("quiet"))
plant(SILENCES, "the person opted out")(texts("menu", "STOP"))
plant(SILENCES, "night refused chats.messages.send: it is night.")(texts("night"))
plant(SILENCES, ": it is night. Handle it again")(texts("night call"))
plant(SILENCES, "Linq answered chats.retrieve with 404/2001")(texts("wrong"))
plant(SILENCES, "It has asked a question, and waits for the answer.")(texts("name"))
plant(SILENCES, "KeyError at test_why.py")(texts("broken"))
plant(SILENCES, "Linq refused chats.messages.send with 403/2024: ")(failing(1, status=403, code=2024))
plant(SILENCES, "two bots answer each other")(texts(*["menu"] * 12))
plant(WAITING, "It is deferred: Linq answered chats.messages.send with 429")(failing(9, status=429, retry_after_s=600))
plant(WAITING, "It waits behind w.")(texts("menu"))
plant(WAITING, "Its handler has failed once: KeyError at")(texts("broken"))


@plant(SILENCES, "It has asked a question, which waits for no answer any more.")
async def ended(phone: Phone) -> str | None:
    asked = await phone.text("name")
    await phone.quiet()
    await phone.text("enough")
    return asked.id


@plant(SILENCES, "before the bot received its first webhook")
async def first_of_all(phone: Phone) -> str | None:
    phone.emulator.world.faults.add(Fault(on="delivery", drop="request", times=9))
    bubble = await phone.text("menu")
    await pass_time(phone, 120)
    return bubble.id


@plant(SILENCES, "It was never received")
async def never_received(phone: Phone) -> str | None:
    await texts("menu")(phone)
    lost(phone, drop="request")
    return await texts("menu")(phone)


@plant(SILENCES, "the sender is not allowed")
async def not_allowed(phone: Phone) -> str | None:
    return await texts("menu")(phone.person(STRANGER))


@plant(SILENCES, "neither mentions the bot nor replies")
async def not_addressed(phone: Phone) -> str | None:
    return await texts("menu")(phone.group("+14155550998"))


@plant(SILENCES, "came too late")
async def too_late(phone: Phone) -> str | None:
    return (await phone.text("menu", late_s=4000)).id


@plant(SILENCES, "no handler for this event type", "reaction.added")
async def tapback(phone: Phone) -> None:
    await phone.text("menu")
    await phone.react(await phone.next_reply(), "love")


@plant(SILENCES, "the person opted out", "linqbot.send")
async def scheduled(phone: Phone) -> None:
    await texts("later")(phone)
    phone.fail_next("chats.messages.send", status=403, code=2024)
    await pass_time(phone, 3601)


@plant(SILENCES, "It became a part of the message before it")
async def burst_end(phone: Phone) -> str | None:
    await phone.text("photo")
    return (await phone.text("a second photo")).id


@plant(SILENCES, "The bot has no handler for the post", "linqbot.post")
async def post(phone: Phone) -> None:
    await texts("menu")(phone)
    await phone.post("order.shipped", {})
    await phone.errors()


plant(DOUBTS, "maybe (exact('maybe'))")(texts("menu"))
plant(DOUBTS, "ZeroDivisionError was handled by")(texts("clumsy"))
plant(DOUBTS, "in run 3")(texts("once more"))
plant(DOUBTS, ".back took it")(texts("quiet", "back"))
plant(DOUBTS, ".name took it as the answer to the question of w.")(texts("name", "Ada"))
plant(SILENCES, ".town took it as the answer to the question of w.")(texts("town", "Paris"))
plant(SILENCES, "It sent nothing after the answer.")(texts("town", "Rome"))
plant(SILENCES, "It went to another chat, not to this one: ")(texts("elsewhere"))
plant(DOUBTS, "1 of its 2 messages went to another chat, not to this one: ")(texts("also elsewhere"))
plant(SILENCES, f"It handed the chat over to {OWNER}.")(texts("a person, please"))


@plant(DOUBTS, "before that: Linq answered chats.messages.send with 503")
async def deferred(phone: Phone) -> str | None:
    bubble = await failing(99, status=503)(phone)
    phone.emulator.world.faults.clear()
    await pass_time(phone, 3600)
    return bubble


@plant(DOUBTS, ", which failed: KeyError at test_why.py:")
async def behind_a_failing_one(phone: Phone) -> str | None:
    failing_one = await phone.text("broken")
    bubble = await phone.text("menu")
    await pass_time(phone, 3600)
    await phone.errors()
    assert failing_one.id != bubble.id
    return bubble.id


@plant(SILENCES, f"It was passed on to {OWNER}.")
async def passed_on(phone: Phone) -> str | None:
    await texts("a person, please")(phone)
    return await texts("Is anyone there?")(phone)


@plant(DOUBTS, "1 of its 1 messages is not delivered: failed with the code 4001: ")
async def not_delivered(phone: Phone) -> str | None:
    phone.fail_next_message()
    return await texts("menu")(phone)


@plant(DOUBTS, "Linq delivered it 5 min after it was sent")
async def slow_webhook(phone: Phone) -> str | None:
    lost(phone, delay_ms=300_000)
    bubble = await texts("menu")(phone)
    await pass_time(phone, 301)
    return bubble


@plant(DOUBTS, "known: duplicate")
async def twice(phone: Phone) -> str | None:
    phone.double_next("message.received")
    return await texts("menu")(phone)


@plant(DOUBTS, "maybe (exact('maybe'))")
async def twice_after_a_filter_that_did_not_fit(phone: Phone) -> str | None:
    return await twice(phone)


@plant(DOUBTS, ".burst took it")
async def burst_begin(phone: Phone) -> str | None:
    bubble = await phone.text("photo")
    await phone.text("a second photo")
    return bubble.id


@asynccontextmanager
async def operator(url: str, phone: Phone) -> AsyncIterator[tuple[Storage, MovableClock]]:
    """Open the storage as a command does, with a clock of its own."""
    clock = MovableClock(phone.now, frozen=True)
    async with open_storage(url, serving=False, clock=clock) as storage:
        yield storage, clock


async def explained(storage: Storage, phone: Phone, who: str, kind: str, *, at: float | None = None) -> str:
    """Return what `why` says of the last case of a kind: by handle of those of a direct chat."""
    found = await look(storage, phone.client, who, now=phone.now, at=at)
    case = [each for each in found.cases if each.type == kind][-1]
    assert SECRET not in repr(found.to_json())
    known = [row.outcome for row in case.rows if row.outcome == "duplicate"]
    tried = [f"{handler.rpartition('.')[2]} ({missed})" for handler, missed in case.tried]
    return "\n".join([case.answer, *tried, *(f"known: {each}" for each in known)])


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgres", marks=[pytest.mark.process, pytest.mark.slow])])
async def test_every_silence_and_every_doubt_of_yesterday_has_its_reason(backend: str, tmp_path: Path) -> None:
    assert (len(SILENCES) + len(WAITING), len(DOUBTS)) == (32, 13)
    url = f"sqlite:///{tmp_path}/bot.db" if backend == "sqlite" else empty_storage_url("why")
    people = (f"+141555502{n:02}" for n in range(99))
    asked: list[tuple[Plant, str, float]] = []
    wrong: list[str] = []
    async with talking(desk(), storage=url) as phone, operator(url, phone) as (storage, clock):
        for each in sorted(SILENCES, key=lambda one: one.act is not first_of_all) + DOUBTS:
            one = phone.person(next(people))
            who = await each.act(one)
            await one.errors()
            phone.emulator.world.faults.clear()
            asked.append((each, who or one.handle, phone.now))
            await pass_time(phone, 30)
        await pass_time(phone, DAY)
        await phone.errors()

        async def check(each: Plant, who: str, at: float | None = None) -> None:
            clock.stop_at(phone.now)
            said = await explained(storage, phone, who, each.kind, at=at)
            if each.says not in said:
                wrong.append(f"{each.says!r} is missing in: {said}")

        for each, who, at in asked:
            await check(each, who, at)
        for each in WAITING:
            one = phone.person(next(people))
            if "behind" in each.says:
                await failing(9, status=429, retry_after_s=600)(one)
            await check(each, await each.act(one) or "")
            phone.emulator.world.faults.clear()
        await pass_time(phone, 8 * DAY)
        await phone.errors()
        await check(Plant(texts(), "older than 7 days"), asked[3][1])
        await phone.errors()
    assert not wrong, "\n\n".join(wrong)


async def test_an_answer_behind_which_the_next_question_is_open_is_said_to_wait(tmp_path: Path) -> None:
    bot = Bot()

    @bot.on_message("form")
    async def form(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Name?")
        await ctx.ask("Town?")

    url, said = f"sqlite:///{tmp_path}/bot.db", set[str]()
    async with talking(bot, storage=url) as phone, operator(url, phone) as (storage, clock):
        for n in range(6):  # the calls are looked up by ids of deliveries, which are random
            one = phone.person(f"+1415555020{n}")
            await texts("form", "Ada")(one)
            clock.stop_at(phone.now)
            answer = await explained(storage, phone, one.handle, "message.received")
            said.add(re.sub("w\\.[0-9a-f-]+", "w.…", answer))
    (answer,) = said
    assert answer.endswith("It has asked a question, and waits for the answer.")


@pytest.mark.parametrize("ends", [False, True])
async def test_a_question_and_its_answers_list_their_own_calls_only(ends: bool, tmp_path: Path) -> None:
    bot = Bot(typing=False, read=False)

    @bot.on_message("form")
    async def form(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Welcome.")
        await ctx.ask("How many?", kind=int)
        await ctx.reply("Thanks.")
        await ctx.reply("Nearly there.")
        await ctx.ask("Town?")
        if not ends:
            await ctx.ask("Street?")

    url, n = f"sqlite:///{tmp_path}/bot.db", ("form", "many", "4", "Paris")
    async with talking(bot, storage=url) as phone, operator(url, phone) as (storage, _):
        ids = [(await phone.text(text)).id for text in n[:1]]
        for text in n[1:]:
            await phone.quiet()
            ids.append((await phone.text(text)).id)
        await phone.errors()
        found = await look(storage, phone.client, phone.handle, now=phone.now)
        by_message = {each.message_id: each for each in found.cases}
        made = {
            text: [call["call"] for call in by_message[each].calls or ()] for text, each in zip(n, ids, strict=True)
        }
        (alone,) = (await look(storage, None, ids[2], now=phone.now)).cases
    say = "chats.messages.send"
    assert made == {
        "form": [say, say, "ctx.ask"],
        "many": [say],
        "4": [say, say, say, "ctx.ask"],
        "Paris": [] if ends else [say, "ctx.ask"],
    }
    assert [each["call"] for each in alone.calls or ()] == made["4"]
    assert alone.to_json()["answer_to"] == by_message[ids[0]].ids[0]
