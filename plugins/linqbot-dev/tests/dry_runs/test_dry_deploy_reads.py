"""A dry run sends nothing: reads and downloads are refused unless they are allowed, and uploads are made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from fakes import delivery, text_body
from linqbot_dev.dry_runs.dry_deploy import Report, dry_deploy
from linqbot_dev.dry_runs.recorded_turns import chosen_turns
from one_handler import bot_of, does

from linqbot import (
    Bot,
    Client,
    Context,
    Manners,
    MessageReceived,
    Sent,
    contact_card,
    location_request,
    media,
    poll,
    voice_memo,
)
from linqbot.plugin_loading import load
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.upkeep import Selection

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


async def ran(bot: Bot, client: Client, body: bytes, *, reads: bool = False) -> Report:
    """Run a bot on one message, to which nothing was answered then."""
    async with MemoryStorage(keep_days=1) as storage:
        await storage.put(delivery(body))
        (lease,) = await storage.take(1, lease_s=60)
        await storage.finish(lease, Commit(Ack()))
        chosen = await chosen_turns(storage, Selection(), looked=lambda done, of: None)
        return await dry_deploy(
            lambda: nullcontext(bot), chosen, client, reads=reads, plugins=load, progress=lambda done, of: None
        )


async def played(ask: Ask, folder: Path, *, allowed: bool) -> tuple[list[str], list[bytes]]:
    """Run a handler that makes the request. Return the causes of differences, and the requests that left."""
    async with listening() as (origin, requests), Client("key", base_url=origin) as client:
        bot = bot_of(does(lambda ctx: ask(ctx.client, f"{origin}/media?signature=x", folder)))
        report = await ran(bot, client, text_body(), reads=allowed)
        return [group.cause for group in report.groups], requests


async def test_only_with_reads_a_request_leaves_nothing_is_ever_uploaded_and_the_cause_names_the_option(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for ask in (fetches, fetches_to_a_file, reads):
        with subtests.test(ask=ask):
            (cause,), requests = await played(ask, tmp_path, allowed=False)
            assert requests == []
            assert "not recorded: " in cause
            assert "with --reads" in cause
            causes, requests = await played(ask, tmp_path, allowed=True)
            assert (causes, [request[:4] for request in requests]) == ([], [b"GET "])
    for allowed in (False, True):
        assert await played(uploads, tmp_path, allowed=allowed) == ([], [])


async def test_a_reply_is_shown_with_files_and_polls_without_an_upload() -> None:
    bot, sent = Bot(), list[Sent]()

    @bot.on_message
    async def handler(_: MessageReceived, ctx: Context) -> None:
        photo = media(b"x", filename="photo.png")
        sent.append(
            await ctx.reply(
                "Hi", photo, voice_memo(b"x", filename="x.m4a"), poll("A", "B"), contact_card(), location_request()
            )
        )

    async with listening() as (origin, requests), Client("key", base_url=origin) as client:
        report = await ran(bot, client, text_body())
        assert requests == []
    (group,) = report.groups
    assert (group.kind, group.cause) == ("different answer", "it was silent then, and answers now")
    assert [change.after.name for change in group.examples[0].changes if change.after] == [
        "chats.messages.send",
        "chats.send_voicememo",
        "chats.polls.create",
        "chats.share_contact_card",
        "chats.location.request",
    ]
    assert len(sent[0].messages) == 3


async def test_manners_that_look_at_the_line_fail_no_send() -> None:
    bot = Bot(manners=Manners())

    @bot.on_message
    async def handler(_: MessageReceived, ctx: Context) -> None:
        await ctx.bot.send("Hi", to="+14155550177", purpose="promotional")

    async with listening() as (origin, requests), Client("key", base_url=origin) as client:
        report = await ran(bot, client, text_body())
        assert requests == []
    assert [(group.kind, group.cause) for group in report.groups] == [
        ("different answer", "it was silent then, and answers now")
    ]


async def test_a_file_that_was_received_is_shown_without_being_fetched_or_uploaded() -> None:
    bot = Bot()

    @bot.on_message
    async def handler(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Look!", *message.media)

    photo = {"type": "media", "id": "photo", "url": "https://cdn.test/photo.png", "filename": "photo.png"}
    file = {"mime_type": "image/png", "size_bytes": 9}
    async with Client("key") as client:
        report = await ran(bot, client, text_body(parts=[photo | file]))
    (group,) = report.groups
    shown = [change.after.shown or "" for change in group.examples[0].changes if change.after]
    assert [each.partition(" ")[0] for each in "\n".join(shown).splitlines()] == ["Look!", "[media]"]
