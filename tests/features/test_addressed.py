"""An owner who answers people in handoffs and is asked by the bot: each text reaches the one it is for, on iMessage and on SMS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import answers

from linqbot import AskEnded, Bot, Context, Manners, MediaPart, MessageReceived, from_handle
from linqbot.features.addressed import as_answer, is_answer, is_check_mark, ways_to_name, words_for
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.message import MessageReceived as Received
from linqbot.linq.events.parse import parse
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.testing import Bubble, Phone, killed_between_calls, talking

ANN, BOB, CAT, OWNER = "+14155550142", "+14155550144", "+12065550144", "+14155550143"
SERVICES = pytest.mark.parametrize("service", ["iMessage", "SMS"])
SAID = "Dana answers you here."
BACK = "You are talking to the bot again."
OVER = "This was not sent, because the bot answers Ann again."
OR_ANSWER = "To answer the question, reply to it, or write “#answer …”."
ASKED = f"For {ANN}: May I refund?"
LATE = "That question is over, so your answer came too late."


def unclear(*names: str, like: str | None = None) -> str:
    """Return what the owner reads whose text may be for one of these people."""
    said = f"or write “{like or names[0]}: …”: {', '.join(names)}."
    return f"This was not sent. Please reply to a message of the person it is for, {said}"


def which_done(*names: str) -> str:
    return f"Whose chat do you give back to the bot? Please write “#done {names[0]}”: {', '.join(names)}."


NAMES: dict[str | None, str] = {ANN: "Ann", BOB: "Bob"}


def desk(names: dict[str | None, str] = NAMES, **settings: Any) -> Bot:
    """Return a bot that hands people over to the owner, and asks the owner about refunds and prices."""
    bot = Bot(read=False, typing=False, **settings)

    @bot.on_message("human", during_ask=True)
    async def human(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say=SAID, name=names.get(message.actor), back_after_s=1800)

    async def ask(ctx: Context, question: str, **how: Any) -> str:
        try:
            return f"Dana says: {await ctx.ask(question, who=OWNER, timeout_s=3600, **how)}"
        except AskEnded:
            return "Dana says nothing."

    @bot.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> str:
        return await ask(ctx, "May I refund?", yes="like")

    @bot.on_message("price")
    async def price(message: MessageReceived, ctx: Context) -> str:
        return await ask(ctx, "How many dollars?", kind=int)

    @bot.on_message("photo")
    async def photo(message: MessageReceived, ctx: Context) -> str:
        return await ask(ctx, "Which photo?", kind=MediaPart)

    @bot.on_message("own")
    async def own(message: MessageReceived, ctx: Context) -> str:
        return f"Own: {await ctx.ask('Your name?')}"

    @bot.on_message("sold out", from_handle(OWNER), during_ask=True)
    async def sold_out(message: MessageReceived, ctx: Context) -> str:
        return "Closed."

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> str:
        return f"You said: {message.text}"

    return bot


async def both_open(
    phone: Phone, service: str = "iMessage", asks: str = "refund", by: Phone | None = None
) -> tuple[Phone, Bubble, Bubble]:
    """Let the bot ask the owner something, for the person or for another one, and then hand the chat over to the owner.

    Return the phone of the owner, the question, and the last message about the person.
    """
    owner = phone.person(OWNER, service=service)
    await owner.text("hi")
    await owner.replies()
    await (owner if asks == "own" else by or phone).text(asks)
    (question,) = await owner.replies()
    await phone.text("human")
    *_, from_ann = await owner.replies()
    await phone.replies()
    return owner, question, from_ann


@SERVICES
async def test_done_ends_a_handoff_while_the_bot_asks_the_owner_and_answers_nothing(service: str) -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, *_ = await both_open(phone, service)
        assert await answers(owner, "# done") == ["The bot answers Ann again."]
        assert await phone.replies() == [BACK]
        assert await answers(owner, "#done") == [OVER]
        await owner.text("yes")
        assert await phone.replies() == ["Dana says: True"]
        assert await owner.replies() == []


@SERVICES
async def test_a_text_that_may_be_for_both_goes_to_neither_and_the_owner_reads_how_to_say_it(service: str) -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, *_ = await both_open(phone, service)
        for text in ("yes", "👍", "Come at ten."):
            assert await answers(owner, text) == [f"{unclear('Ann')} {OR_ANSWER}"]
        assert await phone.replies() == []
        assert await answers(owner, "Ann: Come at ten.") == []
        assert await phone.replies() == ["Come at ten."]
        assert await answers(owner, "#answer yes") == []
        await owner.text("See you, Ann.")  # nothing else is open now
        assert await phone.replies() == ["See you, Ann."]
        await owner.text("👍")
        assert await phone.replies() == [BACK, "Dana says: True"]


async def test_replies_and_tapbacks_name_what_they_are_for() -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, question, from_ann = await both_open(phone)
        await owner.reply(from_ann, "Come at ten.")
        assert await phone.replies() == ["Come at ten."]
        await owner.react(question, "like")
        assert await owner.replies() == []
        await phone.text("Thanks!")
        (thanks,) = await owner.replies()
        await owner.react(thanks, "like")
        assert await phone.replies() == [BACK, "Dana says: True"]


async def test_the_words_behind_answer_are_read_as_any_answer_is(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str, list[str], list[str]]] = [
        ("price", "#answer: twelve", [], ["Dana says: 12"]),
        ("price", "#answer never mind", [], ["Dana says nothing."]),
        ("refund", "＃answer no", [], ["Dana says: False"]),
        ("refund", "#answer 👎", [], ["Dana says: False"]),
        ("own", "#answer Dana", ["Own: Dana"], []),
    ]
    for asks, text, to_owner, to_ann in rows:
        with subtests.test(asks=asks, text=text):
            async with talking(desk(), handle=ANN) as phone:
                owner, *_ = await both_open(phone, asks=asks)
                assert (await answers(owner, text))[-1:] == to_owner
                await owner.text("#done")
                assert await phone.replies() == [BACK, *to_ann]


async def test_an_invalid_answer_is_given_again_and_a_photo_is_answered_with() -> None:
    async with talking(desk(), handle=ANN) as phone:
        bob = phone.person(BOB)
        owner, question, _ = await both_open(phone, asks="price", by=bob)
        assert await answers(owner, "#ANSWER many") == ["Please give one whole number, such as 2 or twelve.", question]
        assert await answers(owner, "#answer 7") == []
        assert await bob.replies() == ["Dana says: 7"]
        await bob.text("photo")
        await owner.replies()
        await owner.media(b"\x89PNG", "so.png")
        assert await owner.replies() == [f"{unclear('Ann')} {OR_ANSWER}"]
        await owner.media(b"\x89PNG", "so.png", text="Ann: Like this?")
        (photo,) = await phone.replies()
        assert (photo, len(photo.media)) == ("Like this?", 1)
        await owner.media(b"\x89PNG", "so.png", text="#answer")
        assert "so.png" in " ".join(map(str, await bob.replies()))
        assert await phone.replies() == []


async def test_an_answer_to_a_question_that_is_over_reaches_no_one_and_is_no_answer_to_the_next_one() -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, *_ = await both_open(phone)
        await owner.text("Ann: I am here.")
        await phone.advance(1700)
        await owner.text("Ann: Still here.")
        await phone.advance(1700)
        await owner.text("Ann: Still here.")
        await phone.advance(300)  # the question is over, and the handoff goes on
        assert await phone.replies() == ["I am here.", "Still here.", "Still here."]
        assert await owner.replies() == []
        assert await answers(owner, "yes") == [unclear("Ann") + " " + OR_ANSWER]
        assert await answers(owner, "#answer yes") == [LATE]
        assert await answers(owner, "Come at ten.") == []
        assert await phone.replies() == ["Come at ten."]
        bob = phone.person(BOB)
        await bob.text("own")
        assert await answers(owner, "#answer yes") == [LATE]
        assert await phone.replies() == []


async def test_an_answer_without_any_question_is_no_text_for_the_person() -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner = phone.person(OWNER)
        await answers(phone, "human")
        await owner.replies()
        assert await answers(owner, "#answer yes") == [LATE]
        await phone.quiet()
        assert await phone.replies() == []
        assert await answers(owner, "#answers are hard") == []
        assert await phone.replies() == ["#answers are hard"]


async def test_a_text_after_a_handoff_has_ended_by_time_does_not_answer_a_question() -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, *_ = await both_open(phone)
        await owner.text("Ann: I am here.")
        await phone.advance(1810)
        assert (await phone.replies())[-1] == BACK
        assert await owner.replies() == ["The bot answers Ann again."]
        assert await answers(owner, "yes") == [f"{OVER} {OR_ANSWER}"]
        assert await answers(owner, "Ann: yes") == [OVER]
        await phone.advance(600)
        await owner.text("yes")
        assert await phone.replies() == ["Dana says: True"]


async def test_a_command_of_the_owner_stays_a_command_while_both_are_open() -> None:
    bot = desk(manners=Manners(), owner=OWNER, mute_word="bot off", unmute_word="bot on")
    async with talking(bot, handle=ANN) as phone:
        owner, question, _ = await both_open(phone)
        assert await answers(owner, "Sold out!") == ["Closed.", question]
        assert await answers(owner, "HELP") != []
        assert (await answers(owner, "bot off"))[0].startswith("The bot is silent in all chats.")
        assert (await answers(owner, "bot on"))[0] == "The bot answers again."
        assert await phone.replies() == []


@SERVICES
async def test_an_owner_of_several_handoffs_names_the_person(service: str) -> None:
    async with talking(desk(), handle=ANN) as phone:
        owner, bob = phone.person(OWNER, service=service), phone.person(BOB)
        await phone.text("human")
        await bob.text("human")
        assert [await phone.replies(), await bob.replies()] == [[SAID], [SAID]]
        await owner.replies()
        assert await answers(owner, "Come at ten.") == [unclear("Ann", "Bob")]
        assert await answers(owner, "bob: Come at ten: sharp.") == []
        assert await answers(owner, "0142： Eleven?") == []
        assert [await phone.replies(), await bob.replies()] == [["Eleven?"], ["Come at ten: sharp."]]
        for text in ("#done", "#done Cat"):
            assert await answers(owner, text) == [which_done("Ann", "Bob")]
        await phone.text("Is Mia in?")
        (from_ann,) = await owner.replies()
        await owner.reply(from_ann, "#done Cat")  # a reply for one person with the name of another one
        assert await owner.replies() == [which_done("Ann", "Bob")]
        assert await answers(owner, "#done bob") == ["The bot answers Bob again."]
        assert await bob.replies() == [BACK]
        assert await answers(owner, "Bob: Bye!") == ["This was not sent, because the bot answers Bob again."]
        assert await answers(owner, "Ann: #done") == ["The bot answers Ann again."]
        assert await phone.replies() == [BACK]


async def test_people_of_one_name_are_told_apart_by_their_numbers() -> None:
    async with talking(desk({ANN: "Guest", BOB: "guest"}), handle=ANN) as phone:
        owner, bob = phone.person(OWNER), phone.person(BOB)
        await phone.text("human")
        await bob.text("human")
        await owner.replies()
        said = unclear("Guest (0142)", "guest (0144)", like="0142")
        assert await answers(owner, "Hello!") == [said]
        assert await answers(owner, "Guest: Hello!") == [said]
        assert await answers(owner, "0144: Hello!") == []
        assert await bob.replies() == [SAID, "Hello!"]
        assert await phone.replies() == [SAID]


async def test_the_relay_says_how_each_person_is_named() -> None:
    def handed_over(person: str, name: str | None = None) -> ChatHandoff:
        return ChatHandoff(person, person, person, OWNER, "+12025550100", name or person, None, None, 60.0)

    ann, bob, cat = handed_over(ANN, "Ann"), handed_over(BOB), handed_over(CAT)
    assert ways_to_name([ann, bob]) == [("Ann", "Ann"), (BOB, "0144")]
    assert ways_to_name([bob, cat]) == [(BOB, BOB), (CAT, CAT)]
    eve, eva = handed_over("eve@example.com", "Eve"), handed_over("eva@example.com", "eve")
    assert ways_to_name([eve, eva]) == [
        ("Eve (eve@example.com)", "eve@example.com"),
        ("eve (eva@example.com)", "eva@example.com"),
    ]
    table = handed_over("eve@example.com", "Table 4: Eve")
    assert words_for("table 4: eve: Your soup: now", table) == "Your soup: now"


async def test_a_burst_of_the_owner_leaves_its_answer_and_its_names_apart() -> None:
    async with talking(desk(gather_s=2), handle=ANN) as phone:
        owner, *_ = await both_open(phone)
        await owner.text("Ann: Hello.")
        await owner.text("Ann: One moment.")
        await owner.text("#answer yes")
        assert await phone.replies() == ["Hello.", "One moment."]
        await owner.text("#done")
        assert await phone.replies() == [BACK, "Dana says: True"]
        assert await owner.replies() == ["The bot answers Ann again."]


def test_an_answer_is_read_from_both_payload_versions_and_from_an_edit() -> None:
    parts = [{"type": "text", "value": "#answer  yes"}, {"type": "media", "url": "https://example.com/a.png"}]
    newer = {"id": "m", "direction": "inbound", "chat": {"id": "c"}, "reply_to": {"message_id": "q"}, "parts": parts}
    older = {"chat_id": "c", "from": ANN, "message": {"id": "m", "parts": parts, "reply_to": {"message_id": "q"}}}
    for data in (newer, older):
        body = json.dumps({"event_type": "message.received", "event_id": "e", "data": data}).encode()
        delivery = Delivery.from_webhook(body, webhook_id="w", received_at=0.0)
        for decoded in (delivery.content, None):
            said = as_answer(delivery)
            said.decoded = decoded and said.decoded
            message = parse(said)
            assert isinstance(message, Received)
            assert (message.text, len(message.media), message.reply_to) == ("yes", 1, None)
            assert (said.id, said.lane, said.message_key) == (delivery.id, delivery.lane, delivery.message_key)
        edit = {"id": "m", "chat_id": "c", "chat": {"id": "c"}, "part": {"index": 0, "text": "#answer no"}}
        edited = json.dumps({"event_type": "message.edited", "event_id": "f", "data": edit}).encode()
        joined = delivery.with_further(Delivery.from_webhook(edited, webhook_id="x", received_at=1.0))
        message = parse(as_answer(joined))
        assert isinstance(message, Received)
        assert message.text == "no"


def test_only_the_command_is_an_answer_and_only_a_mark_alone_a_check_mark() -> None:
    texts = ("#answer", "# Answer yes", "  ＃answer: 12", "#answers", "answer", "to #answer", "#done")
    assert [is_answer(text) for text in texts] == [True, True, True, False, False, False, False]
    assert [is_check_mark(text) for text in ("👍", "👍🏽!", "✔️", "thanks 👍", "👎", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.slow
@SERVICES
async def test_killed_anywhere_each_text_of_the_owner_reaches_the_one_it_is_for_once(service: str) -> None:
    async def scenario(phone: Phone) -> None:
        owner, *_ = await both_open(phone, service)
        for text in ("Come at ten.", "Ann: Come at ten.", "#answer yes", "#done"):
            await owner.text(text)
            await owner.quiet()

    async for phone in killed_between_calls(desk(), scenario, handle=ANN):
        to_ann = [str(each) for each in phone.messages if each.from_bot]
        assert sorted(to_ann) == sorted([SAID, "Come at ten.", BACK, "Dana says: True"]), phone.killed
        to_owner = [str(each) for each in phone.person(OWNER).messages if each.from_bot]
        assert to_owner[-2:] == [f"{unclear('Ann')} {OR_ANSWER}", "The bot answers Ann again."], phone.killed
