"""Questions and steps of a run of new code on an old delivery: answered from the record, with the state and the time of then.

A question that the new code words differently gets the answer on record all the same, as in a deploy while the question
is open. A step that is not on record is not made, because it has an effect elsewhere: the run ends there.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Final

from linqbot.bot.asking.answers import IN_ANOTHER_FORM, value_of
from linqbot.bot.asking.question import Question
from linqbot.bot.asking.seen import Seen
from linqbot.bot.context import Context
from linqbot.bot.conversation.turn_state import Recording
from linqbot.bot.turn_context import TurnContext
from linqbot.clock import MovableClock
from linqbot.errors import BotError, LinqApiError, Suspended
from linqbot.events.event import Event
from linqbot.ops.dry_deploy.recorded_calls import RecordedCalls
from linqbot.ops.dry_deploy.recorded_turn import RecordedTurn
from linqbot.worker.asking.prompts import refusal_of, send_choices
from linqbot.worker.asking.records import (
    PROMPT,
    AskRecord,
    AskRefused,
    QuestionEnd,
    answer_in,
    cancelled_for,
    end_without_answer,
    part_name,
    refusal_label,
)
from linqbot.worker.asking.steps import typed
from linqbot.worker.asking.unaskable import check_place, may_replace, person_to_ask, second_question
from linqbot.worker.asking.waits.payments import closing_label
from linqbot.worker.asking.waits.waiting import begin_wait, result_of
from linqbot.worker.calls.slots import labelled

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
