"""One dry run of a turn: what it does, what it has from the record, why it ends, and its storage. `world.py` runs it.

The storage is in memory, with the real storage behind it, which is only read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from linqbot.bot.turn_context import TurnContext
from linqbot.clock import Clock
from linqbot.engine.call_lookup import stop_of
from linqbot.engine.failure import TurnFailure
from linqbot.engine.reasons import KEPT
from linqbot.engine.slots import OUTSIDE_FIRST, is_in_step, is_outside_of_answer, outside_of_answer
from linqbot.engine.turn_journal import TurnJournal
from linqbot.engine.waits import WaitRecord, record_of, record_with_end
from linqbot.errors import LeaseLost, Muted, Suspended, error_name
from linqbot.features.asking.records import Asked, ending
from linqbot.features.later import CANCEL, KIND, TurnTimers
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.features.overlap import IncomingCalls
from linqbot.features.schedules import REPEAT, REPEAT_ID, timer_and_tick
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome
from linqbot.storage import conversation_table
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.holds import FOREVER
from linqbot.storage.inbox import Ack, Commit, Lease, Outcome
from linqbot.storage.journal import RECORDED, JournalEntry
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.timers import Timer
from linqbot.tracebacks import folded
from linqbot_dev.dry_runs.recorded_turns import ComparedCall, RecordedTurn, calls_of, compared, joined_streams


@dataclass(frozen=True, slots=True)
class RunFailure:
    kind: str  # the name of its class
    at: str  # `file:line` of the author's code
    traceback: str = field(repr=False, compare=False)  # may quote a person's words; empty if it is not kept


@dataclass(frozen=True, slots=True)
class RunResult:
    calls: Sequence[ComparedCall] = ()  # the calls to Linq, in order; reads and hints are not among them
    # The calls of `ctx.send_later`, by the id of the send.
    later: Mapping[str, Sequence[ComparedCall]] = field(default_factory=dict)
    handler: str | None = None  # the name of the handler; None if none took the event
    handler_at: str | None = None  # `file:line` of its definition
    failure: RunFailure | None = None
    # What is not on record, so that the run ended before its end; None if nothing was missing.
    missing: str | None = None
    other_steps: Sequence[str] = ()  # steps on record that the run did not come to before it ended there
    doubts: Sequence[str] = ()  # why the run may differ from the turn on record, although its code is the same
    # What it has read of the past that may not be as it was then: sentences. Its result need not depend on it.
    past: Sequence[str] = ()
    is_answer: bool = False  # True if the delivery goes to a question, and so belongs to the turn that asked

    @property
    def is_silent(self) -> bool:
        return not (self.calls or self.later)

    def begins_like(self, other: RunResult) -> bool:
        """Return True if its calls are the first ones of the other's."""
        return len(self.calls) <= len(other.calls) and all(map(ComparedCall.is_like, self.calls, other.calls))

    def does_the_same(self, other: RunResult) -> bool:
        mine, its = self.failure, other.failure
        return (
            len(self.calls) == len(other.calls)
            and self.begins_like(other)
            and self.later == other.later
            and (mine and (mine.kind, mine.at.partition(":")[0])) == (its and (its.kind, its.at.partition(":")[0]))
            and self.missing == other.missing
        )


_STATE_OF_NOW: Final = "ctx.state, which is not on record as it was then"
ALL: Final = 10_000
"""More deliveries and timers than a turn can have."""


