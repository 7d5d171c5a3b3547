"""Notices of trouble: a dead letter for the bot's `on_dead_letter` handlers, and an outage for the people of a chat.

The commit of the failed turn stores a timer that is due at once, so a notice survives a crash. The timer becomes a
delivery of the same lane. `engine/turns.py` runs the handler of a dead letter in the turn of that delivery, with a
journal as in any other turn.

An outage begins when the turn of a person's message is deferred or becomes a dead letter, and ends when a handler of
the chat succeeds. The bot says the text of `Bot(on_trouble=…)` once in this time: the timer of the outage stays parked
until the commit of a turn that succeeds deletes it, and while it is stored, a further failed turn stores nothing. Next
step: `say_outage` sends the text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.client.outcome import is_refused
from linqbot.content.message_split import bubbles
from linqbot.engine.failure import Failure
from linqbot.engine.turn import Turn, origin_of
from linqbot.errors import LinqApiError, MessageGone, Refused
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery, decode, retention_mark
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.parse import understood
from linqbot.linq.types.message import MessageContent
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Outcome
from linqbot.storage.timers import OUTAGE, Timer

if TYPE_CHECKING:
    from linqbot.engine.handling import Handling
    from linqbot.engine.turns import Turns

KIND: Final = "dead_letter"

_DEAD_LETTER_ID: Final = f"i.{KIND}."


def dead_letter_timer(lease: Lease, outcome: DeadLetter, now: float) -> Timer:
    """Build the timer of a notice. Its id is the same if a retried delivery is given up again, so it is sent once."""
    delivery = lease.delivery
    attempts = lease.attempts + outcome.failed
    payload = {
        # As JSON and not as text, because `linqbot person forget` looks for handles among the values.
        "body": decode(delivery.body),
        "delivery": {"id": delivery.id, "type": delivery.type, "received_at": delivery.received_at},
        "failure": {"reason": outcome.whole_error, "handler": outcome.handler, "attempts": attempts},
    }
    payload |= retention_mark(off_the_record=delivery.is_off_the_record)
    return Timer(f"{delivery.id}.{lease.replay}", now, delivery.lane, KIND, to_json(payload))


log = structlog.get_logger("linqbot.worker")

PATIENCE_S: Final = 5.0
"""A turn that is deferred to at most this many seconds after the message came in leaves the person waiting for a moment only."""


def leaves_waiting(lease: Lease, outcome: Outcome, now: float) -> bool:
    """Return True if a turn ended so that the person who wrote waits for an answer, or gets none."""
    delivery = lease.delivery
    if delivery.type != "message.received" or chat_of_lane(delivery.lane) is None:
        return False
    if isinstance(outcome, Defer):
        # A turn that was stopped, or whose state another turn has changed, is deferred until now: it goes on at once.
        return outcome.at > now and outcome.at - delivery.received_at > PATIENCE_S
    return isinstance(outcome, DeadLetter)


def outage_begun(delivery: Delivery, origin: bytes | None, now: float) -> Timer:
    """Return the timer of an outage, for the commit that ends the failed turn.

    It has the people and the chat of the turn, so that `linqbot person forget` finds it.
    """
    chat_id = chat_of_lane(delivery.lane)
    payload: dict[str, object] = {"chat_id": chat_id, "origin": None if origin is None else from_json(origin)}
    payload |= retention_mark(off_the_record=delivery.is_off_the_record)
    # In a lane of its own, because the deferred delivery blocks the lane of the chat.
    return Timer(f"{OUTAGE}.{chat_id}", now, f"t:{chat_id}", OUTAGE, to_json(payload))


def is_outage_notice(delivery: Delivery) -> bool:
    return delivery.id.startswith(f"i.{OUTAGE}.")


async def say_outage(turns: Turns, turn: Turn) -> None:
    """Send the text of `Bot(on_trouble=…)` to the chat of an outage, unless the outage is over.

    If Linq refuses it, a line is logged. If Linq is away, the notice waits, and is not sent if the outage ends before.
    """
    notice, text = turn.lease.delivery, turns.dispatcher.rules.on_trouble
    payload = from_json(notice.body)
    chat_id = payload["chat_id"]
    turn.journal.origin = None if payload["origin"] is None else to_json(payload["origin"])
    if text is None or await turns.storage.timer(f"{OUTAGE}.{chat_id}") is None:
        return
    send = turn.client.chats.messages.send
    with turn.deadline:
        await say(text, lambda message: send(chat_id, message=message), "trouble.not_said", delivery=notice.id)


async def say(text: str, send: Callable[[MessageContent], Awaitable[object]], not_said: str, **facts: object) -> None:
    """Send a text of linqbot's own. If a plugin or Linq refuses it, log the event `not_said`, with the facts."""
    try:
        for message in bubbles((text,)):
            with suppress(MessageGone):
                await send(message)
    except Refused as error:
        log.info(not_said, **facts, plugin=error.plugin, reason=str(error))
    except LinqApiError as error:
        if not is_refused(error):
            raise
        log.warning(not_said, **facts, status=error.status, code=error.code)


async def notify_dead_letter(turns: Turns, turn: Turn) -> None:
    """Run the `on_dead_letter` handler of a message that was given up."""
    notice, payload = turn.lease.delivery, from_json(turn.lease.delivery.body)
    given_up, failure = payload["delivery"], payload["failure"]
    body = to_json(payload["body"])
    delivery = Delivery(given_up["id"], notice.lane, given_up["type"], body, given_up["received_at"])
    ctx = await turns.prepare(turn, delivery)
    why = Failure(failure["reason"], failure["handler"], failure["attempts"])
    await turns.dispatcher.dispatch_dead_letter(why, turn.event, ctx)


class Notices(TurnFeature):
    """Says that the bot gives up a message, or cannot answer it now.

    An `on_dead_letter` handler says it. Without one that takes the event, it is the text of `Bot(on_trouble=…)`.
    """

    def end(self, turn: Turn, commit: Commit) -> None:
        lease, outcome, delivery = turn.lease, commit.outcome, turn.lease.delivery
        dispatcher, now = self._turns.dispatcher, self._turns.clock.now()
        if isinstance(outcome, DeadLetter) and dispatcher.takes_dead_letter(delivery):
            commit.timers.append(dead_letter_timer(lease, outcome, now))
        elif dispatcher.rules.on_trouble is None:
            return
        elif leaves_waiting(lease, outcome, now):
            has_handler, origin = False, None
            if turn.is_running:
                has_handler, origin = turn.handler is not None, turn.journal.origin
            elif isinstance(outcome, DeadLetter):
                has_handler, origin = _of_unparsed(delivery, dispatcher)
            if has_handler:
                commit.timers.append(outage_begun(delivery, origin, now))
        elif isinstance(outcome, Ack) and turn.handler is not None and not delivery.id.startswith(_DEAD_LETTER_ID):
            chat_id = chat_of_lane(delivery.lane)
            commit.cancelled += [] if chat_id is None else [f"{OUTAGE}.{chat_id}"]


def _of_unparsed(delivery: Delivery, dispatcher: Handling) -> tuple[bool, bytes | None]:
    """Return if a handler may take a message that has crashed the process, and the origin of its turn."""
    event = understood(delivery)
    if event is None:
        return False, None
    return dispatcher.may_reach_handler(event), origin_of(event)
