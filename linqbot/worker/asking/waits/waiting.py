"""Waits: `ctx.pay`, `ctx.location` and `ctx.vote` on the mechanism of `ctx.ask`.

A wait is a question that an event ends instead of words. Other messages of the person are handled as usual while it is
open, so it takes no place from a question, and several payments may be open at once.
"""

from __future__ import annotations

from typing import Any

from linqbot.bot.asking.ballot import Ballot, vote_result
from linqbot.bot.asking.question import OpenQuestion, Question, cancel_words, text_to_show
from linqbot.bot.asking.waits import LocationWait, PaymentWait, VoteWait, Wait
from linqbot.bot.content.chat_sender import stopped_by
from linqbot.bot.context import Context
from linqbot.bot.sent import Sent
from linqbot.bot.turn_context import TurnContext
from linqbot.errors import AskTimeout, Refused
from linqbot.events.event import Event
from linqbot.worker.asking.prompts import refusal_of, send_choices
from linqbot.worker.asking.records import LOCATION, PAYMENT, PROMPT, VOTE, AskRefused, QuestionEnd
from linqbot.worker.asking.waits.locations import end_of_location, location_result, request_location
from linqbot.worker.asking.waits.payments import close_request, end_of_payment, payment_result, request_payment


def key_of_wait(wait: Wait, root: Event, turn: str) -> str:
    """Return the `person` of a conversation that waits. It holds a space, which no handle does.

    Args:
        turn: The id of the conversation.
    """
    if isinstance(wait, LocationWait):
        return f"{_asked(root)} {LOCATION}"
    return f"{_asked(root)} {PAYMENT if isinstance(wait, PaymentWait) else VOTE}{turn}"


async def begin_wait(wait: Wait, question: Question, n: int, root: Event, ctx: TurnContext) -> OpenQuestion:
    """Send what begins a wait, and return its stored form.

    Args:
        n: The number of the question in its conversation.
        root: The event with which the handler began.
    Raises:
        AskRefused: the person has opted out, a plugin refused it, or the chat does not support it.
        LinqApiError: Linq refused it.
    """
    opened = OpenQuestion(
        n=n, key=question.key, cancel=cancel_words(question.cancel), repeat=False, next=n + 1, asked=_asked(root)
    )
    try:
        if isinstance(wait, LocationWait):
            found = await _begin_location(question, n, root, ctx)
        elif isinstance(wait, VoteWait):
            found = await _begin_vote(wait, question, n, root, ctx)
        else:
            found = await _begin_payment(wait, n, root, ctx)
    except Refused as error:
        stopped_by(error, ctx.log)
        raise AskRefused("refused") from None
    return opened.model_copy(update=found)


async def _begin_payment(wait: PaymentWait, n: int, root: Event, ctx: TurnContext) -> dict[str, Any]:
    label = f"{PROMPT}{n}"
    made, sent = await request_payment(wait, root, label, ctx)
    if (refused := refusal_of(sent)) is not None:
        await close_request(made.id, label, ctx.client)
        raise AskRefused(refused)
    text = f"{wait.description}: {wait.price}"
    return {"waits_for": "payment", "payment": made.id, "messages": _ids(sent), "text": text}


async def _begin_location(question: Question, n: int, root: Event, ctx: Context) -> dict[str, Any]:
    opened: dict[str, Any] = {"waits_for": "location", "events": ("location.sharing.started",)}
    # Not named as a question's call: such calls are made again after a crash, and this one must not be.
    is_known = await request_location(root, f"{LOCATION}{n}", ctx)
    if is_known or not question.content:
        return {**opened, "is_known": is_known, "text": "Your location?"}
    sent = await ctx.reply(*question.content, key=f"{PROMPT}{n}")
    if (refused := refusal_of(sent)) is not None:
        raise AskRefused(refused)
    return {**opened, "messages": _ids(sent), "text": text_to_show(question.messages(numbered=False))}


async def _begin_vote(wait: VoteWait, question: Question, n: int, root: Event, ctx: Context) -> dict[str, Any]:
    members: tuple[str, ...] = ()
    if wait.until == "all":
        handles = (await ctx.client.chats.retrieve(ctx.chat_id)).handles
        active = (each for each in handles if not each.is_me and each.status in (None, "active"))
        members = tuple(each.handle.casefold() for each in active)
    texts, poll, options = await send_choices(question, root, f"{PROMPT}{n}", ctx)
    for sent in texts:
        if (refused := refusal_of(sent)) is not None:
            raise AskRefused(refused)
    ballot = Ballot(
        choices=question.choices,
        poll=poll,
        options=tuple(options.items()),
        members=members,
        until=None if wait.until == "all" else wait.until,
    )
    ids = tuple(message for sent in texts for message in _ids(sent))
    text = text_to_show(question.messages(numbered=True))
    cancel = cancel_words(question.cancel, question.choices if poll is None else ())
    return {"waits_for": "votes", "ballot": ballot, "messages": ids, "poll": poll, "text": text, "cancel": cancel}


async def end_of_wait(wait: Wait, question: OpenQuestion, outcome: QuestionEnd, ctx: Context) -> QuestionEnd | None:
    """Return the end of a wait with its result; None if the result is not known yet.

    Raises:
        LinqApiError: Linq refused a call that finds out the result.
    """
    if isinstance(wait, LocationWait):
        return await end_of_location(question, outcome, ctx.chat_id, ctx.client)
    if isinstance(wait, VoteWait):
        if outcome["outcome"] == "cancelled" or "result" in outcome or question.ballot is None:
            return outcome
        return {**outcome, "result": question.ballot.result()}
    return await end_of_payment(wait, question, outcome, f"{PROMPT}{question.n}", ctx.client)


def result_of(wait: Wait, outcome: QuestionEnd) -> Any:
    """Return the result of a wait, as the method of the context returns it.

    Raises:
        AskTimeout: nothing came in time.
    """
    if isinstance(wait, PaymentWait):
        return payment_result(outcome["result"])
    if isinstance(wait, VoteWait):
        return vote_result(outcome["result"])
    if outcome["outcome"] == "timed_out":
        raise AskTimeout("No location came in time.")
    return location_result(outcome["result"])


def _asked(root: Event) -> str:
    return (root.actor or "").casefold()


def _ids(sent: Sent) -> tuple[str, ...]:
    return tuple(message.id for message in sent.messages)
