"""Participants of a group (R58, R59, R62)."""

from __future__ import annotations

from linqbot.emulator.endpoints.chats import present
from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine import chat_state, send_policy
from linqbot.emulator.engine.sending import is_inferior
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import EndpointResponse, accepted, conflict, not_found
from linqbot.emulator.model.records import normal


def add(world: World, request: ApiRequest) -> EndpointResponse:
    """Add a participant to a group of at least three.

    Raises:
        ApiError: 404, there is no such chat; 409, it is not such a group, the handle is in it, or does not support its
            service; R13, R61.
    """
    chat, handle = present(world, request), normal(request.body["handle"])
    send_policy.check_line(world.line_of(chat))
    if not chat.is_group or len(chat.active) < 3:
        raise conflict("Participants can be added to groups of at least three")
    member = chat.member(handle)
    if member and member.status == "active":
        raise conflict("This handle is a participant already")
    if is_inferior(world.state.service_of(handle), chat.service):
        raise conflict("This handle does not support the group's service")
    chat_state.join(world, chat, handle, by=chat.line)
    return accepted("Participant addition queued")


def remove(world: World, request: ApiRequest) -> EndpointResponse:
    """Remove a participant from a group of at least four.

    Raises:
        ApiError: 404, there is no such chat or participant; 409, it is not such a group, or the handle is our line;
            R13, R61.
    """
    chat = present(world, request)
    send_policy.check_line(world.line_of(chat))
    member = chat.member(normal(request.body["handle"]))
    if not chat.is_group or len(chat.active) < 4:
        raise conflict("Participants can be removed from groups of which at least three remain")
    if member is None or member.status != "active":
        raise not_found("participant")
    if member.is_me:
        raise conflict("Your own line leaves with POST /leave")
    chat_state.depart(world, chat, member, by=chat.line)
    return accepted("Participant removal queued")


ENDPOINTS = (
    EndpointHandler("chats.participants.add", add, has_body=True),
    EndpointHandler("chats.participants.remove", remove, has_body=True),
)
