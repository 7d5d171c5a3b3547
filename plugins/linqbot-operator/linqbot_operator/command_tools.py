"""The commands of operators as tools of `linqbot mcp`. A tool runs a command of linqbot with `--json`, so that it says what the
command says. Standard output is the protocol's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from pydantic_core import from_json

from linqbot.cli.commands.waiting import Kind
from linqbot.cli.kit import operator
from linqbot.errors import LinqbotError
from linqbot.hookspecs import AgentTool

JsonObject: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[..., Awaitable[JsonObject]]


def command_tools(dev: str | None, *, allow_writes: bool) -> list[AgentTool]:
    """Return the tools. See the hook `register_tools`."""
    run = partial(_run, dev)
    return [*_reads(run), *(_writes(run) if allow_writes else ())]


async def _run(dev: str | None, *words: str, said: Sequence[str] = (), stored: bool = True) -> JsonObject:
    """Run a command. Return its JSON. Raises LinqbotError with the command's error in JSON, which says what to do.

    Args:
        dev: The page of the `linqbot dev` whose storage and Linq the command uses; None for those of the settings.
        said: Arguments in the words of the agent, of which none is an option of the command.
    """
    ours = {} if dev is None else {"LINQ_API_V3_API_KEY": "dev", "LINQ_API_V3_BASE_URL": f"{dev}/api/partner"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "linqbot", *words, *(["--dev"] if stored and dev else []), "--json", "--", *said),
        env=os.environ | ours,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if not out.strip():
        raise LinqbotError(error.decode())
    found = from_json(out)
    return found if isinstance(found, dict) else {"rows": found}


def _given(**options: str | None) -> Sequence[str]:
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]


def _reads(run: Run) -> list[AgentTool]:
    async def why(who: str, at: str | None = None) -> JsonObject:
        """Say what became of a person's messages and why: handlers tried, calls, refusals, mutes, open questions.

        Args:
            who: A handle such as +14155550142, or the id of a chat, a message or a delivery.
            at: Only around this time, such as 10:42 or 2026-11-26T10:42.
        """
        return await run("why", *_given(at=at), said=[who])

    async def waiting(kind: Kind | None = None) -> JsonObject:
        """List what waits or was given up.

        Args:
            kind: The rows to list; None is a summary.
        """
        return await run("waiting", "list", *([f"--{kind}"] if kind else []))

    async def mutes() -> JsonObject:
        """List where the bot is muted."""
        return await run("mute")

    async def explain(code: str) -> JsonObject:
        """Explain an error code of linqbot (LQB…) or of Linq: its meaning, its causes, and what to do."""
        return await run("explain", said=[code], stored=False)

    return [
        AgentTool(why, "Say what became of messages", read_only=True),
        AgentTool(waiting, "List what waits or was given up", read_only=True),
        AgentTool(mutes, "List mutes", read_only=True),
        AgentTool(explain, "Explain an error code", read_only=True),
    ]


def _writes(run: Run) -> list[AgentTool]:
    """Return the tools that change something. Each asks for a reason, for the log of operators."""
    who_acts = f"{operator(None, None).who}, by linqbot mcp"

    async def act(*words: str, reason: str, said: Sequence[str] = ()) -> JsonObject:
        return await run(*words, "--as", who_acts, "--reason", reason, said=said)

    async def mute_of(who: str, *options: str, reason: str) -> JsonObject:
        if who == "all":
            return await act("mute", "--all", *options, reason=reason)
        return await act("mute", *options, reason=reason, said=[who])

    async def mute(who: str, reason: str, for_time: str | None = None) -> JsonObject:
        """Make the bot silent.

        Args:
            who: A handle, the id of a chat, or all.
            reason: Why, for the log.
            for_time: Such as 30m, 2h or 1d; None is until unmute.
        """
        return await mute_of(who, *_given(**{"for": for_time}), reason=reason)

    async def unmute(who: str, reason: str, catch_up: bool = False) -> JsonObject:
        """Let the bot speak again for a handle, a chat or all; with catch_up it answers what came meanwhile. The log has the reason."""
        return await mute_of(who, "--end", *(["--catch-up"] if catch_up else []), reason=reason)

    async def retry(delivery: str, reason: str) -> JsonObject:
        """Have a dead letter handled again. The log has the reason."""
        return await act("waiting", "retry", reason=reason, said=[delivery])

    async def answer(question: str, text: str, reason: str) -> JsonObject:
        """Answer an open question in place of the person. The log has the reason."""
        return await act("waiting", "answer", reason=reason, said=[question, text])

    async def send(to: str, text: str, reason: str) -> JsonObject:
        """Send a message to a handle. The log has the reason."""
        return await act("send", "--text", text, reason=reason, said=[to])

    return [
        AgentTool(mute, "Make the bot silent", idempotent=True),
        AgentTool(unmute, "Let the bot speak again", destructive=True, idempotent=True),
        AgentTool(retry, "Handle a dead letter again", destructive=True),
        AgentTool(answer, "Answer a question in place of a person", destructive=True),
        AgentTool(send, "Send a message", destructive=True),
    ]
