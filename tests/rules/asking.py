"""Helpers for the tests of the rules: a valid message and its parts, and short ways to check one."""

from __future__ import annotations

from typing import Any

from linqbot.linq.rules import Broken, check

LINE, ANN, MAIL = "+12052535597", "+12052532136", "ann@example.com"
ID = "550e8400-e29b-41d4-a716-446655440000"
CDN = "https://cdn.linqapp.com/attachments/a/b/c.png"
TEXT = {"type": "text", "value": "Hello"}
MEDIA = {"type": "media", "url": "https://example.com/a.png"}
LINK = {"type": "link", "value": "https://example.com"}
CLIP = {"type": "app_clip", "value": "https://example.com/clip"}
IDENTITY = {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App"}
CARD = {"type": "imessage_app", "app": IDENTITY, "layout": {"caption": "Hi"}}


def send(*parts: Any, **more: Any) -> Broken | None:
    return check("chats.messages.send", {"message": {"parts": list(parts), **more}}, {}, {"chat_id": ID})


def text(value: str = "Hello", **more: Any) -> Broken | None:
    return send({"type": "text", "value": value, **more})


def body(endpoint: str, **fields: Any) -> Broken | None:
    return check(endpoint, {name.rstrip("_"): value for name, value in fields.items()})


def broke(broken: Broken | None, rule: str, code: int = 1005, status: int = 400) -> bool:
    assert broken is not None, f"{rule} was not seen"
    assert (broken.rule, broken.status, broken.code) == (rule, status, code), broken
    return True
