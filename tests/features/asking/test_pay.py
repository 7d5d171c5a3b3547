"""Payments: a handler that requests one ends, and goes on when it was paid, declined or not paid in time."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, LINE, envelope, handle, payment_request, text_body
from one_handler import does, notes
from simulated_crash import crash

from linqbot import AskCancelled, BotError, Context, Declined, Expired, LinqApiError, MessageReceived, Paid, RateLimited
from linqbot.client.call import ApiResponse
from linqbot.events import PaymentSucceeded
from linqbot.features.asking.event_waits import PaymentWait


async def soup(message: MessageReceived, ctx: Context) -> None:
    if message.text != "soup":
        await ctx.reply(f"Routed: {message.text}")
        return
    await ctx.send("Good choice.")
    try:
        paid = await ctx.pay(1250, "2 soups", timeout_s=3600)
    except AskCancelled as error:
        await ctx.send(f"Cancelled: {error.reason}")
        return
    match paid:
        case Paid(amount=amount, currency=currency):
            await ctx.send(f"Thanks for {amount} {currency}.")
        case Declined():
            await ctx.send("Your bank said no.")
        case Expired():
            await ctx.send("Too late.")


def cards(talk: Talk) -> list[dict[str, Any]]:
    """Return the experiences sent, each once for each idempotency key."""
    seen: dict[str, dict[str, Any]] = {}
    for call in talk.linq.calls:
        if call.name == "chats.messages.send" and call.body and call.body["message"].get("experience"):
            seen.setdefault(call.key or "", call.body["message"]["experience"])
    return list(seen.values())


def requests(talk: Talk) -> list[str]:
    """Return the ids of the payment requests that were made, each once."""
    made = (call for call in talk.linq.calls if call.name == "payment_requests.create")
    return list(dict.fromkeys(f"pr_{call.key}" for call in made))


async def end(talk: Talk, kind: str, request_id: str | None = None) -> None:
    data = payment_request(request_id or requests(talk)[-1], {"metadata": {"linqbot_chat": CHAT}}, status=kind)
    await talk.receive(envelope(f"payment.{kind}", data))


async def test_a_payment_resumes_the_handler(talk: Talk) -> None:
    await talk.to(soup, "soup")
    (request,) = requests(talk)
    (card,) = cards(talk)
    assert card == {
        "name": "agentpay",
        "action": "request_payment",
        "params": {"checkout_url": f"https://zero.linqapp.com/pay/{request}", "title": "2 soups", "note": "$12.50"},
    }
    (made,) = (call.body for call in talk.linq.calls if call.name == "payment_requests.create")
    assert made == {
        "amount": 1250,
        "currency": "usd",
        "description": "2 soups",
        "metadata": {"linqbot_chat": CHAT},
    }
    await talk.restart()
    await end(talk, "authorized")
    assert talk.said == ["Good choice."]
    await end(talk, "succeeded")
    assert talk.said == ["Good choice.", "Thanks for 1250 usd."]
    assert talk.open_questions() == []
    assert await talk.storage.scheduled() == []
    assert "payment_requests.cancel" not in talk.linq.names()


@pytest.mark.parametrize(
    ("kind", "text", "is_closed"),
    [
        ("declined", "Your bank said no.", True),
        ("expired", "Too late.", False),
        ("canceled", "Cancelled: operator", False),
        (None, "Too late.", True),  # nothing comes before the timeout
    ],
)
async def test_a_request_that_was_not_paid_is_closed(talk: Talk, kind: str | None, text: str, is_closed: bool) -> None:
    await talk.to(soup, "soup")
    await (talk.pass_time(3600) if kind is None else end(talk, kind))
    assert talk.said == ["Good choice.", text]
    assert talk.linq.names()[3:] == ["payment_requests.cancel"] * is_closed + ["chats.messages.send"]
    # What Linq reports about the closed request afterwards means nothing.
    await end(talk, "canceled")
    assert talk.said == ["Good choice.", text]
    assert talk.open_questions() == []


@pytest.mark.parametrize("way", ["timeout", "declined", "cancel"])
async def test_a_request_that_was_paid_just_before_it_was_closed_counts_as_paid(talk: Talk, way: str) -> None:
    await talk.to(soup, "soup")
    (request,) = requests(talk)
    talk.linq.will_answer("payment_requests.cancel", LinqApiError("paid", status=409, code=1005))
    answer = payment_request(request, {}, status="succeeded")
    talk.linq.will_answer("payment_requests.retrieve", ApiResponse(200, answer))
    if way == "timeout":
        await talk.pass_time(3601)
    elif way == "declined":
        await end(talk, "declined")
    else:
        await talk.say("never mind")
    assert talk.said[1:] == ["Thanks for 1250 usd."]
    # The event that follows means nothing any more.
    await end(talk, "succeeded", request)
    assert talk.said[1:] == ["Thanks for 1250 usd."]


@pytest.mark.parametrize(("word", "end"), [("Forget it", ["Cancelled: word"]), ("STOP", [])])
async def test_other_messages_are_handled_as_usual_and_a_cancel_word_closes_the_request(
    talk: Talk, word: str, end: list[str]
) -> None:
    await talk.to(soup, "soup", "what is in it?")
    assert talk.open_questions() == ["waiting"]
    await talk.say(word)
    assert talk.said == ["Good choice.", "Routed: what is in it?", *end]
    assert talk.linq.names().count("payment_requests.cancel") == 1
    assert talk.open_questions() == []


async def test_several_payments_and_a_question_may_be_open_at_once(talk: Talk) -> None:
    async def shop(message: MessageReceived, ctx: Context) -> None:
        if message.text == "name":
            await ctx.send(f"Hello {await ctx.ask('Your name?')}.")
            return
        await ctx.send(f"{message.text}: {bool(await ctx.pay(500, message.text))}")

    await talk.to(shop, "tea", "cake", "name")
    assert talk.open_questions() == ["waiting"] * 3
    tea, cake = requests(talk)
    await end(talk, "succeeded", cake)
    await talk.say("Ada")
    await end(talk, "declined", tea)
    assert talk.said == ["Your name?", "cake: True", "Hello Ada.", "tea: False"]


async def test_a_payment_is_waited_for_although_the_bot_was_removed_from_the_group(talk: Talk) -> None:
    talk.deploy(soup, groups="all")
    await talk.say("soup", is_group=True)
    removed = {"chat_id": CHAT, "participant": handle(LINE, is_me=True), "handle": LINE}
    await talk.receive(envelope("participant.removed", removed))
    assert talk.open_questions() == ["waiting"]
    await end(talk, "succeeded")
    assert talk.said[-1] == "Thanks for 1250 usd."


async def test_a_payment_comes_back_in_later_parts_of_the_handler(talk: Talk) -> None:
    seen = []

    async def shop(message: MessageReceived, ctx: Context) -> None:
        paid = await ctx.pay(500, "Tea")
        seen.append((paid, ctx.event.type))
        street = await ctx.ask("Street?")
        await ctx.send(street)

    await talk.to(shop, "tea")
    await end(talk, "succeeded")
    await talk.restart()
    await talk.say("Main St")
    assert talk.said == ["Street?", "Main St"]
    assert seen == [(Paid(requests(talk)[0], 1250, "usd"), "payment.succeeded")] * 2


async def test_after_a_payment_the_handler_knows_line_and_service_of_the_chat_as_before_it(talk: Talk) -> None:
    async def shop(message: MessageReceived, ctx: Context) -> None:
        await ctx.pay(500, "Tea")
        assert (ctx.event.line, ctx.event.service, ctx.event.is_group) == (LINE, "SMS", False)
        await ctx.send("Thanks!", effect="confetti")

    talk.deploy(shop)
    await talk.say("tea", service="SMS")
    await end(talk, "succeeded")
    assert talk.said[-1] == "Thanks!"
    (sent,) = (call.body for call in talk.linq.calls if call.body and "Thanks!" in str(call.body))
    assert "effect" not in sent["message"]


@pytest.mark.parametrize("changes", [{"service": "SMS"}, {"service": "RCS"}, {"is_group": True}])
async def test_where_there_is_no_card_the_request_is_a_link(talk: Talk, changes: dict[str, Any]) -> None:
    talk.deploy(soup, groups="all")
    await talk.say("soup", **changes)
    (request,) = requests(talk)
    link = f"https://zero.linqapp.com/pay/{request}"
    # On iMessage an address at the end becomes a preview card of its own.
    assert talk.said[1:] == (["2 soups: $12.50", link] if "is_group" in changes else [f"2 soups: $12.50\n{link}"])
    assert cards(talk) == []


async def test_a_person_who_has_opted_out_is_not_asked_and_the_request_is_closed(talk: Talk) -> None:
    reasons = []

    async def tea(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.pay(500, "Tea")
        except AskCancelled as error:
            reasons.append(error.reason)

    talk.deploy(tea)
    talk.linq.will_answer("chats.messages.send", LinqApiError("opted out", status=403, code=2024))
    await talk.say("tea")
    assert reasons == ["opted_out"]
    assert talk.linq.names()[-1] == "payment_requests.cancel"
    assert talk.open_questions() == []


@pytest.mark.parametrize(
    "error", [RateLimited("too many", status=429, retry_after_s=60), LinqApiError("no", status=401, code=2004)]
)
async def test_a_send_that_is_made_later_is_a_card_still_and_has_the_address(talk: Talk, error: LinqApiError) -> None:
    talk.deploy(does(lambda ctx: ctx.pay(500, "Tea")))
    request = payment_request("pr_1", {})
    talk.linq.will_answer("payment_requests.create", ApiResponse(201, request))
    talk.linq.will_answer("payment_requests.retrieve", ApiResponse(200, request))
    talk.linq.will_answer("chats.messages.send", error)
    await talk.say("tea")
    assert talk.open_questions() == []
    await talk.pass_time(61)
    assert talk.open_questions() == ["waiting"]
    assert "payment_requests.retrieve" in [call.name for call in talk.linq.calls]
    sends = [call.body or {} for call in talk.linq.calls if call.name == "chats.messages.send"]
    assert ["experience" in body["message"] for body in sends] == [True, True]
    assert [card["params"]["checkout_url"] for card in cards(talk)][-1] == request["checkout_url"]


async def test_a_payment_without_a_handler_that_waits_goes_to_the_handlers_of_payments(talk: Talk) -> None:
    seen = list[tuple[str, str | None]]()
    bot = talk.deploy(soup)
    bot.on(PaymentSucceeded)(notes(seen, lambda event: (event.id, event.chat_id)))
    await talk.say("soup")
    await end(talk, "succeeded", "pr_other")
    await talk.receive(envelope("payment.succeeded", payment_request("pr_foreign", {})))
    assert seen == [("pr_other", CHAT), ("pr_foreign", None)]
    assert talk.open_questions() == ["waiting"]


async def test_a_payment_that_arrives_before_the_request_is_on_record_is_not_lost(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person pays while the process is down, so the turn that asked is not finished yet."""

    async def finish(*_: object) -> None:
        await crash()

    talk.deploy(soup)
    await talk.put(text_body("soup"))
    with monkeypatch.context() as dying:
        dying.setattr(type(talk.storage), "finish", finish)
        assert await talk.crashable.run(talk.run())
    (request,) = requests(talk)
    await talk.restart()
    await end(talk, "succeeded", request)
    assert talk.said == ["Good choice.", "Thanks for 1250 usd."]


@pytest.mark.parametrize(
    ("amount", "description", "problem"),
    [(12.5, "Tea", "in cents"), (True, "Tea", "in cents"), (500, " ", "description")],
)
async def test_arguments_that_cannot_be_right_are_refused(amount: Any, description: str, problem: str) -> None:
    with pytest.raises(BotError, match=problem):
        PaymentWait(amount, description)
