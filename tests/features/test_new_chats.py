"""New chats: what a person replies to the message that opens their chat waits until the turn that sent it is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_server import empty_storage_url
from refunds import ANN, BOB, DANA, LATE, asked_for, refunds

from linqbot import Bot, Context, Posted
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
async def test_an_answer_that_comes_before_linqs_answer_to_the_question_is_one(backend: str, tmp_path: Path) -> None:
    storage = empty_storage_url("bot") if backend == "postgres" else f"sqlite:///{tmp_path}/bot.db"
    async with talking(refunds(), handle=ANN, storage=storage) as ann:
        dana = ann.person(DANA)
        ann.drop_next("chats.create", times=20)
        await ann.text("refund")
        assert await ann.replies() == []
        assert await dana.replies() == [asked_for(ANN)]
        await dana.text("yes")
        await dana.text("thanks")
        assert await dana.replies() == []
        await ann.restart()
        await ann.advance(3600)
        assert await ann.replies() == ["I have asked Dana.", "decided: True"]
        assert await dana.replies() == ["heard thanks"]


async def test_a_person_who_replies_to_a_post_before_linqs_answer_answers_its_question() -> None:
    async with talking(refunds(first=greeting), handle=DANA) as dana:
        dana.drop_next("chats.create", times=20)
        await dana.post("visit", {}, post_id="7")
        assert await dana.replies() == ["How was it?"]
        await dana.text("fine")
        assert await dana.replies() == []
        await dana.advance(3600)
        assert await dana.replies() == ["Thank you for: fine"]


def greeting(bot: Bot) -> None:
    @bot.on_post("visit")
    async def visit(post: Posted, ctx: Context) -> str:
        if post.data.get("greets"):
            await ctx.send("Good evening.")
        if post.data.get("fails"):
            raise RuntimeError("no")
        return f"Thank you for: {await ctx.ask('How was it?')}"


async def test_only_the_direct_chat_of_that_person_waits_and_no_longer_than_the_turn() -> None:
    async with talking(refunds(first=greeting), handle=DANA) as dana:
        bob = dana.person(BOB)
        group = dana.group(bob)
        await dana.post("visit", {"greets": True, "fails": True}, post_id="7")
        await dana.errors()
        assert await dana.dead_letters() == []
        await dana.text("hello")
        await bob.text("hello")
        await group.text("hello all")
        await dana.errors()
        assert [said(bob), said(group), said(dana)] == [["heard hello"], ["heard hello all"], ["Good evening."]]
        with pytest.raises(HandlerFailed):
            await dana.advance(86_400)
        assert len(await dana.dead_letters()) == 1
        assert said(dana) == ["Good evening.", "heard hello"]


def said(phone: Phone) -> list[str]:
    return [str(each) for each in phone.messages if each.from_bot]


async def test_an_answer_in_the_meantime_to_a_question_that_is_over_reads_that_it_is_too_late() -> None:
    async with talking(refunds(timeout_s=60), handle=ANN) as ann:
        dana = ann.person(DANA)
        ann.drop_next("chats.create", times=20)
        ann.fail_next("messages.retrieve", status=503, times=60)
        await ann.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await dana.text("yes")
        await ann.advance(3600)
        assert await ann.replies() == ["no answer"]
        assert await dana.replies() == [LATE]


@pytest.mark.slow
@pytest.mark.parametrize("greets", [False, True])
async def test_killed_anywhere_a_post_that_opens_a_chat_gets_the_reply_that_comes_at_once(greets: bool) -> None:
    async def scenario(dana: Phone) -> None:
        await dana.post("visit", {"greets": greets}, post_id="7")
        while await dana.next_reply() != "How was it?":
            pass
        await dana.text("fine")

    async for dana in killed_between_calls(refunds(first=greeting), scenario, handle=DANA):
        assert await dana.replies() == ["Thank you for: fine"], dana.killed


@pytest.mark.slow
async def test_killed_anywhere_a_reply_that_comes_at_once_is_the_answer() -> None:
    async def scenario(ann: Phone) -> None:
        dana = ann.person(DANA)
        await ann.text("refund")
        await dana.next_reply()
        await dana.text("yes")

    async for ann in killed_between_calls(refunds(), scenario, handle=ANN):
        assert await ann.replies() == ["I have asked Dana.", "decided: True"], ann.killed
        assert await ann.person(DANA).replies() == [asked_for(ANN)], ann.killed
