"""The background of a chat: a color, a dynamic scene or a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from linqbot.client.resources.resource import Resource, many


class Background(Resource):
    """`client.chats.background`: set or remove the background of a chat.

    Only iMessage shows it. On other services Linq accepts the call and ignores it; no event follows.
    """

    __slots__ = ()

    async def set(
        self,
        chat_id: str,
        *,
        type: Literal["color", "dynamic", "photo"],  # noqa: A002 - Linq's name for it, and the official client's
        image_url: str | None = None,
        shades: Sequence[str] | None = None,
        style: str | None = None,
        variant: str | None = None,
    ) -> None:
        """Set the background of a chat. `chat.background_updated` or `chat.background_update_failed` follows.

        Args:
            type: `color` with a `variant` or with two `shades`; `dynamic` with `style` and `variant`; `photo` with
                `image_url`.
            image_url: The https URL of a JPEG, PNG, HEIC or WebP image.
            shades: Two colors such as `#1A2B3C`, for a `color` without a variant or with the variant `custom`.
            style: `sky`, `water` or `aurora`.
            variant: For a color: mango, ice, plum, deep_sea, green_apple, cherry, bubblegum, tangerine, magenta, lime,
                silver, carbon, stone, custom. For sky: dusk, haze, sunset, clear, sunrise, dawn. For water: light,
                dark. For aurora: green, purple, pink.
        Raises:
            LinqApiError: 400/5006 the URL is not an image, 400/5007 the URL cannot be fetched, 404/2001 no chat with
                this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/set
        """
        body = {"type": type, "image_url": image_url, "shades": many(shades), "style": style, "variant": variant}
        await self._call("chats.background.set", path={"chat_id": chat_id}, body=body)

    async def remove(self, chat_id: str) -> None:
        """Remove the background of a chat. `chat.background_updated` follows.

        Raises:
            LinqApiError: 404/2001 no chat with this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/remove
        """
        await self._call("chats.background.remove", path={"chat_id": chat_id})
