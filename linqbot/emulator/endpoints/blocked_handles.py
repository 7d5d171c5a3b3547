"""Blocked handles: what they write arrives nowhere, and nothing is sent to them (R74-R76)."""

from __future__ import annotations

from linqbot.emulator.endpoints.endpoint import ApiRequest, Endpoint
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import shapes
from linqbot.emulator.model.answers import Answer, not_found
from linqbot.emulator.model.handles import normal
from linqbot.emulator.model.records import BlockedHandle


def list_(world: World, _: ApiRequest) -> Answer:
    newest = reversed(world.state.blocked.values())
    return Answer(200, {"blocked_handles": [shapes.blocked_handle(one) for one in newest]})


def block(world: World, request: ApiRequest) -> Answer:
    handle = normal(request.body["handle"])
    blocked = world.state.blocked.get(handle)
    if blocked is None:
        blocked = BlockedHandle(handle, world.now(), request.body.get("reason"))
        world.state.blocked[handle] = blocked
    return Answer(200, {"blocked_handle": shapes.blocked_handle(blocked)})


def unblock(world: World, request: ApiRequest) -> Answer:
    if world.state.blocked.pop(normal(request.body["handle"]), None) is None:
        raise not_found("blocked handle")
    return Answer(204)


_PATH = "/v3/blocked_handles"

ENDPOINTS = (
    Endpoint("blocked_handles.list", "GET", _PATH, list_),
    Endpoint("blocked_handles.block", "POST", _PATH, block, has_body=True),
    Endpoint("blocked_handles.unblock", "DELETE", _PATH, unblock, has_body=True),
)
