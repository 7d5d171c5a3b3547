"""Waits: `ctx.pay`, `ctx.location` and `ctx.vote` on the mechanism of `ctx.ask`.

A wait is a question that an event ends instead of words. Other messages of the person are handled as usual while it is
open, so it takes no place from a question, and several payments may be open at once. A request that has not led to a
payment is cancelled at Linq before `ctx.pay` returns, so it cannot be paid later. No event of Linq's holds a location,
so the location is read when sharing has started. A phone that just began may not be located yet. Then the wait stays
open, and a timer looks again, a few times a minute at most.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from linqbot.client.client import Client
from linqbot.content.sending import NO_LOCATION, stopped_by
from linqbot.content.sent import OPTED_OUT, Sent
from linqbot.engine.failure import is_refused
from linqbot.errors import AskTimeout, LinqApiError, Refused
from linqbot.features.asking.question import (
    CURRENCY,
    Ballot,
    Declined,
    Expired,
    Location,
    LocationWait,
    OpenQuestion,
    Paid,
    PaymentResult,
    PaymentWait,
    Question,
    VoteWait,
    Wait,
    cancel_words,
    text_to_show,
    vote_result,
)
from linqbot.features.asking.records import (
    LOCATION,
    PAYMENT,
    PROMPT,
    VOTE,
    QuestionEnd,
    cancelled_for,
    ids_of,
    refusal_of,
    send_choices,
)
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import CHAT_OF_PAYMENT
from linqbot.linq.types.chat_features import LocationFeature
from linqbot.linq.types.message import Experience, MessageContent
from linqbot.linq.types.payment import PaymentRequest

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.bot.turn_context import TurnContext


def key_of_wait(wait: Wait, root: Event, turn: str) -> str:
    """Return the `person` of a conversation that waits. It holds a space, which no handle does."""
    if isinstance(wait, LocationWait):
        return f"{_asked(root)} {LOCATION}"
    return f"{_asked(root)} {PAYMENT if isinstance(wait, PaymentWait) else VOTE}{turn}"


async def begin_wait(wait: Wait, question: Question, n: int, root: Event, ctx: TurnContext) -> OpenQuestion:
    """Send what begins a wait, the n-th question of a conversation that began with `root`, and return its stored form.

    Raises AskCancelled if the person has opted out, a plugin refused it, or the chat does not support it; LinqApiError.
    """
    opened = OpenQuestion(
        n=n, key=question.key, cancel=cancel_words(question.cancel), repeat=False, next=n + 1, asked=_asked(root)
    )
    try:
        if isinstance(wait, LocationWait):
            found = await _begin_location(question, n, root, ctx)
        elif isinstance(wait, VoteWait):
            found = await _begin_vote(wait, question, n, ctx)
        else:
            found = await _begin_payment(wait, n, root, ctx)
    except Refused as error:
        stopped_by(error, ctx.log)
        raise cancelled_for("refused") from None
    return opened.model_copy(update=found)


async def _begin_payment(wait: PaymentWait, n: int, root: Event, ctx: TurnContext) -> dict[str, Any]:
    label = f"{PROMPT}{n}"
    made, sent = await request_payment(wait, root, label, ctx)
    if refusal_of(sent) is not None:
        await close_request(made.id, label, ctx.client)
    text = f"{wait.description}: {wait.price}"
    return {"waits_for": "payment", "payment": made.id, "messages": ids_of(sent), "text": text}


async def _begin_location(question: Question, n: int, root: Event, ctx: Context) -> dict[str, Any]:
    opened: dict[str, Any] = {"waits_for": "location", "events": ("location.sharing.started",)}
    # Not named as a question's call: such calls are made again after a crash, and this one must not be.
    is_known = await request_location(root, f"{LOCATION}{n}", ctx)
    if is_known or not question.content:
        return {**opened, "is_known": is_known, "text": "Your location?"}
    sent = await ctx.reply(*question.content, key=f"{PROMPT}{n}")
    return {**opened, "messages": ids_of(sent), "text": text_to_show(question.messages(numbered=False))}


async def _begin_vote(wait: VoteWait, question: Question, n: int, ctx: Context) -> dict[str, Any]:
    members: tuple[str, ...] = ()
    if wait.until == "all":
        members = tuple(each.handle.casefold() for each in await ctx.chat.people())
    ids, poll, options = await send_choices(question, n, ctx)
    ballot = Ballot(
        choices=question.choices,
        poll=poll,
        options=tuple(options.items()),
        members=members,
        until=None if wait.until == "all" else wait.until,
    )
    text = text_to_show(question.messages(numbered=True))
    cancel = cancel_words(question.cancel, question.choices if poll is None else ())
    return {"waits_for": "votes", "ballot": ballot, "messages": ids, "poll": poll, "text": text, "cancel": cancel}


async def end_of_wait(wait: Wait, question: OpenQuestion, outcome: QuestionEnd, ctx: Context) -> QuestionEnd | None:
    """Return the end of a wait with its result; None if the result is not known yet."""
    if isinstance(wait, LocationWait):
        return await end_of_location(question, outcome, ctx.chat_id, ctx.client)
    if isinstance(wait, VoteWait):
        if outcome["outcome"] == "cancelled" or "result" in outcome or question.ballot is None:
            return outcome
        return {**outcome, "result": question.ballot.result()}
    return await end_of_payment(wait, question, outcome, f"{PROMPT}{question.n}", ctx.client)


def result_of(wait: Wait, outcome: QuestionEnd) -> Any:
    """Return the result of a wait, as the method of the context returns it. Raises AskTimeout if nothing came."""
    if isinstance(wait, PaymentWait):
        return payment_result(outcome["result"])
    if isinstance(wait, VoteWait):
        return vote_result(outcome["result"])
    if outcome["outcome"] == "timed_out":
        raise AskTimeout("No location came in time.")
    return location_result(outcome["result"])


def _asked(root: Event) -> str:
    return (root.actor or "").casefold()


_LONGEST_TITLE = 100


async def request_payment(wait: PaymentWait, root: Event, label: str, ctx: TurnContext) -> tuple[PaymentRequest, Sent]:
    """Create a payment request and send it: on iMessage as a payment card, elsewhere as a link to the same page.

    `label` names the calls in the journal. Raises LinqApiError, such as 403 if no account with a payment provider is
    connected, and RuleBroken (R96) for the amount.
    """
    requests = ctx.client.named(f"{label}p").payment_requests
    made = await requests.create(
        amount=wait.amount,
        currency=CURRENCY,
        description=wait.description,
        metadata={CHAT_OF_PAYMENT: ctx.chat_id},
    )
    if not made.checkout_url:
        # The journal keeps no addresses of a call that an earlier run of this turn has made.
        made = await requests.retrieve(made.id)
    link = f"{wait.description}: {wait.price}\n{made.checkout_url}"
    # Linq sends a card to one person and over iMessage only (R42).
    if root.is_group or root.service not in (None, "iMessage"):
        return made, await ctx.reply(link, key=label)
    params = {"checkout_url": made.checkout_url, "title": wait.description[:_LONGEST_TITLE], "note": wait.price}
    card = MessageContent(experience=Experience(name="agentpay", action="request_payment", params=params))
    try:
        return made, await ctx.reply_or_else(card, key=label)
    except LinqApiError as error:
        if not is_refused(error):
            raise
        ctx.log.info("pay.no_card", status=error.status, code=error.code)
    return made, await ctx.reply(link, key=f"{label}l")


async def end_of_payment(
    wait: PaymentWait, question: OpenQuestion, outcome: QuestionEnd, label: str, client: Client
) -> QuestionEnd:
    """Return the end of a payment with its result. A request that was not paid is cancelled at Linq first.

    The outcome is the event that ended it, the timeout, or the end by the person or the operator.
    """
    payment = question.payment or ""
    event = outcome.get("type") if outcome["outcome"] == "answered" else None
    if event == "payment.succeeded":
        data = outcome["body"]["data"]
        return _paid(outcome, payment, data.get("amount", wait.amount), data.get("currency", CURRENCY))
    if event == "payment.canceled":
        # The bot never cancels a request that it waits for: other code of the account did, or a person in a dashboard.
        return {"outcome": "cancelled", "reason": "operator"}
    if event != "payment.expired" and (paid := await close_request(payment, label, client)) is not None:
        return _paid({"outcome": "answered"}, payment, paid.amount, paid.currency)
    if outcome["outcome"] == "cancelled":
        return outcome
    status = "declined" if event == "payment.declined" else "expired"
    return {**outcome, "outcome": "answered", "result": {"status": status, "request_id": payment}}


async def close_request(payment: str, label: str, client: Client) -> PaymentRequest | None:
    """Cancel a payment request at Linq. Return it if it was paid before that."""
    try:
        await client.named(f"{label}x").payment_requests.cancel(payment)
    except LinqApiError as error:
        if not is_refused(error):
            raise
        if error.status == 404:
            return None
        found = await client.payment_requests.retrieve(payment)
        return found if found.status == "succeeded" else None
    return None


def payment_result(result: Any) -> PaymentResult:
    if result["status"] == "paid":
        return Paid(result["request_id"], result["amount"], result["currency"])
    return Declined(result["request_id"]) if result["status"] == "declined" else Expired(result["request_id"])


def _paid(outcome: QuestionEnd, payment: str, amount: int, currency: str) -> QuestionEnd:
    paid = {"status": "paid", "request_id": payment, "amount": amount, "currency": currency}
    return {**outcome, "result": paid}


_FIRST_LOOK_S: Final = 5.0
_LONGEST_LOOK_S: Final = 60.0


async def request_location(root: Event, label: str, ctx: Context) -> bool:
    """Ask the person of a direct iMessage chat to share their location. Return True if they share it already.

    Raises AskCancelled if the chat has no location sharing, or the person has opted out.
    """
    if root.is_group or root.service not in (None, "iMessage"):
        raise cancelled_for("unsupported")
    try:
        await ctx.client.named(label).chats.location.request(ctx.chat_id)
    except LinqApiError as error:
        if error.code == OPTED_OUT:
            raise cancelled_for("opted_out") from None
        if error.status != 409:
            raise
        if error.code in NO_LOCATION:
            raise cancelled_for("unsupported") from None
        return True
    return False


async def end_of_location(
    question: OpenQuestion, outcome: QuestionEnd, chat_id: str, client: Client
) -> QuestionEnd | None:
    """Return the end of the wait with the location; None if the person shares it but was not located yet."""
    if outcome["outcome"] != "answered" or "result" in outcome:
        return outcome
    body: Any = outcome.get("body")
    data = body["data"] if body else {}
    handles = {str(data.get("shared_by") or "").casefold(), question.asked}
    features = (await client.chats.location.retrieve(chat_id)).data.features
    # An Apple ID may share under its e-mail address, and a direct chat has no other person.
    fitting = [each for each in features if each.properties.handle.casefold() in handles] or features
    return {**outcome, "result": _as_json(fitting[0])} if fitting else None


def look_again_after_s(looks: int) -> float:
    # The exponent is limited, because a wait of a day has over a thousand looks, and floats end at 2 to the 1024.
    return min(_FIRST_LOOK_S * 2.0 ** min(looks, 10), _LONGEST_LOOK_S)


def location_result(result: Any) -> Location:
    updated_at = result["updated_at"]
    return Location(**{**result, "updated_at": updated_at and datetime.fromisoformat(updated_at)})


def _as_json(feature: LocationFeature) -> dict[str, Any]:
    at, person = feature.geometry, feature.properties
    return {
        "latitude": at.latitude,
        "longitude": at.longitude,
        "handle": person.handle,
        "address": person.address,
        "locality": person.locality,
        "updated_at": person.updated_at and person.updated_at.isoformat(),
    }
