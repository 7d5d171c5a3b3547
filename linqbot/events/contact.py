"""Contact cards: a person shares theirs with you, or your account changes the card of one of your lines."""

from __future__ import annotations

from typing import Any

from linqbot.events.account import AccountEvent
from linqbot.events.event import Event
from linqbot.types.data import Data


class ContactCardReceived(Event):
    """A person's name and photo: sent once per person and line, and again when they change.

    Attributes:
        sender_handle: The person.
        owner_handle: Your line.
        last_name: May be empty.
        media_url: The photo. The URL is signed, valid for up to 45 minutes, and must not be altered in any way.
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
    """Base of the events about the contact card of one of your lines."""

    contact_card: ChangedContactCard = ChangedContactCard()


class ContactCardCreated(ContactCardEvent):
    """A contact card was created for one of your lines."""

    types = ("contact_card.created",)


class ContactCardUpdated(ContactCardEvent):
    """The contact card of a line was changed; `change` has a `from` and a `to` for each changed field."""

    types = ("contact_card.updated",)


class ContactCardDeleted(ContactCardEvent):
    """The contact card of a line was deleted."""

    types = ("contact_card.deleted",)
