"""Acts as a person at a running `linqbot dev`, through the emulator's control API."""

from __future__ import annotations

from typing import Any

import httpx
from patience import PATIENCE_S

ANN, LINE = "+14155550142", "+12025550100"


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


async def says(http: httpx.AsyncClient, page: str, handle: str, said: str) -> None:
    """Let a person text the bot."""
    body = {"from": handle, "to": LINE, "parts": [{"type": "text", "value": said}]}
    (await http.post(f"{page}/emulator/inbound", json=body)).raise_for_status()


async def heard(http: httpx.AsyncClient, page: str) -> dict[str, list[str]]:
    """Return the texts that the bot sent to each person, in direct chats."""
    state = (await http.get(f"{page}/emulator/state", timeout=PATIENCE_S)).json()
    return {
        next(one["handle"] for one in chat["handles"] if not one["is_me"]): [
            message["parts"][0]["value"] for message in chat["messages"] if message["is_from_me"]
        ]
        for chat in state["chats"]
    }
