"""Polls, shared locations (in GeoJSON) and experiences, as Linq's API and its webhook events carry them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from linqbot.linq.types.chat import Handle
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import Reaction


def _handle_of(voter: Any) -> Any:
    return voter.get("handle") if isinstance(voter, dict) else voter


class PollVoter(Data):
    """A person who chose an option.

    Attributes:
        handle: A phone number or an e-mail address. Read from a string, and also from a handle object.
    """

    handle: Annotated[str, BeforeValidator(_handle_of)]
    voted_at: AwareDatetime | None = None


class PollOption(Data):
    """An option of a poll.

    Attributes:
        text: Empty if the line has zero retention.
        creator_handle: The participant who added the option; None if unknown.
    """

    option_id: str
    text: str = ""
    can_be_edited: bool | None = None
    creator_handle: Handle | None = None
    voters: tuple[PollVoter, ...] = ()


class Poll(Data):
    """The options of a poll, and the number of people who voted for any of them."""

    options: tuple[PollOption, ...] = ()
    total_voters: int = 0


class PollEnvelope(Data):
    """A poll and its message. A poll is identified by its `message_id`.

    Attributes:
        chat_id: Empty if Linq's response lacks it and the call does not name the chat.
    """

    chat_id: str = ""
    message_id: str
    poll: Poll = Field(default_factory=Poll)
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    reactions: tuple[Reaction, ...] = ()


class Point(Data):
    """A position.

    Attributes:
        coordinates: Longitude first, then latitude, in degrees: the order of GeoJSON, which is not the order of maps.
    """

    coordinates: Annotated[tuple[float, ...], Field(min_length=2)]
    type: str = "Point"

    @property
    def longitude(self) -> float:
        """Return the longitude in degrees."""
        return self.coordinates[0]

    @property
    def latitude(self) -> float:
        """Return the latitude in degrees."""
        return self.coordinates[1]


class LocationProperties(Data):
    """The person at a position, and its address.

    Attributes:
        handle: E.164 phone number, or an Apple ID's e-mail address.
        updated_at: The time of the last update of the position.
    """

    handle: str
    updated_at: AwareDatetime | None = None
    address: str | None = None
    locality: str | None = None


class LocationFeature(Data):
    """One person's position."""

    geometry: Point
    properties: LocationProperties
    type: str = "Feature"


class LocationCollection(Data):
    """The positions of all people of a chat who share their location and were located."""

    features: tuple[LocationFeature, ...] = ()
    type: str = "FeatureCollection"


class ChatLocation(Data):
    """Response of `chats.location.retrieve`. No features: no person shares a location, or none was located yet."""

    data: LocationCollection
    success: bool | None = None


class LocationAccepted(Data):
    """Response of `chats.location.request` and `.stop`."""

    success: bool | None = None
    message: str | None = None


class ExperienceField(Data):
    """A field of an action.

    Attributes:
        type: `string`, `cents`, `int` or `url` (absolute https).
        max: Maximum length of a string, in characters.
    """

    type: str | None = None
    required: bool | None = None
    max: int | None = None


class ExperienceAction(Data):
    """An action of an experience."""

    name: str | None = None
    summary: str | None = None
    fields: dict[str, ExperienceField] | None = None


class OfferedExperience(Data):
    """An experience and its actions.

    Attributes:
        experience: The name, to be passed as `name` when sending the experience.
    """

    experience: str | None = None
    display_name: str | None = None
    actions: tuple[ExperienceAction, ...] | None = None
