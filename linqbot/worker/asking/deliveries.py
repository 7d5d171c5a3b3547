"""The deliveries by which linqbot itself ends a question.

Timers become such deliveries: the timeout of a question, an opt-out, a newer question, and a check whether the result of
a wait is known. Others are stored at once: an order of the operator or of a handler, and an answer that came outside of the
chat. All of them wait in the lane of the chat, so they never overtake an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from linqbot.bot.asking.question import OpenQuestion
from linqbot.events.delivery import Delivery, decode
from linqbot.events.lane import lane_of_chat
from linqbot.storage.conversations import Conversation
from linqbot.storage.timers import Timer
from linqbot.worker.asking.records import AskCancellation, QuestionEnd

KIND: Final = "ask"
ORDER_PREFIX: Final = f"i.{KIND}."
"""The beginning of the ids of these deliveries. A webhook can have no such id."""
ORDER_TYPE: Final = f"linqbot.{KIND}"
"""The type of these deliveries."""
_ANY_DELAY_S: Final = 10 * 365 * 86_400.0


def _handle_of(conversation: Conversation) -> str:
    """Return the handle of the person of a conversation, without the name of what it waits for."""
    return conversation.person.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Order:
    """An order to end a question.

    Attributes:
        conversation: The id of the conversation.
        n: The number of the question; the order is void if the conversation has gone on.
        outcome: How the question ends.
    """

    conversation: str
    n: int
    outcome: QuestionEnd


def order_of(delivery: Delivery) -> Order | None:
    """Return the order that a delivery of our own stands for; None if it cannot be read."""
    body = decode(delivery.body)
    if not isinstance(body, dict):
        return None
    conversation, n, outcome = body.get("conversation"), body.get("n"), body.get("outcome")
    if not (isinstance(conversation, str) and isinstance(n, int) and isinstance(outcome, dict)):
        return None
    return Order(conversation, n, outcome)  # type: ignore[arg-type]


def timeout(conversation: Conversation, n: int, *, again: bool = False) -> Timer:
    """Return the timer that ends a question when no answer comes.

    Args:
        again: True for a question that is open again. The timer that it had may have fired, so it gets another one.
    """
    timer_id = f"{conversation.id}.{conversation.replay}.{n}"
    if again:
        timer_id = f"{timer_id}.{conversation.until:.0f}"
    body = _body(conversation, n, {"outcome": "timed_out"}, conversation.until)
    return Timer(timer_id, conversation.until, lane_of_chat(conversation.chat_id), KIND, body, _ANY_DELAY_S)


def look(conversation: Conversation, question: OpenQuestion, outcome: QuestionEnd, due: float) -> Timer:
    """Return the timer that checks whether the result of a wait is known.

    Args:
        outcome: The end of the wait, without its result.
        due: Unix seconds.
    """
    timer_id = f"{conversation.id}.{conversation.replay}.{question.n}.look{question.looks}"
    body = _body(conversation, question.n, outcome, due)
    return Timer(timer_id, due, lane_of_chat(conversation.chat_id), KIND, body, _ANY_DELAY_S)


def cancellation(conversation: Conversation, n: int, reason: AskCancellation, now: float) -> Timer:
    """Return the timer, due at once, that ends a question without an answer."""
    timer_id = f"{conversation.id}.{conversation.replay}.{n}.{reason}"
    body = _body(conversation, n, {"outcome": "cancelled", "reason": reason}, now)
    return Timer(timer_id, now, lane_of_chat(conversation.chat_id), KIND, body, _ANY_DELAY_S)


def order(conversation: Conversation, n: int, outcome: QuestionEnd, *, name: str, now: float) -> Delivery:
    """Return the delivery that ends a question in the lane of its chat.

    Args:
        name: Tells orders about one question apart; equal orders have equal names.
    """
    delivery_id = f"{ORDER_PREFIX}{conversation.id}.{conversation.replay}.{n}.{name}"
    body = _body(conversation, n, outcome, now)
    return Delivery(delivery_id, lane_of_chat(conversation.chat_id), ORDER_TYPE, body, now)


def _body(conversation: Conversation, n: int, outcome: QuestionEnd, at: float) -> bytes:
    body: dict[str, Any] = {"conversation": conversation.id, "n": n, "outcome": outcome}
    # In Linq's own form, so that the lane can be sorted by the time at which each delivery was sent: `Delivery.sent_at`.
    body["created_at"] = datetime.fromtimestamp(at, UTC).isoformat()
    # The handle, so that `linqbot forget` finds the delivery.
    body |= {"chat_id": conversation.chat_id, "handles": [_handle_of(conversation)]}
    if conversation.off_the_record:
        body["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    return to_json(body)
