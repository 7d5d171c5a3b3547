"""App cards that were sent, and can be changed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from linqbot.types.content.turn import turn


class Card(BaseModel):
    """An app card that was sent: the result of `ctx.card`.

    A card is plain data. Keep it in a field of a model of `ctx.state`, to change it in a later turn.

    Attributes:
        id: The id of the card's message. It changes with each update; None if the card was not sent.
        layout: What the card shows: captions and image.
        is_text: True on SMS and RCS, which have no cards: the card was sent as a text, and an update is a further text.
    """

    id: str | None = None
    app_name: str = ""
    layout: dict[str, str] = {}
    url: str | None = None
    fallback_text: str | None = None
    interactive: bool | None = None
    is_text: bool = False

    async def update(
        self,
        *,
        caption: str | None = None,
        subcaption: str | None = None,
        trailing_caption: str | None = None,
        trailing_subcaption: str | None = None,
        image_url: str | None = None,
        image_title: str | None = None,
        image_subtitle: str | None = None,
        url: str | None = None,
        fallback_text: str | None = None,
    ) -> bool:
        """Change what the card shows. What is not given stays; an empty text removes it, but the address cannot be removed.

        Linq gives the changed card a new id, which `id` follows. If the card was sent just now, this waits for some
        seconds until Linq can change it.

        Example: `await order.card.update(subcaption="On its way")`

        Args:
            caption, subcaption, trailing_caption, trailing_subcaption, image_url, image_title, image_subtitle: As for
                `app_card`.
            url, fallback_text: As for `app_card`.
        Returns:
            False if the card was not sent, so that there is nothing to change.
        Raises:
            RuleBroken: the card would show nothing, or `url` is empty or no address that a card may have; it was not
                changed.
            LinqApiError: Linq refused the change.
            BotError: no handler is running.
        """
        running = turn("A card is updated inside a handler only. Elsewhere, call client.messages.update_app_card.")
        if self.id is None:
            return False
        given: dict[str, Any] = {
            "caption": caption,
            "subcaption": subcaption,
            "trailing_caption": trailing_caption,
            "trailing_subcaption": trailing_subcaption,
            "image_url": image_url,
            "image_title": image_title,
            "image_subtitle": image_subtitle,
        }
        layout = {**self.layout, **{name: value for name, value in given.items() if value is not None}}
        changed = self.model_copy(
            update={
                "layout": {name: value for name, value in layout.items() if value},
                "url": self.url if url is None else url,
                "fallback_text": (self.fallback_text if fallback_text is None else fallback_text) or None,
            }
        )
        self.id = await running.show_card(changed)
        self.layout, self.url, self.fallback_text = changed.layout, changed.url, changed.fallback_text
        return True
