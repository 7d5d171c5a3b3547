"""An app: the receipts of the bot's own messages, which have a turn only if code of the bot may want them; one run only."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

import pytest
from fakes import Linq

from linqbot import Bot
from linqbot.errors import BotError, StorageUnavailable
from linqbot.events import MessageReceipt
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.memory import MemoryStorage

SECRET: Final = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="


def settled(bot: Bot) -> list[str]:
    """Return the types of the receipts that have no turn in an app of this bot."""
    storage = MemoryStorage()
    create_app(bot, client=Linq().client, storage=storage, secrets=[SECRET])
    return [name.removeprefix("message.") for name in storage.settled]


def test_receipts_have_turns_if_code_of_the_bot_may_want_them() -> None:
    async def note(event: Any, ctx: Any) -> None: ...

    def around(go_on: Any) -> Any:
        async def handle(event: Any, ctx: Any) -> None:
            await go_on(event, ctx)

        return handle

    without, reading, every, wrapped = Bot(), Bot(), Bot(), Bot()
    reading.on_delivery("read")(note)
    every.on(MessageReceipt)(note)
    wrapped.use(around)
    # The turn of a send that has failed logs it.
    assert settled(without) == ["sent", "delivered", "read"]
    assert settled(reading) == ["sent", "delivered"]
    assert settled(every) == settled(wrapped) == []


def test_an_app_says_that_it_runs_once() -> None:
    """A test client runs the lifespan again in each `with`, in another event loop: the second run would handle nothing."""
    app = create_app(Bot(), client=Linq().client, storage=MemoryStorage(), secrets=[SECRET])

    async def run() -> None:
        async with running(app):
            pass

    asyncio.run(run())
    with pytest.raises(BotError, match=r"runs once, .* Make another one for each run"):
        asyncio.run(run())


def test_an_app_whose_storage_did_not_open_may_be_started_again() -> None:
    class Away(MemoryStorage):
        opened = 0

        async def __aenter__(self) -> Self:
            self.opened += 1
            if self.opened == 1:
                raise StorageUnavailable("PostgreSQL does not answer.")
            return await super().__aenter__()

    async def run() -> None:
        app = create_app(Bot(), client=Linq().client, storage=Away(), secrets=[SECRET])
        with pytest.raises(StorageUnavailable):
            await running(app).__aenter__()
        async with running(app):
            pass

    asyncio.run(run())
