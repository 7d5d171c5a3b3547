"""A turn of a conversation in a test: a person writes, and the bot says all that it has to say."""

from __future__ import annotations

from linqbot.testing import Bubble, Phone


async def answers(phone: Phone, *texts: str) -> list[Bubble]:
    """Let a person write the texts, one after the other. Return what the bot has said when nothing more happens."""
    for text in texts:
        await phone.text(text)
    return await phone.replies()
