"""`linqbot dev --terminal`: a line that is typed is a text of a person, and what the bot sends is printed.

Standard output has only what the person reads. The lines for each turn are on standard error, as always.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import click
from pydantic_core import from_json

from linqbot.cli.output import printable, printable_lines
from linqbot_dev.emulator.acts.conversation import Text, Write
from linqbot_dev.emulator.emulator import Emulator


async def converse(emulator: Emulator) -> None:
    """Send the lines of standard input to the bot, until their end.

    From a pipe, a line is sent when the turn of the line before it has ended.
    """
    person, line_of_bot = emulator.declared.owner, emulator.declared.lines[0].phone_number
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=_read, args=(lambda line: loop.call_soon_threadsafe(lines.put_nowait, line),), daemon=True
    ).start()
    waits = not sys.stdin.isatty()
    ended: dict[str, asyncio.Event] = {}
    shows = asyncio.create_task(_show(emulator, ended))
    try:
        while (line := await lines.get()) is not None:
            if not line.strip():
                continue
            written = await emulator.runner.write(Write(from_=person, to=line_of_bot, parts=[Text(value=line)]))
            if waits and (message_id := written["message_id"]) is not None:
                await ended.setdefault(message_id, asyncio.Event()).wait()
    finally:
        shows.cancel()


def _read(put: Callable[[str | None], object]) -> None:
    # Not `sys.stdin`: its lock, held by a thread that waits for a line, would stop Python from ending.
    rest = b""
    while piece := os.read(0, 65536):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            put(line.decode(errors="replace"))
    if rest:
        put(rest.decode(errors="replace"))
    put(None)


async def _show(emulator: Emulator, ended: dict[str, asyncio.Event]) -> None:
    """Print each message of the bot to the person once, and note the messages of people whose turns have ended."""
    shown: set[str] = set()
    async for block in emulator.world.feed.read(lambda: None):
        head, _, data = block.partition(b"\ndata: ")
        match head.rpartition(b"event: ")[2]:
            case b"message":
                message = from_json(data)
                # What others get is on the line of the turn. After "Empty everything" a chat may be gone.
                chat = emulator.state.chats.get(message["chat_id"])
                is_theirs = chat is not None and emulator.declared.owner in chat.people
                if is_theirs and message["is_from_me"] and message["id"] not in shown:
                    shown.add(message["id"])
                    click.echo("\n".join(_lines(message)))
            case b"observation":
                turn = from_json(data)
                if turn["kind"] == "turn" and turn["outcome"] != "running":
                    for message_id in (turn["message_id"], *turn["joined"]):
                        ended.setdefault(message_id, asyncio.Event()).set()


def _lines(message: dict[str, Any]) -> Iterator[str]:
    for part in message["parts"]:
        is_text = part["type"] in ("text", "link")
        yield printable_lines(part["value"]) if is_text else printable(f"[{part.get('filename') or part['type']}]")
    for option in (message.get("poll") or {"options": ()})["options"]:
        yield printable(f"[ ] {option['text']}")
