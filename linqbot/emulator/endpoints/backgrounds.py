"""Backgrounds of chats: a colour, an animation, or a photo; only iMessage shows them (R66, R67)."""

from __future__ import annotations

from dataclasses import fields

from linqbot.emulator.endpoints.chats import present
from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine import chat_state, send_policy
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import EndpointResponse
from linqbot.emulator.model.message_content import BackgroundRecord
from linqbot.emulator.model.records import ChatRecord


def set_(world: World, request: ApiRequest) -> EndpointResponse:
    """Set the background of a chat.

    Raises:
        ApiError: 404, there is no such chat; R13, R61.
    """
    return _change(
        world,
        present(world, request),
        BackgroundRecord(**{one.name: request.body.get(one.name) for one in fields(BackgroundRecord)}),
    )


def remove(world: World, request: ApiRequest) -> EndpointResponse:
    """Remove the background of a chat.

    Raises:
        ApiError: 404, there is no such chat; R13, R61.
    """
    return _change(world, present(world, request), None)


def _change(world: World, chat: ChatRecord, background: BackgroundRecord | None) -> EndpointResponse:
    send_policy.check_line(world.line_of(chat))
    if chat.service == "iMessage" and chat.background != background:
        chat_state.set_background(world, chat, chat.me, background)
    return EndpointResponse(202)


ENDPOINTS = (
    EndpointHandler("chats.background.set", set_, has_body=True),
    EndpointHandler("chats.background.remove", remove),
)
