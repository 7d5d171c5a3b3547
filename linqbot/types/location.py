"""Locations that people share, in GeoJSON, as Linq returns them."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class Point(Data):
    """A position.

    Attributes:
        coordinates: Longitude first, then latitude, in degrees: the order of GeoJSON, which is not the order of maps.
    """

    coordinates: tuple[float, ...]
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
    updated_at: datetime | None = None
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
