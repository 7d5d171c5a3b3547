"""A conversation within one run of its handler: past questions return their answers, the next one suspends the handler.

The handler runs from its start. The calls before an answered question form a part that is over: they are answered from
the journal, and a call that is not on record is not made. From the newest answer on, the handler is live. Next step:
`worker/turn.py` stores what the session `writes` in the commit that ends the turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog

from linqbot.bot.asking.answers import IN_ANOTHER_FORM, value_of
from linqbot.bot.asking.code import code_digest
from linqbot.bot.asking.question import (
    MOST_ASKS,
    LookedUp,
    OpenQuestion,
    Question,
    as_prompt,
    cancel_words,
    text_to_show,
)
from linqbot.bot.asking.seen import Seen, joined
from linqbot.bot.asking.waits import Wait
from linqbot.bot.context import Context
from linqbot.bot.conversation.turn_state import Recording
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.sent import Sent
from linqbot.bot.turn_context import TurnContext
from linqbot.bot.turn_watcher import AnswerResult, turn_watcher
from linqbot.clock import Clock
from linqbot.errors import BotError, ConversationTooLong, Suspended
from linqbot.events.delivery import Delivery, decode
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse
from linqbot.events.reaction import ReactionAdded
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation, ConversationSummary
from linqbot.storage.inbox import Ack, DeadLetter, Lease, Outcome
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.worker.asking.deliveries import look, timeout
from linqbot.worker.asking.locations import look_again_after_s
from linqbot.worker.asking.opening import Opening, Writes, writes_of_failure
from linqbot.worker.asking.polls import send_choices
from linqbot.worker.asking.records import (
    PROMPT,
    AskRecord,
    AskRefused,
    Opened,
    answer_in,
    by_part,
    cancelled_for,
    end_without_answer,
    part_name,
    prompts_of,
    record_of,
    refusal_label,
)
from linqbot.worker.asking.steps import Steps, check_length
from linqbot.worker.asking.waiting import begin_wait, end_of_wait, key_of_wait, refusal_of, result_of
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.lookups import KnownChat, with_chat

log = structlog.get_logger("linqbot.worker")


def root_of(conversation: Conversation, question: OpenQuestion) -> Event:
    """Return the event that began a conversation, with what was looked up for it then."""
    body = decode(conversation.root)
    kind = body.get("event_type") if isinstance(body, dict) else ""
    lane = lane_of_chat(conversation.chat_id)
    event = parse(Delivery(conversation.id, lane, str(kind or ""), conversation.root, 0.0, decoded=body))
    if isinstance(event, MessageReceived):
        burst = (_with(each, found) for each, found in zip(event.burst, question.burst, strict=False))
        return _with(event, question).model_copy(update={"burst": tuple(burst)} if question.burst else {})
    if isinstance(event, ReactionAdded) and question.answers is not None:
        event = event.model_copy(update={"answers": question.answers})
    return with_chat(event, KnownChat(question.is_group, question.line))


def _with(message: Event, found: OpenQuestion | LookedUp) -> Event:
    return message.model_copy(update={"replies_to_me": found.replies_to_me, "answers": found.answers})


class AskSession:
    """The questions and steps of one run of a handler. It implements `Asker`, `Resumption` and `SideTurn`.

    Attributes:
        handler, root: See `Resumption`. Set only if the turn continues a conversation.
    """

    handler: str
    root: Event

    def __init__(  # noqa: PLR0917 - only the worker makes sessions
        self,
        journal: TurnJournal,
        storage: Storage,
        dispatcher: Dispatcher,
        clock: Clock,
        lease: Lease,
        opening: Opening,
    ) -> None:
        self._journal = journal
        self._storage = storage
        self._dispatcher = dispatcher
        self._clock = clock
        self._lease = lease
        self._opening = opening
        self._arrival = opening.arrival
        self._steps: Steps | None = None
        # The conversation that the turn continues; None if the handler begins with this turn.
        self._conversation = conversation = opening.conversation
        self._records: list[AskRecord] = []
        # The journal entries of the records, by their number.
        self._record_entries: dict[int, JournalEntry] = {}
        # The entries of earlier runs' calls, by the name of their part; and what the parts have seen, by their number.
        self._parts: dict[str, list[JournalEntry]] = {}
        self._seen: dict[int, Seen] = {}
        # The number of the part that the handler runs through.
        self._part = 0
        # The number of questions that this run has come to, and the number of the conversation's next new question.
        self._number = 0
        self._next = 1
        # The question that the event of this turn answers or ends; and True once the handler has passed it.
        self._live: AskRecord | None = None
        self._is_live = conversation is None
        # True once the handler of the conversation runs. Middleware may keep the event from it.
        self._has_begun = False
        # The question at which the handler was suspended in this run, its conversation, and its timeout.
        self._asked: tuple[AskRecord, Conversation, Timer] | None = None
        # The timer that looks for the result of a wait, if there is one.
        self._looks: list[Timer] = []
        # The conversation whose question was sent again after a side answer, if there is one.
        self._repeated: list[Conversation] = []
        if conversation is None:
            return
        question = opening.arrival.question
        assert question is not None
        self.handler = conversation.handler
        self.root = root_of(conversation, question)
        self._next = question.next
        for entry in opening.known:
            if entry.safety == "ask":
                record = record_of(entry)
                self._records.append(record)
                self._record_entries[record.n] = entry
                if record.n == question.n:
                    self._live = record
                    record.outcome = opening.arrival.outcome
        self._parts = by_part(opening.known)
        self._seen = {record.part: record.seen for record in self._records}
        if (opening.arrival.outcome or {}).get("reason") == "opted_out":
            journal.muted_chat = conversation.chat_id

    @property
    def is_past(self) -> bool:
        """True while the handler runs through a part that an earlier run has ended."""
        return self._journal.is_past

    @property
    def is_dry(self) -> bool:
        """Always False."""
        return False

    @property
    def is_suspended(self) -> bool:
        """True if the handler has asked a question in this run."""
        return self._asked is not None

    async def begin(self, ctx: TurnContext) -> None:
        """Note that the handler runs; see `Resumption.begin`."""
        self._has_begun = True
        ctx.event = self.root
        ctx.after_ask = self._arrival.question.after_ask if self._arrival.question else None
        is_past = self._opening.live_from != 0
        await ctx.enter_part(self._seen.get(0, Seen()) if is_past else None, in_place_of=self._replaced(0))
        self._journal.enter("", self._parts.get("", ()), is_past=is_past)

    @property
    def missed_in(self) -> int | None:
        """The part in which the handler has ended without coming to the open question; None if it came to it."""
        if self._conversation is None or not self._has_begun or self._opening.live_from is not None:
            return None
        return None if self._is_live or self._asked is not None else self._part

    @property
    def is_restartable(self) -> bool:
        """True if the turn may begin again with other input: nothing was asked, and no step holds its input."""
        return not self._number and (self._steps is None or not self._steps.holds_input)

    async def once(
        self,
        name: str,
        call: Callable[[str], Awaitable[Any] | Any],
        *,
        kind: Any,
        retry: bool,
        restartable: bool = False,
        recording: Recording | None = None,
    ) -> Any:
        """Return the recorded result of a step, or make it; see `Asker.once`."""
        return await self._steps_of_run().once(
            name, call, kind=kind, retry=retry, restartable=restartable, recording=recording
        )

    def recall(self, name: str, *, kind: Any) -> Any:
        """Return the recorded result of a step; None if there is none. See `Asker.recall`."""
        return self._steps_of_run().recall(name, kind=kind)

    def _steps_of_run(self) -> Steps:
        if self._steps is None:
            self._steps = Steps(self._journal, self._storage, len(self._opening.known))
        return self._steps

    async def ask(self, question: Question, ctx: Context) -> Any:
        """Return the recorded answer, or ask and end the handler; see `Asker.ask`.

        Raises:
            Suspended: the question was asked.
            AskTimeout: no answer came in time.
            AskCancelled: the question has ended without an answer.
            BotError: no question can be asked here.
        """
        assert isinstance(ctx, TurnContext)
        self._check(question.verb, ctx)
        self._number += 1
        record = self._match(question, ctx)
        if record is not None and record.outcome is not None:
            record.is_used = True
            await self._enter(record, ctx)
            return await self._answer(record, question, ctx)
        await self._ask(question, ctx)
        raise Suspended("The handler waits for an answer.")

    @property
    def takes_any_handler(self) -> bool:
        """True if any handler may take the event; see `SideTurn.takes_any_handler`."""
        return self._arrival.question is not None and self._arrival.question.side_questions

    async def ask_again(self, ctx: Context) -> None:
        """Send the open question again, after another handler has answered; see `SideTurn.ask_again`."""
        question = self._arrival.question
        self._note("kept_open")
        if question is None or not question.repeat:
            return
        sent = await send_again(question, ctx)
        if self._arrival.conversation is not None:
            # A tapback on the repeated question is an answer as well.
            messages = (*question.messages, *sent)
            repeated = question.model_copy(update={"messages": messages})
            self._repeated = [replace(self._arrival.conversation, question=repeated.to_json())]

    def writes(self, outcome: Outcome) -> Writes | None:
        """Return what the commit that ends the turn stores."""
        if isinstance(outcome, DeadLetter):
            return writes_of_failure(self._opening, self._lease)
        if not isinstance(outcome, Ack) or (self._conversation is not None and not self._has_begun):
            # The turn runs again; or middleware, or the bot's settings, kept the event from the handler.
            return None
        by = self._lease.delivery
        changed = (record for record in self._records if self._is_changed(record))
        entries = [record.written_to(self._entry_of(record), by) for record in changed]
        ended = list(self._arrival.ended)
        recounted = self._opening.recounted
        cancelled = [self._arrival.question.timer] if self._has_begun and self._arrival.question else []
        if self._asked is not None:
            _, conversation, timer = self._asked
            timers = [timer, *self._looks, *recounted.timers]
            cancelled = [each for each in cancelled if each != timer.id]
            return Writes(entries, timers, cancelled, [conversation, *recounted.conversations], ended)
        if self._conversation is None:
            conversations = [*recounted.conversations, *self._repeated]
            return Writes(entries, recounted.timers, conversations=conversations, ended=ended)
        is_question = self._arrival.question is not None and self._arrival.question.takes_words
        is_timed_out = self._live is not None and self._live.outcome == {"outcome": "timed_out"}
        if is_question and is_timed_out and self._newer(self._conversation.person, self._conversation.chat_id) is None:
            return Writes(entries, (), cancelled, [self._timed_out()], ended)
        return Writes(entries, (), cancelled, (), [*ended, self._conversation.id])

    def _timed_out(self) -> Conversation:
        assert self._conversation is not None
        assert self._arrival.question is not None
        hidden: dict[str, Any] = {"prompt": (), "messages": (), "choices": (), "options": {}, "after_ask": None}
        if self._conversation.off_the_record:
            hidden["text"] = ""
        question = self._arrival.question.model_copy(update=hidden)
        return replace(self._conversation, status="timed_out", question=question.to_json(), root=b"")

    # A question that was asked before

    def _check(self, verb: str, ctx: Context) -> None:
        self._journal.refuse_after_end(verb.removeprefix("ctx."))
        if not self._journal.is_in_own_task:
            raise BotError(
                f"{verb}() was called in a task that the handler started, such as by asyncio.gather, a TaskGroup or "
                f"asyncio.wait_for. One question waits at a time: await {verb}(…) in the handler itself, one after the "
                "other, and limit its time with timeout_s=."
            )
        check_place(verb, ctx, None if self._conversation is not None else self._lease.delivery.lane)
        if self._steps is not None and self._steps.under_way is not None:
            raise BotError(
                f"{verb}() was called in the step {self._steps.under_way!r}. A question ends the handler, which would cut "
                "the step off. Ask before ctx.once, and use the answer in it."
            )
        if ctx.handler is not None and self._dispatcher.is_name_of_several(ctx.handler):
            raise BotError(
                f"Several handlers are called {ctx.handler}, and the answer goes to a handler by its name. So {verb}() could "
                "continue the wrong one. Give each function a name of its own before you register it, such as: "
                'order.__qualname__ = f"order_{dish}"'
            )
        if self._number >= MOST_ASKS:
            raise ConversationTooLong(
                f"The conversation has {MOST_ASKS} questions, which is the most. Let handler {ctx.handler} end, keep what "
                "it has learned in ctx.state, and go on with the person's next message."
            )

    def _match(self, question: Question, ctx: Context) -> AskRecord | None:
        """Return the record of a question that an earlier run asked; None if no run did."""
        left = [record for record in self._records if not (record.is_used or record.is_void)]
        if question.key is not None:
            return next((record for record in left if record.key == question.key), None)
        digest = question.digest
        left = [record for record in left if record.key is None]
        if same := next((record for record in left if record.digest == digest), None):
            return same
        # The words may differ from run to run. As long as the code is the same, the number decides.
        code = self._code(ctx)
        return next((record for record in left if record.number == self._number and record.code == code), None)

    async def _enter(self, record: AskRecord, ctx: TurnContext) -> None:
        """Go on with the part that follows a question."""
        known = list(self._parts.get(part_name(record.n), ()))
        if record.splits is not None and record.splits == self._part:
            # New code has put the question into this part. The rest of the part's calls may follow now.
            known += self._journal.unmatched()
        earlier = [*self._parts.get(part_name(self._part), ()), *prompts_of(record.n, self._opening.known)]
        self._is_live = self._is_live or record is self._live
        self._part = record.n
        is_past = not self._is_live and record.n != self._opening.live_from
        self._journal.enter(part_name(record.n), known, is_past=is_past, earlier=earlier)
        await ctx.enter_part(
            self._seen.get(record.n, Seen()) if is_past else None, in_place_of=self._replaced(record.n)
        )

    def _replaced(self, part: int) -> Seen | None:
        """Return what the runs saw and left whose place this run takes, because it does not come to the open question.

        It takes the place of the part's own run, and of those of later parts if their questions are gone as well.
        """
        if part != self._opening.live_from or self._live is None:
            return None
        runs = [self._live]
        while runs[0].part != part:
            before = next((record for record in self._records if record.n == runs[0].part), None)
            if before is None:
                return None
            runs.insert(0, before)
        return joined([record.seen for record in runs])

    async def _answer(self, record: AskRecord, question: Question, ctx: TurnContext) -> Any:
        outcome = record.outcome
        assert outcome is not None
        if question.wait is not None:
            return await self._result(record, question.wait, ctx)
        is_live = record is self._live
        if outcome["outcome"] != "answered":
            self._note(outcome["outcome"], when=is_live)
            raise end_without_answer(outcome)
        event = self._arrival.event if is_live and "body" in outcome else record.event(ctx.chat_id)
        if event is not None:
            ctx.event = event
        try:
            value = value_of(question, answer_in(outcome, event))
        except ValueError as error:
            if not is_live:
                # Today's code refuses an answer that was valid when it was given.
                log.warning("ask.again", conversation=self._journal.turn, handler=ctx.handler, key=question.key)
                record.is_void = True
                await self._ask(question, ctx)
            else:
                await self._refuse(record, question, str(error), ctx)
        else:
            self._note("answered", when=is_live)
            return value
        raise Suspended("The handler waits for an answer.")

    async def _result(self, record: AskRecord, wait: Wait, ctx: TurnContext) -> Any:
        """Return the result of a wait. In the live part it is found out first, and stored when the turn ends."""
        assert record.outcome is not None
        if record is self._live:
            assert self._arrival.question is not None
            end = await end_of_wait(wait, self._arrival.question, record.outcome, ctx)
            if end is None:
                self._look_again(record, self._arrival.question, ctx)
                raise Suspended("The handler goes on waiting.")
            record.outcome = end
            self._note("cancelled" if end["outcome"] == "cancelled" else "answered")
        if record.outcome["outcome"] == "cancelled":
            raise cancelled_for(record.outcome["reason"])
        if (event := record.event(ctx.chat_id)) is not None:
            ctx.event = event
        return result_of(wait, record.outcome)

    def _look_again(self, record: AskRecord, waiting: OpenQuestion, ctx: TurnContext) -> None:
        """Keep the wait open, and check again later."""
        assert self._conversation is not None
        assert record.outcome is not None
        question = waiting.model_copy(update={"looks": waiting.looks + 1})
        due = self._clock.now() + look_again_after_s(waiting.looks)
        self._looks = [look(self._conversation, question, record.outcome, due)]
        self._keep_open(record, self._conversation, question, ctx)

    async def _refuse(self, record: AskRecord, question: Question, why: str, ctx: TurnContext) -> None:
        """Show the person why the answer is invalid, and wait for another one."""
        conversation, waiting = self._conversation, self._arrival.question
        assert conversation is not None
        assert waiting is not None
        if conversation.status == "failed":
            await self._refuse_second_question(conversation.person, ctx)
        tries = waiting.tries + 1
        if tries >= question.tries:
            record.outcome = {"outcome": "cancelled", "reason": "invalid"}
            self._note("given_up")
            raise cancelled_for("invalid")
        sent = await ctx.reply(why or IN_ANOTHER_FORM, key=refusal_label(record.n, tries))
        if sent.status == "opted_out":
            record.outcome = {"outcome": "cancelled", "reason": "opted_out"}
            self._note("cancelled")
            raise cancelled_for("opted_out")
        self._note("invalid")
        if conversation.status == "failed":
            conversation = replace(conversation, until=self._clock.now() + question.timeout_s)
        messages = (*waiting.messages, *(message.id for message in sent.messages))
        refused = waiting.model_copy(update={"tries": tries, "messages": messages})
        self._keep_open(record, conversation, refused, ctx)

    def _keep_open(
        self, record: AskRecord, conversation: Conversation, question: OpenQuestion, ctx: TurnContext
    ) -> None:
        """Suspend the handler at a question that stays open. It keeps its timer, unless its conversation has failed."""
        record.outcome = None
        is_failed = conversation.status == "failed"
        timer = timeout(conversation, record.n, again=is_failed)
        if not is_failed:
            timer = replace(timer, id=question.timer)
        question = question.model_copy(update={"failed_by": None, "timer": timer.id})
        self._suspend(record, replace(conversation, status="waiting", question=question.to_json()), timer, ctx)

    def _note(self, result: AnswerResult, *, when: bool = True) -> None:
        """Notify the watcher of the turn of what the event made of the open question."""
        asked, conversation, watcher = self._arrival.question, self._arrival.conversation, turn_watcher.get()
        if when and watcher is not None and asked is not None and conversation is not None:
            watcher.met_question(asked.text, conversation.handler, result)

    # A new question

    async def _ask(self, question: Question, ctx: TurnContext) -> None:
        """Send a question, and end the run."""
        check_length(len(self._opening.known), f"a question of handler {ctx.handler}")
        n = self._next
        if question.wait is None:
            person = person_to_ask(question, self._root(ctx))
            await self._refuse_second_question(person, ctx)
        else:
            person = key_of_wait(question.wait, self._root(ctx), self._journal.turn)
        record = AskRecord(n, self._number, question.key, question.digest, self._code(ctx), self._part)
        if not self._is_live:
            await ctx.go_live()
        record.seen = ctx.seen_in_part()
        if any(each.outcome and not (each.is_used or each.is_void) for each in self._records):
            record.splits = self._part
        # The question has effects, even in the middle of a part that is over. Its calls are named.
        self._journal.is_past = False
        self._is_live = True
        open_question = await self._send(question, record, ctx)
        if (watcher := turn_watcher.get()) is not None:
            watcher.asked(open_question.text)
        self._next = n + 1
        now = self._clock.now()
        begun = self._conversation
        root = self._lease.delivery.body if begun is None else begun.root
        conversation = Conversation(
            id=self._journal.turn,
            replay=self._journal.replay,
            chat_id=ctx.chat_id,
            person=person,
            handler=ctx.handler or "",
            status="waiting",
            asked_at=now,
            until=now + question.timeout_s,
            question=open_question.to_json(),
            off_the_record=self._journal.off_the_record,
            root=root if ctx.overlap is None else ctx.overlap.with_taken(root),
        )
        timer = timeout(conversation, n)
        open_question = open_question.model_copy(update={"timer": timer.id})
        if open_question.is_known:
            self._looks = [look(conversation, open_question, {"outcome": "answered", "text": ""}, now)]
        if not conversation.off_the_record:
            record.opened = Opened(
                since=self._lease.delivery.received_at,
                chat_id=conversation.chat_id,
                person=person,
                handler=conversation.handler,
                until=conversation.until,
                question=open_question.model_dump(mode="json", exclude_defaults=True),
            )
        self._records.append(record)
        self._suspend(record, replace(conversation, question=open_question.to_json()), timer, ctx)
        record.seen = replace(record.seen, left=ctx.left_in_part())

    async def _send(self, question: Question, record: AskRecord, ctx: TurnContext) -> OpenQuestion:
        """Send the messages of a question and its poll.

        Raises:
            AskCancelled: the person has opted out, or a plugin refused it.
        """
        label = f"{PROMPT}{record.n}"
        if question.wait is not None:
            try:
                opened = await begin_wait(question.wait, question, record.n, self._root(ctx), ctx)
            except AskRefused as error:
                raise cancelled_for(error.reason) from None
            return opened.model_copy(update=self._known_of_root(ctx))
        texts, poll, options = await send_choices(question, ctx.event, label, ctx)
        ids = tuple(message for sent in texts for message in _ids(sent))
        messages = question.messages(numbered=bool(question.choices) and poll is None, service=ctx.event.service)
        return OpenQuestion(
            n=record.n,
            key=question.key,
            text=text_to_show(messages),
            messages=ids,
            choices=question.choices,
            poll=poll,
            options=options,
            reactions=() if question.yes is None else (question.yes, "dislike"),
            events=question.events,
            cancel=cancel_words(question.cancel, question.choices),
            repeat=question.repeat,
            also=tuple(handle.casefold() for handle in question.also),
            side_questions=question.side_questions,
            prompt=as_prompt(messages),
            next=record.n + 1,
            **self._known_of_root(ctx),
        )

    def _root(self, ctx: Context) -> Event:
        return ctx.event if self._conversation is None else self.root

    def _known_of_root(self, ctx: Context) -> dict[str, Any]:
        """Return what is known of the event that began the conversation, besides its body: see `root_of` and `begin`."""
        root, after_ask = self._root(ctx), ctx.after_ask
        if isinstance(root, MessageReceived):
            burst = (LookedUp(replies_to_me=each.replies_to_me, answers=each.answers) for each in root.burst)
            found = {"replies_to_me": root.replies_to_me, "answers": root.answers, "burst": tuple(burst)}
            return {**found, "after_ask": after_ask}
        answers = root.answers if isinstance(root, ReactionAdded) else None
        return {"answers": answers, "is_group": root.is_group, "line": root.line, "after_ask": after_ask}

    def _suspend(self, record: AskRecord, conversation: Conversation, timer: Timer, ctx: TurnContext) -> None:
        ctx.suspend()
        self._asked = record, conversation, timer
        self._journal.is_suspended = True

    async def _refuse_second_question(self, person: str, ctx: Context) -> None:
        other = self._newer(person, ctx.chat_id)
        found = None if other is None else await self._storage.conversation(other.id)
        if found is not None:
            raise second_question(ctx.handler, found[0])

    def _newer(self, person: str, chat_id: str) -> ConversationSummary | None:
        """Return another conversation of the person in the chat that waits for an answer; None if there is none."""
        # Not those that end with this turn, such as one whose handler is gone after a deploy.
        others = (each for each in self._storage.conversations_in(chat_id) if each.id not in self._arrival.ended)
        return next(
            (
                each
                for each in others
                if each.person == person and each.status == "waiting" and each.id != self._journal.turn
            ),
            None,
        )

    def _code(self, ctx: Context) -> str:
        return code_digest(self._dispatcher.handler_named(ctx.handler or ""))

    def _is_changed(self, record: AskRecord) -> bool:
        return record is self._live or record.is_void or (self._asked is not None and record is self._asked[0])

    def _entry_of(self, record: AskRecord) -> JournalEntry:
        known = self._record_entries.get(record.n)
        return self._journal.new_entry(record.slot, "ask", record.call) if known is None else known


def check_place(verb: str, ctx: Context, lane: str | None) -> None:
    """Refuse a question where no handler can wait for its answer.

    Args:
        verb: The method that asks, such as `ctx.ask`.
        lane: The lane of the delivery; None if the handler goes on after a question.
    Raises:
        BotError: no handler runs, another question is open, or the event is not in the lane of a chat.
    """
    if not ctx.is_handling or ctx.handler is None:
        raise BotError(f"{verb}() was called outside of a handler. Middleware, `when=` and error handlers cannot ask.")
    if ctx.side is not None:
        raise BotError(
            f"Handler {ctx.handler} was called while another question is open (during_ask=True, or side_questions=True). So "
            "it cannot ask: one question is open for a person at a time."
        )
    if ctx.event.chat_id is None:
        raise BotError(f"{ctx.event.type} belongs to no chat, so there is no person to ask.")
    if lane is not None and lane != lane_of_chat(ctx.event.chat_id):
        raise BotError(
            f"A handler of {ctx.event.type} runs next to the chat's other handlers, so it cannot ask. Ask in a handler of "
            "messages or reactions."
        )


def person_to_ask(question: Question, root: Event) -> str:
    """Return the `person` of a conversation that asks a question.

    Args:
        root: The event with which the handler began.
    Raises:
        BotError: the event names no person.
    """
    if question.who == "anyone":
        return ANYONE
    if question.who != "asker":
        return question.who.casefold()
    if not root.actor:
        raise BotError(f"{root.type} names no person who could be asked. Say who must answer: ctx.ask(…, who=…).")
    return root.actor.casefold()


def second_question(handler: str | None, other: Conversation) -> BotError:
    """Return the error of a handler that asks a person who has not answered another question of the chat yet."""
    return BotError(
        f"Handler {handler} asks a person whom {other.handler} has already asked in this chat. One question is open for a "
        f"person at a time. To end the other one: linqbot asks cancel {other.id}"
    )


async def send_again(question: OpenQuestion, ctx: Context) -> list[str]:
    """Send the messages of an open question again, and return their ids."""
    sent = [await ctx.client.chats.messages.send(ctx.chat_id, message=message) for message in question.prompt]
    return [each.message.id for each in sent]


def _ids(sent: Sent) -> tuple[str, ...]:
    if (refused := refusal_of(sent)) is not None:
        raise cancelled_for(refused)
    return tuple(message.id for message in sent.messages)
