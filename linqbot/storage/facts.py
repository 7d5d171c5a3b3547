"""Facts of a storage: a text for each key, in the table `meta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from linqbot.storage.dialect import Readable, Writable

T = TypeVar("T")


async def read(db: Readable, key: str) -> str | None:
    found: str | None = await db.value("SELECT value FROM meta WHERE key = $1", key)
    return found


async def write(tx: Writable, key: str, value: str) -> None:
    sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    await tx.run(sql, key, value)


async def change(tx: Writable, key: str, to: Callable[[str | None], tuple[str, T]]) -> T:
    """Store what a function makes of a fact, and return its other result. Other transactions that change the fact wait."""
    await tx.lock([f"fact\0{key}"])
    before = await read(tx, key)
    after, result = to(before)
    if after != before:
        await write(tx, key, after)
    return result


async def remove(tx: Writable, key: str) -> None:
    await tx.run("DELETE FROM meta WHERE key = $1", key)
