"""State under concurrency: no update is lost, whatever turns conflict, fail or crash, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from asking_talk import Talk
from engine_turns import run_worker, turns_of
from fakes import NOW, Linq, delivery, settled, text_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_handler import bot_of
from patience import PATIENCE_S
from pydantic import BaseModel
from simulated_crash import Life, begun, crash
from structlog.testing import capture_logs

from linqbot import Bot, BotError, Context, LinqApiError, MessageReceived, hookimpl
from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.engine import failure
from linqbot.engine.failure import StateQueue
from linqbot.errors import StateConflict
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.state import StateWrite
from linqbot.testing import talking
from linqbot.turn_events import Observers, TurnEnded


class Total(BaseModel):
    count: int = 0
    texts: list[str] = []


def chat_id(n: int) -> str:
    return f"00000000-0000-4000-9000-{n:012}"


async def total(storage: Storage) -> Total:
    stored = (await storage.load("bot")).get("Total")
    return Total() if stored is None else Total.model_validate_json(stored)


async def store(storage: Storage, value: bytes) -> None:
    """Store a value of the bot, as another turn does."""
    await storage.write_state([StateWrite("bot", "Total", value)])


async def test_a_conflict_runs_the_turn_again_at_once_and_sends_nothing_twice(talk: Talk) -> None:
    runs = 0

    async def count(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        value = await ctx.state.bot(Total)
        if runs == 1:
            await store(talk.storage, b'{"count":10}')
        value.count += 1
        await ctx.reply("counted")

    talk.deploy(count)
    await talk.put(text_body())
    assert await talk.turn()
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts, waiting.crashes) == ("ready", 0, 0)
    assert (await total(talk.storage)).count == 10
    await talk.run()
    assert (await total(talk.storage)).count == 11
    assert talk.linq.said() == ["counted"]
    assert await talk.storage.depth() == 0


class Reports:
    def __init__(self) -> None:
        self.ends = list[tuple[object, object]]()

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        if turn.delivery.type == "message.received":
            self.ends.append((turn.outcome, turn.error))


async def test_state_that_is_first_read_after_the_turn_is_refused() -> None:
    contexts: list[Context] = []

    async def greet(message: MessageReceived, ctx: Context) -> None:
        contexts.append(ctx)

    async with talking(bot_of(greet)) as phone:
        await phone.text("hi")
        await phone.quiet()
        with pytest.raises(BotError, match="was asked for after its turn had ended"):
            await contexts[0].state.person(Total)


async def test_a_turn_that_another_one_was_faster_than_is_no_failure_of_its_handler() -> None:
    reports, first_has_ended, both = Reports(), asyncio.Event(), asyncio.Barrier(2)
    bot = Bot(plugins=[reports])

    @bot.on_message
    async def count(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.bot(Total)).count += 1
        if not reports.ends:
            await both.wait()
        if message.text == "second":
            await first_has_ended.wait()

    async with talking(bot) as phone:
        await phone.text("first")
        await phone.person("+14155550143").text("second")
        while not reports.ends:
            await asyncio.sleep(0)
        first_has_ended.set()
        await phone.quiet()
    assert reports.ends == [("ack", None), ("defer", None), ("ack", None)]


async def test_a_value_that_is_changed_before_a_refused_call_is_made_again_is_stored_before_it(talk: Talk) -> None:
    runs, stored = 0, list[int]()

    async def count(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            (await ctx.state.bot(Total)).count += 1
        await ctx.reply("counted")

    async def look(_: Call) -> None:
        stored.append((await total(talk.storage)).count)

    talk.linq.before = look
    talk.linq.will_answer("chats.messages.send", LinqApiError("no", status=403, code=2005))
    await talk.to(count, "hello")
    await talk.pass_time(10)
    assert stored == [0, 1]


async def test_a_value_that_was_stored_with_a_call_and_then_changed_by_another_turn_makes_a_dead_letter(
    talk: Talk,
) -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.bot(Total)
        value.count += 1
        await ctx.reply("counted")
        await store(talk.storage, b'{"count":10}')
        value.count += 1

    await talk.to(count, "hello")
    (letter,) = await talk.storage.dead_letters()
    assert "StateChanged" in letter.error
    assert letter.handler is not None
    assert letter.handler.endswith("count")


async def test_state_that_cannot_be_read_makes_a_dead_letter_at_once_and_is_kept(talk: Talk) -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.bot(Total)).count += 1

    unreadable = b'{"count":"Ann said many","texts":{"+14155550142":1}}'
    await store(talk.storage, unreadable)
    with capture_logs() as logs:
        await talk.to(count, "hello")
    (letter,) = await talk.storage.dead_letters()
    (logged,) = (each for each in logs if each["event"] == "turn.dead_lettered")
    for said in (letter.error, logged["why"]):
        assert "does not fit" in said
        assert "count: Input should be a valid integer" in said
        assert "texts: Input should be a valid array" in said
        assert not any(private in said for private in ("Ann", "many", "+1415"))
    assert await talk.storage.load("bot") == {"Total": unreadable}
    # The operator corrects the value and puts the dead letter back.
    await store(talk.storage, b'{"count":4}')
    await talk.storage.retry([letter.delivery.id])
    await talk.run()
    assert (await total(talk.storage)).count == 5


async def test_a_turn_that_conflicts_each_time_counts_as_failed_in_the_end(talk: Talk) -> None:
    values = iter(range(1000))

    async def count(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.bot(Total)
        await store(talk.storage, b'{"count":%d}' % next(values))
        value.count += 1

    talk.deploy(count)
    await talk.put(text_body())
    running = talk.turns()
    for _ in range(failure.MAX_CONFLICTS):
        assert await talk.turn(running)
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("ready", 0)
    assert await talk.turn(running)
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("retrying", 1)


async def test_what_a_changed_value_says_is_sent_although_the_run_that_lost_had_sent_other_words(talk: Talk) -> None:
    runs = 0

    async def count(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        value = await ctx.state.bot(Total)
        if runs == 1:
            await store(talk.storage, b'{"count":10}')
        await ctx.reply(f"Until now {value.count}.")
        value.count += 1

    await talk.to(count, "hello")
    assert talk.said == ["Until now 0.", "Until now 10."]
    assert (await total(talk.storage)).count == 11


# --- Any order of conflicts, failures and crashes ---------------------------------------------------------------------

CRASHES = ["none", "none", "in the handler", "before finish", "after finish"]


class Run(Life):
    """A bot whose process may crash: every message adds one, and says its text once."""

    crash_at = "none"
    fails = False

    async def open(self) -> None:
        await super().open()
        store = self.storage.finish

        async def crashing(lease: Lease, commit: Commit) -> None:
            if self.crash_at == "before finish":
                await crash()
            await store(lease, commit)
            if self.crash_at == "after finish":
                await crash()

        self.storage.finish = crashing  # type: ignore[method-assign]

    async def handle(self, message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.bot(Total)
        person = await ctx.state.person(Total)
        await settled(int(message.text) % 3)
        value.count += 1
        value.texts = [*value.texts, message.text]
        person.count += 1
        await ctx.reply(message.text)
        if self.crash_at == "in the handler":
            await crash()
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    async def step(self, limit: int, crash_at: str, *, fails: bool) -> None:
        """Run what can be leased, at the same time. A crash of one turn stops all."""
        self.crash_at, self.fails = crash_at, fails
        bot = bot_of(self.handle, read=False, typing=False, max_age_s=None)
        running = turns_of(bot, self.linq, self.storage, self.clock)
        leases = await self.storage.take(limit, lease_s=1000)

        async def every() -> None:
            await asyncio.gather(*(running.run(lease) for lease in leases))

        if await self.crashable.run(every()):
            self.crash_at = "none"
            await self.restart()
        # Retries are due, and so are the suspects of a crash.
        self.clock.advance(400)


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    chats=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    steps=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(CRASHES), st.booleans()), max_size=5),
)
def test_no_update_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, chats: list[int], steps: list[tuple[int, str, bool]]
) -> None:
    async def check(folder: Path) -> None:
        async with begun(Run, folder) as run:
            for n, chat in enumerate(chats):
                body = text_body(str(n), chat=chat_id(chat), sender=f"+1415555010{chat % 2}")
                await run.storage.put(delivery(body))
            crashes = failures = 0
            for limit, crash_at, fails in steps:
                # A third crash or a fifth failure of one turn makes it a dead letter, as it should.
                crashes, failures = crashes + (crash_at != "none"), failures + fails
                await run.step(limit, crash_at if crashes <= 2 else "none", fails=fails and failures <= 4)
            for _ in range(60):
                if not await run.storage.depth():
                    break
                await run.step(4, "none", fails=False)
            assert await run.storage.depth() == 0
            assert await run.storage.dead_letters() == []
            value = await total(run.storage)
            texts = [str(n) for n in range(len(chats))]
            assert (value.count, sorted(value.texts)) == (len(chats), sorted(texts))
            people = [await run.storage.load(f"person:+1415555010{n}") for n in range(2)]
            assert sum(Total.model_validate_json(each["Total"]).count for each in people if each) == len(chats)
            said = {call.key: call.body for call in run.linq.calls if call.key}
            assert len(said) == len(chats)

    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        asyncio.run(check(Path(folder)))


@pytest.mark.parametrize("stored", ["with a call", "at the end"])
async def test_chats_that_change_one_value_at_the_same_time_all_count_and_lose_it_about_once(stored: str) -> None:
    clock, linq, chats, runs = MovableClock(NOW, frozen=True), Linq(), 30, 0
    storage = MemoryStorage(clock=clock)

    async def count(message: MessageReceived, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        value = await ctx.state.bot(Total)
        await settled(3)
        if stored == "at the end":
            await ctx.reply(message.text)
        value.count += 1
        if stored == "with a call":
            await ctx.reply(message.text)

    async with run_worker(bot_of(count, read=False, typing=False), linq, storage, clock):
        for n in range(chats):
            await storage.put(delivery(text_body(str(n), chat=chat_id(n))))
        async with asyncio.timeout(PATIENCE_S):
            while await storage.depth():
                await asyncio.sleep(0.001)
    assert (await total(storage)).count == chats
    assert sorted(map(int, linq.said())) == list(range(chats))
    assert await storage.dead_letters() == []
    assert runs < 3 * chats  # those that lost the value run again one after the other


async def test_turns_that_lost_a_value_run_one_after_the_other_and_the_queue_leaves_nothing_behind() -> None:
    queue, running, order = StateQueue(), 0, []

    async def turn(name: str) -> None:
        nonlocal running
        await queue.enter(name, MovableClock(NOW, frozen=True))
        assert running == 0
        running += 1
        await settled(2)
        running -= 1
        order.append(name)
        queue.leave(name, runs_again=False)

    names = [f"w.{n}" for n in range(5)]
    for name in names:
        queue.note(name, StateConflict("bot", "Total"))
    await asyncio.gather(*map(turn, names))
    assert order == names
    await queue.enter("w.never", MovableClock(NOW, frozen=True))
    queue.leave("w.never", runs_again=False)
    assert queue.is_empty


async def test_a_turn_does_not_wait_forever_for_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.engine.failure.CONFLICT_WAIT_S", 0.0)
    queue = StateQueue()
    for name in ("w.1", "w.2"):
        queue.note(name, StateConflict("bot", "Total"))
        await queue.enter(name, MovableClock(NOW, frozen=True))