class DryTurn(MemoryStorage):
    """A run of a turn on record. It is its own storage: what it does not have of other turns, and the state, come from the real one."""

    def __init__(self, turn: RecordedTurn, behind: Storage, clock: Clock, *, without_past: bool = False) -> None:
        # With history, so that the content of calls stays.
        super().__init__(clock=clock, keep_days=1.0)
        self._install = behind.install
        self._behind = behind
        self.turn = turn  # the turn on record
        self.without_past = without_past  # True runs as if no state were stored, and nothing were said before
        # The entries of the calls that it makes and of its questions, and the broadcasts that it begins, in order.
        self.made: list[JournalEntry | NewBroadcast] = []
        self.sent: set[str] = set()  # the ids of the messages on record that it has sent again
        self.missing: str | None = None  # what is not on record, so that it has ended; None if nothing was missing
        # See `RunResult`.
        self.doubts: list[str] = []
        self.past: list[str] = []
        self.ctx: TurnContext | None = None  # the context of its handler; None as long as there is none
        self.error: BaseException | None = None  # the error that ended it; None if there is none
        self.outcome: Outcome = Ack()  # the outcome of the delivery that was handled last
        self.answered_by = ""  # the id of the delivery that ended the last question then
        self.begun_slot = ""  # the slot of the call that is being made
        self._questions = turn.questions
        # The numbers of the questions that were answered from the record.
        self._ended: set[int] = set()
        self._steps = turn.steps
        self._used: set[str] = set()
        self._scopes: set[str] = set()
        self._shown: set[tuple[str, str]] = set()
        self._is_over = False
        self._is_closed = False

    def cut(self, what: str) -> NoReturn:
        self.missing = self.missing or what
        self._is_over = True
        raise Suspended(f"not recorded: {what}")

    def end(self) -> None:
        self._is_over = True

    @property
    def is_over(self) -> bool:
        return self._is_over or self.error is not None

    def refuse_after_end(self) -> None:
        """End the code that calls this after the end of the run."""
        if self._is_over:
            raise Suspended("The run has ended.")

    def doubt(self, why: str) -> None:
        if why not in self.doubts:
            self.doubts.append(why)

    def step_on_record(self, name: str, journal: TurnJournal) -> JournalEntry | None:
        slot = journal.slots.of_step(name)
        if is_outside_of_answer(slot):
            answered = self.answered_by
            outside = OUTSIDE_FIRST if answered == self.turn.delivery.id else outside_of_answer(answered)
            return self.turn.results.get(f"{outside}step:{name}")
        return self._steps.get(name)

    def recall_step(self, name: str, journal: TurnJournal) -> Any:
        """Return the result of a step on record, and note the calls that it made and scheduled then."""
        if (entry := self.step_on_record(name, journal)) is None:
            self.cut(f"the step {name!r}")
        self._used.add(name)
        self.made += [each for each in self.turn.call_entries if is_in_step(each.slot, name)]
        said = from_json(entry.call)
        if (scheduled := said.get("scheduled")) is not None:
            TurnTimers.of(journal).recall(scheduled, journal)
        if (calls := journal.data.find(IncomingCalls)) is not None:
            calls.note(said.get("incoming", ()))
        return from_json(entry.answer or b"null")

    def answered(self, asked: WaitRecord) -> WaitRecord | None:
        """Return the question on record that a question of this run is, as the engine finds it; None if it is a new one."""
        return record_with_end(self._questions, asked.identity, asked.nth or 1)

    async def result(self) -> RunResult:
        timers = await super().scheduled(limit=ALL)
        unused = [name for name in self._steps if name not in self._used and not name.startswith("when:")]
        made = (
            call
            for each in self.made
            for call in ([_of_broadcast(each)] if isinstance(each, NewBroadcast) else compared([each]))
        )
        return RunResult(
            joined_streams(made),
            {timer.id: calls_of(timer.payload) for timer in timers if timer.kind in (KIND, REPEAT)},
            self.ctx.handler if self.ctx else None,
            self.ctx.handler_at if self.ctx else None,
            # What follows a missing answer is no failure of the code.
            None if self.error is None or self.missing else self._failure(self.error),
            self.missing,
            # Of a handoff, the steps are linqbot's own, and none of them is made here.
            unused if self.missing and not self.turn.is_of_handoff else (),
            tuple(self.doubts),
            tuple(dict.fromkeys(self.past)),
        )

    def _failure(self, error: BaseException) -> RunFailure:
        ctx = self.ctx
        failed = TurnFailure(error, at=ctx.stuck_at if ctx else None, handler_at=ctx.handler_at if ctx else None)
        return RunFailure(error_name(error), failed.place, folded(error))

    # Storage

    async def fill(self) -> None:
        turn = self.turn
        for entry in turn.results.values():
            if from_json(entry.call).get("verb") in (CANCEL, "scheduled"):
                await self.settle(entry)
        if turn.muted is not None and (chat_id := chat_of_lane(turn.delivery.lane)) is not None:
            await mute_chat(self, Mute(chat_id, FOREVER))
            await self.settle(turn.muted)
        if turn.conversations:
            commit = Commit(Ack(), conversations=list(turn.conversations))
            await self._operate(lambda tx: conversation_table.write(tx, commit.ended, commit.conversations))
        await self._show(0)

    async def _show(self, part: int) -> None:
        """Store the state that a part of the conversation on record has read. Of the last part, it is not on record."""
        for record in self._questions:
            if record.part != part:
                continue
            for scope, values in record.seen.state.items():
                writes = [StateWrite(scope, name, None if v is None else v.encode()) for name, v in values.items()]
                await self.write_state(writes)
                self._shown |= {(scope, name) for name in values}

    async def next_answer(self) -> Delivery | None:
        """Return the end of the question that the run has asked, as a delivery; None if there is none on record."""
        found = await super().conversation(self.turn.delivery.id)
        asked = None if self.is_over or found is None or found[0].status != "waiting" else Asked.read(*found)
        if asked is None:
            return None
        asks = (record_of(entry) for entry in asked.known if entry.safety == "ask")
        n = asked.question.n
        record = self.answered(next(each for each in asks if each.n == n))
        if record is None or record.outcome is None or n in self._ended:
            return None
        record.is_used = True
        self._ended.add(n)
        await self._show(record.n)
        at = record.outcome.get("at", self._clock.now())
        self.answered_by = str(record.outcome.get("by", ""))
        outcome: Any = {name: value for name, value in record.outcome.items() if name not in ("by", "at")}
        return ending(asked, outcome, name=self.answered_by, now=at)

    async def has_begun(self, message_key: str) -> bool:
        """Return False for an edit that was kept then until its message came: no handler got it."""
        outcomes = await self._behind.outcomes_of([self.turn.delivery.id])
        return all(each.why != KEPT for each in outcomes)

    async def __aexit__(self, *exc: object) -> None:
        """Free the database. Other objects of the run refer to each other, and stay until the garbage collector runs."""
        self._is_closed = True
        self._writer.db.close()

    async def finish(self, lease: Lease, commit: Commit) -> None:
        if self._is_closed:
            raise LeaseLost("The run has ended.")  # any other error would be retried for ever
        await super().finish(lease, commit)
        self.outcome = commit.outcome
        known = {each.slot for each in self.made if isinstance(each, JournalEntry)}
        self.made += [each for each in commit.entries if each.safety == "ask" and each.slot not in known]

    # Journal

    async def begin(self, entry: JournalEntry, lease: Lease | None = None, **state: Any) -> None:
        self.refuse_after_end()
        await super().begin(entry, lease, **state)
        if entry.safety not in RECORDED:
            self.begun_slot = entry.slot
            # What middleware did for the answers is not compared.
            if not is_outside_of_answer(entry.slot):
                self.made.append(entry)

    async def settle(self, entry: JournalEntry, *state: Any) -> None:
        await super().settle(entry, *state)
        if isinstance(stop_of(entry, ""), Muted):
            made = self.made
            self.made = [each for each in made if isinstance(each, NewBroadcast) or each.key != entry.key]

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        return await super().entry_of(message_id) or await self._behind.entry_of(message_id)

    async def labelled(self, messages: Collection[str], label: str) -> frozenset[str]:
        return await super().labelled(messages, label) | await self._behind.labelled(messages, label)

    async def has_sent(self, message_id: str) -> bool:
        return await super().has_sent(message_id) or await self._behind.has_sent(message_id)

    @property
    def has_made_scheduled_sends(self) -> bool:
        return True

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        if scope not in self._scopes and not self.without_past:
            values = await self._behind.load(scope)
            if values:
                self.past.append(_STATE_OF_NOW)
            new = {name: value for name, value in values.items() if (scope, name) not in self._shown}
            await self.write_state([StateWrite(scope, name, value) for name, value in new.items()])
        self._scopes.add(scope)
        return await super().load(scope)

    async def state_rows(self, **how: Any) -> list[StateRow]:
        if self.without_past:
            return []
        self.past.append(_STATE_OF_NOW)
        return await self._behind.state_rows(**how)

    # Timers

    async def cancel(self, timer_id: str, record: JournalEntry | None = None, *, by: By | None = None) -> bool:
        if timer_id and record is not None:
            self.doubt("it is not on record if a scheduled send was still waiting to be cancelled")
        return await super().cancel(timer_id, record, by=by)

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        if self.ctx is not None:
            self.doubt("it is not on record which scheduled sends were waiting")
        return await super().scheduled(lane=lane, limit=limit)

    async def timer(self, timer_id: str) -> Timer | None:
        found = await super().timer(timer_id)
        fired = self.turn.delivery
        if fired.id.startswith(REPEAT_ID) and timer_and_tick(fired)[0] == timer_id and self.turn.entries:
            # It was not cancelled then, because it was sent.
            return Timer(timer_id, fired.received_at, fired.lane, REPEAT, fired.body)
        if found is None and self.ctx is not None:
            self.doubt("it is not on record if a scheduled send was still waiting to be moved")
        return found

    # Broadcasts

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        if await self._begun_before(broadcast.name) is not None:
            return False
        is_new = await super().start_broadcast(broadcast, people)
        # One that is stored has begun in the turn on record, or later.
        if is_new and await self._behind.broadcast(broadcast.name) is None:
            self.made.append(broadcast)
        return is_new

    async def broadcast(self, name: str) -> Broadcast | None:
        return await super().broadcast(name) or await self._begun_before(name)

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        if await super().broadcast(name) is not None:
            return await super().recipients(name, outcome=outcome, after=after, limit=limit)
        self.doubt("a broadcast was read as it is now")
        return await self._behind.recipients(name, outcome=outcome, after=after, limit=limit)

    async def _begun_before(self, name: str) -> Broadcast | None:
        """Return a broadcast that began before the turn, as it is now; None if none of this name did."""
        found = await self._behind.broadcast(name)
        if found is None or found.created_at.timestamp() >= self.turn.delivery.received_at:
            return None
        self.doubt("a broadcast was read as it is now")
        return found


def _of_broadcast(new: NewBroadcast) -> ComparedCall:
    return ComparedCall("ctx.bot.broadcast", new.name, f"[broadcast {new.name}]")
