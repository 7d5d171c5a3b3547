"""A conversation within one run of its handler: past questions return their answers, the next one suspends the handler.

The handler runs from its start. The calls before an answered question form a part that is over: they are answered from
the journal, and a call that is not on record is not made. From the newest answer on, the handler is live. Next step:
`engine/turns.py` ends the turn with one commit, to which `AskSession.end` adds the questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.handling import Handling
from linqbot.engine.helpers import Helpers
from linqbot.engine.opening import Opening
from linqbot.engine.state import Seen, Times
from linqbot.engine.steps import Steps, check_length
from linqbot.engine.turn import Turn
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import AskCancelled, AskEnded, BotError, ConversationTooLong, Muted, Suspended
from linqbot.features.asking.admission import FOUND_ID, SHOWN_ID
from linqbot.features.asking.arrivals import NOTHING, Arrival, end_of_arrival, write_arrival
from linqbot.features.asking.event_waits import begin_wait, look_again_after_s
from linqbot.features.asking.judge import Value, read
from linqbot.features.asking.prompts import AGAIN, Prompt, decision_label, refusal_label
from linqbot.features.asking.question import (
    MOST_ASKS,
    OpenQuestion,
    Question,
    QuestionEnd,
    Wait,
    code_digest,
    webhook_of,
)
from linqbot.features.asking.records import (
    BY_OPERATOR,
    Asked,
    AskRecord,
    Past,
    QuestionThen,
    cancelled,
    cancelled_for,
    end_without_answer,
    ending,
    is_elsewhere,
    is_of_words,
    is_wait,
    look,
    looked_up,
    open_questions,
    part_name,
    record_with_answer,
    root_of,
    send_again,
    send_question,
    timed_out,
    timeout,
)
from linqbot.features.lookups import KnownChat, with_chat
from linqbot.features.turn_data import OptedOut, QuestionReached
from linqbot.language.spoken import speak, speaking, spoken
from linqbot.linq.events.delivery import OWN_DELIVERY, POST_TYPE, Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import lane_of_chat, lane_of_post
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.handles import person_key
from linqbot.storage.conversations import ANYONE, Conversation, ConversationSummary
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.timers import Timer
from linqbot.turn_events import AnswerResult, QuestionAsked

if TYPE_CHECKING:
    from linqbot.features.asking.elsewhere import Places
    from linqbot.features.speaking import Speaker


log = structlog.get_logger("linqbot.worker")


def session_of(helpers: Helpers) -> AskSession:
    """Return the session of the questions of a turn. It adds its own end to those of the turn."""

    def make(of: Helpers) -> AskSession:
        session = AskSession(of.handling, of.journal, of.steps, of.lease, of.opening)
        of.ends.append(session.end)
        return session

    return helpers.made(AskSession, make)


def met(turn: Turn) -> tuple[AskSession | None, Arrival | None]:
    """Return the session of a turn that concerns open questions, and the meaning of its delivery for them; None for others."""
    return turn.helpers.find(AskSession), turn.opening.data.find(Arrival)


class AskSession:
    """The questions of one run of a handler.

    A context asks through it, dispatch resumes a handler with it, and a handler that runs while a question is open uses
    it to ask that question again. Only in a turn that continues a conversation are `handler` and `root` set: the
    handler that goes on, and the event with which it began, which it gets again.
    """

    handler: str
    root: Event

    def __init__(self, handling: Handling, journal: TurnJournal, steps: Steps, lease: Lease, opening: Opening) -> None:
        self._journal = journal
        self._steps = steps
        self._storage = journal.storage
        self._dispatcher = handling
        self._clock = journal.clock
        self._lease = lease
        self._opening = opening
        self._arrival = opening.data.find(Arrival) or NOTHING
        # The conversation that the turn continues; None if the handler begins with this turn.
        self._conversation = conversation = opening.conversation
        self._past = Past(opening, self._arrival.question, self._arrival.outcome)
        # The number of the part that the handler runs through, and the language of the turn, which a part that is over may not have.
        self._part = 0
        self._language = spoken()
        # The times that this run has read in parts that it has passed, and that no question had ended before: by their number.
        self._passed: dict[int, Sequence[float]] = {}
        # The question with whose times the part began, and the number of its times that were read in earlier parts of this run.
        self._leads_to: int | None = None
        self._read: Counter[int] = Counter()
        # Set if the run must begin again: see `Opening.led_to`.
        self.led_to: Mapping[int, int] | None = None
        # The number of questions that this run has come to, and the number of the conversation's next new question.
        self._number = 0
        self._next = 1
        # True once the handler has passed the question that the event of this turn answers or ends.
        self._is_live = conversation is None
        # True once the handler of the conversation runs. Middleware may keep the event from it.
        self._has_begun = False
        self._is_asked_again = False
        self.is_handed_over = False  # True if the handler has begun a handoff
        # The question at which the handler was suspended in this run.
        self._asked: AskRecord | None = None
        # What the others read who were asked the question that is answered: who has decided, and how.
        self._decided: str | None = None
        # What this run adds to the commit that ends its turn: conversations and timers to store, ids of timers to delete, and
        # of conversations that end.
        self._conversations: list[Conversation] = []
        self._timers: list[Timer] = []
        self._cancelled: list[str] = []
        self._ended: list[str] = []
        if conversation is None:
            return
        asked = self._arrival.asked
        assert asked is not None
        self.handler = conversation.handler
        self.root = root_of(asked)
        self._next = asked.question.next
        if (self._arrival.outcome or {}).get("reason") == "opted_out":
            journal.data.put(OptedOut(conversation.chat_id))

    @property
    def is_past(self) -> bool:
        """True while the handler runs through a part that an earlier run has ended."""
        return self._journal.is_past

    async def begin(self, ctx: Speaker) -> None:
        """Note that the handler runs. Without this the question stays open, whatever happens."""
        self._has_begun = True
        ctx.event = self.root
        ctx.after_ask = self._arrival.question.after_ask if self._arrival.question else None
        is_past = self._opening.live_from != 0
        self._language = spoken()
        seen, times = self._past.seen_in(0) if is_past else None, self._times_in(0, None)
        await ctx.turn_state.enter(seen, in_place_of=self._replaced(0), times=times)
        self._journal.enter("", self._past.calls_of(0), is_past=is_past)
        self._speak_as_in(0)

    @property
    def missed_in(self) -> int | None:
        """The part in which the handler has ended without coming to the open question; None if it came to it."""
        if self._conversation is None or not self._has_begun or self._opening.live_from is not None:
            return None
        return None if self._is_live or self._asked is not None else self._part

    @property
    def was_asked_by_other_code(self) -> bool:
        """True if the question that the event of this turn answers was asked by other code of the handler."""
        return self._past.live is not None and self._past.live.code != self._code_of(self.handler)

    def sentence_about(self, ended: AskEnded) -> str | None:
        """Return linqbot's own sentence about the end of the open question, in its language; None if it says nothing.

        A person who has answered nothing at all, such as a reminder of the bot's, does not wait for anything.
        """
        question = self._arrival.question
        if question is None:
            return None
        said = self._dispatcher.language_named(question.language).sentences
        has_begun = any("body" in (each.outcome or {}) for each in self._past.records)
        if self._conversation is not None and is_elsewhere(self._conversation.person):
            # Another person was asked: the one in the chat of the handler has neither ended it nor been silent.
            is_waiting = has_begun or not self.root.event_id.startswith(OWN_DELIVERY)
            is_by_operator = isinstance(ended, AskCancelled) and ended.reason == "operator"
            return said.ask_unanswered if is_waiting and not is_by_operator else None
        if isinstance(ended, AskCancelled):
            return {"word": said.ask_cancelled, "invalid": said.ask_given_up}.get(ended.reason)
        return said.ask_timed_out if has_begun or question.tries > 0 else None

    async def ask(self, question: Question, ctx: Speaker) -> Any:
        """Return the recorded answer, or ask and end the handler with Suspended. Raises what `Context.ask` does."""
        self._check(question.verb, ctx)
        self._number += 1
        self._journal.data.of(QuestionReached)
        identity = question.identity
        nth = self._past.count(identity)
        record = record_with_answer(self._past.records, identity, nth)
        if record is not None:
            record.is_used = True
            self._check_times(record, ctx)
            await self._enter(record, ctx)
            return await self._answer(record, question, nth, ctx)
        self._log_kept_answer(ctx)
        await self._ask(question, nth, ctx)
        raise Suspended("The handler waits for an answer.")

    def end_questions(self, chat_id: str) -> None:
        """End the open questions of a chat, other than that of this handler, with the commit of the turn."""
        if self.is_past:
            return
        own = None if self._conversation is None else self._conversation.id
        others = (each for each in self._storage.conversations_in(chat_id) if each.id != own)
        waiting = (each for each in others if each.status == "waiting" and is_of_words(each.person))
        # What shows the question of another chat's handler ends with that question.
        self._ended = [each.id for each in waiting if not each.id.startswith(SHOWN_ID)]

    async def cancel_questions(self, chat_id: str) -> None:
        """Cancel the open questions of any chat, as an operator does: their handlers run."""
        self._journal.refuse_after_end("bot.end_questions")
        if self.is_past:
            return
        for each in await open_questions(chat_id, self._storage):
            if each.question.takes_words:
                # The same name in every run of the turn, so that it is one ending.
                ended = ending(each, BY_OPERATOR, name=f"ended.{self._journal.turn}", now=self._clock.now())
                await self._storage.put(ended)

    @property
    def takes_any_handler(self) -> bool:
        """True if any handler may take the event, as usual; False for handlers with `during_ask=True` only."""
        return self._arrival.question is not None and self._arrival.question.side_questions

    async def ask_again(self, ctx: Speaker) -> None:
        """Send the open question again if it has `repeat=True`, after another handler has answered and has not ended it.

        Once in a run: middleware may fail behind the handler, and an error handler then takes the error. After a handoff
        that has failed, the end of the handoff asks again.
        """
        if self._ended or self._is_asked_again:
            return
        self._is_asked_again = True
        asked = self._arrival.asked
        self._note("kept_open")
        if asked is None or not asked.question.repeat or self.is_handed_over:
            return
        try:
            is_of_another_chat = asked.question.shown_for is not None
            repeated = await send_again(asked, ctx.client.named(AGAIN) if is_of_another_chat else ctx.client)
        except Muted:
            return
        self._conversations.append(repeated.conversation)

    def end(self, turn: Turn, commit: Commit) -> None:
        if self._conversation is None and OptedOut in self._journal.data:
            return  # The person opts out, which ends all questions of the chat: see `OptOuts`.
        if isinstance(commit.outcome, DeadLetter):
            end_of_arrival(turn, commit)
        # Not if the turn runs again; nor if middleware, or the bot's settings, kept the event from the handler.
        elif isinstance(commit.outcome, Ack) and (self._conversation is None or self._has_begun):
            self._write(commit)

    def _write(self, commit: Commit) -> None:
        question, by = self._arrival.question, self._lease.delivery
        for record in self._past.records:
            if record is self._past.live or record is self._asked or record.is_void:
                entry = record.entry or self._journal.new_entry(record.slot, "ask", record.call)
                commit.entries.append(record.written_to(entry, by))
        commit.ended += self._ended
        write_arrival(self._arrival, by.received_at, commit)
        if question is not None and question.elsewhere and self._has_begun:
            commit.timers += self._over_elsewhere(question)
        commit.conversations += self._conversations
        commit.timers += self._timers
        commit.cancelled += self._cancelled
        if self._has_begun and question is not None and all(each.id != question.timer for each in self._timers):
            commit.cancelled.append(question.timer)
        if self._conversation is not None and self._asked is None:
            if self._keeps_timeout(question):
                asked = self._arrival.asked
                assert asked is not None
                commit.conversations.append(timed_out(asked))
            else:
                commit.ended.append(self._conversation.id)

    def _keeps_timeout(self, question: OpenQuestion | None) -> bool:
        """Return True if the question has timed out, so that a late message can be recognized; see `Context.after_ask`."""
        if question is None or self._conversation is None or not question.takes_words:
            return False
        if is_wait(self._conversation.person):
            return False
        is_timed_out = self._past.live is not None and self._past.live.outcome == {"outcome": "timed_out"}
        return is_timed_out and self._newer(self._conversation.person, self._conversation.chat_id) is None

    def _over_elsewhere(self, question: OpenQuestion) -> list[Timer]:
        """Return the timers by which the people who were asked in their own chats learn that the question is over."""
        live = self._past.live
        if live is None or live.outcome is None:
            return []  # it stays open
        from linqbot.features.asking.elsewhere import over

        return over(question, self._decided_by(live.outcome), self._decided, self._clock.now())

    def _decided_by(self, outcome: QuestionEnd) -> str | None:
        """Return the person who has ended the open question, in lower case; None if no person has."""
        person = outcome.get("person") or (self._arrival.event.actor if self._arrival.event is not None else None)
        return None if person is None else person_key(person)

    def _check(self, verb: str, ctx: Speaker) -> None:
        """Raise BotError where no handler can wait for an answer, and ConversationTooLong after too many questions."""
        self._journal.refuse_after_end(verb.removeprefix("ctx."))
        if not self._journal.is_in_own_task:
            raise BotError(
                f"{verb}() was called in a task that the handler started, such as by asyncio.gather, a TaskGroup or "
                "asyncio.wait_for, or that an agent started for its tools. One question waits at a time: await "
                f"{verb}(…) in the handler itself, one after the other, and limit its time with timeout_s=."
            )
        if not ctx.is_handling or ctx.handler is None:
            raise BotError(
                f"{verb}() was called outside of a handler. Middleware, `when=` and error handlers cannot ask."
            )
        if ctx.side is not None:
            raise BotError(
                f"Handler {ctx.handler} was called while another question is open (during_ask=True, or side_questions=True). So "
                "it cannot ask: one question is open for a person at a time."
            )
        if ctx.event.chat_id is None and ctx.person_without_chat is None:
            raise BotError(f"{ctx.event.type} belongs to no chat, so there is no person to ask.")
        if self._conversation is None and not self._is_in_lane_of(ctx.event):
            raise BotError(
                f"A handler of {ctx.event.type} runs next to the chat's other handlers, so it cannot ask. Ask in a handler of "
                "messages or reactions."
            )
        if self._steps.under_way:
            raise BotError(
                f"{verb}() was called in the step {self._steps.under_way[-1]!r}. A question ends the handler, which would cut "
                "the step off. Ask before ctx.once, and use the answer in it."
            )
        if self._dispatcher.routes.is_name_of_several(ctx.handler):
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

    def _is_in_lane_of(self, event: Event) -> bool:
        """Return True if the turn has the lane of the event's chat, or of a post to a person whose chat it opens."""
        lane = self._lease.delivery.lane
        if event.type == POST_TYPE and event.actor is not None and lane == lane_of_post(event.actor):
            return True
        return event.chat_id is not None and lane == lane_of_chat(event.chat_id)

    # A question that was asked before

    async def _enter(self, record: AskRecord, ctx: Speaker) -> None:
        known = list(self._past.calls_of(record.n))
        if record.splits is not None and record.splits == self._part:
            # New code has put the question into this part. The rest of the part's calls may follow now.
            known += self._journal.unmatched()
        if ctx.event.chat_id is None and self._conversation is not None:
            # The question has opened the chat of a post's person, or an earlier message has.
            ctx.event = ctx.event.model_copy(update={"chat_id": self._conversation.chat_id, "is_group": False})
        earlier = self._past.calls_since(self._part, record)
        self._is_live = self._is_live or record is self._past.live
        is_past = not self._is_live and record.n != self._opening.live_from
        if not self._past.times_of(self._part):
            self._passed[self._part] = ctx.turn_state.times
        if self._leads_to is not None:
            self._read[self._leads_to] += len(ctx.turn_state.times) - 1
        split = self._leads_to if record.splits == self._part else None
        self._part = record.n
        self._journal.enter(part_name(record.n), known, is_past=is_past, earlier=earlier)
        seen = self._past.seen_in(record.n) if is_past else None
        times = self._times_in(record.n, self._received_at(record) if is_past else None, split)
        await ctx.turn_state.enter(seen, in_place_of=self._replaced(record.n), times=times)
        self._speak_as_in(record.n)

    def _times_in(self, part: int, at: float | None, split: int | None = None) -> Times:
        """Return the times of a part. Those of a part that is over are its own, in whatever run the handler comes to it.

        Args:
            at: When the part began, if it is over; None if it runs now.
            split: The question to which the part led that new code has split, if this is the rest of it.
        """
        led_to = self._opening.led_to.get(part)
        self._leads_to = n = self._past.first_after(part) if led_to is None else led_to
        if n is None and (passed := self._past.times_of(part)):
            return Times(passed[:-1], passed[-1])
        if n is None:
            self._leads_to = split
            return Times(() if split is None else self._unread(split), at)
        return Times(self._unread(n), None if part == self._opening.live_from else self._past.times_before(n)[-1])

    def _unread(self, n: int) -> Sequence[float]:
        """Return the times before the question `n` that no part of this run has read."""
        return self._past.times_before(n)[self._read[n] : -1]

    def _check_times(self, record: AskRecord, ctx: Speaker) -> None:
        """Begin the run again if this part has read other times than those with which the question at its end was asked.

        New code has removed, renamed or moved a question before it. Raises Suspended.
        """
        *read, _ = ctx.turn_state.times
        then = self._unread(record.n)
        if record.n == self._leads_to or self._part in self._opening.led_to or not then or not read:
            return
        if read != list(then[: len(read)]):
            self.led_to = {**self._opening.led_to, self._part: record.n}
            self._journal.is_suspended = True
            raise Suspended("The run begins again with the times of its question.")

    def _received_at(self, record: AskRecord) -> float:
        """Return when the delivery was received that has ended a question."""
        return (record.outcome or {}).get("at", self._lease.delivery.received_at)

    def _speak_as_in(self, part: int) -> None:
        """Speak in a part that is over as then, so that its questions have the words of then."""
        named = self._dispatcher.language_named
        speak(
            self._past.language_of(part, self._language, named) if part != self._opening.live_from else self._language
        )

    def _replaced(self, part: int) -> Seen | None:
        """Return what earlier runs saw and left from this part on, if this run replaces them: see `Opening.live_from`."""
        return self._past.replaced_from(part) if part == self._opening.live_from else None

    async def _answer(self, record: AskRecord, question: Question, nth: int, ctx: Speaker) -> Any:
        outcome = record.outcome
        assert outcome is not None
        if question.wait is not None:
            return await self._result(record, question.wait, ctx)
        is_live = record is self._past.live
        if outcome["outcome"] != "answered":
            self._note(outcome["outcome"], when=is_live)
            raise end_without_answer(outcome)
        event = self._arrival.event if is_live and "body" in outcome else record.event(ctx.chat_id)
        # An answer of another chat is read, and the handler goes on in its own.
        if event is not None and "person" not in outcome:
            self._go_on_with(event, ctx)
        at, language = self._received_at(record), self._dispatcher.language_named(record.language)
        with ctx.turn_state.reading_answer(at):
            verdict = read(question, outcome, event, datetime.fromtimestamp(at, UTC), language)
        if isinstance(verdict, Value):
            if is_live:
                await self._say_who_decided(record, verdict.value, ctx)
            self._note("answered", when=is_live)
            return verdict.value
        if is_live:
            await self._refuse(record, question, verdict.why, ctx)
        else:
            # Today's code refuses an answer that was valid when it was given.
            log.warning("ask.again", conversation=self._journal.turn, handler=ctx.handler, key=question.key)
            record.is_void = True
            await self._ask(question, nth, ctx)
        raise Suspended("The handler waits for an answer.")

    async def _say_who_decided(self, record: AskRecord, value: Any, ctx: Speaker) -> None:
        """Let the others who may decide read who has, and how: in this chat now, and elsewhere once the turn has ended."""
        asked, outcome = self._arrival.asked, record.outcome
        if asked is None or outcome is None or not asked.question.elsewhere:
            return
        with speaking(self._dispatcher.language_named(record.language)):
            from linqbot.features.asking.elsewhere import decision

            self._decided = decision(self._decided_by(outcome), value)
        if self._decided is not None and asked.question.messages and "person" in outcome:
            await ctx.send(self._decided, key=decision_label(record.n))

    async def _result(self, record: AskRecord, wait: Wait, ctx: Speaker) -> Any:
        """Return the result of a wait. In the live part it is found out first, and stored when the turn ends."""
        assert record.outcome is not None
        if record is self._past.live:
            asked = self._arrival.asked
            assert asked is not None
            found = await wait.find(asked.question, record.outcome, ctx)
            end = wait.judge(asked.question, record.outcome, found)
            if end is None:
                self._look_again(record, asked, ctx)
                raise Suspended("The handler goes on waiting.")
            record.outcome = end
            self._note("cancelled" if end["outcome"] == "cancelled" else "answered")
        if record.outcome["outcome"] == "cancelled":
            raise end_without_answer(record.outcome)
        if (event := record.event(ctx.chat_id)) is not None:
            self._go_on_with(event, ctx)
        return wait.result(record.outcome)

    def _go_on_with(self, event: Event, ctx: Speaker) -> None:
        """Make the event that ended the question that of the context.

        A payment names no line, and a location no service: what an event does not say of the chat, the one that began the
        conversation says.
        """
        said = with_chat(event, KnownChat(self.root.is_group, self.root.line))
        ctx.event = said.model_copy(update={"service": said.service or self.root.service})

    def _look_again(self, record: AskRecord, asked: Asked, ctx: Speaker) -> None:
        assert record.outcome is not None
        looks = asked.question.looks
        asked = asked.changed(looks=looks + 1)
        self._timers.append(look(asked, record.outcome, self._clock.now() + look_again_after_s(looks)))
        self._keep_open(record, asked, ctx)

    async def _refuse(self, record: AskRecord, question: Question, why: str, ctx: Speaker) -> None:
        """Show the person why the answer is invalid, and wait for another one."""
        asked = self._arrival.asked
        assert asked is not None
        is_failed = asked.conversation.status == "failed"
        if is_failed and (replaced := await self._to_replace(asked.conversation.person, ctx)) is not None:
            self._replace(replaced)
        refused = asked.question.with_refused(self._answered_by)
        tries = refused.tries
        if tries >= question.tries:
            record.outcome = {"outcome": "cancelled", "reason": "invalid"}
            self._note("given_up")
            raise cancelled_for("invalid", (self._arrival.outcome or {}).get("text", ""))
        if (person := (self._arrival.outcome or {}).get("person")) is not None:
            self._refuse_elsewhere(record, asked.changed(tries=tries, refused=refused.refused), person, why, ctx)
            return
        sent = await ctx.reply(why, key=refusal_label(record.n, tries))
        if sent.status == "opted_out":
            record.outcome = {"outcome": "cancelled", "reason": "opted_out"}
            self._note("cancelled")
            raise cancelled_for("opted_out")
        self._note("invalid")
        if is_failed:
            until = self._clock.now() + question.timeout_s
            asked = replace(asked, conversation=replace(asked.conversation, until=until))
        messages = (*asked.question.messages, *(message.id for message in sent.messages))
        self._keep_open(record, asked.changed(tries=tries, refused=refused.refused, messages=messages), ctx)

    def _refuse_elsewhere(self, record: AskRecord, asked: Asked, person: str, why: str, ctx: Speaker) -> None:
        """Let a person read in their own chat why the answer is invalid, with the question again."""
        from linqbot.features.asking.elsewhere import asked_again

        self._note("invalid")
        asked, again = asked_again(asked, person, why, self._clock.now())
        self._timers += again
        self._keep_open(record, asked, ctx)

    @property
    def _is_begun_missed(self) -> bool:
        return self._arrival.question is not None and self._arrival.question.is_begun_missed

    @property
    def _answered_by(self) -> Delivery:
        """The delivery of the message that has answered, as its edits have changed it; that of the turn, if it was no message."""
        outcome: QuestionEnd = self._arrival.outcome or {}
        if outcome.get("type") != "message.received":
            return self._lease.delivery
        return webhook_of(outcome["body"])

    def _keep_open(self, record: AskRecord, asked: Asked, ctx: Speaker) -> None:
        """Suspend the handler at a question that stays open. It keeps its timer, unless its conversation has failed."""
        record.outcome = None
        is_failed = asked.conversation.status == "failed"
        timer = timeout(asked, again=is_failed)
        if not is_failed:
            timer = replace(timer, id=asked.question.timer)
        ctx.turn_state.suspend()
        self._suspend(record, asked.changed(status="waiting", failed_by=None, timer=timer.id), timer)

    def _note(self, result: AnswerResult, *, when: bool = True) -> None:
        """Notify observers of what the event made of the open question."""
        if when and (asked := self._arrival.asked) is not None:
            asked.note_met(result, self._journal.observers)

    # A new question

    def _log_kept_answer(self, ctx: Speaker) -> None:
        """Log that the answer of this turn is not that to the question that is asked now. It is kept for its own question."""
        live = self._past.live
        if live is not None and live.has_answer_left:
            log.warning(
                "ask.answer_kept",
                conversation=self._journal.turn,
                handler=ctx.handler,
                question=live.n,
                key=live.identity.key,
                why="The code asks another question first, or has this one no more with the same key= or the same words.",
            )

    async def _ask(self, question: Question, nth: int, ctx: Speaker) -> None:
        check_length(len(self._opening.known), f"a question of handler {ctx.handler}")
        replaced, places, is_opening = None, None, False
        if question.wait is None:
            person = _person_to_ask(question, self._root(ctx))
            if question.named:
                places = await self._places_of(question, person, ctx)
                person = places.person(question, person, self._journal.turn)
            is_opening = ctx.event.chat_id is None
            replaced = None if is_opening else await self._to_replace(person, ctx)
        else:
            person = question.wait.person(self._root(ctx), self._journal.turn)
        prompt = self._prompt_of(question, ctx)
        self._next = max(self._next, prompt.n + 1)
        record = AskRecord(
            prompt.n,
            question.identity,
            nth,
            self._code(ctx),
            self._part,
            passed=self._passed,
            language=spoken().stored,
        )
        record.seen = ctx.turn_state.seen()
        is_past = not self._is_live
        if is_past:
            # Noted before the present is shown: later runs begin the part with what it has seen, not with what it has left.
            record.seen = self._past.seen_in(self._part).also(record.seen)
            await ctx.turn_state.go_live()
        if self._past.has_unused_answer:
            record.splits = self._part
        # The question has effects, even in the middle of a part that is over. Its calls are named.
        self._journal.is_past = False
        self._is_live = True
        opened = await self._open(question, prompt, ctx, is_shown=places is None or bool(places.here))
        if is_opening:
            replaced = await self._to_replace(person, ctx)  # the chat may have come into being meanwhile
        if (notify := self._journal.observers.get(QuestionAsked)) is not None:
            notify(QuestionAsked(opened.text, () if places is None else places.elsewhere))
        ctx.turn_state.suspend()  # If it refuses the state, this question does not wait, and the other one stays open.
        if replaced is not None:
            self._replace(replaced)
        asked = Asked(self._new_conversation(question, opened, person, ctx), opened)
        if places is not None and places.elsewhere:
            asked = self._bring_elsewhere(question, asked, places, ctx)
        self._wait_for_answer(record, asked)
        if not is_past:
            record.seen = replace(record.seen, left=ctx.turn_state.left())

    async def _places_of(self, question: Question, person: str, ctx: Speaker) -> Places:
        from linqbot.features.asking.elsewhere import places_of

        # A lookup is recorded also in a part that is over, in which new code has put the question.
        self._journal.is_past = False
        return await places_of(
            question,
            person,
            self._root(ctx),
            self._steps,
            number=self.next_question,
            admits=self.admits,
            find_chat=lambda: ctx.client.chats.retrieve(ctx.chat_id),
            find_line=ctx.bot.own_line,
        )

    def admits(self, person: str) -> bool:
        """Return True if the bot's `allow` admits what a person writes; also if that is not known."""
        fields = {"event_id": self._journal.turn, "event_type": MessageReceived.types[0], "actor": person}
        try:
            return self._dispatcher.allows(Event.model_validate(fields))
        except ChoiceFailed:
            return True

    @property
    def next_question(self) -> int:
        """The number of the conversation's next new question."""
        return self._next

    def _bring_elsewhere(self, question: Question, asked: Asked, places: Places, ctx: Speaker) -> Asked:
        """Add the timers that bring a question to the people who are not in the chat, and note them in the question."""
        from linqbot.features.asking.elsewhere import errands

        found = errands(question, asked, places, self._root(ctx))
        now = self._clock.now()
        self._timers += [each.timer("0", now) for each in found]
        return asked.changed(elsewhere=tuple(each.kept() for each in found), also=places.here)

    def _new_conversation(self, question: Question, opened: OpenQuestion, person: str, ctx: Speaker) -> Conversation:
        now = self._clock.now()
        root = self._lease.delivery.body if self._conversation is None else self._conversation.root
        return Conversation(
            id=self._journal.turn,
            replay=self._journal.replay,
            chat_id=ctx.chat_id,
            person=person,
            handler=ctx.handler or "",
            status="waiting",
            asked_at=now,
            until=now + question.timeout_s,
            question=opened.to_json(),
            off_the_record=self._journal.off_the_record,
            root=root if ctx.overlap is None else ctx.overlap.with_taken(root),
        )

    def _wait_for_answer(self, record: AskRecord, asked: Asked) -> None:
        """Suspend the handler at a new question, with the timer of its timeout."""
        timer = timeout(asked)
        asked = asked.changed(timer=timer.id)
        conversation = asked.conversation
        if asked.question.is_known:
            answered: QuestionEnd = {"outcome": "answered", "text": ""}
            self._timers.append(look(asked, answered, conversation.asked_at))
        if not conversation.off_the_record:
            record.opened = QuestionThen(
                since=self._lease.delivery.received_at,
                chat_id=conversation.chat_id,
                person=conversation.person,
                handler=conversation.handler,
                until=conversation.until,
                question=asked.question.model_dump(mode="json", exclude_defaults=True),
            )
        self._past.records.append(record)
        self._suspend(record, asked, timer)

    def _prompt_of(self, question: Question, ctx: Speaker) -> Prompt:
        """Return the prompt of a new question: one that an interrupted run has begun, or another one with a number of its own.

        That run may have begun the same question, whatever its place in the code. Or the same code has begun it in other
        words, such as those of a model. What other code has begun in other words is another question, and is left as it is.
        """
        begun, code = self._past.begun, self._code(ctx)
        new = question.identity.prompt(max([self._next, *(each.prompt.n + 1 for each in begun)]), code)
        # A person who has answered it waits for the bot, so it is asked again. A payment has its request, whatever was written.
        is_missed = self._is_begun_missed and question.wait is None
        same = (each for each in begun if each.prompt.asks_as(new) and (each.is_new or not is_missed))
        reworded = (
            each for each in begun if each.is_new and each.prompt.n >= self._next and each.prompt.code in ("", code)
        )
        found = next(same, None) or next(reworded, None)
        if found is None:
            return new
        self._journal.match_in_this_part(found.entries, found.part)
        return found.prompt

    async def _open(self, question: Question, prompt: Prompt, ctx: Speaker, *, is_shown: bool) -> OpenQuestion:
        """Send what opens a question or a wait, and return its stored form. Raises AskCancelled as `send_question` does."""
        root = self._root(ctx)
        if question.wait is None:
            opened = await send_question(question, prompt, ctx, is_shown=is_shown)
        else:
            opened = await begin_wait(question.wait, question, prompt, root, ctx)
        since = self._written_at(ctx) or opened.since
        follows_begun = any(each.is_new and each.may_be_shown and each.prompt != prompt for each in self._past.begun)
        if follows_begun:
            # Another question may be on the phone: what was written before this one was shown may answer that one.
            since = opened.since or since
        return opened.model_copy(
            update={
                **looked_up(root, ctx.after_ask),
                "since": since,
                "next": self._next,
                "follows_begun": follows_begun,
                "is_begun_missed": self._is_begun_missed,
            }
        )

    def _written_at(self, ctx: Speaker) -> float | None:
        """Return when the event was written that led to the next question, by Linq's clock; None if it is not known.

        What was found at Linq may have a time of our clock.
        """
        led = ctx.event if self._conversation is None else self._arrival.event
        if led is None or led.written_at is None or self._lease.delivery.id.startswith(FOUND_ID):
            return None
        return led.written_at.timestamp()

    def _root(self, ctx: Speaker) -> Event:
        return ctx.event if self._conversation is None else self.root

    def _suspend(self, record: AskRecord, asked: Asked, timer: Timer) -> None:
        self._asked = record
        self._conversations.append(asked.conversation)
        self._timers.append(timer)
        self._journal.is_suspended = True

    async def _to_replace(self, person: str, ctx: Speaker) -> Asked | None:
        """Return the question that is open for this person, which the new one replaces, or refuse the new one.

        An operator who puts an old message back replaces nothing, and neither does a handler whose own question ended
        so. The question of another chat's handler is always replaced: it is shown again afterwards.
        """
        other = self._newer(person, ctx.chat_id)
        found = None if other is None else await self._storage.conversation(other.id)
        if found is None:
            return None
        old = Asked.read(*found)
        # With a message, the person began something else.
        root = self._root(ctx)
        began_something_else = isinstance(root, MessageReceived) and person_key(root.actor or "") == person
        is_old = self._lease.put_back or (self._conversation is not None and self._conversation.status == "failed")
        is_shown_again = old is not None and old.question.shown_for is not None
        if old is None or not (is_shown_again or (began_something_else and not is_old)):
            raise BotError(
                f"Handler {ctx.handler} asks a person whom {found[0].handler} has already asked in this chat. One question is open "
                "for a person at a time. To end the other one first: ctx.end_questions() in the handler, or linqbot "
                f"waiting cancel {found[0].id}"
            )
        return old

    def _replace(self, old: Asked) -> None:
        """End an open question. Before the new one is stored: its conversation then stays, until its own delivery ends it."""
        ended, timer = cancelled(old, "replaced", self._clock.now(), by=f".{self._journal.turn}.{self._next}")
        self._conversations.append(ended)
        self._timers.append(timer)
        self._cancelled.append(old.question.timer)

    def _newer(self, person: str, chat_id: str) -> ConversationSummary | None:
        """Return another conversation of the person in the chat that waits for an answer; None if there is none."""
        # Not those that end with this turn, such as one whose handler is gone after a deploy.
        left_out = {*self._arrival.ended, *self._ended, self._journal.turn}
        waiting = (each for each in self._storage.conversations_in(chat_id) if each.status == "waiting")
        return next((each for each in waiting if each.person == person and each.id not in left_out), None)

    def _code(self, ctx: Speaker) -> str:
        return self._code_of(ctx.handler or "")

    def _code_of(self, handler: str) -> str:
        route = self._dispatcher.routes.named(handler)
        return code_digest(None if route is None else route.handler)


def _person_to_ask(question: Question, root: Event) -> str:
    """Return the `person` of a conversation that began with `root` and asks. Raises BotError if the event names no person."""
    if question.who == "anyone":
        return ANYONE
    if question.who != "asker":
        return person_key(question.named[0])
    if not root.actor:
        raise BotError(f"{root.type} names no person who could be asked. Say who must answer: ctx.ask(…, who=…).")
    return person_key(root.actor)
