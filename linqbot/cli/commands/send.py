"""`linqbot send`: send one message from the shell."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import click

from linqbot.cli.kit import Arg, Opt, Result
from linqbot.cli.output import warn
from linqbot.client.client import Client
from linqbot.linq.handles import read_handle
from linqbot.linq.types.message import Effect, MessageContent, TextPart
from linqbot.settings import Settings
from linqbot.storage.acts import ActedOn, By
from linqbot.storage.backend import Storage
from linqbot.storage.open import path_of


def _handle(value: str) -> str:
    if (handle := read_handle(value)) is None:
        raise click.BadParameter(f"{value} is not a handle. Write a phone number in E.164, or an e-mail address.")
    return handle


async def send(
    to: Annotated[tuple[str, ...], Arg(type=_handle)],
    settings: Settings,
    by: By,
    *,
    text: Annotated[str | None, Opt("Text of the message. Default: standard input.", "--text -t")] = None,
    from_: Annotated[str | None, Opt("Your line, in E.164. Default: Linq chooses one.", "--from")] = None,
    effect: Annotated[str | None, Opt("A screen or bubble effect, such as confetti.")] = None,
) -> Result:
    """Send a message to the handles TO: phone numbers in E.164, or e-mail addresses. Several handles are a group.

    The log of what operators have done names the message, where the bot's storage is.
    """
    api_key = settings.required_key()
    content = sys.stdin.read().rstrip("\n") if text is None else text
    if not content:
        raise click.UsageError("The message has no text. Give --text, or pipe the text in.")
    key = secrets.token_hex(16)
    shown = Effect.named(effect) if effect else None
    message = MessageContent(parts=(TextPart(value=content),), effect=shown, idempotency_key=key)
    async with _storage_with_log(settings) as storage, Client(api_key, base_url=settings.base_url) as client:
        if storage is not None:
            await storage.note_act("send", ActedOn(key), by=by)
        if from_ is None:
            sent = await client.messages.create(to=to, message=message)
            chat_id, message_id = sent.chat_id, sent.message.id
        else:
            created = await client.chats.create(from_=from_, to=to, message=message)
            chat_id, message_id = created.chat.id, created.chat.message.id
        if storage is not None:
            await storage.name_send(key, chat_id, message_id)
    return Result({"chat_id": chat_id, "message_id": message_id}, f"Sent {message_id} in chat {chat_id}")


@asynccontextmanager
async def _storage_with_log(settings: Settings) -> AsyncIterator[Storage | None]:
    """Open the bot's storage; None if it is not here, because a message can be sent from any machine."""
    path = path_of(settings.storage)
    if settings.storage.startswith("memory:") or (path is not None and not path.exists()):
        warn(f"The log of operators does not name this message: there is no storage {settings.storage} here.")
        yield None
        return
    async with settings.open_storage(serving=False) as storage:
        yield storage
