"""Questions to people who are not in the chat of the handler: those who are named decide, each asked in their own chat."""

from __future__ import annotations

from typing import Any

import pytest
from refunds import ANN, BOB, DANA, EVE, LATE, UNREACHABLE, asked_for, refunds

from linqbot import Bot, Context, MediaPart, MessageReceived
from linqbot.features.manners.conduct import Conduct
from linqbot.testing import Phone, killed_between_calls, talking


@pytest.mark.parametrize("has_chat", [True, False], ids=["known", "new"])
async def test_the_person_who_is_named_is_asked_in_their_own_chat_and_the_guest_cannot_answer(has_chat: bool) -> None:
    async with talking(refunds(), handle=ANN) as ann:
        dana = ann.person(DANA)
        if has_chat:
            await dana.text("hello")
            assert await dana.replies() == ["heard hello"]
        await ann.text("refund")
        assert await ann.replies() == ["I have asked Dana."]
        assert await dana.replies() == [asked_for(ANN)]
        await ann.text("yes")
        assert await ann.replies() == ["heard yes"]
        await dana.text("yes")
        assert await ann.replies() == ["decided: True"]
        await dana.text("thanks")
        assert await dana.replies() == ["heard thanks"]


async def test_a_tapback_on_the_question_answers_it() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        (question,) = await dana.replies()
        await dana.react(question, "dislike")
        assert await ann.replies() == ["I have asked Dana.", "decided: False"]


async def test_questions_to_one_person_are_shown_one_at_a_time_and_each_says_for_whom() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await dana.text("hello")
        await dana.replies()
        await ann.text("refund")
        await bob.text("refund")
        assert await bob.replies() == ["I have asked Dana."]
        assert await dana.replies() == [asked_for(ANN)]
        await dana.text("no")
        assert await ann.replies() == ["I have asked Dana.", "decided: False"]
        assert await dana.replies() == [asked_for(BOB)]
        await dana.text("yes")
        assert await bob.replies() == ["decided: True"]
        assert await ann.replies() == []


async def test_two_guests_who_open_the_chat_of_the_owner_at_once_are_answered_each() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await ann.text("refund")
        await bob.text("refund")
        asked = [str(each) for each in await dana.replies()]
        assert len(asked) == 1
        await dana.text("yes")
        asked += [str(each) for each in await dana.replies()]
        assert sorted(asked) == sorted([asked_for(ANN), asked_for(BOB)])
        first, second = (ann, bob) if asked[0] == asked_for(ANN) else (bob, ann)
        assert (await first.replies())[-1] == "decided: True"
        assert await second.replies() == ["I have asked Dana."]
        await dana.text("no")
        assert await second.replies() == ["decided: False"]


