"""Stands in for Linq and for the journal while new code runs on an old delivery: answers come from the record.

Nothing goes out. A call that the old turn made gets the answer that it got then, so that ids and refusals are the same.
A new call gets a made-up answer. A question gets the answer on record even if the new code words it differently, as in
a deploy while the question is open. The run ends at a read whose answer is not kept, because the code must not go on
with something made up, and at a step that is not on record, because a step has an effect elsewhere.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Self

from pydantic_core import from_json

from linqbot.bot.context import Context
from linqbot.bot.turn_context import TurnContext
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.content.streaming import Unrecorded
from linqbot.engine.call_lookup import outcome_of
from linqbot.engine.earlier_runs import JournalMatcher
from linqbot.engine.slots import OUTSIDE_FIRST, Slots, labelled, step_around, step_digest
from linqbot.engine.turn_journal import SentInTurn, journal_key, refuse_if_muted
from linqbot.errors import BotError, LinqApiError, Suspended
from linqbot.events.event import Event
from linqbot.features.asking.answers import IN_ANOTHER_FORM, Seen, value_of
from linqbot.features.asking.question import Question
from linqbot.features.asking.records import (
    PROMPT,
    AskRecord,
    AskRefused,
    QuestionEnd,
    answer_in,
    cancelled_for,
    end_without_answer,
    part_name,
    refusal_label,
    refusal_of,
    send_choices,
)
from linqbot.features.asking.steps import check_place, may_replace, person_to_ask, second_question, typed
from linqbot.features.asking.waits import begin_wait, closing_label, result_of
from linqbot.features.proactive import Rhythm
from linqbot.features.state import Recording, TurnState
from linqbot.features.turn_scheduler import listed
from linqbot.ops.call_recorder import UPLOAD, made_up_response
from linqbot.ops.dry_deploy.kept_chat import KeptChats
from linqbot.ops.dry_deploy.recorded_turn import ComparedCall, RecordedTurn, joined_streams, of_call, of_entry
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast, counted
from linqbot.storage.journal import JournalEntry
from linqbot.types.proactive import Broadcast, Recipient, RecipientOutcome, Scheduled


class RecordedCalls:
    """Answers the calls of one run, and stands in for its journal. It must be created in the task of the run.

    Args:
        reads: Let reads of Linq that the storage cannot answer through to Linq, as it is now.
        without_past: True answers `ctx.history` as if nothing were said before.

    Attributes:
        missing: What is not on record, so that the run has ended; None if nothing was missing.
        doubts: Why the run may differ from the turn on record, although its code is the same.
        past: What the run has read of the past that may not be as it was then: sentences.
        muted_chat: See `TurnJournal`.
    """

    def __init__(
        self, turn: RecordedTurn, storage: Storage, kept: KeptChats, *, reads: bool, without_past: bool
    ) -> None:
        self.missing: str | None = None
        self.doubts: list[str] = []
        self.past: list[str] = []
        self._without_past = without_past
        self.muted_chat: str | None = None
        self._turn = turn
        self._storage = storage
        self._kept = kept
        self._reads = reads
        self._matcher = JournalMatcher(turn.call_entries)
        self._slots = Slots()
        self._made: list[ComparedCall] = []
        self._answered: list[tuple[Call, ApiResponse]] = []
        self._messages: set[str] = set()
        self._of_earlier_parts: frozenset[str] = frozenset()
        self._sends: dict[str, tuple[ComparedCall, ...]] = {}
        self._is_over = False

    @property
    def made(self) -> tuple[ComparedCall, ...]:
        """The calls that the run made, without reads and hints."""
        return joined_streams(self._made)

    @property
    def sends(self) -> dict[str, tuple[ComparedCall, ...]]:
        """The calls of `ctx.send_later`, by the id of the send; none if the person opted out with the turn."""
        return self._sends if self.muted_chat is None else {}

    def around(self, client: Client) -> Client:
        """Return the client with the record between it and Linq."""
        return client.wrapped(self._answering, before_fetch=self._refuse_fetch)

    def enter(self, part: str) -> None:
        """Go on with the next part of a conversation; see `TurnJournal.enter`."""
        self._slots.part = part
        self._of_earlier_parts = frozenset(self._messages)

    def recall_step(self, name: str) -> None:
        """Note that the run has a step from the record, and so makes the calls that the step made then."""
        digest = step_digest(name)
        self._made += [of_entry(entry) for entry in self._turn.call_entries if step_around(entry.slot) == digest]

    def cut(self, what: str) -> NoReturn:
        """End the run, because something is not on record.

        Raises:
            Suspended: always. The author's `except Exception` does not catch it.
        """
        self.missing = self.missing or what
        self.end()
        raise Suspended(f"not recorded: {what}")

    def end(self) -> None:
        """Let every later call end the code that makes it."""
        self._is_over = True

    def doubt(self, why: str) -> None:
        """Note why the run may differ from the turn on record."""
        if why not in self.doubts:
            self.doubts.append(why)

    def _answering(self, run: Run) -> Run:
        async def answer(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            self._refuse_after_end()
            if call.name == UPLOAD:
                self.cut("the upload of a file")
            if call.safety == "read":
                return await self._read(call, run)
            return await self._answer(call)

        return answer

    async def _answer(self, call: Call) -> ApiResponse:
        slot = self._slots.of_call(call)
        if self.muted_chat is not None:
            await refuse_if_muted(call, self.muted_chat, self._storage.entry_of)
        entry = self._matcher.match(slot, call, is_named=call.label is not None).entry
        self._made.append(of_call(call, slot))
        answer = (
            ApiResponse(202, made_up_response(call, len(self._made))) if entry is None else _answer_of_then(entry, call)
        )
        self._answered.append((call, answer))
        if entry is not None and entry.message_id is not None:
            self._messages.add(entry.message_id)
        return answer

    async def _read(self, call: Call, run: Run) -> ApiResponse:
        found = await self._kept.answer(call, self._turn, self.past, without_past=self._without_past)
        if found is not None:
            return ApiResponse(200, found)
        if not self._reads:
            self.cut(f"what {call.name} returned (with --reads, Linq is asked now)")
        self.doubt(f"{call.name} was read from Linq as it is now")
        return await run(call)

    def _refuse_fetch(self) -> None:
        self._refuse_after_end()
        if not self._reads:
            self.cut("a file that was downloaded (with --reads, it is downloaded now)")

    def _refuse_after_end(self) -> None:
        if self._is_over:
            raise Suspended("The run has ended.")

    # The journal, as a context uses it

    @property
    def scheduler(self) -> Self:
        """This record itself."""
        return self

    @property
    def broadcaster(self) -> Self:
        """This record itself."""
        return self

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Rhythm | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Record calls for a later time, under the id that the turn on record gave them."""
        self._refuse_after_end()
        turn = self._turn
        scheduled_id = journal_key(self._storage.install, turn.delivery.id, turn.replay, self._slots.of_timer(key))
        self._sends[scheduled_id] = tuple(of_call(call, is_later=True) for call in calls)
        return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC), tag, every.spec if every else None)

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel a send of this run, or return the result on record."""
        self._refuse_after_end()
        entry = self._turn.results.get(self._slots.of_cancelled())
        if self._sends.pop(scheduled_id, None) is not None:
            return True
        if entry is not None:
            return bool(from_json(entry.answer or b"false"))
        if scheduled_id:
            self.doubt("it is not on record if a scheduled send was still waiting to be cancelled")
        return False

    def discard(self) -> None:
        """Forget the sends of this run."""
        self._sends.clear()

    async def scheduled(self, chat_id: str) -> list[Scheduled]:
        """Return the list on record; without one an empty list."""
        self._refuse_after_end()
        if (entry := self._turn.results.get(self._slots.of_list())) is not None:
            return listed(entry)
        self.doubt("it is not on record which scheduled sends were waiting")
        return []

    async def start_broadcast(
        self,
        new: NewBroadcast,
        people: Sequence[str],
        *,
        check: Callable[[], Awaitable[None]],
    ) -> Broadcast:
        """Record a broadcast that is not stored, and return it. A stored one is returned as it is now."""
        self._refuse_after_end()
        stored = await self._storage.broadcast(new.name)
        if stored is not None:
            self.doubt("a broadcast was read as it is now")
            return stored
        self._made.append(ComparedCall("ctx.bot.broadcast", new.name, f"[broadcast {new.name}]"))
        return counted(new.stored("running"), {"pending": len(people)})

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast as it is now; None if none of this name is stored."""
        self.doubt("a broadcast was read as it is now")
        return await self._storage.broadcast(name)

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return people of a broadcast as it is now."""
        self.doubt("a broadcast was read as it is now")
        return await self._storage.recipients(name, outcome=outcome, after=after, limit=limit)

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Return the send at its new time. It is not known if it was still waiting."""
        self._refuse_after_end()
        self.doubt("it is not on record if a scheduled send was still waiting to be moved")
        return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))

    def enter_handler(self) -> None:
        """Go on with what the handler does."""
        self._slots.part = ""

    def leave_handler(self) -> None:
        """Go on with what is done outside of the handler, for the event that began the turn."""
        self._slots.part = OUTSIDE_FIRST

    def use_state(self, state: TurnState) -> None:
        """Do nothing: a dry run stores no state."""

    def sent_in_turn(self) -> SentInTurn:
        """Return the calls that this run has made so far, and the ids of the messages of the turn on record."""
        ids = frozenset(entry.message_id for entry in self._turn.call_entries if entry.message_id)
        return SentInTurn(tuple(self._answered), ids, self._of_earlier_parts)

    def stream(self, key: str | None) -> Unrecorded:
        """Return the record of a stream of which nothing was said."""
        self._refuse_after_end()
        stream = Unrecorded()
        stream.label = self._slots.label_of_stream(key)
        return stream


