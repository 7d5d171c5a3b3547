"""The questions of one run of a handler: a question that is answered returns its value, the next one suspends the handler.

`engine/waits.py` finds what has ended a question, and goes with the handler through the parts of its conversation. Here it is
decided whom a question is asked, what is sent, and what follows from an answer. Next step: `engine/turns.py` ends the turn
with one commit, to which `AskSession.end` adds the questions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.handling import Handling
from linqbot.engine.helpers import Helpers
from linqbot.engine.opening import Opening
from linqbot.engine.prompts import Prompt
from linqbot.engine.steps import Steps, check_length
from linqbot.engine.turn import Turn
from linqbot.engine.turn_journal import TurnJournal
from linqbot.engine.waits import WaitRecord, Waits
from linqbot.errors import AskCancelled, AskEnded, BotError, ConversationTooLong, Muted, Suspended
from linqbot.features.asking.admission import FOUND_ID, SHOWN_ID
from linqbot.features.asking.arrivals import NOTHING, Arrival, end_of_arrival, write_arrival
from linqbot.features.asking.event_waits import begin_wait, look_again_after_s
from linqbot.features.asking.judge import Value, read
from linqbot.features.asking.question import (
    MOST_ASKS,
    OpenQuestion,
    Question,
    QuestionEnd,
    Wait,
    webhook_of,
)
from linqbot.features.asking.records import (
    AGAIN,
    BY_OPERATOR,
    Asked,
    QuestionThen,
    answering,
    cancelled,
    cancelled_for,
    decision_label,
    end_without_answer,
    ending,
    is_elsewhere,
    is_of_words,
    is_wait,
    look,
    looked_up,
    open_questions,
    refusal_label,
    root_of,
    send_again,
    send_question,
    timed_out,
    timeout,
)
from linqbot.features.lookups import KnownChat, with_chat
from linqbot.features.turn_data import HandedOver, OptedOut, QuestionReached
from linqbot.language.spoken import speaking
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
        of.put(session.waits)
        of.ends.append(session.end)
        return session

    return helpers.made(AskSession, make)


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
        # The number of questions that this run has come to.
        self._number = 0
        self._is_asked_again = False
        # What `ctx.after_ask` is: for a handler that goes on, what it was when the conversation began.
        self.after_ask = self._arrival.after_ask
        # What the others read who were asked the question that is answered: who has decided, and how.
        self._decided: str | None = None
        if conversation is None:
            self.waits = Waits(handling, journal, lease, opening)
            return
        asked = self._arrival.asked
        assert asked is not None
        self.handler = conversation.handler
        self.root = root_of(asked)
        n, following = asked.question.n, asked.question.next
        self.waits = Waits(
            handling, journal, lease, opening, root=self.root, n=n, following=following, outcome=self._arrival.outcome
        )
        if (self._arrival.outcome or {}).get("reason") == "opted_out":
            journal.data.put(OptedOut(conversation.chat_id))

    async def begin(self, ctx: Speaker) -> None:
        """Note that the handler runs. Without this the question stays open, whatever happens."""
        ctx.event = self.root
        self.after_ask = self._arrival.question.after_ask if self._arrival.question else None
        await self.waits.begin(ctx.turn_state)

    @property
    def was_asked_by_other_code(self) -> bool:
        """True if the question that the event of this turn answers was asked by other code of the handler."""
        live = self.waits.past.live
        return live is not None and live.code != self.waits.code_of(self.handler)

    def sentence_about(self, ended: AskEnded) -> str | None:
        """Return linqbot's own sentence about the end of the open question, in its language; None if it says nothing.

        A person who has answered nothing at all, such as a reminder of the bot's, does not wait for anything.
        """
        question = self._arrival.question
        if question is None:
            return None
        said = self._dispatcher.language_named(question.language).sentences
        has_begun = any("body" in (each.outcome or {}) for each in self.waits.past.records)
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
        record, nth = self.waits.met(question.identity, ctx.turn_state)
        if record is not None:
            if ctx.event.chat_id is None and self._conversation is not None:
                # The question has opened the chat of a post's person, or an earlier message has.
                ctx.event = ctx.event.model_copy(update={"chat_id": self._conversation.chat_id, "is_group": False})
            await self.waits.enter(record, ctx.turn_state)
            return await self._answer(record, question, nth, ctx)
        self._log_kept_answer(ctx)
        await self._ask(question, nth, ctx)
        raise Suspended("The handler waits for an answer.")

    def end_questions(self, chat_id: str) -> None:
        """End the open questions of a chat, other than that of this handler, with the commit of the turn."""
        if self._journal.is_past:
            return
        own = None if self._conversation is None else self._conversation.id
        others = (each for each in self._storage.conversations_in(chat_id) if each.id != own)
        waiting = (each for each in others if each.status == "waiting" and is_of_words(each.person))
        # What shows the question of another chat's handler ends with that question.
        self.waits.ended = [each.id for each in waiting if not each.id.startswith(SHOWN_ID)]

    async def cancel_questions(self, chat_id: str) -> None:
        """Cancel the open questions of any chat, as an operator does: their handlers run."""
        self._journal.refuse_after_end("bot.end_questions")
        if self._journal.is_past:
            return
        for each in await open_questions(chat_id, self._storage):
            if each.question.takes_words:
                # The same name in every run of the turn, so that it is one ending.
                ended = ending(each, BY_OPERATOR, name=f"ended.{self._journal.turn}", now=self._clock.now())
                await self._storage.put(ended)

    @property
    def is_side(self) -> bool:
        """True if a handler may take the event while the question stays open; see `Context.side`."""
        return self._arrival.answer is not None

    @property
    def takes_any_handler(self) -> bool:
        """True if any handler may take the event, as usual; False for handlers with `during_ask=True` only."""
        return self._arrival.question is not None and self._arrival.question.side_questions

    async def ask_again(self, ctx: Speaker) -> None:
        """Send the open question again if it has `repeat=True`, after another handler has answered and has not ended it.

        Once in a run: middleware may fail behind the handler, and an error handler then takes the error. After a handoff
        that has failed, the end of the handoff asks again.
        """
        if self.waits.ended or self._is_asked_again:
            return
        self._is_asked_again = True
        asked = self._arrival.asked
        self._note("kept_open")
        if asked is None or not asked.question.repeat or HandedOver in self._journal.data:
            return
        try:
            is_of_another_chat = asked.question.shown_for is not None
            repeated = await send_again(asked, ctx.client.named(AGAIN) if is_of_another_chat else ctx.client)
        except Muted:
            return
        self.waits.conversations.append(repeated.conversation)

    def end(self, turn: Turn, commit: Commit) -> None:
        if self._conversation is None and OptedOut in self._journal.data:
            return  # The person opts out, which ends all questions of the chat: see `OptOuts`.
        if isinstance(commit.outcome, DeadLetter):
            end_of_arrival(turn, commit)
        # Not if the turn runs again; nor if middleware, or the bot's settings, kept the event from the handler.
        elif isinstance(commit.outcome, Ack) and (self._conversation is None or self.waits.has_begun):
            self._write(commit)

    def _write(self, commit: Commit) -> None:
        question, waits = self._arrival.question, self.waits
        write_arrival(self._arrival, self._lease.delivery.received_at, commit)
        waits.write(commit)
        if question is not None and waits.has_begun:
            commit.timers += self._over_elsewhere(question)
            if all(each.id != question.timer for each in waits.timers):
                commit.cancelled.append(question.timer)
        if self._conversation is not None and waits.suspended is None:
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
        live = self.waits.past.live
        is_timed_out = live is not None and live.outcome == {"outcome": "timed_out"}
        return is_timed_out and self._newer(self._conversation.person, self._conversation.chat_id) is None

    def _over_elsewhere(self, question: OpenQuestion) -> list[Timer]:
        """Return the timers by which the people who were asked in their own chats learn that the question is over."""
        live = self.waits.past.live
        if not question.elsewhere or live is None or live.outcome is None:
            return []  # it stays open, or all were asked here
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
        if self.is_side:
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

    async def _answer(self, record: WaitRecord, question: Question, nth: int, ctx: Speaker) -> Any:
        outcome: QuestionEnd = record.outcome
        if question.wait is not None:
            return await self._result(record, question.wait, ctx)
        is_live = record is self.waits.past.live
        if outcome["outcome"] != "answered":
            self._note(outcome["outcome"], when=is_live)
            raise end_without_answer(outcome)
        event = self._arrival.event if is_live and "body" in outcome else answering(outcome, ctx.chat_id)
        # An answer of another chat is read, and the handler goes on in its own.
        if event is not None and "person" not in outcome:
            self._go_on_with(event, ctx)
        at, language = self.waits.received_at(record), self._dispatcher.language_named(record.language)
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

    async def _say_who_decided(self, record: WaitRecord, value: Any, ctx: Speaker) -> None:
        """Let the others who may decide read who has, and how: in this chat now, and elsewhere once the turn has ended."""
        asked, outcome = self._arrival.asked, record.outcome
        if asked is None or outcome is None or not asked.question.elsewhere:
            return
        with speaking(self._dispatcher.language_named(record.language)):
            from linqbot.features.asking.elsewhere import decision

            self._decided = decision(self._decided_by(outcome), value)
        if self._decided is not None and asked.question.messages and "person" in outcome:
            await ctx.send(self._decided, key=decision_label(record.n))

    async def _result(self, record: WaitRecord, wait: Wait, ctx: Speaker) -> Any:
        """Return the result of a wait. In the live part it is found out first, and stored when the turn ends."""
        if record is self.waits.past.live:
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
        if (event := answering(record.outcome, ctx.chat_id)) is not None:
            self._go_on_with(event, ctx)
        return wait.result(record.outcome)

    def _go_on_with(self, event: Event, ctx: Speaker) -> None:
        """Make the event that ended the question that of the context.

        A payment names no line, and a location no service: what an event does not say of the chat, the one that began the
        conversation says.
        """
        said = with_chat(event, KnownChat(self.root.is_group, self.root.line))
        ctx.event = said.model_copy(update={"service": said.service or self.root.service})

    def _look_again(self, record: WaitRecord, asked: Asked, ctx: Speaker) -> None:
        looks = asked.question.looks
        asked = asked.changed(looks=looks + 1)
        self.waits.timers.append(look(asked, record.outcome, self._clock.now() + look_again_after_s(looks)))
        self._keep_open(record, asked, ctx)

    async def _refuse(self, record: WaitRecord, question: Question, why: str, ctx: Speaker) -> None:
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

    def _refuse_elsewhere(self, record: WaitRecord, asked: Asked, person: str, why: str, ctx: Speaker) -> None:
        """Let a person read in their own chat why the answer is invalid, with the question again."""
        from linqbot.features.asking.elsewhere import asked_again

        self._note("invalid")
        asked, again = asked_again(asked, person, why, self._clock.now())
        self.waits.timers += again
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

    def _keep_open(self, record: WaitRecord, asked: Asked, ctx: Speaker) -> None:
        """Suspend the handler at a question that stays open. It keeps its timer, unless its conversation has failed."""
        record.outcome = None
        is_failed = asked.conversation.status == "failed"
        timer = timeout(asked, again=is_failed)
        if not is_failed:
            timer = replace(timer, id=asked.question.timer)
        ctx.turn_state.suspend()
        asked = asked.changed(status="waiting", failed_by=None, timer=timer.id)
        self.waits.suspend(record, asked.conversation, timer)

    def _note(self, result: AnswerResult, *, when: bool = True) -> None:
        """Notify observers of what the event made of the open question."""
        if when and (asked := self._arrival.asked) is not None:
            asked.note_met(result, self._journal.observers)

    # A new question

    def _log_kept_answer(self, ctx: Speaker) -> None:
        """Log that the answer of this turn is not that to the question that is asked now. It is kept for its own question."""
        live = self.waits.past.live
        if live is not None and live.has_end_left:
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
        code, is_past = self.waits.code_of(ctx.handler or ""), not self.waits.is_live
        # A person who has answered it waits for the bot, so it is asked again. A payment has its request, whatever was written.
        is_missed = self._is_begun_missed and question.wait is None
        prompt = self.waits.prompt(question.identity, code, is_missed=is_missed)
        record = await self.waits.new(prompt, question.identity, nth, code, ctx.turn_state)
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
            number=self.waits.following,
            admits=self._admits,
            find_chat=lambda: ctx.client.chats.retrieve(ctx.chat_id),
            find_line=ctx.bot.own_line,
        )

    def _admits(self, person: str) -> bool:
        """Return True if the bot's `allow` admits what a person writes; also if that is not known."""
        fields = {"event_id": self._journal.turn, "event_type": MessageReceived.types[0], "actor": person}
        try:
            return self._dispatcher.allows(Event.model_validate(fields))
        except ChoiceFailed:
            return True

    def _bring_elsewhere(self, question: Question, asked: Asked, places: Places, ctx: Speaker) -> Asked:
        """Add the timers that bring a question to the people who are not in the chat, and note them in the question."""
        from linqbot.features.asking.elsewhere import errands

        found = errands(question, asked, places, self._root(ctx))
        now = self._clock.now()
        self.waits.timers += [each.timer("0", now) for each in found]
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

    def _wait_for_answer(self, record: WaitRecord, asked: Asked) -> None:
        """Suspend the handler at a new question, with the timer of its timeout."""
        timer = timeout(asked)
        asked = asked.changed(timer=timer.id)
        conversation = asked.conversation
        if asked.question.is_known:
            answered: QuestionEnd = {"outcome": "answered", "text": ""}
            self.waits.timers.append(look(asked, answered, conversation.asked_at))
        if not conversation.off_the_record:
            record.opened = QuestionThen(
                since=self._lease.delivery.received_at,
                chat_id=conversation.chat_id,
                person=conversation.person,
                handler=conversation.handler,
                until=conversation.until,
                question=asked.question.model_dump(mode="json", exclude_defaults=True),
            )
        self.waits.past.records.append(record)
        self.waits.suspend(record, asked.conversation, timer)

    async def _open(self, question: Question, prompt: Prompt, ctx: Speaker, *, is_shown: bool) -> OpenQuestion:
        """Send what opens a question or a wait, and return its stored form. Raises AskCancelled as `send_question` does."""
        root = self._root(ctx)
        if question.wait is None:
            opened = await send_question(question, prompt, ctx, is_shown=is_shown)
        else:
            opened = await begin_wait(question.wait, question, prompt, root, ctx)
        since = self._written_at(ctx) or opened.since
        follows_begun = any(
            each.is_new and each.may_be_shown and each.prompt != prompt for each in self.waits.past.begun
        )
        if follows_begun:
            # Another question may be on the phone: what was written before this one was shown may answer that one.
            since = opened.since or since
        return opened.model_copy(
            update={
                **looked_up(root, self.after_ask),
                "since": since,
                "next": self.waits.following,
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
        ended, timer = cancelled(old, "replaced", self._clock.now(), by=f".{self._journal.turn}.{self.waits.following}")
        self.waits.conversations.append(ended)
        self.waits.timers.append(timer)
        self.waits.cancelled.append(old.question.timer)

    def _newer(self, person: str, chat_id: str) -> ConversationSummary | None:
        """Return another conversation of the person in the chat that waits for an answer; None if there is none."""
        # Not those that end with this turn, such as one whose handler is gone after a deploy.
        left_out = {*self._arrival.ended, *self.waits.ended, self._journal.turn}
        waiting = (each for each in self._storage.conversations_in(chat_id) if each.status == "waiting")
        return next((each for each in waiting if each.person == person and each.id not in left_out), None)


def _person_to_ask(question: Question, root: Event) -> str:
    """Return the `person` of a conversation that began with `root` and asks. Raises BotError if the event names no person."""
    if question.who == "anyone":
        return ANYONE
    if question.who != "asker":
        return person_key(question.named[0])
    if not root.actor:
        raise BotError(f"{root.type} names no person who could be asked. Say who must answer: ctx.ask(…, who=…).")
    return person_key(root.actor)