async def test_an_invalid_answer_is_refused_in_the_chat_of_the_person() -> None:
    async with talking(refunds(tries=2), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        await dana.replies()
        await dana.text("which one?")
        assert await dana.replies() == ["Please answer yes or no.", asked_for(ANN)]
        await dana.text("hm")
        assert await ann.replies() == ["I have asked Dana.", "cancelled: invalid"]


async def test_choices_and_typed_answers_and_files_come_from_the_other_chat() -> None:
    rows: list[tuple[dict[str, Any], str, str]] = [
        ({"yes": None, "choices": ["Full", "Half"]}, "2", "decided: Half"),
        ({"yes": None, "kind": int}, "twelve", "decided: 12"),
        ({"yes": None}, "as you like", "decided: as you like"),
    ]
    for options, answer, said in rows:
        async with talking(refunds(**options), handle=ANN) as ann:
            await ann.text("refund")
            await ann.person(DANA).text(answer)
            assert (await ann.replies())[-1] == said
    async with talking(refunds(yes=None, kind=MediaPart), handle=ANN) as ann:
        await ann.text("refund")
        await ann.person(DANA).media(b"jpeg", "receipt.jpg")
        assert "receipt.jpg" in (await ann.replies())[-1]


async def test_a_late_answer_reads_that_it_is_too_late_and_other_texts_are_handled() -> None:
    async with talking(refunds(timeout_s=60), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        (question,) = await dana.replies()
        await ann.advance(90)
        assert await ann.replies() == ["I have asked Dana.", "no answer"]
        await dana.text("good morning")
        await dana.text("yes")
        await dana.react(question, "like")
        assert await dana.replies() == ["heard good morning", LATE, LATE]
        assert await ann.replies() == []


@pytest.mark.parametrize("how", ["opted out", "allow", "allow_to", "Linq"])
async def test_a_person_who_cannot_be_asked_is_an_error_in_the_handler_at_once(how: str) -> None:
    bot = refunds()
    if how == "allow":
        bot.allow = lambda event: event.actor == ANN
    if how == "allow_to":
        bot.options.put(Conduct(frozenset({ANN})))
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        if how == "opted out":
            await dana.text("hello")
            await dana.replies()
            await dana.opt_out()
        if how == "Linq":
            ann.fail_next("chats.create", status=400)
        await ann.text("refund")
        (said,) = await ann.replies()
        assert said.startswith(UNREACHABLE), said
        assert await dana.replies() == []


async def test_further_people_are_asked_where_they_are_and_the_others_read_who_decided() -> None:
    async with talking(refunds(who="asker", also=[DANA, EVE]), handle=ANN) as ann:
        dana, eve = ann.person(DANA), ann.person(EVE)
        await ann.text("refund")
        assert await ann.replies() == ["May I refund?", "I have asked Dana."]
        assert [await dana.replies(), await eve.replies()] == [[asked_for(ANN)], [asked_for(ANN)]]
        await eve.text("good morning")  # no answer, and no invalid one
        assert await eve.replies() == ["heard good morning"]
        await dana.text("yes")
        said = f"{DANA} has decided: yes."
        assert await ann.replies() == [said, "decided: True"]
        assert [await dana.replies(), await eve.replies()] == [[], [said]]
        await eve.text("no")
        assert await eve.replies() == [LATE]
        await ann.text("yes")
        assert await ann.replies() == ["heard yes"]


async def test_an_answer_in_the_chat_is_read_by_those_who_were_asked_elsewhere() -> None:
    async with talking(refunds(who="asker", also=[DANA]), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await ann.text("no")
        assert (await ann.replies())[-1] == "decided: False"
        assert await dana.replies() == [f"{ANN} has decided: no."]


async def test_in_a_group_its_members_are_asked_there_and_others_in_their_own_chats() -> None:
    async with talking(refunds(who=DANA, also=[BOB, EVE]), handle=ANN) as ann:
        dana, eve = ann.person(DANA), ann.person(EVE)
        group = ann.group(BOB, dana)
        await group.text("refund")
        assert await group.replies() == ["May I refund?", "I have asked Dana."]
        assert [await dana.replies(), await eve.replies()] == [[], [asked_for(ANN)]]
        await group.text("yes")
        assert await group.replies() == ["heard yes"]
        await group.by(BOB).text("yes")
        assert (await group.replies())[-1] == "decided: True"
        assert await eve.replies() == [f"{BOB} has decided: yes."]


async def test_in_another_language_all_sentences_are_in_that_language() -> None:
    bot = Bot(language="fr", read=False, typing=False)

    @bot.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Je rembourse ?", yes="like", who=DANA, also=[EVE])

    async with talking(bot, handle=ANN) as ann:
        dana, eve = ann.person(DANA), ann.person(EVE)
        await ann.text("refund")
        assert await dana.replies() == [f"Pour {ANN} : Je rembourse ?"]
        await dana.text("oui")
        await eve.text("oui")
        said = ["Pour +14155550142 : Je rembourse ?", f"{DANA} a décidé : oui."]
        assert await eve.replies() == [*said, "Cette question est close : la réponse est arrivée trop tard."]


async def test_a_question_waits_while_the_chat_of_the_person_is_muted() -> None:
    async with talking(refunds(), handle=ANN) as ann:
        dana = ann.person(DANA)
        await dana.text("quiet")
        await dana.replies()
        await ann.text("refund")
        assert [await ann.replies(), await dana.replies()] == [[], []]
        await ann.advance(700)
        assert [await ann.replies(), await dana.replies()] == [["I have asked Dana."], [asked_for(ANN)]]


@pytest.mark.slow
@pytest.mark.parametrize("has_chat", [True, False], ids=["known", "new"])
async def test_killed_anywhere_the_owner_is_asked_once_and_the_answer_arrives_once(has_chat: bool) -> None:
    async def scenario(ann: Phone) -> None:
        dana = ann.person(DANA)
        if has_chat:
            await dana.text("hello")
        await ann.text("refund")
        await ann.quiet()
        await ann.text("yes")
        await dana.text("no")

    async for ann in killed_between_calls(refunds(), scenario, handle=ANN):
        dana = ann.person(DANA)
        said = sorted(map(str, await ann.replies()))
        assert said == ["I have asked Dana.", "decided: False", "heard yes"], (ann.killed, said)
        asked = [*(["heard hello"] if has_chat else []), asked_for(ANN)]
        assert await dana.replies() == asked, ann.killed


@pytest.mark.slow
async def test_killed_anywhere_two_guests_get_the_answers_that_are_theirs() -> None:
    async def scenario(ann: Phone) -> None:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await dana.text("hello")
        await ann.text("refund")
        await ann.quiet()
        await bob.text("refund")
        await ann.quiet()
        await dana.text("yes")
        await ann.text("yes")
        await ann.quiet()
        await dana.text("no")

    async for ann in killed_between_calls(refunds(), scenario, handle=ANN):
        bob, dana = ann.person(BOB), ann.person(DANA)
        assert await dana.replies() == ["heard hello", asked_for(ANN), asked_for(BOB)], ann.killed
        assert sorted(await ann.replies()) == ["I have asked Dana.", "decided: True", "heard yes"], ann.killed
        assert await bob.replies() == ["I have asked Dana.", "decided: False"], ann.killed


@pytest.mark.slow
async def test_killed_anywhere_the_first_answer_counts_and_the_other_person_reads_it() -> None:
    async def scenario(ann: Phone) -> None:
        dana, eve = ann.person(DANA), ann.person(EVE)
        await ann.text("refund")
        await ann.quiet()
        await dana.text("yes")
        await ann.quiet()
        await eve.text("no")

    async for ann in killed_between_calls(refunds(who=DANA, also=[EVE]), scenario, handle=ANN):
        dana, eve = ann.person(DANA), ann.person(EVE)
        assert await ann.replies() == ["I have asked Dana.", "decided: True"], ann.killed
        assert await dana.replies() == [asked_for(ANN)], ann.killed
        assert await eve.replies() == [asked_for(ANN), f"{DANA} has decided: yes.", LATE], ann.killed
