"""`linqbot send`: send one message from the shell."""

from __future__ import annotations

import sys
from typing import Annotated

import click

from linqbot.cli.kit import Arg, Opt, Result
from linqbot.client.client import Client
from linqbot.linq.handles import read_handle
from linqbot.linq.types.message import Effect, MessageContent, TextPart
from linqbot.settings import from_env


def _handle(value: str) -> str:
    if (handle := read_handle(value)) is None:
        raise click.BadParameter(f"{value} is not a handle. Write a phone number in E.164, or an e-mail address.")
    return handle


async def send(
    to: Annotated[tuple[str, ...], Arg(type=_handle)],
    *,
    text: Annotated[str | None, Opt("Text of the message. Default: standard input.", "--text -t")] = None,
    from_: Annotated[str | None, Opt("Your line, in E.164. Default: Linq chooses one.", "--from")] = None,
    effect: Annotated[str | None, Opt("A screen or bubble effect, such as confetti.")] = None,
) -> Result:
    """Send a message to the handles TO: phone numbers in E.164, or e-mail addresses. Several handles are a group."""
    settings = from_env()
    api_key = settings.required_key()
    content = sys.stdin.read().rstrip("\n") if text is None else text
    if not content:
        raise click.UsageError("The message has no text. Give --text, or pipe the text in.")
    message = MessageContent(parts=(TextPart(value=content),), effect=Effect.named(effect) if effect else None)
    async with Client(api_key, base_url=settings.base_url) as client:
        if from_ is None:
            sent = await client.messages.create(to=to, message=message)
            chat_id, message_id = sent.chat_id, sent.message.id
        else:
            created = await client.chats.create(from_=from_, to=to, message=message)
            chat_id, message_id = created.chat.id, created.chat.message.id
    return Result({"chat_id": chat_id, "message_id": message_id}, f"Sent {message_id} in chat {chat_id}")
