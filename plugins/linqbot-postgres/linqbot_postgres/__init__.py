"""Storages of linqbot in PostgreSQL, for one or several serving processes. `Postgres` is the plugin; linqbot finds it once this
package is installed, and uses it for storage URLs of `postgresql://`.

`storage.py` opens a storage, `lanes.py` has its lanes, `contents.py` reads and writes it as a whole. They are imported when a
URL needs them: a bot on SQLite does not load asyncpg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from linqbot import hookimpl
from linqbot.errors import StorageUnavailable
from linqbot.storage.backend import Checkup, Storage, StorageBackend

if TYPE_CHECKING:
    from linqbot.clock import Clock
    from linqbot.storage.contents import Contents, Role

__all__ = ["Postgres", "PostgresBackend"]


class PostgresBackend(StorageBackend):
    """The storages of `postgresql://` URLs."""

    form = "postgresql://USER@HOST/DATABASE"

    def open(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
        from linqbot_postgres.storage import PostgresStorage

        return PostgresStorage(url, clock=clock, serving=serving, keep_days=keep_days)

    def contents(self, url: str, role: Role = "check") -> Contents:
        from linqbot_postgres.contents import PostgresContents

        return PostgresContents(url, role)

    async def check_up(self, url: str) -> Checkup:
        """Inspect a storage, without changing it. Raises StorageUnavailable if it cannot be written."""
        from linqbot_postgres.address import READ_ONLY_ADVICE
        from linqbot_postgres.migrate import check_up

        how = await check_up(url)
        if how.is_read_only:
            raise StorageUnavailable(f"{how.name} can be read only. {READ_ONLY_ADVICE}.")
        if how.lacks is not None:
            raise StorageUnavailable(f"The user of {how.name} lacks the right {how.lacks}.")
        if how.schema is None:
            return Checkup(f"{how.name} answers (version {how.version}). Its schema does not exist yet.")
        by = "1 process serves it" if how.serving == 1 else f"{how.serving} processes serve it"
        what = f"{how.name} answers (version {how.version}, schema {how.schema}), {by}, {how.waiting} waiting."
        return Checkup(what, how.dead, how.questions)


class Postgres:
    """Brings the storages of `postgresql://` URLs."""

    name: Final = "postgres"

    @hookimpl
    def register_storage(self) -> dict[str, StorageBackend]:
        return {"postgresql": PostgresBackend()}
