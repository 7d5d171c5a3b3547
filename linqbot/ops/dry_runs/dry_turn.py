"""One dry run of a turn: what it does, what it has from the record, and why it ends. `world.py` runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pydantic_core import from_json

from linqbot.bot.turn_context import TurnContext
from linqbot.engine.failure import TurnFailure
from linqbot.engine.slots import OUTSIDE_FIRST, is_outside_of_answer, outside_of_answer, step_around, step_digest
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import Suspended
from linqbot.features.asking.records import AskRecord
from linqbot.ops.dry_runs.recorded_turn import ComparedCall, RecordedTurn, calls_of, joined_streams, of_entry, of_later
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.tracebacks import folded


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


class DryTurn:
    def __init__(self, turn: RecordedTurn, *, without_past: bool = False) -> None:
        self.turn = turn  # the turn on record
        self.without_past = without_past  # True runs as if no state were stored, and nothing were said before
        # The entries of the calls that it makes, and the broadcasts that it begins, in order.
        self.made: list[JournalEntry | NewBroadcast] = []
        self.sent: set[str] = set()  # the ids of the messages on record that it has sent again
        self.sends: list[Timer] = []  # The timers of its scheduled sends. Set at the end.
        self.missing: str | None = (
            None  # What is not on record, so that the run has ended; None if nothing was missing.
        )
        # See `RunResult`.
        self.doubts: list[str] = []
        self.past: list[str] = []
        self.ctx: TurnContext | None = None  # the context of its handler; None as long as there is none
        self.error: BaseException | None = None  # the error that ended it; None if there is none
        self.answered_by = ""  # the id of the delivery that ended the last question then
        self.questions = turn.questions
        self._steps = turn.steps
        self._used: set[str] = set()
        self._is_over = False

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
        digest = step_digest(name)
        self.made += [each for each in self.turn.call_entries if step_around(each.slot) == digest]
        said = from_json(entry.call)
        if (scheduled := said.get("scheduled")) is not None:
            journal.scheduler.recall(scheduled)
        if journal.incoming_calls is not None:
            journal.incoming_calls.note(said.get("incoming", ()))
        return from_json(entry.answer or b"null")

    def answered(self, asked: AskRecord) -> AskRecord | None:
        """Return the question on record that stands for one of this run: by its key, by its words, or by its number."""
        left = [each for each in self.questions if not each.is_used and each.verb in (None, asked.verb)]
        left = [each for each in left if each.key == asked.key]
        same = next((each for each in left if each.digest == asked.digest), None)
        if asked.key is not None:
            same = next(iter(left), None)
        return same or next((each for each in left if each.number == asked.number), None)

    def result(self) -> RunResult:
        unused = [name for name in self._steps if name not in self._used and not name.startswith("when:")]
        made = (_of_broadcast(each) if isinstance(each, NewBroadcast) else of_entry(each) for each in self.made)
        return RunResult(
            joined_streams(made),
            {timer.id: tuple(of_later(call) for call in calls_of(timer)) for timer in self.sends},
            self.ctx.handler if self.ctx else None,
            self.ctx.handler_at if self.ctx else None,
            # What follows a missing answer is no failure of the code.
            None if self.error is None or self.missing else self._failure(self.error),
            self.missing,
            unused if self.missing else (),
            tuple(self.doubts),
            tuple(dict.fromkeys(self.past)),
        )

    def _failure(self, error: BaseException) -> RunFailure:
        ctx = self.ctx
        failed = TurnFailure(error, at=ctx.stuck_at if ctx else None, handler_at=ctx.handler_at if ctx else None)
        return RunFailure(type(error).__name__, failed.place, folded(error))


def _of_broadcast(new: NewBroadcast) -> ComparedCall:
    return ComparedCall("ctx.bot.broadcast", new.name, f"[broadcast {new.name}]")