def _answer_of_then(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that a call got then, or a made-up one if none is kept.

    Raises:
        LinqApiError, AmbiguousCall, MessageGone: the call ended so then; see `outcome_of`.
    """
    if entry.status not in ("refused", "ambiguous") and entry.answer is None and entry.message_id is None:
        return ApiResponse(202, made_up_response(call, 0))
    return outcome_of(entry, call)


_FILTER: Final = "when:"
"""The beginning of the names of steps that ask a `when=` of a handler, which is a filter and has no effects."""


class RecordedAnswers:
    """Stands in for the questions and steps of a turn. It implements `Asker`.

    Attributes:
        unused_steps: The names of the steps on record that the run has not come to.
    """

    def __init__(self, turn: RecordedTurn, calls: RecordedCalls, clock: MovableClock) -> None:
        self._turn = turn
        self._calls = calls
        self._clock = clock
        self._root: Event | None = None
        self._records = turn.questions
        self._steps = turn.steps
        self._used: set[str] = set()
        self._number = 0
        # What the first part saw is in the record of the question that ended it.
        self._seen = {record.part: record.seen for record in self._records}

    @property
    def is_past(self) -> bool:
        """Always False: each call is compared with the record."""
        return False

    @property
    def is_dry(self) -> bool:
        """Always False: what is recorded as a step is answered from the record."""
        return False

    @property
    def unused_steps(self) -> list[str]:
        """See the class."""
        return [name for name in self._steps if name not in self._used and not name.startswith(_FILTER)]

    async def begin(self, ctx: TurnContext) -> None:
        """Let the handler see what the first part of a conversation has seen."""
        self._root = ctx.event
        if self._records:
            await ctx.enter_part(self._seen.get(0, Seen()))

    async def ask(self, question: Question, ctx: Context) -> Any:
        """Return the recorded answer of a question; if there is none, record the question and end the run.

        Raises:
            Suspended: no answer is on record, or the new code does not take it.
            AskTimeout, AskCancelled: the question ended without an answer.
            BotError: no question can be asked here.
        """
        assert isinstance(ctx, TurnContext)
        check_place(question.verb, ctx, self._turn.delivery.lane)
        self._number += 1
        record = self._match(question)
        if record is None:
            self._refuse_second_question(question, ctx)
        n = self._number if record is None else record.n
        await self._send(question, n, ctx)
        if record is None or record.outcome is None:
            self._calls.end()
            raise Suspended("The handler waits for an answer.")
        outcome = record.outcome
        await self._enter(n, outcome, ctx)
        if question.wait is not None:
            await self._close_request(record, ctx)
        if outcome["outcome"] == "cancelled":
            raise end_without_answer(outcome)
        if question.wait is not None:
            if outcome["outcome"] != "timed_out" and "result" not in outcome:
                self._calls.cut(f"the result of {question.verb}")
            return result_of(question.wait, outcome)
        if outcome["outcome"] == "timed_out":
            raise end_without_answer(outcome)
        event = record.event(ctx.chat_id)
        if event is not None:
            ctx.event = event
        try:
            return value_of(question, answer_in(outcome, event))
        except ValueError as error:
            await ctx.reply(str(error) or IN_ANOTHER_FORM, key=refusal_label(n, 1))
            self._calls.end()
            raise Suspended("The handler waits for another answer.") from None

    async def once(
        self,
        name: str,
        call: Callable[[str], Any],
        *,
        kind: Any,
        retry: bool,
        restartable: bool = False,
        recording: Recording | None = None,
    ) -> Any:
        """Return the recorded result of a step; if there is none, end the run: the step has an effect elsewhere.

        Raises:
            Suspended: no result is on record.
            BotError: the name was used before in this run.
        """
        if name in self._used:
            raise BotError(f"ctx.once({name!r}) was called twice in one run. Give each step a name of its own.")
        self._used.add(name)
        entry = self._steps.get(name)
        if entry is None and name.startswith(_FILTER):
            result = call("")
            return await result if inspect.isawaitable(result) else result
        if entry is None:
            self._calls.cut(f"the step {name!r}")
        self._calls.recall_step(name)
        return typed(name, entry.answer or b"null", kind)

    def end_questions(self, chat_id: str) -> None:
        """Do nothing: a dry run changes no question."""

    async def cancel_questions(self, chat_id: str) -> None:
        """Do nothing: a dry run changes no question."""

    def recall(self, name: str, *, kind: Any) -> Any:
        """Return None, as in the first run of the turn, so that what leads to a recorded result is compared too."""
        return None

    def _match(self, question: Question) -> AskRecord | None:
        """Return the record of a question: by its key, by its words, or else by its number."""
        left = [record for record in self._records if record.may_answer(question)]
        digest = question.digest
        of_key = [record for record in left if record.key == question.key]
        if question.key is not None:
            found = of_key[0] if of_key else None
        else:
            same = (record for record in of_key if record.digest == digest)
            found = next(same, None) or next((each for each in of_key if each.number == self._number), None)
        if found is not None:
            found.is_used = True
        return found

    async def _close_request(self, record: AskRecord, ctx: Context) -> None:
        """Cancel the payment request of a wait, if the turn on record did."""
        label = closing_label(f"{PROMPT}{record.n}")
        payment = record.opened["question"].get("payment") if record.opened else None
        if payment and any(entry.slot == labelled(part_name(record.n), label, 0) for entry in self._turn.entries):
            with contextlib.suppress(LinqApiError):
                await ctx.client.named(label).payment_requests.cancel(payment)

    def _refuse_second_question(self, question: Question, ctx: Context) -> None:
        """Refuse a new question to a person who had not answered that of another handler when the turn began."""
        if question.wait is not None:
            return
        root = self._root or ctx.event
        person = person_to_ask(question, root)
        if may_replace(root, person):
            return
        for other in self._turn.conversations:
            if (other.person, other.status) == (person, "waiting"):
                raise second_question(ctx.handler, other)

    async def _send(self, question: Question, n: int, ctx: TurnContext) -> None:
        """Make the calls that ask a question.

        Raises:
            AskCancelled: the question could not be asked.
        """
        if question.wait is None:
            texts, _, _ = await send_choices(question, ctx.event, f"{PROMPT}{n}", ctx)
            for sent in texts:
                if (refused := refusal_of(sent)) is not None:
                    raise cancelled_for(refused)
            return
        try:
            await begin_wait(question.wait, question, n, ctx.event, ctx)
        except AskRefused as error:
            raise cancelled_for(error.reason) from None

    async def _enter(self, n: int, outcome: QuestionEnd, ctx: TurnContext) -> None:
        """Go on with the part that follows a question, at the time of its answer."""
        self._calls.enter(part_name(n))
        self._clock.advance(outcome.get("at", self._clock.now()) - self._clock.now())
        # Of the last part, no record says what it has read.
        await ctx.enter_part(self._seen.get(n))
