"""Locations that people share with a line (R89, R90)."""

from __future__ import annotations

from typing import Any

from linqbot_dev.emulator.endpoints.chats import present
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine import sending
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads
from linqbot_dev.emulator.model.answers import EndpointResponse, JsonObject, conflict, not_found, too_many
from linqbot_dev.emulator.model.documents import iso, time_or_none
from linqbot_dev.emulator.model.records import ChatRecord, Share, normal

ASK_EVERY_S = 60.0
"""A guess: Linq limits requests per chat and does not publish the limit."""


def chats_location_retrieve(world: World, request: ApiRequest) -> JsonObject:
    chat = world.state.chat(request.path["chat_id"])
    shares = [share for member in chat.others if (share := _share(world, chat, member.handle))]
    collection = {"type": "FeatureCollection", "features": [_feature(share) for share in shares]}
    return {"success": True, "data": collection}


def chats_location_request(world: World, request: ApiRequest) -> JsonObject:
    chat, now = present(world, request), world.now()
    if chat.is_group:
        raise conflict("A location can be asked for in direct chats only", 2016)
    if chat.service != "iMessage":
        raise conflict("A location request needs iMessage", 2017)
    sending.check_line(world.line_of(chat))
    if any(_share(world, chat, member.handle) for member in chat.others):
        raise conflict("The location is being shared already")
    if chat.location_asked_at is not None and now < chat.location_asked_at + ASK_EVERY_S:
        raise too_many("Too many location requests", chat.location_asked_at + ASK_EVERY_S - now)
    chat.location_asked_at = now
    world.show_chat(chat)
    return {"success": True, "message": "Location request sent"}


def chats_location_stop(world: World, request: ApiRequest) -> EndpointResponse:
    chat, handle = present(world, request), normal(request.body["handle"])
    if _share(world, chat, handle) is None:
        raise not_found("location share")
    end(world, chat, handle)
    return EndpointResponse(202, {"success": True, "message": "Location sharing stop queued"})


def begin(
    world: World, chat: ChatRecord, handle: str, latitude: float, longitude: float, *, for_s: float | None = None
) -> None:
    """Share or move the location of a person. Emits `location.sharing.started` when sharing begins."""
    now, share = world.now(), _share(world, chat, handle)
    if share is not None:
        share.latitude, share.longitude, share.updated_at = latitude, longitude, now
        _show(world, share)
        return
    ends_at = None if for_s is None else now + for_s
    share = Share(handle, chat.line, latitude, longitude, now, now, ends_at)
    world.state.shares[handle, chat.line] = share
    world.emit("location.sharing.started", payloads.location(chat, share, ends_at=time_or_none(ends_at)), chat)
    _show(world, share)
    if ends_at is not None:
        world.timers.at(ends_at, lambda _: _expire(world, chat, share))


def end(world: World, chat: ChatRecord, handle: str) -> None:
    now, share = world.now(), world.state.shares.pop((handle, chat.line), None)
    if share is None:
        raise not_found("location share")
    world.emit("location.sharing.stopped", payloads.location(chat, share, ended_at=iso(now)), chat)
    _show(world, share)


def _expire(world: World, chat: ChatRecord, share: Share) -> None:
    if world.state.shares.get((share.handle, share.line)) is share:
        end(world, chat, share.handle)


def _show(world: World, share: Share) -> None:
    for chat in world.state.chats.values():
        if chat.line == share.line and share.handle in chat.people:
            world.show_chat(chat)


def _share(world: World, chat: ChatRecord, handle: str) -> Share | None:
    return world.state.shares.get((handle, chat.line))


def _feature(share: Share) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [share.longitude, share.latitude]},
        "properties": {"handle": share.handle, "updated_at": iso(share.updated_at), "address": None, "locality": None},
    }
