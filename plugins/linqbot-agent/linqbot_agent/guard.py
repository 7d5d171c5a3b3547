"""The guard: a tool that an agent calls acts in the chat of its turn only, whatever a message has made the model do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from linqbot import Refused
from linqbot.client.call import ApiResponse, Call, Run

REFUSED: Final = "This was refused and not done."
"""The text that the model reads in place of a result."""
_UNSEEN: Final = ("read", "hint")
"""The safety classes of calls that change nothing, or leave nothing in the chat."""


@dataclass(slots=True)
class ToolCall:
    tool: str
    chat_id: str | None  # the chat of the turn
    is_free: bool  # True if a person has approved the call, or the author lets the tool act elsewhere
    # True once the guard has refused a call of the tool. Methods such as `ctx.bot.send` return a status then and raise
    # nothing, so the tool may not notice.
    was_refused: bool = field(default=False, init=False)
    has_spoken: bool = field(default=False, init=False)  # True once the tool has done something in the chat


running_tool: ContextVar[ToolCall | None] = ContextVar("linqbot_agent_tool", default=None)


@contextmanager
def running(call: ToolCall) -> Iterator[None]:
    """Run a tool in a block.

    Raises:
        Refused: the guard has refused a call of the tool, also if the tool has not noticed.
    """
    token = running_tool.set(call)
    try:
        yield
    finally:
        running_tool.reset(token)
    if call.was_refused:
        raise Refused(REFUSED)


def guarded(run: Run) -> Run:
    """Return outbound middleware that refuses calls of tools outside of the chat of their turn."""

    async def checked(call: Call) -> ApiResponse:
        tool = running_tool.get()
        if tool is None:
            return await run(call)
        is_inside = _is_inside(call, tool.chat_id)
        if not tool.is_free and not is_inside:
            tool.was_refused = True
            raise Refused(
                f"The tool {tool.tool} of an agent called {call.name} outside of the chat of its turn. Let a person approve "
                f"its calls with requires_approval=True, or allow it: LinqAgent(elsewhere=[{tool.tool!r}])."
            )
        tool.has_spoken |= is_inside and call.safety not in _UNSEEN
        return await run(call)

    return checked


def check_broadcast(name: str, people: Sequence[str]) -> None:
    """Check that no tool begins a broadcast, which goes to other chats."""
    tool = running_tool.get()
    if tool is not None and not tool.is_free:
        raise Refused(
            f"The tool {tool.tool} of an agent began the broadcast {name!r} to {len(people)} people. Let a person approve "
            f"its calls with requires_approval=True, or allow it: LinqAgent(elsewhere=[{tool.tool!r}])."
        )


def _is_inside(call: Call, chat_id: str | None) -> bool:
    """Return True if a call changes nothing, or only the chat. The ids of its messages are known in the chat only."""
    if call.safety in _UNSEEN or call.path.startswith("/v3/messages/"):
        return True
    return chat_id is not None and f"{call.path}/".startswith(f"/v3/chats/{chat_id}/")
