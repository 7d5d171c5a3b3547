"""`linqbot mcp`: the commands of operators as tools of an MCP server, for a coding agent or an assistant.

A tool runs a command of linqbot with `--json`, so that it says what the command says. Standard output is the protocol's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
import httpx
from pydantic_core import from_json

from linqbot.cli.commands.waiting import Kind
from linqbot.errors import ConfigError
from linqbot.installing import extra_command

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

JsonObject: TypeAlias = dict[str, Any]
_Run: TypeAlias = Callable[..., Awaitable[JsonObject]]

FIRST_PERSON: Final = "+14155550142"
PAGE: Final = "http://127.0.0.1:4010"


@click.command("mcp")
@click.option("--allow-writes", is_flag=True, help="Also offer the tools that mute, retry, answer and send.")
@click.option(
    "--dev",
    is_flag=True,
    help="Of the linqbot dev that runs in this folder; an agent texts its bot and moves its clock.",
)
@click.option("--page", metavar="URL", default=PAGE, show_default=True, help="With --dev: where the phone page is.")
def command(*, allow_writes: bool, dev: bool, page: str) -> None:
    """Serve an MCP server on standard input and output, with the commands of operators as tools.

    A coding agent starts it, such as with: claude mcp add linqbot -- linqbot mcp --dev
    """
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError as error:
        needs = "linqbot mcp needs a further package. Install it"
        raise ConfigError(f"{needs}: {extra_command('operator')}") from error
    server = MCPServer(
        "linqbot", instructions="Tools to find out what a chatbot did and why, by Linq's ids and handles."
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the server shows the log of all modules
    run = partial(_run, page if dev else None)
    _offer_reads(server, run)
    if allow_writes:
        _offer_writes(server, run)
    if dev:
        _offer_phone(server, page)
    server.run("stdio")


async def _run(dev: str | None, *words: str, said: Sequence[str] = (), stored: bool = True) -> JsonObject:
    """Run a command. Return its JSON. Raises ToolError with the command's error in JSON, which says what to do.

    Args:
        dev: The page of the `linqbot dev` whose storage and Linq the command uses; None for those of the settings.
        said: Arguments in the words of the agent, of which none is an option of the command.
    """
    from mcp.server.mcpserver.exceptions import ToolError  # an agent is shown the words of no other error

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
        raise ToolError(error.decode())
    found = from_json(out)
    return found if isinstance(found, dict) else {"rows": found}


def _given(**options: str | None) -> Sequence[str]:
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]


def _offer_reads(server: MCPServer, run: _Run) -> None:
    @server.tool()
    async def why(who: str, at: str | None = None) -> JsonObject:
        """Say what became of a person's messages and why: handlers tried, calls, refusals, mutes, open questions.

        Args:
            who: A handle such as +14155550142, or the id of a chat, a message or a delivery.
            at: Only around this time, such as 10:42 or 2026-11-26T10:42.
        """
        return await run("why", *_given(at=at), said=[who])

    @server.tool()
    async def waiting(kind: Kind | None = None) -> JsonObject:
        """List what waits or was given up.

        Args:
            kind: The rows to list; None is a summary.
        """
        return await run("waiting", "list", *([f"--{kind}"] if kind else []))

    @server.tool()
    async def mutes() -> JsonObject:
        """List where the bot is muted."""
        return await run("mute")

    @server.tool()
    async def explain(code: str) -> JsonObject:
        """Explain an error code of linqbot (LQB…) or of Linq: its meaning, its causes, and what to do."""
        return await run("explain", said=[code], stored=False)


def _offer_writes(server: MCPServer, run: _Run) -> None:
    async def mute_of(who: str, *options: str) -> JsonObject:
        return await (run("mute", "--all", *options) if who == "all" else run("mute", *options, said=[who]))

    @server.tool()
    async def mute(who: str, for_time: str | None = None, reason: str | None = None) -> JsonObject:
        """Make the bot silent.

        Args:
            who: A handle, the id of a chat, or all.
            for_time: Such as 30m, 2h or 1d; None is until unmute.
        """
        return await mute_of(who, *_given(**{"for": for_time}, reason=reason))

    @server.tool()
    async def unmute(who: str, catch_up: bool = False) -> JsonObject:
        """Let the bot speak again for a handle, a chat or all; with catch_up it answers what came meanwhile."""
        return await mute_of(who, "--end", *(["--catch-up"] if catch_up else []))

    @server.tool()
    async def retry(delivery: str) -> JsonObject:
        """Have a dead letter handled again."""
        return await run("waiting", "retry", said=[delivery])

    @server.tool()
    async def answer(question: str, text: str) -> JsonObject:
        """Answer an open question in place of the person."""
        return await run("waiting", "answer", said=[question, text])

    @server.tool()
    async def send(to: str, text: str) -> JsonObject:
        """Send a message to a handle."""
        return await run("send", "--text", text, said=[to], stored=False)


def _offer_phone(server: MCPServer, page: str) -> None:
    from mcp.server.mcpserver.exceptions import ToolError

    http = httpx.AsyncClient(base_url=f"{page}/emulator", trust_env=False, timeout=60)

    async def asked(method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        try:
            response = await http.request(method, path, json=body)
            answer: JsonObject = response.json()
        except (httpx.TransportError, ValueError) as error:
            raise ToolError(
                f"No page of linqbot dev answers at {page}. Start linqbot dev, or begin linqbot mcp with the address that it "
                "shows: --page http://127.0.0.1:4011"
            ) from error
        if response.is_error:
            raise ToolError(answer["error"]["message"])
        return answer

    async def state() -> JsonObject:
        return await asked("GET", "/state")

    @server.tool()
    async def text(text: str, person: str = FIRST_PERSON) -> JsonObject:
        """Text the bot as a person, on the emulated phone. Read the answer with conversation."""
        line = (await state())["lines"][0]["phone_number"]
        body = {"from": person, "to": line, "parts": [{"type": "text", "value": text}]}
        return await asked("POST", "/inbound", body)

    @server.tool()
    async def conversation(person: str = FIRST_PERSON) -> JsonObject:
        """Return the messages with a person, and for each turn its handler, the filters that were tried, and errors."""
        found = await state()
        handles = {chat["id"] for chat in found["chats"] if any(one["handle"] == person for one in chat["handles"])}
        messages = [each for chat in found["chats"] if chat["id"] in handles for each in chat["messages"]]
        return {"messages": messages, "turns": [each for each in found["observations"] if each["chat_id"] in handles]}

    @server.tool()
    async def copy_test(person: str = FIRST_PERSON) -> JsonObject:
        """Return the latest conversation with a person as a pytest: what people wrote, and what the bot did, is expected."""
        chats = [chat["id"] for chat in (await state())["chats"] if any(h["handle"] == person for h in chat["handles"])]
        return await asked("GET", f"/chats/{chats[-1] if chats else person}/test")

    @server.tool()
    async def move_clock(seconds: float) -> JsonObject:
        """Move the clock of the bot and of the emulator: what is due meanwhile happens."""
        return await asked("POST", "/clock", {"advance_s": seconds})
