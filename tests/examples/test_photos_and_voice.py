"""examples/photos_and_voice.py: a repair shop that takes photos and voice memos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import structlog
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
FIRST = "I have 1 photos and 0 voice memos. Write 'done' to send them."
BOTH = "I have 1 photos and 1 voice memos. Write 'done' to send them."


@pytest.fixture
def bot(bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bot:
    (tmp_path / "shelf").mkdir()
    monkeypatch.setattr(sys.modules["photos_and_voice"], "SHELF", tmp_path / "shelf")
    return bot


async def repair(phone: Phone) -> None:
    await phone.client.contact_card.create(phone_number=phone.line, first_name="Harbor Repairs")
    await phone.media(HEIC, "IMG_7.HEIC")
    await phone.voice_memo(b"caff it fell into the harbor")
    await phone.text("done")


async def test_a_photo_and_a_memo_are_kept_and_answered(bot: Bot, tmp_path: Path) -> None:
    async with talking(bot) as phone:
        await repair(phone)
        await phone.quiet()
        *texts, memo = (bubble for bubble in phone.messages if bubble.from_bot)
        assert texts == [FIRST, BOTH, "We have your order:"]
        assert [part.filename for part in texts[-1].media] == ["photo.jpg"]
        assert (texts[-1].effect, memo.is_voice_memo) == ("slam", True)
        assert {path.read_bytes()[:8] for path in (tmp_path / "shelf").iterdir()} == {HEIC[:8], b"caff it "}
        await phone.media(b"%PDF", "bill.pdf")
        assert (await phone.replies())[-2] == "I take photos and voice memos."


async def test_a_file_that_is_gone_is_logged_and_asked_for_again(bot: Bot) -> None:
    async with talking(bot) as phone:
        phone.fail_next("GET /attachments", status=404, times=50)
        with structlog.testing.capture_logs() as logs:
            await phone.media(HEIC, "IMG_7.HEIC")
            assert (await phone.replies())[0] == "I could not open your file. Please send it again."
        [why] = [entry["why"] for entry in logs if entry["event"] == "file.unavailable"]
        assert "responded with 404" in why


async def test_sms_reads_what_the_memo_says(bot: Bot) -> None:
    async with talking(bot, service="SMS") as phone:
        assert await answers(phone, "done") == ["We have your order:", "Ding, dong!"]


@pytest.mark.slow
async def test_a_crash_at_any_point_and_tripled_deliveries_lose_and_repeat_nothing(bot: Bot) -> None:
    async def scenario(phone: Phone) -> None:
        await phone.client.contact_card.create(phone_number=phone.line, first_name="Harbor Repairs")
        await phone.media(HEIC, "IMG_7.HEIC")
        await phone.text("done")

    async for phone in killed_between_calls(bot, scenario, copies=3):
        shown = [bubble for bubble in phone.messages if bubble.from_bot]
        assert [bubble for bubble in shown if bubble] == [FIRST, "We have your order:"]
        # Linq takes no idempotency key for a memo: one that was cut off before Linq took it is not sent again.
        memos = sum(bubble.is_voice_memo for bubble in shown)
        assert memos == 1 or (memos == 0 and phone.killed)
