"""App cards: sent as parts of messages, kept as objects, and changed later under the id that Linq gave them.

A `Card` is data that knows no connection. It is changed through the context of the running turn, which dispatch sets.
Next step: `sending.py` changes it at Linq.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from linqbot.linq.types.files import turn
from linqbot.linq.types.message import AppIdentity, AppLayout, AppPart

if TYPE_CHECKING:
    from linqbot.content.sent import Sent

_OUTSIDE: Final = "A card is updated inside a handler only. Elsewhere, call client.messages.update_app_card."


def app_card(
    app: AppIdentity | Mapping[str, Any],
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
    interactive: bool | None = None,
) -> AppPart:
    """Return a card of an iMessage app. SMS and RCS get its `fallback_text`, or else its captions and its address.

    Args:
        app: The app: its `team_id`, `bundle_id` and `name`.
        caption, subcaption, trailing_caption, trailing_subcaption: Texts of the card. One of these or the image is
            needed.
        image_url: An https image.
        image_title, image_subtitle: Texts over the image.
        url: What the app opens: https, or `data:`.
        fallback_text: The text where the card cannot be shown.
        interactive: False makes it a picture that cannot be tapped.
    Raises:
        ValidationError: pydantic found no app in `app`.

    Example:
        `await ctx.reply(app_card(PARCELS, caption="Parcel 7", subcaption="On its way"))`
    """
    layout = AppLayout(
        caption=caption,
        subcaption=subcaption,
        trailing_caption=trailing_caption,
        trailing_subcaption=trailing_subcaption,
        image_url=image_url,
        image_title=image_title,
        image_subtitle=image_subtitle,
    )
    return AppPart(
        app=AppIdentity.model_validate(app),
        layout=layout,
        url=url,
        fallback_text=fallback_text,
        interactive=interactive,
    )


class TurnWithCards:
    """A turn in which a card that was sent is changed. `Context` is one."""

    async def show_card(self, card: Card) -> str:
        """Show a card that has changed, and return its new id. Here it raises NotImplementedError."""
        raise NotImplementedError


class Card(BaseModel, defer_build=True):
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
        running = turn(TurnWithCards, _OUTSIDE)
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


def card_of(part: AppPart, sent: Sent) -> Card:
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
    app = AppIdentity(team_id="", bundle_id="", name=card.app_name)
    layout = AppLayout.model_validate(card.layout)
    return card_text(AppPart(app=app, layout=layout, url=card.url, fallback_text=card.fallback_text))


def card_text(card: AppPart) -> str:
    """Return an app card as text: its `fallback_text`, or else its captions and its https address."""
    if card.fallback_text:
        return card.fallback_text
    layout = card.layout
    captions = (layout.caption, layout.subcaption, layout.trailing_caption, layout.trailing_subcaption)
    lines = [*captions, layout.image_title, layout.image_subtitle]
    if (card.url or "").startswith("https:"):
        lines.append(card.url)
    return "\n".join(line for line in lines if line) or card.app.name
