"""App cards: sent as an object, and changed later under the id that Linq then gives them."""

from __future__ import annotations

from typing import Any, Final

from linqbot.bot.content.chat_sender import with_standing_refusal
from linqbot.bot.content.forms import card_text
from linqbot.bot.sent import Sent
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError
from linqbot.types.content.card import Card
from linqbot.types.message import AppIdentity, AppLayout, AppPart

_PAUSES_S: Final = (1.0, 2.0, 4.0)
"""Seconds between attempts to change a card that Linq has not sent yet (R85)."""


def card_of(part: AppPart, sent: Sent) -> Card:
    """Return the card that was sent with a part."""
    return Card(
        id=sent.id,
        app_name=part.app.name,
        layout=part.layout.to_json_object(),
        url=part.url,
        fallback_text=part.fallback_text,
        interactive=part.interactive,
        is_text="app_card" in sent.degraded,
    )


def text_of_card(card: Card) -> str:
    """Return a card as text, for services without cards."""
    app = AppIdentity(team_id="", bundle_id="", name=card.app_name)
    layout = AppLayout.model_validate(card.layout)
    return card_text(AppPart(app=app, layout=layout, url=card.url, fallback_text=card.fallback_text))


async def update_card(card: Card, client: Client, clock: Clock) -> str:
    """Show a card as it is now in place of the message with its id, and return the id of the new message.

    Raises:
        LinqApiError: Linq refused the change, or has not sent the card yet after some seconds.
    """
    assert card.id is not None
    named = client.named(f"card {card.id}")
    new: dict[str, Any] = {
        "layout": card.layout,
        "url": card.url,
        "fallback_text": card.fallback_text,
        "interactive": card.interactive,
    }
    for pause_s in _PAUSES_S:
        try:
            # A later run of the turn repeats no attempt that was refused: it might succeed next to the one that did.
            return (await with_standing_refusal(named).messages.update_app_card(card.id, **new)).message.id
        except LinqApiError as error:
            if error.status != 409:
                raise
        await clock.wait_until(clock.now() + pause_s)
    return (await named.messages.update_app_card(card.id, **new)).message.id
