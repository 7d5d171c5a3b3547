"""`link`: a web address that is sent as a preview card."""

from __future__ import annotations

from linqbot.types.message import LinkPart


def link(url: str) -> LinkPart:
    """Return a web address as a preview card, which gets a message of its own.

    An address inside a text becomes a card by itself; see `Context.reply`. The first message of a chat cannot be a card
    (R52).

    Args:
        url: An http or https address of at most 2048 characters.

    Example:
        `await ctx.reply(link("https://example.com/menu"))`
    """
    return LinkPart(value=url)
