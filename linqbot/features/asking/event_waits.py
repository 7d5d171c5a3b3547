"""Waits that an event ends: `ctx.pay`, `ctx.location` and `ctx.vote` on the mechanism of `ctx.ask`.

A wait is a question that an event ends instead of words. Other messages of the person are handled as usual while it is
open, so it takes no place from a question, and several payments may be open at once. A request that has not led to a
payment is cancelled at Linq before `ctx.pay` returns, so it cannot be paid later. No event of Linq's holds a location,
so the location is read when sharing has started. A phone that just began may not be located yet. Then the wait stays
open, and a timer looks again, a few times a minute at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from linqbot.characters import cut, whole
from linqbot.client.client import Client
from linqbot.client.outcome import NO_LOCATION, Refusal, is_refused, meaning_of, shares_location
from linqbot.content.sending import stopped_by
from linqbot.content.sent import Sent
from linqbot.engine.prompts import Prompt
from linqbot.errors import AskTimeout, BotError, LinqApiError, Refused
from linqbot.features.asking.question import (
    Ballot,
    Declined,
    Expired,
    Location,
    OpenQuestion,
    Paid,
    PaymentResult,
    Question,
    QuestionEnd,
    VoteResult,
    Wait,
    cancel_words,
    text_to_show,
)
from linqbot.features.asking.records import (
    LOCATION,
    PAYMENT,
    VOTE,
    cancelled_for,
    end_label,
    ids_of,
    refusal_of,
    send_choices,
)
from linqbot.language.spoken import spoken
from linqbot.language.writing import amount
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import CHAT_OF_PAYMENT
from linqbot.linq.handles import person_key
from linqbot.linq.types.chat_features import LocationFeature
from linqbot.linq.types.message import Experience, MessageContent
from linqbot.linq.types.payment import PaymentRequest

if TYPE_CHECKING:
    from linqbot.features.speaking import Speaker


CURRENCY: Final = "usd"
"""The currency of payments: Linq accepts no other one."""
_LONGEST_TITLE: Final = 100
_FIRST_LOOK_S: Final = 5.0
_LONGEST_LOOK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PaymentWait(Wait):
    """The arguments of `ctx.pay`. Raises BotError if one cannot be right."""

    verb: ClassVar = "ctx.pay"

    amount: int
    description: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, int) or isinstance(self.amount, bool):
            raise BotError(
                f"ctx.pay({self.amount!r}, …): give the amount in cents as a whole number. 12.50 dollars are 1250."
            )
        if not isinstance(self.description, str) or not self.description.strip():
            raise BotError("ctx.pay() needs a description for the person: ctx.pay(1250, '2 soups').")
        object.__setattr__(self, "description", whole(self.description))

    @property
    def words(self) -> Any:
        return ["pay", self.amount, CURRENCY]

    def person(self, root: Event, turn_id: str) -> str:
        return f"{_asked(root)} {PAYMENT}{turn_id}"

    async def begin(self, question: Question, prompt: Prompt, root: Event, ctx: Speaker) -> dict[str, Any]:
        made, sent = await self._request(root, prompt.label, ctx)
        if refusal_of(sent) is not None:
            await _close_request(made.id, f"{prompt.label}x", ctx.client)
        text = f"{self.description}: {self._price}"
        return {"waits_for": "payment", "payment": made.id, "messages": ids_of(sent), "text": text}

    async def find(self, question: OpenQuestion, end: QuestionEnd, ctx: Speaker) -> PaymentRequest | None:
        """Cancel a request at Linq that was not paid. Return it if it was paid before that."""
        if _event_of(end) in ("payment.succeeded", "payment.canceled", "payment.expired"):
            return None
        return await _close_request(question.payment or "", end_label(question.n), ctx.client)

    def judge(self, question: OpenQuestion, end: QuestionEnd, found: PaymentRequest | None) -> QuestionEnd:
        payment, event = question.payment or "", _event_of(end)
        if event == "payment.succeeded":
            data = end["body"]["data"]
            return _paid(end, payment, data.get("amount", self.amount), data.get("currency", CURRENCY))
        if event == "payment.canceled":
            # The bot never cancels a request that it waits for: other code of the account did, or a person in a dashboard.
            return {"outcome": "cancelled", "reason": "operator"}
        if found is not None:
            return _paid({"outcome": "answered"}, payment, found.amount, found.currency)
        if end["outcome"] == "cancelled":
            return end
        status = "declined" if event == "payment.declined" else "expired"
        return {**end, "outcome": "answered", "result": {"status": status, "request_id": payment}}

    def result(self, end: QuestionEnd) -> PaymentResult:
        result = end["result"]
        if result["status"] == "paid":
            return Paid(result["request_id"], result["amount"], result["currency"])
        return Declined(result["request_id"]) if result["status"] == "declined" else Expired(result["request_id"])

    @property
    def _price(self) -> str:
        """The amount as a person reads it, such as `$12.50`."""
        return amount(self.amount, CURRENCY)

    async def _request(self, root: Event, label: str, ctx: Speaker) -> tuple[PaymentRequest, Sent]:
        """Create a payment request and send it: on iMessage as a payment card, elsewhere as a link to the same page.

        `label` names the calls in the journal. Raises LinqApiError, such as 403 if no account with a payment provider is
        connected, and RuleBroken (R96) for the amount.
        """
        requests = ctx.client.named(f"{label}p").payment_requests
        made = await requests.create(
            amount=self.amount,
            currency=CURRENCY,
            description=self.description,
            metadata={CHAT_OF_PAYMENT: ctx.chat_id},
        )
        if not made.checkout_url:
            # The journal keeps no addresses of a call that an earlier run of this turn has made.
            made = await requests.retrieve(made.id)
        link = f"{self.description}: {self._price}\n{made.checkout_url}"
        # Linq sends a card to one person and over iMessage only (R42).
        if root.is_group or root.service not in (None, "iMessage"):
            return made, await ctx.reply(link, key=label)
        params = {
            "checkout_url": made.checkout_url,
            "title": cut(self.description, _LONGEST_TITLE),
            "note": self._price,
        }
        card = MessageContent(experience=Experience(name="agentpay", action="request_payment", params=params))
        try:
            return made, await ctx.reply_or_else(card, key=label)
        except LinqApiError as error:
            if not is_refused(error):
                raise
            ctx.log.info("pay.no_card", status=error.status, code=error.code)
        return made, await ctx.reply(link, key=f"{label}l")


def _event_of(end: QuestionEnd) -> str | None:
    return end.get("type") if end["outcome"] == "answered" else None


async def _close_request(payment: str, label: str, client: Client) -> PaymentRequest | None:
    """Cancel a payment request at Linq. Return it if it was paid before that."""
    try:
        await client.named(label).payment_requests.cancel(payment)
    except LinqApiError as error:
        if not is_refused(error):
            raise
        if meaning_of(error) is Refusal.GONE:
            return None
        found = await client.payment_requests.retrieve(payment)
        return found if found.status == "succeeded" else None
    return None


def _paid(end: QuestionEnd, payment: str, amount: int, currency: str) -> QuestionEnd:
    paid = {"status": "paid", "request_id": payment, "amount": amount, "currency": currency}
    return {**end, "result": paid}


@dataclass(frozen=True, slots=True)
class LocationWait(Wait):
    """`ctx.location`, whose arguments are those of the question."""

    verb: ClassVar = "ctx.location"
    words: ClassVar[Any] = ["location"]

    def person(self, root: Event, turn_id: str) -> str:
        return f"{_asked(root)} {LOCATION}"

    async def begin(self, question: Question, prompt: Prompt, root: Event, ctx: Speaker) -> dict[str, Any]:
        opened: dict[str, Any] = {"waits_for": "location", "events": ("location.sharing.started",)}
        is_known = await _request_location(root, f"{prompt.label}r", ctx)
        if is_known or not question.content:
            return {**opened, "is_known": is_known, "text": "Your location?"}
        sent = await ctx.reply(*question.content, key=prompt.label)
        return {**opened, "messages": ids_of(sent), "text": text_to_show(question.messages(numbered=False))}

    async def find(self, question: OpenQuestion, end: QuestionEnd, ctx: Speaker) -> Sequence[LocationFeature]:
        """Return where the people of the chat are, if one of them has shared it."""
        if end["outcome"] != "answered" or "result" in end:
            return ()
        return (await ctx.client.chats.location.retrieve(ctx.chat_id)).data.features

    def judge(self, question: OpenQuestion, end: QuestionEnd, found: Sequence[LocationFeature]) -> QuestionEnd | None:
        if end["outcome"] != "answered" or "result" in end:
            return end
        body: Any = end.get("body")
        data = body["data"] if body else {}
        handles = {person_key(str(data.get("shared_by") or "")), question.asked}
        # An Apple ID may share under its e-mail address, and a direct chat has no other person.
        fitting = [each for each in found if person_key(each.properties.handle) in handles] or found
        # Without one, the phone was not located yet.
        return {**end, "result": to_jsonable_python(_location_in(fitting[0]))} if fitting else None

    def result(self, end: QuestionEnd) -> Location:
        """Return the location. Raises AskTimeout if none came."""
        if end["outcome"] == "timed_out":
            raise AskTimeout("No location came in time.")
        return TypeAdapter(Location).validate_python(end["result"])


async def _request_location(root: Event, label: str, ctx: Speaker) -> bool:
    """Ask the person of a direct iMessage chat to share their location. Return True if they share it already.

    Raises AskCancelled if the chat has no location sharing, or the person has opted out.
    """
    if root.is_group or root.service not in (None, "iMessage"):
        raise cancelled_for("unsupported")
    try:
        await ctx.client.named(label).chats.location.request(ctx.chat_id)
    except LinqApiError as error:
        if meaning_of(error) is Refusal.OPTED_OUT:
            raise cancelled_for("opted_out") from None
        if error.code in NO_LOCATION:
            raise cancelled_for("unsupported") from None
        if not shares_location(error):
            raise
        return True
    return False


def _location_in(feature: LocationFeature) -> Location:
    at, person = feature.geometry, feature.properties
    return Location(at.latitude, at.longitude, person.handle, person.address, person.locality, person.updated_at)


def look_again_after_s(looks: int) -> float:
    # The exponent is limited, because a wait of a day has over a thousand looks, and floats end at 2 to the 1024.
    return min(_FIRST_LOOK_S * 2.0 ** min(looks, 10), _LONGEST_LOOK_S)


@dataclass(frozen=True, slots=True)
class VoteWait(Wait):
    """The argument of `ctx.vote` that is none of a question. Raises BotError if it cannot be right."""

    verb: ClassVar = "ctx.vote"

    until: Literal["all"] | int = "all"

    def __post_init__(self) -> None:
        if self.until != "all" and (type(self.until) is not int or self.until < 1):
            raise BotError(f"ctx.vote(until={self.until!r}): give 'all', or the number of people who must vote.")

    @property
    def words(self) -> Any:
        return ["vote", self.until]

    def person(self, root: Event, turn_id: str) -> str:
        return f"{_asked(root)} {VOTE}{turn_id}"

    async def begin(self, question: Question, prompt: Prompt, root: Event, ctx: Speaker) -> dict[str, Any]:
        members: tuple[str, ...] = ()
        if self.until == "all":
            members = tuple(person_key(each.handle) for each in await ctx.chat.people())
        shown = await send_choices(question, prompt, ctx)
        poll = shown.poll
        ballot = Ballot(
            choices=question.choices,
            poll=poll,
            options=tuple(shown.options.items()),
            members=members,
            until=None if self.until == "all" else self.until,
        )
        text = text_to_show(question.messages(numbered=True))
        cancel = cancel_words(question.cancel, question.choices if poll is None else ())
        opened = {"waits_for": "votes", "ballot": ballot, "messages": shown.ids, "poll": poll, "since": shown.at}
        return {**opened, "text": text, "cancel": cancel}

    def judge(self, question: OpenQuestion, end: QuestionEnd, found: None) -> QuestionEnd:
        if end["outcome"] == "cancelled" or "result" in end or question.ballot is None:
            return end
        return {**end, "result": question.ballot.result()}

    def result(self, end: QuestionEnd) -> VoteResult:
        result = end["result"]
        votes: dict[str, tuple[str, ...]] = {}
        counts = dict.fromkeys(result["choices"], 0)
        for handle, choice in result["votes"]:
            votes[handle] = (*votes.get(handle, ()), choice)
            counts[choice] += 1
        return VoteResult(votes, counts, result["is_complete"])


def _asked(root: Event) -> str:
    return person_key(root.actor or "")


async def begin_wait(wait: Wait, question: Question, prompt: Prompt, root: Event, ctx: Speaker) -> OpenQuestion:
    """Send what begins a wait, in a conversation that began with `root`, and return its stored form.

    Raises AskCancelled if the person has opted out, a plugin refused it, or the chat does not support it; LinqApiError.
    """
    opened = OpenQuestion(
        n=prompt.n,
        key=question.key,
        cancel=cancel_words(question.cancel),
        repeat=False,
        asked=_asked(root),
        language=spoken().stored,
    )
    try:
        found = await wait.begin(question, prompt, root, ctx)
    except Refused as error:
        stopped_by(error, ctx.log)
        raise cancelled_for("refused") from None
    return opened.model_copy(update=found)
