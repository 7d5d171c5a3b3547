"""A dry run sends nothing: reads and downloads are refused unless they are allowed, and uploads are made up."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakes import LINE, NOW, PERSON, delivery, text_body

from linqbot import Bot, Context, MessageReceived, Sent, contact_card, location_request, media, poll, voice_memo
from linqbot.client.client import Client
from linqbot.ops.dry_runs.chosen_turns import chosen_turns
from linqbot.ops.dry_runs.dry_run import DryRun
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.upkeep import Selection

pytestmark = pytest.mark.anyio

Ask = Callable[[Client, str, Path], Awaitable[object]]


async def fetches(client: Client, url: str, _: Path) -> object:
    return await client.fetch(url)


async def fetches_to_a_file(client: Client, url: str, folder: Path) -> object:
    return await client.fetch_to(url, folder / "media")


async def reads(client: Client, _: str, __: Path) -> object:
    return await client.attachments.retrieve("3c99d589-8d03-5753-96bd-addff71de8c2")


async def uploads(client: Client, _: str, __: Path) -> object:
    return await client.attachments.upload(b"x", filename="a.txt")


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server on this machine. Yield its address, and a list of the requests that reach it."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"id": "3c99d589-8d03-5753-96bd-addff71de8c2", "filename": "a", "content_type": "text/plain",'
        body += b' "size_bytes": 1, "status": "complete", "created_at": "2026-11-05T17:33:20Z"}'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def dry_run(bot: Bot, client: Client, storage: Storage, *, reads: bool = False) -> DryRun:
    """Return a `DryRun` of deliveries that the storage does not have."""
    chosen = await chosen_turns(storage, Selection(), looked=lambda done, of: None)
    return DryRun(bot, client, storage, chosen, reads=reads, plugins=Plugins())


async def played(ask: Ask, folder: Path, *, allowed: bool) -> tuple[str | None, list[bytes]]:
    """Run a handler that makes the request in a `DryRun`. Return its traceback, and the requests that left."""
    bot = Bot()
    async with listening() as (origin, requests), Client("key", base_url=origin) as client, MemoryStorage() as storage:

        @bot.on_message
        async def handler(_: MessageReceived, ctx: Context) -> None:
            await ask(ctx.client, f"{origin}/media?signature=x", folder)

        done = await (await dry_run(bot, client, storage, reads=allowed)).run(delivery(text_body()))
        error = "".join(traceback.format_exception(done.error)) if done.error else None
        return error, requests


async def test_only_with_reads_a_request_leaves_nothing_is_ever_uploaded_and_the_error_names_the_option(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for ask in (fetches, fetches_to_a_file, reads):
        with subtests.test(ask=ask):
            error, requests = await played(ask, tmp_path, allowed=False)
            assert requests == []
            assert "LinqApiError" in (error or "")
            assert "A dry run does not ask Linq and fetches nothing. Allow it with --reads." in (error or "")
            error, requests = await played(ask, tmp_path, allowed=True)
            assert (error, [request[:4] for request in requests]) == (None, [b"GET "])
    for allowed in (False, True):
        assert await played(uploads, tmp_path, allowed=allowed) == (None, [])


async def test_a_dry_run_shows_a_reply_with_files_and_polls_without_uploading() -> None:
    bot, sent = Bot(), list[Sent]()

    @bot.on_message
    async def handler(_: MessageReceived, ctx: Context) -> None:
        photo = media(b"x", filename="photo.png")
        sent.append(
            await ctx.reply(
                "Hi", photo, voice_memo(b"x", filename="x.m4a"), poll("A", "B"), contact_card(), location_request()
            )
        )

    async with listening() as (origin, requests), Client("key", base_url=origin) as client, MemoryStorage() as storage:
        done = await (await dry_run(bot, client, storage)).run(delivery(text_body()))
        assert (done.error, requests) == (None, [])
    assert [call.name for call in done.calls] == [
        "chats.messages.send",
        "chats.send_voicememo",
        "chats.polls.create",
        "chats.share_contact_card",
        "chats.location.request",
    ]
    assert len(sent[0].messages) == 3


async def test_a_file_that_was_received_is_shown_without_being_fetched_or_uploaded() -> None:
    bot = Bot()

    @bot.on_message
    async def handler(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Look!", *message.media)

    photo = {"type": "media", "id": "photo", "url": "https://cdn.test/photo.png", "filename": "photo.png"}
    file = {"mime_type": "image/png", "size_bytes": 9}
    async with Client("key") as client, MemoryStorage() as storage:
        done = await (await dry_run(bot, client, storage)).run(delivery(text_body(parts=[photo | file])))
    assert (done.error, done.note) == (None, None)
    parts = [part for call in done.calls for part in (call.body or {})["message"]["parts"]]
    assert [part["type"] for part in parts] == ["text", "media"]


async def test_a_stored_send_of_a_broadcast_is_shown() -> None:
    new = NewBroadcast("july", LINE, 20, b'[{"parts":[{"type":"text","value":"hi"}]}]', NOW)
    async with Client("key") as client, MemoryStorage() as storage:
        sent = await (await dry_run(Bot(), client, storage)).run(new.delivery(1, PERSON, NOW))
    assert (sent.error, [call.name for call in sent.calls]) == (None, ["chats.create"])
