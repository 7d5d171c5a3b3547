"""Experiences, which are Linq's ready-made cards."""

from __future__ import annotations

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.experience_cards import CATALOGUE
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import EndpointResponse, not_found


def list_(_: World, __: ApiRequest) -> EndpointResponse:
    """List the experiences."""
    return EndpointResponse(200, {"experiences": list(CATALOGUE)})


def retrieve(_: World, request: ApiRequest) -> EndpointResponse:
    """Return an experience by its name.

    Raises:
        ApiError: 404, there is no such experience.
    """
    found = next((one for one in CATALOGUE if one["experience"] == request.path["experience"]), None)
    if found is None:
        raise not_found("experience")
    return EndpointResponse(200, found)


ENDPOINTS = (
    EndpointHandler("experiences.list", list_),
    EndpointHandler("experiences.retrieve", retrieve),
)
