"""The emulated phone of `linqbot dev` as tools of `linqbot mcp --dev`: an agent texts the bot, reads and copies the conversation,
and moves the clock.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import httpx

from linqbot.errors import LinqbotError
from linqbot.hookspecs import AgentTool
from linqbot_dev.emulator.declared_world import FIRST_PERSON

JsonObject: TypeAlias = dict[str, Any]


def phone_tools(page: str) -> list[AgentTool]:
    """Return the tools for the phone on a page of `linqbot dev`."""
    http = httpx.AsyncClient(base_url=f"{page}/emulator", trust_env=False, timeout=60)

    async def asked(method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        try:
            response = await http.request(method, path, json=body)
            answer: JsonObject = response.json()
        except (httpx.TransportError, ValueError) as error:
            raise LinqbotError(
                f"No page of linqbot dev answers at {page}. Start linqbot dev, or begin linqbot mcp with the address that it "
                "shows: --page http://127.0.0.1:4011"
            ) from error
        if response.is_error:
            raise LinqbotError(answer["error"]["message"])
        return answer

    async def state() -> JsonObject:
        return await asked("GET", "/state")

    async def text(text: str, person: str = FIRST_PERSON) -> JsonObject:
        """Text the bot as a person, on the emulated phone. Read the answer with conversation."""
        line = (await state())["lines"][0]["phone_number"]
        body = {"from": person, "to": line, "parts": [{"type": "text", "value": text}]}
        return await asked("POST", "/inbound", body)

    async def conversation(person: str = FIRST_PERSON) -> JsonObject:
        """Return the messages with a person, and for each turn its handler, the filters that were tried, and errors."""
        found = await state()
        handles = {chat["id"] for chat in found["chats"] if any(one["handle"] == person for one in chat["handles"])}
        messages = [each for chat in found["chats"] if chat["id"] in handles for each in chat["messages"]]
        turns = [each for each in found["observations"] if each["chat_id"] in handles]
        return {"messages_with_text_of_people": messages, "turns": turns}

    async def copy_test(person: str = FIRST_PERSON) -> JsonObject:
        """Return the latest conversation with a person as a pytest: what people wrote, and what the bot did, is expected."""
        chats = [chat["id"] for chat in (await state())["chats"] if any(h["handle"] == person for h in chat["handles"])]
        return await asked("GET", f"/chats/{chats[-1] if chats else person}/test")

    async def move_clock(seconds: float) -> JsonObject:
        """Move the clock of the bot and of the emulator: what is due meanwhile happens."""
        return await asked("POST", "/clock", {"advance_s": seconds})

    return [
        AgentTool(text, "Text the bot on the emulated phone"),
        AgentTool(conversation, "Read the conversation on the emulated phone", read_only=True),
        AgentTool(copy_test, "Copy the conversation as a test", read_only=True),
        AgentTool(move_clock, "Move the clock of linqbot dev"),
    ]
