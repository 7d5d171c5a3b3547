"""Questions that cannot be asked: no handler could wait for the answer, or no person could give it."""

from __future__ import annotations

from linqbot.bot.asking.question import Question
from linqbot.bot.context import Context
from linqbot.errors import BotError, ConversationTooLong
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.message import MessageReceived
from linqbot.storage.conversations import ANYONE, Conversation


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


def may_replace(root: Event, person: str) -> bool:
    """Return True if a question to a person takes the place of an open one: with a message, they began something else.

    Args:
        root: The event with which the asking handler began.
    """
    return isinstance(root, MessageReceived) and (root.actor or "").casefold() == person


def second_question(handler: str | None, other: Conversation) -> BotError:
    """Return the error of a handler that asks a person who has not answered another question of the chat yet."""
    return BotError(
        f"Handler {handler} asks a person whom {other.handler} has already asked in this chat. One question is open for a "
        f"person at a time. To end the other one first: ctx.end_questions() in the handler, or linqbot asks cancel {other.id}"
    )


def in_another_task(verb: str) -> BotError:
    """Return the error of a question in a task that the handler has started."""
    return BotError(
        f"{verb}() was called in a task that the handler started, such as by asyncio.gather, a TaskGroup or "
        f"asyncio.wait_for. One question waits at a time: await {verb}(…) in the handler itself, one after the "
        "other, and limit its time with timeout_s=."
    )


def in_step(verb: str, step: str) -> BotError:
    """Return the error of a question in a step of `ctx.once`."""
    return BotError(
        f"{verb}() was called in the step {step!r}. A question ends the handler, which would cut "
        "the step off. Ask before ctx.once, and use the answer in it."
    )


def of_ambiguous_handler(verb: str, handler: str) -> BotError:
    """Return the error of a question in a handler whose name others have too."""
    return BotError(
        f"Several handlers are called {handler}, and the answer goes to a handler by its name. So {verb}() could "
        "continue the wrong one. Give each function a name of its own before you register it, such as: "
        'order.__qualname__ = f"order_{dish}"'
    )


def one_too_many(handler: str | None, limit: int) -> ConversationTooLong:
    """Return the error of a question in a conversation that has as many as it can have."""
    return ConversationTooLong(
        f"The conversation has {limit} questions, which is the most. Let handler {handler} end, keep what "
        "it has learned in ctx.state, and go on with the person's next message."
    )
