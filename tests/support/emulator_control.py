"""Acts as a person at a running `linqbot dev`, through the emulator's control API."""

from __future__ import annotations

from typing import Any

import httpx

ANN = "+14155550142"


def text(page: str, said: str, **how: Any) -> str:
    """Text the bot. Return the id of the chat."""
    line = httpx.get(f"{page}/emulator/state").json()["lines"][0]["phone_number"]
    body = {"from": ANN, "to": line, "parts": [{"type": "text", "value": said}]} | how
    answer = httpx.post(f"{page}/emulator/inbound", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["chat_id"])


def replies(page: str) -> list[str]:
    """Return the texts that the bot sent, in all chats."""
    state = httpx.get(f"{page}/emulator/state").json()
    return [
        part["value"]
        for chat in state["chats"]
        for message in chat["messages"]
        if message["is_from_me"]
        for part in message["parts"]
        if part["type"] == "text"
    ]
