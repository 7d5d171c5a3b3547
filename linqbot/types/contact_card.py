"""Contact cards: name and photo a line shows of itself."""

from __future__ import annotations

from linqbot.types.data import Data


class ContactCard(Data):
    """The card of a line.

    Attributes:
        phone_number: The line, E.164.
        is_active: Whether it can be shared.
    """

    phone_number: str
    first_name: str
    is_active: bool | None = None
    last_name: str | None = None
    image_url: str | None = None


class ContactCardList(Data):
    """Answer of `contact_card.retrieve`."""

    contact_cards: tuple[ContactCard, ...] = ()
