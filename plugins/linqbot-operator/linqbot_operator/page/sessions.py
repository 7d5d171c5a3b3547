"""Sessions of the operator's page: a cookie with a random token, whose digest the bot's storage keeps.

So a session outlives a restart, is the same in each process of the bot, and ends where its row is deleted: at log-out, after
`SESSION_S`, and with `python -m linqbot_operator.page.access --end-sessions`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, TypedDict

from pydantic_core import from_json, to_json

from linqbot.clock import Clock
from linqbot.storage.backend import Storage
from linqbot.storage.state import StateWrite

Role: TypeAlias = Literal["operator", "reader"]

SESSION_S: Final = 12 * 3600.0
SCOPE: Final = "page sessions"
"""The scope of the rows, which is that of no chat, no person and no bot."""


class _Kept(TypedDict):
    role: Role
    until: float  # Unix seconds


class Sessions:
    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def begin(self, role: Role) -> str:
        """Begin a session, and return its token. Sessions that are over are deleted."""
        token, now = secrets.token_hex(32), self._clock.now()
        kept: _Kept = {"role": role, "until": now + SESSION_S}
        over = [name for name, each in (await self._kept()).items() if each["until"] <= now]
        await self._storage.write_state([StateWrite(SCOPE, _digest(token), to_json(kept)), *_deleted(over)])
        return token

    async def role_of(self, token: str) -> Role | None:
        """Return the role of a session; None if there is no such session, or if it is over."""
        kept = (await self._kept()).get(_digest(token))
        return None if kept is None or kept["until"] <= self._clock.now() else kept["role"]

    async def end(self, token: str) -> None:
        await self._storage.write_state(_deleted([_digest(token)]))

    async def end_all(self) -> int:
        """End all sessions, and return their number."""
        names = list(await self._kept())
        await self._storage.write_state(_deleted(names))
        return len(names)

    async def _kept(self) -> dict[str, _Kept]:
        return {name: from_json(value) for name, value in (await self._storage.load(SCOPE)).items()}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _deleted(names: Iterable[str]) -> list[StateWrite]:
    return [StateWrite(SCOPE, name, None) for name in names]
