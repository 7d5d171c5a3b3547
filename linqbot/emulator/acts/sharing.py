"""Acts of sharing with a line: a location, and a contact card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linqbot.emulator.acts.act import ByPerson, Handle, active_member
from linqbot.emulator.endpoints import contact_cards
from linqbot.emulator.endpoints.chats import locations
from linqbot.emulator.engine import send_policy
from linqbot.emulator.engine.sending import line_of_account
from linqbot.emulator.engine.world import World


class ShareLocation(ByPerson):
    """Share a location, move to another one, or stop sharing."""

    chat_id: str
    state: Literal["started", "stopped"] = "started"
    latitude: Annotated[float, Field(ge=-90, le=90)] = Field(0.0, description="Degrees.")
    longitude: Annotated[float, Field(ge=-180, le=180)] = Field(0.0, description="Degrees.")
    for_s: Annotated[float, Field(gt=0, le=10**8)] | None = Field(
        None, description="Seconds until sharing ends; null shares until the person stops."
    )

    def perform(self, world: World) -> None:
        """Change the location, and emit `location.sharing.started` or `.stopped` when sharing begins or ends.

        Raises:
            ApiError: 404, there is no such chat, the person is not in it, or shares no location that could stop.
        """
        chat = world.state.chat(self.chat_id)
        if self.state == "stopped":
            locations.end(world, chat, active_member(chat, self.from_).handle)
            return
        send_policy.check_present(chat)
        handle = active_member(chat, self.from_).handle
        locations.begin(world, chat, handle, self.latitude, self.longitude, for_s=self.for_s)


class ShareCard(ByPerson):
    """Share name and photo with the line `to`. Linq reports a card once, and again when the card has changed."""

    to: Handle = Field(description="A line of the account.")
    first_name: Annotated[str, Field(max_length=100)]
    last_name: Annotated[str, Field(max_length=100)] = ""
    media_url: str | None = Field(None, description="The address of the photo.")

    def perform(self, world: World) -> None:
        """Store the card and emit `contact_card.received`, if the card is new.

        Raises:
            ApiError: 403, `to` is not a line of the account.
        """
        card = (self.first_name, self.last_name, self.media_url)
        contact_cards.receive(world, self.from_, line_of_account(world, self.to), card)
