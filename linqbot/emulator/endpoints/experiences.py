"""Experiences, which are Linq's ready-made cards."""

from __future__ import annotations

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.content import CATALOGUE
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import EndpointResponse, existing


def list_(_: World, __: ApiRequest) -> EndpointResponse:
    """List the experiences."""
    return EndpointResponse(200, {"experiences": [one.shape() for one in CATALOGUE]})


def retrieve(_: World, request: ApiRequest) -> EndpointResponse:
    """Return an experience by its name.

    Raises:
        ApiError: 404, there is no such experience.
    """
    found = existing(next((one for one in CATALOGUE if one.name == request.path["experience"]), None), "experience")
    return EndpointResponse(200, found.shape())


ENDPOINTS = (
    EndpointHandler("experiences.list", list_),
    EndpointHandler("experiences.retrieve", retrieve),
)
