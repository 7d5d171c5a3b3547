"""Checks before sending: opt-out, blocked handles, flagged lines, sandbox and rate limit (R13, R15, R61, R69-R75), media.

Of the files of a message (R29, R38, R66), only those on this machine are fetched, where a developer serves files. Other
addresses are passed on unchecked: the emulator connects to no other machine.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, conflict
from linqbot.emulator.model.records import ChatRecord, Line
from linqbot.linq.rules.message import is_opt_out

MESSAGES_PER_PAIR = 30
SANDBOX_MESSAGES_A_DAY = 100
PAIR_WINDOW_S = 60.0


def note_text(world: World, chat: ChatRecord, handle: str, text: str) -> None:
    """Note the text that a person wrote (R69, R72, R73).

    An opt-out word in a direct chat stops messages to this person. Any later text allows them again.
    """
    state = world.state
    if is_opt_out(text):
        if not chat.is_group:
            state.opted_out.add(handle)
            _set_health(world, chat, "OPTED_OUT")
            world.show_conditions()
    elif handle in state.opted_out:
        set_opt_out(world, handle, is_out=False)


def set_opt_out(world: World, handle: str, *, is_out: bool) -> None:
    before, after = ("HEALTHY", "OPTED_OUT") if is_out else ("OPTED_OUT", "HEALTHY")
    if is_out:
        world.state.opted_out.add(handle)
    else:
        world.state.opted_out.discard(handle)
    for chat in world.state.chats.values():
        if not chat.is_group and chat.health == before and handle in chat.people:
            _set_health(world, chat, after)
    world.show_conditions()


def _set_health(world: World, chat: ChatRecord, status: str) -> None:
    chat.health = status
    chat.health_at = world.now()
    world.show_chat(chat)


def check_present(chat: ChatRecord) -> None:
    """Check that our line has not left the chat (R61)."""
    if chat.has_left:
        raise conflict("Your phone number has left this chat")


def check_line(line: Line) -> None:
    """Check that a line may send (R13). Reading is always allowed."""
    if not line.can_send:
        raise ApiError(403, 2027, "This phone number cannot send messages at present")


def check_able(world: World, chat: ChatRecord) -> None:
    """Check that our line may do something in a chat: it has not left the chat and is not flagged (R13, R61)."""
    check_present(chat)
    check_line(world.line_of(chat))


def check_send(world: World, line: Line, people: Collection[str], *, override_optout: bool) -> None:
    """Check that a message to these people may be sent now, and count the message (R13, R15, R70, R71, R74, R75).

    Args:
        override_optout: True sends although the recipient has opted out.
    """
    check_line(line)
    state = world.state
    if people and all(handle in state.blocked for handle in people):
        raise ApiError(403, 2026, "The recipient is blocked")
    if len(people) == 1 and not override_optout and not state.opted_out.isdisjoint(people):
        raise ApiError(403, 2024, "The recipient has opted out of messages")
    if state.is_sandbox:
        _check_sandbox(world, people)
    _check_rate(world, line, people)


def _check_sandbox(world: World, people: Collection[str]) -> None:
    """Check that the people have written first, and that fewer than 100 messages were sent since midnight UTC (R15)."""
    state, now = world.state, world.now()
    wrote = {one.sender.handle for one in state.messages.values() if not one.is_from_me}
    if not wrote.issuperset(people):
        raise ApiError(403, 2008, "In a sandbox, the recipient must write first")
    day = int(now // 86400)
    count = state.sandbox_day[1] if state.sandbox_day[0] == day else 0
    if count >= SANDBOX_MESSAGES_A_DAY:
        wait = math.ceil((day + 1) * 86400 - now)
        raise ApiError(429, 1007, "A sandbox sends a hundred messages a day", retry_after=max(1, wait))
    state.sandbox_day = (day, count + 1)


def _check_rate(world: World, line: Line, people: Collection[str]) -> None:
    now = world.now()
    pairs = [world.state.sends[line.phone_number, handle] for handle in people]
    for sends in pairs:
        while sends and sends[0] <= now - PAIR_WINDOW_S:
            sends.popleft()
        if len(sends) >= MESSAGES_PER_PAIR:
            wait = max(1, math.ceil(sends[0] + PAIR_WINDOW_S - now))
            raise ApiError(429, 1007, "Too many messages to this recipient", retry_after=wait)
    for sends in pairs:
        sends.append(now)
    line.used_at = now


MOST_BYTES: Final = 10 * 2**20
TIMEOUT_S: Final = 5.0

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"heif"})


async def check_media(body: Mapping[str, Any], own_url: str) -> None:
    """Fetch every address on this machine that a body refers to.

    Args:
        own_url: The address of the emulator itself: its own files are known without fetching.
    Raises:
        ApiError: 400/5007, a file cannot be fetched or is over 10 MB; 400/5006, a file is not an image but should be.
    """
    for url, is_image in _addresses(body):
        if _is_here(url) and not url.startswith(f"{own_url}/"):
            content = await _fetched(url)
            if is_image and not _looks_like_image(content):
                raise ApiError(400, 5006, "The URL is not an image")


def _is_here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False


def _addresses(body: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield each address, and True if it must be an image.

    The rules were checked before: every field has its type.
    """
    message = body.get("message") or {}
    for part in message.get("parts") or ():
        if part["type"] == "media" and part.get("url"):
            yield part["url"], bool(part.get("sticker"))
        elif part["type"] == "imessage_app" and part["layout"].get("image_url"):
            yield part["layout"]["image_url"], True
    for holder in (body, body.get("layout") or {}):
        if isinstance(url := holder.get("image_url"), str):
            yield url, True
    for name in ("voice_memo_url", "group_chat_icon"):
        if body.get(name):
            yield body[name], name == "group_chat_icon"


async def _fetched(url: str) -> bytes:
    content = bytearray()
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise ApiError(400, 5007, "The file is larger than 10 MB; upload it")
        if answer.is_success:
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError):
        pass
    raise ApiError(400, 5007, "The URL could not be fetched")


def _looks_like_image(content: bytes) -> bool:
    head = content[:16]
    return (
        head.startswith(_IMAGES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
    )
