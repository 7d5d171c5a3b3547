"""Blocked handles: Linq stores none of their messages, and nothing can be sent to them (R74-R76)."""

from __future__ import annotations

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import documents
from linqbot.emulator.model.answers import EndpointResponse, not_found
from linqbot.emulator.model.records import BlockedHandleRecord, normal


def list_(world: World, _: ApiRequest) -> EndpointResponse:
    """List the blocked handles, newest first."""
    newest = reversed(world.state.blocked.values())
    return EndpointResponse(200, {"blocked_handles": [documents.shown(one) for one in newest]})


def block(world: World, request: ApiRequest) -> EndpointResponse:
    """Block a handle. Blocking it again changes nothing."""
    handle = normal(request.body["handle"])
    blocked = world.state.blocked.get(handle)
    if blocked is None:
        blocked = BlockedHandleRecord(handle, world.now(), request.body.get("reason"))
        world.state.blocked[handle] = blocked
    return EndpointResponse(200, {"blocked_handle": documents.shown(blocked)})


def unblock(world: World, request: ApiRequest) -> EndpointResponse:
    """Unblock a handle.

    Raises:
        ApiError: 404, the handle is not blocked.
    """
    if world.state.blocked.pop(normal(request.body["handle"]), None) is None:
        raise not_found("blocked handle")
    return EndpointResponse(204)


ENDPOINTS = (
    EndpointHandler("blocked_handles.list", list_),
    EndpointHandler("blocked_handles.block", block, has_body=True),
    EndpointHandler("blocked_handles.unblock", unblock, has_body=True),
)
