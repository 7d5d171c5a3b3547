"""The background of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from linqbot.client.resources.resource import Resource, many


class Background(Resource):
    """`client.chats.background`. Shown on iMessage only; elsewhere Linq accepts and drops it, without an event."""

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
        """Give a chat a background. `chat.background_updated` follows, or `chat.background_update_failed`.

        Args:
            type: `color` with a `variant`, or with two `shades`; `dynamic` with `style` and `variant`; `photo` with
                `image_url`.
            image_url: https address of a JPEG, PNG, HEIC or WebP.
            shades: Two colours such as `#1A2B3C`, for a `color` without variant or with `custom`.
            style: `sky`, `water` or `aurora`.
            variant: Of a color: mango, ice, plum, deep_sea, green_apple, cherry, bubblegum, tangerine, magenta,
                lime, silver, carbon, stone, custom. Of sky: dusk, haze, sunset, clear, sunrise, dawn. Of water:
                light, dark. Of aurora: green, purple, pink.
        Raises:
            LinqApiError: 400/5006 the address is no image, 400/5007 it cannot be fetched.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/set
        """
        body = {"type": type, "image_url": image_url, "shades": many(shades), "style": style, "variant": variant}
        await self._call("chats.background.set", path={"chat_id": chat_id}, body=body)

    async def remove(self, chat_id: str) -> None:
        """Take a chat's background away. `chat.background_updated` follows.

        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/remove
        """
        await self._call("chats.background.remove", path={"chat_id": chat_id})
