"""Messages that come while an earlier one is handled: they join its turn, if the bot asks for that.

`steer`: the handler takes the messages with `ctx.incoming()`; an edit is the message with its new text. `restart`: the
handler is cancelled, and its turn begins again with all messages, as edits have changed them, and with new idempotency
keys. The messages are always joined to the delivery of the turn in one commit first, so no crash drops one, and a
second run of the turn sees the same. A message that cannot join waits in the lane as usual. If a second run of a
steered handler does not ask for all that the first has taken, the rest goes back into the lane before the turn ends.
`options.py` says what authors see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic_core import to_json

from linqbot.branch import leave_turn
from linqbot.engine.slots import effects_of_step
from linqbot.engine.steps import last_step, step_in
from linqbot.engine.turn import Turn
from linqbot.errors import BotError, StorageError, TurnDeferred
from linqbot.features.edits import edit_of, further_messages, message_of, waiting_edits
from linqbot.features.turn_data import QuestionReached
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery, Joined
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.parse import parse
from linqbot.options import STEER_ONLY, OverlapMode
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Defer, Lease, Outcome
from linqbot.turn_events import MessagesTaken

if TYPE_CHECKING:
    from linqbot.engine.handling import Handling
    from linqbot.engine.turn_journal import TurnJournal


log = structlog.get_logger("linqbot.worker")

MOST_MESSAGES: Final = 20
"""Most messages that are taken at once."""

MOST_RESTARTS: Final = 3
"""Restarts of a turn, after which later messages wait: otherwise a person who keeps writing would get no answer."""

LAST_CALL_S: Final = 5.0
"""Seconds to wait for the call that is being made, before the turn is not restarted after all."""


class IncomingCalls(set[int]):
    """The numbers of the calls of `ctx.incoming()` of one run. The first run of the turn numbers them from 0.

    A step (`ctx.once`) that calls `incoming` is not made again by the next run, whose handler has the messages from the
    result of the step. So the step's journal entry has the numbers of its calls, and these are not given to others.
    """

    @property
    def next(self) -> int:
        """The number of the next call: the smallest one that is free."""
        return next(number for number in range(len(self) + 1) if number not in self)

    def note(self, numbers: Sequence[int]) -> None:
        """Note calls that were made: one of the handler, or those of a step on record."""
        self.update(numbers)
        if (step := effects_of_step()) is not None:
            step.note("incoming", numbers)


def recall_incoming(journal: TurnJournal, numbers: Sequence[int]) -> None:
    """Give the handler the messages that a step on record has taken."""
    if (calls := journal.data.find(IncomingCalls)) is not None:
        calls.note(numbers)


class TurnOverlap:
    """The later messages of a running turn. It does not refer to the turn, so it makes no reference cycle."""

    def __init__(self, turn: Turn, storage: Storage, dispatcher: Handling) -> None:
        opening, self.lease = turn.opening, turn.lease
        self._journal, self._outbox = turn.journal, turn.outbox
        # After steps of the turn, also of its earlier runs, it is not restarted; nor if it continues a conversation.
        self._known, self._steps = opening.known, turn.steps
        self._is_answer = opening.conversation is not None
        # What the earlier parts of the conversation have taken and sent: the handler runs through them again.
        self._root = turn.lease.delivery if opening.conversation is None else _with_body(opening.conversation.root)
        before = Joined() if opening.conversation is None else self._root.joined
        self._taken_before, self._sent_before = before.incoming, before.sent
        self.joining: list[Delivery] = []  # the deliveries for which the turn is interrupted; empty if it is not
        self._joined = turn.lease.delivery.joined
        self._task = turn.task
        self._storage = storage
        self._dispatcher = dispatcher
        self._handler: str | None = None
        self._mode: OverlapMode = "queue"
        self._calls = turn.data.of(IncomingCalls)
        # What a call of `incoming` wanted to join, as long as it is not known whether the storage has it.
        self._unconfirmed: tuple[Joined, list[Delivery]] | None = None
        self._taking = asyncio.Lock()
        self._protected = 0
        self._unprotected = asyncio.Event()
        self._unprotected.set()
        self._watching: asyncio.Task[None] | None = None

    # For the handler

    @property
    def already_sent(self) -> Sequence[str]:
        return (*self._sent_before, *self._joined.sent)

    @property
    def takes_incoming(self) -> bool:
        return self._mode == "steer"

    def begin(self, handler: str, mode: OverlapMode) -> None:
        """Note the chosen handler, which begins now."""
        self._handler, self._mode = handler, mode
        if mode == "restart" and self._joined.restarts < MOST_RESTARTS:
            context = copy_context()
            context.run(leave_turn)
            self._watching = asyncio.get_running_loop().create_task(self._watch(), context=context)

    async def incoming(self) -> Sequence[MessageReceived]:
        """Take the messages that have come since the last call.

        If the storage does not answer, the next call returns them; without one, the turn runs again. Raises BotError if
        the handler is not registered for it, or the turn has ended.
        """
        if self._mode != "steer":
            raise BotError(STEER_ONLY)
        self._journal.refuse_after_end("incoming")
        async with self._taking:
            number = self._calls.next
            if number >= len(self._taken):
                await self._take(number)
            self._calls.note((number,))
        return list(self._messages()[number + 1].values())

    def with_taken(self, body: bytes) -> bytes:
        """Return the body of the delivery with which a conversation began, with all messages that `incoming` has returned."""
        if not any(self._taken):
            return body
        root = _with_body(body)
        # Not those that only an earlier, failed run has taken: `put_back_untaken` gives these turns of their own.
        untaken = self._untaken
        taken = enumerate(self._taken)
        incoming = tuple(() if number in untaken else self._with_edited_answer(bodies) for number, bodies in taken)
        return root.with_joined(replace(root.joined, incoming=incoming)).body

    def _with_edited_answer(self, bodies: Sequence[Any]) -> tuple[Any, ...]:
        """Return these bodies, with the answer that began this part before each edit of it.

        Later parts begin with other answers, so they do not know the message that the edit changes.
        """
        answer = message_of(self.lease.delivery)
        if answer is None or not self._is_answer:
            return tuple(bodies)
        kept = list[Any]()
        for body in bodies:
            event = self._event(body)
            if isinstance(event, MessageEdited) and event.id == answer.id:
                kept.append(self.lease.delivery.content)
            kept.append(body)
        return tuple(kept)

    @property
    def _taken(self) -> tuple[tuple[Any, ...], ...]:
        """The bodies of the messages that each call of `incoming` takes, as far as they are known."""
        return (*self._taken_before, *self._joined.incoming)

    def _messages(self) -> list[dict[str, MessageReceived]]:
        """Return the messages with which the handler began, then those of each call of `incoming`, by id.

        An edit is the message that it changes, with its new text.
        """
        # The delivery of the turn need not be a message: a tapback may have answered a question of the handler.
        heads = (message_of(each) for each in (self._root, self.lease.delivery))
        calls = [{each.id: each for head in heads if head is not None for each in head.burst or (head,)}]
        latest = dict(calls[0])
        for bodies in self._taken:
            found = dict[str, MessageReceived]()
            for body in bodies:
                event = self._event(body)
                if isinstance(event, MessageEdited) and (edited := found.get(event.id) or latest.get(event.id)):
                    found[event.id] = edited.with_edit(event)
                elif isinstance(event, MessageReceived):
                    found[event.id] = event
                latest |= found
            calls.append(found)
        return calls

    def _event(self, body: Any) -> Event:
        return parse(replace(self.lease.delivery, type=str(body.get("event_type")), decoded=body))

    @property
    def _untaken(self) -> list[int]:
        """The numbers of calls of `incoming` that an earlier, failed run of this turn has made, and this run has not."""
        return [number for number in range(len(self._taken_before), len(self._taken)) if number not in self._calls]

    async def _take(self, number: int) -> None:
        """Join the messages that wait, perhaps none, as those of this call of `incoming`.

        The storage may have joined them although this has failed or was cancelled. Then the next call joins the same ones.
        """
        if self._unconfirmed is None:
            # In a part of the conversation that is over, the handler took no more then, and must not take more now. Nor may it
            # before the sends and steps of an earlier run: they are not made again, and say nothing of newer messages.
            found = [] if self._journal.is_past or self._is_behind else await self._waiting()
            # Calls that took nothing were not stored, if no later one took something.
            empty = [()] * (number - len(self._taken))
            incoming = *self._joined.incoming, *empty, tuple(each.content for each in found)
            joined = replace(self._joined, incoming=incoming)
            if not found:
                self._joined = joined
                return
            self._unconfirmed = joined, found
        joined, found = self._unconfirmed
        delivery = self.lease.delivery.with_joined(joined)
        await self._storage.join(self.lease, delivery, [each.id for each in found])
        # The lease of the turn. Its delivery changes when messages join it.
        self.lease = replace(self.lease, delivery=delivery)
        self._joined, self._unconfirmed = joined, None
        if (notify := self._journal.observers.get(MessagesTaken)) is not None:
            notify(MessagesTaken(found))

    @property
    def _is_behind(self) -> bool:
        """True if an earlier run has made calls, or a step, that this run has not come to."""
        if not self._known:
            return False
        last = last_step(self._known)
        return bool(self._journal.calls_ahead()) or (last is not None and last not in self._steps.recalled)

    @asynccontextmanager
    async def uninterrupted(self) -> AsyncIterator[None]:
        """Keep the handler from being cancelled inside the block."""
        self._protected += 1
        self._unprotected.clear()
        try:
            yield
        finally:
            self._protected -= 1
            if not self._protected:
                self._unprotected.set()
                if self._watching is not None:
                    # The handler may be interrupted here, before it does more with what is outdated.
                    await asyncio.sleep(0)

    # For the turn

    @property
    def deferral(self) -> TurnDeferred | None:
        """The error of messages that may have joined the turn and that its handler has not seen: an ack would lose them."""
        if self._unconfirmed is None:
            return None
        return TurnDeferred("The storage did not answer when the handler took messages.", after_s=0.0)

    async def forget_put_back(self) -> None:
        """Take no messages that an earlier run put back into the lane before the process died: they have their own turns."""
        if not any(self._joined.incoming):
            return
        first = len(self._taken_before)
        gone = await self._storage.seen([self._untaken_id(call) for call in range(first, len(self._taken))])
        incoming = (
            () if self._untaken_id(call) in gone else bodies for call, bodies in enumerate(self._joined.incoming, first)
        )
        self._joined = replace(self._joined, incoming=tuple(incoming))

    async def put_back_untaken(self) -> None:
        """Put messages back into the lane that an earlier, failed run has taken, and this run, which succeeded, has not.

        This run made fewer calls of `incoming`, so its handler has not seen them. As deliveries of their own, they are
        handled after this turn, in the order in which they were sent. After an error the turn must not be acked. Raises
        LeaseLost.
        """
        head = self.lease.delivery
        untaken = [
            Delivery(
                self._untaken_id(call, n),
                head.lane,
                str(body.get("event_type")),
                to_json(body),
                head.received_at,
                decoded=body,
            )
            for call in self._untaken
            for n, body in enumerate(self._taken[call])
        ]
        if not untaken:
            return
        log.warning(
            "overlap.not_taken",
            delivery=head.id,
            handler=self._handler,
            messages=len(untaken),
            why="An earlier run, which failed, took them with ctx.incoming(). This run made fewer calls of it.",
        )
        await self._storage.put_in_order(head.lane, untaken, self.lease, keep=True)

    def _untaken_id(self, call: int, message: int = 0) -> str:
        """Return the id of the delivery of a message that is put back: the same in every run of the turn."""
        return f"{OWN_DELIVERY}untaken.{self.lease.delivery.id}.{call}.{message}"

    def end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def restarted(self, sent: Sequence[str]) -> Lease:
        """Join the messages for which the turn was interrupted, and return the lease with which it begins again.

        `sent` are the texts that this run has sent. After an error nothing was joined: the messages wait in the lane.
        """
        joined = replace(
            self._joined,
            burst=(*self._joined.burst, *(each.content for each in self.joining)),
            sent=(*self._joined.sent, *sent),
            restarts=self._joined.restarts + 1,
        )
        delivery = self.lease.delivery.with_joined(joined)
        await self._storage.join(self.lease, delivery, [each.id for each in self.joining], again=True)
        lease = self.lease
        log.info("turn.restarted", delivery=delivery.id, messages=len(joined.burst) + 1, sent=len(joined.sent))
        return replace(lease, delivery=delivery, replay=lease.replay + 1, delivery_count=lease.delivery_count + 1)

    async def _watch(self) -> None:
        # Before, `already_sent` would lack what an earlier run has sent, and the person would get it again.
        await self._outbox.reach_earlier_runs()
        with self._storage.watch(self.lease.delivery.lane) as grew:
            while True:
                grew.clear()
                if found := await self._known_waiting():
                    if self._protected:
                        await self._unprotected.wait()
                        found = await self._known_waiting()  # meanwhile, some may have been edited
                    found = self._that_fit_together(found)
                    if found and self._is_restartable:
                        self.joining = found
                        await self._interrupt()
                    return
                await grew.wait()

    async def _known_waiting(self) -> list[Delivery]:
        """Return what waits for this handler; nothing if the storage does not answer."""
        try:
            return await self._waiting()
        except StorageError as error:
            log.warning("overlap.unknown", delivery=self.lease.delivery.id, error=type(error).__name__)
            return []

    def _that_fit_together(self, found: Sequence[Delivery]) -> list[Delivery]:
        """Return the first of these deliveries that, joined to the turn, still reach its handler.

        Filters see the joined text. `@bot.on_message("yes")` fits each of two messages, but not both in one.
        """
        fit = list(found)
        while fit:
            burst = (*self._joined.burst, *(each.content for each in fit))
            message = message_of(self.lease.delivery.with_joined(replace(self._joined, burst=burst)))
            if message is not None and self._dispatcher.first_fit(message) == self._handler:
                break
            _drop_last(fit)
        return fit

    @property
    def _is_restartable(self) -> bool:
        if self._is_answer or self._steps.holds_input or self._journal.has_stored_state:
            return False
        if any((step := step_in(entry)) is not None and not step.get("restartable") for entry in self._known):
            return False  # a step must not be made again with other input
        return QuestionReached not in self._journal.data

    async def _interrupt(self) -> None:
        """Let the call that is being made end, refuse the next ones, and cancel the handler. If it takes long, let it go on."""
        self._journal.is_interrupted = True
        try:
            async with asyncio.timeout(LAST_CALL_S):
                await self._outbox.wait_for_calls()
        except TimeoutError:
            self._journal.is_interrupted = False
            self.joining = []
        else:
            self._task.cancel()

    async def _waiting(self) -> list[Delivery]:
        """Return the deliveries behind the head that this handler would take too, up to the first other one."""
        behind = await self._storage.following(self.lease.delivery.lane, MOST_MESSAGES)
        if not behind or message_of(self.lease.delivery) is None:
            return []
        began, *calls = (call.values() for call in self._messages())
        # Those with which the handler began come last: they say whose messages fit.
        known = [*chain(*calls), *began]
        newest = max((each.sent_at for each in known if each.sent_at is not None), default=None)

        async def fits(other: MessageReceived, _: Delivery) -> bool:
            # The webhook of a text that was written before came late: it says nothing of what the handler does now. With
            # `restart`, the handler gets all in the order in which they were written.
            is_old = newest is not None and other.sent_at is not None and other.sent_at < newest
            return not (is_old and self._mode == "steer") and self._dispatcher.handler_for(other) == self._handler

        waiting = await waiting_edits(self.lease.delivery.lane, self._storage)
        return await further_messages(MessageReceived.joined(known), behind, waiting, fits)


class Overlaps(TurnFeature):
    """Gives a turn the later messages of its chat."""

    async def begin(self, turn: Turn) -> None:
        overlap = TurnOverlap(turn, self._turns.storage, self._turns.dispatcher)
        turn.helpers.put(overlap)
        await overlap.forget_put_back()

    def stop(self, turn: Turn) -> None:
        if (overlap := turn.helpers.find(TurnOverlap)) is not None:
            overlap.end()

    def defers(self, turn: Turn) -> TurnDeferred | None:
        overlap = turn.helpers.find(TurnOverlap)
        return None if overlap is None else overlap.deferral

    async def again(self, turn: Turn, error: BaseException | None) -> Turn | None:
        """Store what an interrupted turn has done, and join the newer messages to it."""
        overlap = turn.helpers.find(TurnOverlap)
        if error is None or overlap is None or not overlap.joining or turn.journal.deferred is not None:
            return None
        done = turn.commit(Defer(self._turns.clock.now(), "restarted"))
        await self._turns.store_run(done.entries, done.timers)
        lease = await overlap.restarted(turn.journal.texts_sent())
        return self._turns.next_run(turn, lease=lease)

    async def close(self, turn: Turn, outcome: Outcome) -> None:
        if (overlap := turn.helpers.find(TurnOverlap)) is not None:
            try:
                if isinstance(outcome, Ack):
                    await overlap.put_back_untaken()
            finally:
                turn.lease = overlap.lease


def _drop_last(deliveries: list[Delivery]) -> None:
    """Remove the last delivery from a list; if it edits a message of the list, from this message on."""
    edit = edit_of(deliveries.pop())
    for place, each in enumerate(deliveries):
        if edit is not None and each.message_key == f"m.{edit.id}":
            del deliveries[place:]
            return


def _with_body(body: bytes) -> Delivery:
    """Return a delivery of which only the body is known."""
    return Delivery("", "", "message.received", body, 0.0)
