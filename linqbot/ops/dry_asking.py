"""Questions and steps in a dry run: answered from the journal as far as possible. Then the run ends, and says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from linqbot.bot.asking.answers import value_of
from linqbot.bot.asking.question import OpenQuestion, Question
from linqbot.bot.context import Context
from linqbot.bot.conversation.turn_state import Recording
from linqbot.errors import Suspended
from linqbot.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.worker.asking.deliveries import ORDER_PREFIX
from linqbot.worker.asking.records import AskRecord, answer_in, end_without_answer, record_of
from linqbot.worker.asking.steps import steps_on_record, typed

_MOST = 10_000


class DryAsker:
    """Stands in for the questions and steps of a turn. It implements `Asker`.

    Args:
        entries: The journal entries of the turn.

    Attributes:
        note: Why the run has ended before its end; None if it has not.
    """

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        self.note: str | None = None
        self._records = [record_of(entry) for entry in entries if entry.safety == "ask" and entry.answer]
        self._steps = steps_on_record(entries)

    @property
    def is_past(self) -> bool:
        """Always False: a dry run records every call."""
        return False

    @property
    def is_dry(self) -> bool:
        """Always True."""
        return True

    async def ask(self, question: Question, ctx: Context) -> Any:
        """Return the recorded answer of a question; if there is none, record the question and end the run.

        Raises:
            Suspended: no answer is on record.
            AskTimeout, AskCancelled: the question ended without an answer.
        """
        await ctx.reply(*question.messages(numbered=bool(question.choices)))
        record = self._record(question)
        if record is None or record.outcome is None:
            self.note = "It asks this question and waits. No answer is on record, so the dry run ends here."
            raise Suspended(self.note)
        if record.outcome["outcome"] != "answered":
            raise end_without_answer(record.outcome)
        event = record.event(ctx.chat_id)
        try:
            return value_of(question, answer_in(record.outcome, event))
        except ValueError:
            self.note = "The recorded answer does not fit this question, so it would be asked again."
            raise Suspended(self.note) from None

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
        """
        entry = self._steps.get(name)
        if entry is None:
            self.note = f"ctx.once({name!r}) has an effect outside of Linq, and no result is on record, so the dry run ends here."
            raise Suspended(self.note)
        return typed(name, entry.answer or b"null", kind)

    def end_questions(self, chat_id: str) -> None:
        """Do nothing: a dry run changes no question."""

    async def cancel_questions(self, chat_id: str) -> None:
        """Do nothing: a dry run changes no question."""

    def recall(self, name: str, *, kind: Any) -> Any:
        """Return the recorded result of a step; None if there is none."""
        entry = self._steps.get(name)
        return None if entry is None else typed(name, entry.answer or b"null", kind)

    def _record(self, question: Question) -> AskRecord | None:
        for record in self._records:
            is_same = record.key == question.key if question.key else record.digest == question.digest
            if is_same and record.may_answer(question):
                record.is_used = True
                return record
        return None


async def note_on(delivery: Delivery, storage: Storage) -> str | None:
    """Return why a dry run cannot show what really happens with a delivery of a conversation; None if it can.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    if delivery.id.startswith(ORDER_PREFIX):
        return (
            "It ends a question of ctx.ask, such as after a timeout, and no dry run shows that. To continue the "
            f"conversation: linqbot inbox retry {delivery.id}"
        )
    for conversation in await storage.conversations(limit=_MOST):
        question = OpenQuestion.model_validate_json(conversation.question)
        if conversation.status == "failed" and question.failed_by == delivery.id:
            return (
                f"It answered a question of handler {conversation.handler}. The dry run shows it as a message of its own. "
                f"To continue the conversation with it: linqbot inbox retry {delivery.id}"
            )
    return None
