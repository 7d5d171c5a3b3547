"""Payments: what `ctx.pay` sends, and what the end of its payment request means.

A request that has not led to a payment is cancelled at Linq before `ctx.pay` returns, so it cannot be paid later.
"""

from __future__ import annotations

from typing import Any

from linqbot.bot.asking.question import OpenQuestion
from linqbot.bot.asking.results import Declined, Expired, Paid, PaymentResult
from linqbot.bot.asking.waits import PaymentWait
from linqbot.bot.sent import Sent
from linqbot.bot.turn_context import TurnContext
from linqbot.client.client import Client
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited
from linqbot.events.event import Event
from linqbot.events.lane import CHAT_OF_PAYMENT
from linqbot.types.message import Experience, MessageContent
from linqbot.types.payment import PaymentRequest
from linqbot.worker.asking.records import QuestionEnd

_LONGEST_TITLE = 100


async def request_payment(wait: PaymentWait, root: Event, label: str, ctx: TurnContext) -> tuple[PaymentRequest, Sent]:
    """Create a payment request and send it: on iMessage as a payment card, elsewhere as a link to the same page.

    Args:
        root: The event with which the handler began.
        label: The name of the calls in the journal.
    Raises:
        LinqApiError: Linq refused it, such as 403: no account with a payment provider is connected.
        RuleBroken: the amount or the currency breaks R96.
    """
    requests = ctx.client.named(f"{label}p").payment_requests
    made = await requests.create(
        amount=wait.amount,
        currency=wait.currency,
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
        if not _is_refusal(error):
            raise
        ctx.log.info("pay.no_card", status=error.status, code=error.code)
    return made, await ctx.reply(link, key=f"{label}l")


async def end_of_payment(
    wait: PaymentWait, question: OpenQuestion, outcome: QuestionEnd, label: str, client: Client
) -> QuestionEnd:
    """Return the end of a payment with its result. A request that was not paid is cancelled at Linq first.

    Args:
        outcome: The event that ended it, the timeout, or the end by the person or the operator.
        label: The name of the call in the journal.
    Raises:
        LinqApiError: Linq refused to say if the request was paid.
    """
    payment = question.payment or ""
    event = outcome.get("type") if outcome["outcome"] == "answered" else None
    if event == "payment.succeeded":
        data = outcome["body"]["data"]
        return _paid(outcome, payment, data.get("amount", wait.amount), data.get("currency", wait.currency))
    if event == "payment.canceled":
        # The bot never cancels a request that it waits for: other code of the account did, or a person in a dashboard.
        return {"outcome": "cancelled", "reason": "operator"}
    if event != "payment.expired" and (paid := await close_request(payment, label, client)) is not None:
        return _paid({"outcome": "answered"}, payment, paid.amount, paid.currency)
    if outcome["outcome"] == "cancelled":
        return outcome
    status = "declined" if event == "payment.declined" else "expired"
    return {**outcome, "outcome": "answered", "result": {"status": status, "request_id": payment}}


def closing_label(label: str) -> str:
    """Return the name, in the journal, of the call that cancels a payment request."""
    return f"{label}x"


async def close_request(payment: str, label: str, client: Client) -> PaymentRequest | None:
    """Cancel a payment request at Linq. Return it if it was paid before that.

    Raises:
        LinqApiError: Linq refused to say if the request was paid.
    """
    try:
        await client.named(closing_label(label)).payment_requests.cancel(payment)
    except LinqApiError as error:
        if not _is_refusal(error):
            raise
        if error.status == 404:
            return None
        found = await client.payment_requests.retrieve(payment)
        return found if found.status == "succeeded" else None
    return None


def payment_result(result: Any) -> PaymentResult:
    """Return a stored result as `ctx.pay` returns it."""
    if result["status"] == "paid":
        return Paid(result["request_id"], result["amount"], result["currency"])
    return Declined(result["request_id"]) if result["status"] == "declined" else Expired(result["request_id"])


def _paid(outcome: QuestionEnd, payment: str, amount: int, currency: str) -> QuestionEnd:
    paid = {"status": "paid", "request_id": payment, "amount": amount, "currency": currency}
    return {**outcome, "result": paid}


def _is_refusal(error: LinqApiError) -> bool:
    # A 401 is about the API key: the turn waits for the operator.
    if isinstance(error, RateLimited | LinqUnavailable) or error.status in (None, 401):
        return False
    return 400 <= error.status < 500
