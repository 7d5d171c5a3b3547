"""Ready-made middleware: a limit per person, an allow-list in a file, texts in the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from answers import answers
from one_handler import says
from structlog.testing import capture_logs

from linqbot import AllowFile, Bot, BotError, Context, MessageReceived, limit_per_person, texts_in_log
from linqbot.testing import HandlerFailed, talking

pytestmark = pytest.mark.usefixtures("phone_for")

ANN, BEN = "+14155550142", "+14155550143"


def echoing(bot: Bot) -> Bot:
    @bot.on_message("ask")
    async def ask(message: MessageReceived, ctx: Context) -> str:
        return await ctx.ask("What?")

    @bot.on_message("fail")
    async def fail(message: MessageReceived, ctx: Context) -> str:
        if failures:
            failures.pop()
            raise OSError
        return "done"

    bot.on_message(says("{}"))
    return bot


failures: list[int] = []


async def test_a_person_who_writes_too_much_is_answered_once_and_others_as_usual() -> None:
    bot = echoing(Bot())
    bot.use(limit_per_person(2, per_s=60, say="Slowly, please."))
    async with talking(bot, handle=ANN) as phone:
        for text in ("1", "2", "3", "4"):
            await phone.text(text)
        assert await phone.replies() == ["1", "2", "Slowly, please."]
        ben = phone.person(BEN)
        assert await answers(ben, "hi") == ["hi"]
        await phone.advance(61)
        assert await answers(phone, "5") == ["5"]


async def test_the_reply_to_what_is_left_out_is_not_lost_in_an_outage_of_linq() -> None:
    bot = echoing(Bot())
    bot.use(limit_per_person(1, per_s=3600, say="Slowly, please."))
    async with talking(bot, handle=ANN) as phone:
        assert await answers(phone, "1") == ["1"]
        phone.fail_next("chats.messages.send", status=503, retry_after_s=60)
        assert await answers(phone, "2") == []
        await phone.advance(120)
        assert await answers(phone, "3") == ["Slowly, please."]


async def test_a_second_run_and_an_answer_to_a_question_are_not_counted() -> None:
    bot = echoing(Bot())
    bot.use(limit_per_person(2, per_s=3600))
    failures[:] = [1, 2]
    async with talking(bot, handle=ANN) as phone:
        await phone.text("fail")
        assert len(await phone.errors()) == 1
        with pytest.raises(HandlerFailed):
            await phone.advance(30)
        await phone.advance(60)
        assert await phone.next_reply() == "done"
        assert await answers(phone, "ask") == ["What?"]
        assert await answers(phone, "this") == ["this"]
        assert await answers(phone, "too much") == []


async def test_an_allow_list_is_read_again_when_its_file_changes_and_stays_if_it_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    file.write_text(f"{ANN}  # Ann\n\nAnn@Example.org\n")
    async with talking(echoing(Bot(allow=AllowFile(file))), handle=ANN) as phone:
        assert await answers(phone, "hi") == ["hi"]
        ben = phone.person(BEN)
        assert await answers(ben, "hi") == []
        file.write_text(f"{BEN}\n")
        assert await answers(ben, "hello") == ["hello"]
        assert await answers(phone, "hello") == []
        with capture_logs() as logs:
            file.write_text("415 555\n")
            await ben.text("1")
            assert await answers(ben, "2") == ["1", "2"]
        assert [each["event"] for each in logs].count("allow_file.unreadable") == 1
        assert "415 555" not in str(logs)
        with capture_logs() as logs:
            file.unlink()
            assert await answers(ben, "3") == ["3"]
        assert "allow_file.unreadable" in [each["event"] for each in logs]


async def test_texts_are_logged_only_if_a_developer_wants_it() -> None:
    bot = echoing(Bot())
    bot.use(texts_in_log)
    async with talking(bot, handle=ANN) as phone:
        with capture_logs() as logs:
            await phone.text("secret")
            await phone.quiet()
    assert [each["text"] for each in logs if each["event"] == "message.text"] == ["secret"]


def test_what_cannot_be_right_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "wrong.txt").write_text("415 555\n")
    wrong: dict[str, Callable[[], object]] = {
        "at least 1": lambda: limit_per_person(0, per_s=60),
        "per_s": lambda: limit_per_person(1, per_s="a minute"),  # type: ignore[arg-type]
        "say": lambda: limit_per_person(1, per_s=60, say=7),  # type: ignore[arg-type]
        "cannot be read": lambda: AllowFile(tmp_path / "none.txt"),
        "Entry 1": lambda: AllowFile(tmp_path / "wrong.txt"),
    }
    for why, make in wrong.items():
        with pytest.raises(BotError, match=why):
            make()
