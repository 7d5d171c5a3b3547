"""The services that a handle can receive: iMessage, RCS."""

from __future__ import annotations

from typing import Any

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.sending import is_inferior, line_of_account
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, EndpointResponse
from linqbot.emulator.model.records import normal


def check_imessage(world: World, request: ApiRequest) -> EndpointResponse:
    """Answer if a handle can receive iMessage.

    Raises:
        ApiError: 403, `from` is not a line of the account.
    """
    return _answer(world, request, "iMessage")


def check_rcs(world: World, request: ApiRequest) -> EndpointResponse:
    """Answer if a handle can receive RCS. The check needs a line of the account.

    Raises:
        ApiError: 503, the account has no line; 403, `from` is not a line of the account.
    """
    if not world.state.lines:
        raise ApiError(503, 4010, "The check could not run")
    return _answer(world, request, "RCS")


def _answer(world: World, request: ApiRequest, wanted: str) -> EndpointResponse:
    if request.body.get("from") is not None:
        line_of_account(world, request.body["from"])
    address = normal(request.body["address"])
    service = world.state.service_of(address)
    available = not is_inferior(service, wanted)
    shape: dict[str, Any] = {"address": address, "available": available, "selected_service": service}
    return EndpointResponse(200, shape if available else shape | {"reason": "not_supported"})


ENDPOINTS = (
    EndpointHandler("capability.check_i_message", check_imessage, has_body=True),
    EndpointHandler("capability.check_RCS", check_rcs, has_body=True),
)
