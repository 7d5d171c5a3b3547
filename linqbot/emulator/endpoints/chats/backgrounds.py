"""Backgrounds of chats (R66, R67): a colour, something moving, or a photo; shown on iMessage only."""

from __future__ import annotations

from typing import Any

from linqbot.emulator.endpoints.chats.chats import present
from linqbot.emulator.endpoints.endpoint import ApiRequest, Endpoint
from linqbot.emulator.engine import chat_state, send_policy
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import Answer
from linqbot.emulator.model.records import Chat


def put_up(world: World, request: ApiRequest) -> Answer:
    body = request.body
    background = {key: body.get(key) for key in ("type", "style", "variant", "shades", "image_url")}
    return _change(world, present(world, request), background)


def take_down(world: World, request: ApiRequest) -> Answer:
    return _change(world, present(world, request), None)


def _change(world: World, chat: Chat, background: dict[str, Any] | None) -> Answer:
    send_policy.check_line(world.line_of(chat))
    if chat.service == "iMessage" and chat.background != background:
        chat_state.set_background(world, chat, background)
    return Answer(202)


_PATH = "/v3/chats/{chat_id}/background"

ENDPOINTS = (
    Endpoint("chats.background.set", "POST", _PATH, put_up, has_body=True),
    Endpoint("chats.background.remove", "DELETE", _PATH, take_down),
)
