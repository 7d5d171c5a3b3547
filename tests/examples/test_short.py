"""The examples of one subject, each a few lines long: echo, effects, a group, reactions, a newsletter, …"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import get_args

import pytest
from answers import answers
from examples.conftest import EXAMPLES

from linqbot import Bot
from linqbot.linq.types.message import EffectName, TextPart, utf16_slice
from linqbot.testing import Phone, killed_between_calls, talking

Example = Callable[[str], Bot]
BOB, DAY_S = "+14155550143", 86_400.0


def test_bots_that_people_write_first_are_short(subtests: pytest.Subtests) -> None:
    """If one needs more lines, linqbot lacks something."""
    forty = ("agent", "facilitator", "reminders", "intake_form", "photos_and_voice", "newsletter")
    for name in forty:
        with subtests.test(example=name):
            assert sum(bool(line.strip()) for line in (EXAMPLES / f"{name}.py").read_text().splitlines()) <= 40
    for name, most in (("owner_agent", 45), ("plumber", 70), ("salon", 75)):  # with their blank lines
        with subtests.test(example=name):
            assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= most


async def test_echo_repeats_each_message(example: Example) -> None:
    async with talking(example("echo")) as phone:
        assert await answers(phone, "hello") == ["You said: hello"]
        await phone.opt_out()
        assert await phone.replies() == []


# Effects


async def test_a_party_shows_typing_and_ends_with_confetti(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    bot, pauses = example("effects"), list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(sys.modules["effects"], "asyncio", SimpleNamespace(sleep=sleep))
    async with talking(bot) as phone:
        first, second = await answers(phone, "party")
        assert (first, first.effect) == ("Here we go", "slam")
        assert (second, second.effect) == ("🎉", "confetti")
        assert pauses == [1]


async def test_every_effect_is_shown_when_it_is_named(example: Example, subtests: pytest.Subtests) -> None:
    async with talking(example("effects")) as phone:
        for name in (name for names in get_args(EffectName) for name in get_args(names)):
            with subtests.test(name=name):
                (reply,) = await answers(phone, f" {name.upper()} ")
                assert (reply, reply.effect) == (f"This is {name}.", name)


async def test_bold_is_bold_and_other_messages_get_a_threaded_reply(example: Example) -> None:
    async with talking(example("effects")) as phone:
        await phone.text("bold")
        (part,) = (await phone.next_reply()).parts
        assert isinstance(part, TextPart)
        assert part.text_decorations is not None
        assert (part.text_decorations[0].style, part.text_decorations[0].range) == ("bold", (0, 4))
        said = await phone.text("what can you do?")
        first, second = await phone.replies()
        assert (first.thread, second.thread) == (said.id, None)
        assert "confetti" in second


# A group


async def test_a_group_is_counted_when_it_asks(example: Example) -> None:
    async with talking(example("group")) as ann:
        group = ann.group(BOB, "+14155550144")
        assert await answers(group, "who is in?") == []
        asked = await group.text("@bot, who is in?", mention=True)
        reply = await group.next_reply()
        assert reply == "3 people are here. Raise a hand with a 👍."
        assert reply.thread == asked.id
        await group.by(BOB).leave()
        await group.text("and now, who is in?", reply_to=reply)
        assert (await group.next_reply()).startswith("2 people")


async def test_a_mention_of_the_bot_alone_is_liked_and_a_direct_chat_is_asked_for_a_group(example: Example) -> None:
    async with talking(example("group")) as ann:
        group = ann.group(BOB)
        await group.text("nice @bot", mention=True)
        assert await group.next_tapback() == "like"
        assert await group.next_reply() == "You called? Ask me who is in."
        assert await answers(ann, "hello") == ["I am more fun in a group. Add me to one."]


# Reactions


async def test_a_tapback_is_answered(example: Example, subtests: pytest.Subtests) -> None:
    async with talking(example("reactions")) as phone:
        for tapback, reply, effect in (
            ("love", "Glad you like it.", "hearts"),
            ("like", "Glad you like it.", None),
            ("question", "What should I have said?", None),
        ):
            with subtests.test(tapback):
                said = await phone.text(f"hi, {tapback}")
                assert await phone.next_tapback() == "laugh"
                asks = await phone.next_reply()
                assert asks == "Now put a tapback on this."
                assert said.tapbacks == ["laugh"]
                await phone.react(asks, tapback)
                answer = await phone.next_reply()
                assert (answer, answer.effect) == (reply, effect)
                assert answer.thread == (asks.id if tapback == "question" else None)


async def test_an_edit_is_noticed_and_other_tapbacks_are_not_answered(example: Example) -> None:
    async with talking(example("reactions")) as phone:
        said = await phone.text("helo")
        (asks,) = await phone.replies()
        await phone.edit(said, "hello")
        await phone.react(asks, "🎂")
        assert await phone.replies() == []
        assert said.tapbacks == ["emphasize"]


# A missed call


async def call(phone: Phone) -> None:
    await phone.event("call.no_answer", {"from": phone.handle, "to": phone.line})


MISSED = 'Sorry that we missed your call! Write your question, or "call me".'


async def test_a_missed_call_is_answered_and_the_person_is_called_back(example: Example) -> None:
    async with talking(example("missed_call"), start=datetime(2026, 11, 20, 9, tzinfo=UTC)) as phone:  # a Friday
        await call(phone)
        assert await phone.next_reply() == MISSED
        assert await answers(phone, "Call me") == ["When shall we call you?"]
        assert await answers(phone, "monday 15:30") == ["We will call you on Monday at 15:30."]
        assert await answers(phone, "Do you have soup?") == ["Thank you. A person will answer you soon."]


async def test_a_call_of_our_own_and_one_without_numbers_send_nothing(example: Example) -> None:
    async with talking(example("missed_call")) as phone:
        await phone.event("call.no_answer", {"from": phone.line, "to": phone.handle})
        await phone.event("call.no_answer", {"id": "1"})
        await phone.quiet()
        assert not [sent for sent in phone.calls if sent.method == "POST"]
        with pytest.raises(ValueError, match=r"no event 'call.not_answered'. Did you mean 'call.no_answer'"):
            await phone.event("call.not_answered", {})


async def test_a_crash_at_any_point_answers_a_missed_call_once(example: Example) -> None:
    async for phone in killed_between_calls(example("missed_call"), call, copies=3):
        assert phone.messages == [MISSED]


# A guest books in French


async def test_a_guest_books_with_numbers_days_and_times_in_words_and_ends_a_question_in_french(
    example: Example,
) -> None:
    tuesday = datetime(2030, 1, 1, 12, tzinfo=UTC)
    async with talking(example("french_restaurant"), start=tuesday, service="SMS") as phone:
        assert await answers(phone, "Réserver") == ["Pour combien de personnes ?"]
        assert await answers(phone, "beaucoup") == ["Merci de donner un seul nombre entier, par exemple 2 ou douze."]
        assert await answers(phone, "Nous sommes vingt et un") == ["Quand ? Par exemple : samedi 19h30"]
        await phone.text("demain à 9")
        assert "du matin ou du soir ?" in str(await phone.next_reply())
        assert await answers(phone, "Demain soir à 9") == ["Où ?\n1. En salle\n2. En terrasse"]
        assert await answers(phone, "2") == ["Vingt et un personnes, mercredi 2 janvier 2030 à 21:00. Je réserve ?"]
        assert await answers(phone, "peut-être") == ["Oui ou non ?"]
        assert await answers(phone, "D’accord !") == [
            "Votre table est réservée : mercredi 2 janvier 2030 à 21:00, en terrasse."
        ]
        assert (await answers(phone, "reserver", "Laissez tomber !"))[-1] == "Je n’ai rien réservé. À une autre fois !"


# A newsletter


async def test_the_news_reach_the_subscribers_once_and_the_editor_gets_a_report(example: Example) -> None:
    async with talking(example("newsletter"), start=datetime(2026, 11, 22, 12, tzinfo=UTC)) as ann:  # a Sunday
        assert await answers(ann, "hello") == ['Write "news on" to get the news on Mondays.']
        bob, cleo, editor = (ann.person(handle) for handle in (BOB, "+14155550144", "+14155550199"))
        for reader, wish in ((ann, "news on"), (bob, "News on!"), (cleo, "news on.")):
            assert await answers(reader, wish) == ["You get the news on Mondays."]
        assert await answers(bob, "News off") == ["You get no more news."]
        await cleo.opt_out()
        assert await answers(editor, "The menu of July is out.") == ["That will be sent on Monday at 9."]
        await ann.advance(DAY_S)
        assert await ann.replies() == ["The menu of July is out."]
        assert await bob.replies() == []
        assert await editor.replies() == ["1 people got the news, 1 did not."]
        await ann.advance(7 * DAY_S)
        assert await ann.replies() == await editor.replies() == []


# A model's answer in several messages


ANSWER = [
    "Good question! Sourdough needs three things: flour, water and time.",
    "1. Mix equal parts of flour and water.\n2. Wait for a day. Bake it. Feed it again.\n3. Bake it when it doubles.",
    "Enjoy it! 🍞 Read more:",
    "https://example.com/sourdough",
]


@pytest.fixture
def streaming(example: Example, monkeypatch: pytest.MonkeyPatch) -> Bot:
    async def sleep(seconds: float) -> None: ...

    bot = example("streaming")
    monkeypatch.setattr(sys.modules["streaming"], "asyncio", SimpleNamespace(sleep=sleep))
    return bot


async def test_the_answer_comes_in_messages_with_styles_and_a_card(streaming: Bot) -> None:
    async with talking(streaming) as phone:
        replies = await answers(phone, "How do I make sourdough?")
        assert replies == ANSWER
        styles = {
            (str(each.style), utf16_slice(part.value, *each.range))
            for reply in replies
            for part in reply.parts
            if isinstance(part, TextPart)
            for each in part.text_decorations or ()
        }
        assert styles == {("bold", "three"), ("italic", "equal parts"), ("strikethrough", "Bake it.")}
        assert not phone.is_shown_typing


@pytest.mark.slow
async def test_a_crash_at_any_point_loses_and_repeats_no_part_of_the_answer(streaming: Bot) -> None:
    async def ask(phone: Phone) -> None:
        await phone.text("How do I make sourdough?")

    async for phone in killed_between_calls(streaming, ask):
        assert [message for message in phone.messages if message.from_bot] == ANSWER
