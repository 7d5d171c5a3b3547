"""examples/newsletter.py: people subscribe, an editor writes, and the news go out on Mondays."""

from __future__ import annotations

from datetime import UTC, datetime

from answers import answers

from linqbot import Bot
from linqbot.testing import talking

SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY_S = 86_400.0


async def test_the_news_reach_the_subscribers_once_and_the_editor_gets_a_report(bot: Bot) -> None:
    async with talking(bot, start=SUNDAY) as ann:
        assert await answers(ann, "hello") == ['Write "news on" to get the news on Mondays.']
        bob, cleo, editor = (ann.person(handle) for handle in ("+14155550143", "+14155550144", "+14155550199"))
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
