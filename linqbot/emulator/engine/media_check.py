"""Checks that the files of a message can be fetched and have the right type (R29, R38, R66).

Only addresses on this machine are fetched, where a developer serves files. Other addresses are passed on unchecked: the
emulator connects to no other machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from linqbot.emulator.model.answers import ApiError

MOST_BYTES: Final = 10 * 2**20
TIMEOUT_S: Final = 5.0

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"heif"})


async def check(body: Mapping[str, Any], own_url: str) -> None:
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
