"""Contact cards: a person's, when they share it with you, and your own, when your account changes them."""

from __future__ import annotations

from typing import Any

from linqbot.events.account import AccountEvent
from linqbot.events.event import Event
from linqbot.types.data import Data


class ContactCardReceived(Event):
    """A person's name and photo: once per person and line, and again when they change.

    Attributes:
        sender_handle: The person.
        owner_handle: Your line.
        last_name: May be empty.
        media_url: Their photo: signed, gone within 45 minutes, and not to be altered in any way.
    """

    types = ("contact_card.received",)

    sender_handle: str | None = None
    owner_handle: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    media_url: str | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "actor": data.get("sender_handle"), "line": data.get("owner_handle")}


class ChangedContactCard(Data):
    """The card of one of your lines, as account events show it: with its id and without its line.

    The line is the event's `phone_number`. Read the whole card with `client.contact_card.retrieve`.
    """

    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    image_url: str | None = None


class ContactCardEvent(AccountEvent):
    """Your own card of one line changed."""

    contact_card: ChangedContactCard = ChangedContactCard()


class ContactCardCreated(ContactCardEvent):
    """One of your lines has a card now."""

    types = ("contact_card.created",)


class ContactCardUpdated(ContactCardEvent):
    """A card of yours was changed; `change` has a `from` and a `to` for each field that did."""

    types = ("contact_card.updated",)


class ContactCardDeleted(ContactCardEvent):
    """One of your lines has no card any more."""

    types = ("contact_card.deleted",)
