"""Run a bot's handlers on deliveries of its own storage, with a recorder that lists each call instead of making it.

No plugin is started and no observer hook runs. Replies are matched with what the bot really sent. A send whose time has
come can be repeated too, although it has no webhook. A delivery that went to an open question is no turn of its own.
Questions and steps are answered from the journal as far as possible; then the run ends, and says why. The command
`linqbot inbox replay bot.py` prints what was recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.outbound_plugins import Outbound
from linqbot.errors import AskEnded, Suspended
from linqbot.events.delivery import Delivery
from linqbot.features import notices
from linqbot.features.asking.admission import ORDER_PREFIX
from linqbot.features.asking.answers import value_of
from linqbot.features.asking.arrivals import NOTHING, Arrival, meaning_of
from linqbot.features.asking.question import OpenQuestion, Question
from linqbot.features.asking.records import AskRecord, answer_in, end_without_answer, record_of
from linqbot.features.asking.steps import steps_on_record, typed
from linqbot.features.lookups import KnownChats
from linqbot.features.state import Recording
from linqbot.interrupts import RunningTask
from linqbot.ops.call_recorder import CallRecorder
from linqbot.ops.dry_deploy.chosen_turns import ChosenTurns, ConversationsThen, KeptOpen
from linqbot.ops.dry_deploy.new_run import event_of, send_again
from linqbot.ops.simulate import Simulation
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry

_SEE_CONVERSATION: Final = "To see that conversation, replay the delivery with which it began: {}"
_ANSWER: Final = f"It answered a question, so the handler that asked took it. {_SEE_CONVERSATION}"
_TO_QUESTION: Final = (
    "A question was open when it came, which it did not end: it was a refused answer, or a vote that was counted. "
    + _SEE_CONVERSATION
)


class DryRun:
    """Runs a bot's handlers on stored deliveries, each at the time at which it was received.

    Args:
        client: Used for reads, if they are allowed; already open.
        storage: Holds the deliveries, and knows which messages the bot has sent. It is only read.
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        plugins: Their middleware and routers run as in production; their observer hooks do not run.
    Raises:
        BotError: a handler can never run, because one before it takes everything.
        ConfigError: a required plugin failed at adding something.
    """

    def __init__(
        self, bot: Bot, client: Client, storage: Storage, *, reads: bool, plugins: Plugins | None = None
    ) -> None:
        plugins = plugins or Plugins()
        self._clock = MovableClock(0.0, frozen=True)
        self._dispatcher = Dispatcher(bot, self._clock, plugins=plugins)
        self._outbound = Outbound(plugins)
        self._client = client
        self._storage = storage
        self._known_chats = KnownChats()
        self._reads = reads

    async def replay(self, ids: Sequence[str], *, chosen: ChosenTurns | None = None) -> AsyncIterator[Simulation]:
        """Run the handlers on stored deliveries, in this order.

        Args:
            chosen: The turns of these deliveries, by which those that went to an open question are known. None takes each
                for a turn of its own.
        """
        async for page in self._storage.pages(ids):
            for delivery in page:
                yield await self.run(delivery, chosen=chosen)

    async def run(self, delivery: Delivery, *, chosen: ChosenTurns | None = None) -> Simulation:
        """Run the handlers on one delivery. An error that they raise is in the result, a SystemExit included.

        Args:
            chosen: See `replay`.
        """
        # At the time of the delivery: today every message would be too old to reach a handler.
        self._clock.advance(delivery.received_at - self._clock.now())
        recorder = CallRecorder(reads=self._reads, check_broadcast=self._outbound.check_broadcast)
        client = recorder.around(self._client).wrapped(self._outbound.wrap)
        handler: str | None = None
        error: BaseException | None = None
        note = await note_on(delivery, self._storage)
        began_with = None if chosen is None else chosen.answered.get(delivery.id)
        if note is None and began_with is not None:
            # The handler that takes other messages would not have got it.
            return Simulation(delivery, note=_ANSWER.format(began_with), began_with=began_with)
        entries = await self._storage.entries(delivery.id)
        try:
            arrived = NOTHING if chosen is None or note else await self._arrival(delivery, chosen)
        except ChoiceFailed as failed:
            return Simulation(delivery, error=failed.__cause__)
        concerned = arrived.counted or (arrived.conversation if arrived.outcome is not None else None)
        if concerned is not None and not entries:
            return Simulation(delivery, note=_TO_QUESTION.format(concerned.id), began_with=concerned.id)
        asker = DryAsker(entries)
        task = RunningTask()
        try:
            if not await send_again(delivery, client):
                given_up = notices.dead_letter_of(delivery) if notices.is_dead_letter_notice(delivery) else None
                source = given_up.delivery if given_up else delivery
                event = await event_of(source, self._storage, self._known_chats)
                ctx = self._dispatcher.context(
                    event,
                    client,
                    recorder,
                    state_store=self._storage,
                    asking=lambda: asker,
                    side=KeptOpen(arrived.question) if arrived.is_side and arrived.question is not None else None,
                    after_ask=arrived.after_ask,
                )
                try:
                    if given_up is None:
                        await self._dispatcher.dispatch(event, ctx)
                    else:
                        await self._dispatcher.dispatch_dead_letter(given_up.failure, event, ctx)
                finally:
                    handler = ctx.handler
                if ctx.is_answer and arrived.conversation is not None:
                    answered = arrived.conversation.id
                    return Simulation(delivery, note=_TO_QUESTION.format(answered), began_with=answered)
        except (Suspended, AskEnded):
            pass  # The handler has ended with a question.
        except BaseException as raised:
            if task.is_ended_by(raised):
                raise
            error = raised  # the author of the bot wants to see whatever a handler raises
        return Simulation(
            delivery,
            recorder.calls,
            recorder.later,
            list(recorder.broadcasts.values()),
            handler,
            error,
            note=" ".join(filter(None, (note, asker.note))) or None,
        )

    async def _arrival(self, delivery: Delivery, chosen: ChosenTurns) -> Arrival:
        """Return the meaning of a delivery for the questions that were open when it came, as the worker decides it."""
        open_then = chosen.conversations_at(delivery)
        if not open_then:
            return NOTHING
        summaries = [each.summary for each in open_then]
        return await meaning_of(delivery, summaries, self._dispatcher, ConversationsThen(open_then, self._storage))


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
