"""Where people are who share it, in GeoJSON, as Linq answers it."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class Point(Data):
    """A place.

    Attributes:
        coordinates: Longitude first, then latitude, in degrees: GeoJSON's order, and not that of maps.
    """

    coordinates: tuple[float, ...]
    type: str = "Point"

    @property
    def longitude(self) -> float:
        return self.coordinates[0]

    @property
    def latitude(self) -> float:
        return self.coordinates[1]


class LocationProperties(Data):
    """Whose place it is, and what it is called.

    Attributes:
        handle: E.164, or an Apple ID's e-mail address.
        updated_at: When it was last heard of.
    """

    handle: str
    updated_at: datetime | None = None
    address: str | None = None
    locality: str | None = None


class LocationFeature(Data):
    """One person's place."""

    geometry: Point
    properties: LocationProperties
    type: str = "Feature"


class LocationCollection(Data):
    """Everybody of a chat who shares and was located."""

    features: tuple[LocationFeature, ...] = ()
    type: str = "FeatureCollection"


class ChatLocation(Data):
    """Answer of `chats.location.retrieve`. No features: nobody shares, or nobody was located yet."""

    data: LocationCollection
    success: bool | None = None


class LocationAccepted(Data):
    """Answer of `chats.location.request` and `.stop`."""

    success: bool | None = None
    message: str | None = None
