"""examples/group.py: replies in a group only when addressed."""

from __future__ import annotations

from answers import answers

from linqbot import Bot
from linqbot.testing import talking

BOB = "+14155550143"


async def test_it_counts_the_people_when_asked(bot: Bot) -> None:
    async with talking(bot) as ann:
        group = ann.group(BOB, "+14155550144")
        assert await answers(group, "who is in?") == []
        asked = await group.text("@bot, who is in?", mention=True)
        reply = await group.next_reply()
        assert reply == "3 people are here. Raise a hand with a 👍."
        assert reply.thread == asked.id
        await group.by(BOB).leave()
        await group.text("and now, who is in?", reply_to=reply)
        assert (await group.next_reply()).startswith("2 people")


async def test_it_likes_a_message_that_only_mentions_it_and_in_a_direct_chat_asks_for_a_group(bot: Bot) -> None:
    async with talking(bot) as ann:
        group = ann.group(BOB)
        await group.text("nice @bot", mention=True)
        assert await group.next_tapback() == "like"
        assert await group.next_reply() == "You called? Ask me who is in."
        assert await answers(ann, "hello") == ["I am more fun in a group. Add me to one."]
